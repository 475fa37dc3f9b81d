"""deepagents with our line: a subagent, a result put aside, a file, a summary; bare and with us, on two simulated APIs.

Run by `guests.py` in `.venv-guests`, where deepagents is installed. Messages, files and cached tokens must be the same,
and our ledger the server's bill.
"""

from __future__ import annotations

import itertools
import re
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from rheostat import AdaptiveThinking, Budget, read
from rheostat.providers import endpoint_for
from rheostat.testing.server import ProviderServer, Turn, provider_server

TURNS = (
    Turn(tool_calls=(("task", {"description": "look into it", "subagent_type": "general-purpose"}),), text=""),
    Turn(text="the subagent looked"),
    Turn(tool_calls=(("fetch", {"what": "x"}),), text=""),
    Turn(tool_calls=(("write_file", {"file_path": "/notes.md", "content": "hello"}),), text=""),
    Turn(text="all done"),
)
BUDGETS = (Budget(tokens=5_000_000), Budget(usd="20"))


@tool
def fetch(what: str) -> str:
    """Fetch a long text."""
    return "line\n" * 60_000


@dataclass(frozen=True)
class Case:
    """One conversation with an agent."""

    name: str
    turns: tuple[Turn, ...]
    words: dict[str, int]
    """Of each of thirty parts that were said before, by provider: nearly what the model holds, so it is summed up."""
    models: dict[str, str]


CASES = (
    Case("a subagent, a result put aside, a file", TURNS, {}, {"openai": "gpt-5.1", "anthropic": "claude-opus-4-8"}),
    Case(
        "a summary", (Turn(text="a summary of it"), Turn(text="all done")),
        {"openai": 8_300, "anthropic": 6_000}, {"openai": "gpt-5.1", "anthropic": "claude-haiku-4-5"},
    ),
)  # fmt: skip


def result(case: Case, provider: Any, server: ProviderServer, budget: Budget | None) -> tuple[Any, Any]:
    """What an agent did: its messages, its files and what was read from the cache; and its state."""
    from deepagents import create_deep_agent

    server.reset(*case.turns)
    key, model = SecretStr("k"), case.models[provider]
    chat: Any = ChatOpenAI(model=model, base_url=server.openai_url, api_key=key)
    if provider == "anthropic":
        chat = ChatAnthropic(model_name=model, base_url=server.url, api_key=key, timeout=None, stop=None)
    ours = []
    if budget is not None:
        ours = [AdaptiveThinking(budget=budget, endpoint=lambda chat: endpoint_for(chat, provider=provider))]
    agent = create_deep_agent(model=chat, tools=[fetch], middleware=ours)
    said: list[Any] = []
    for number in range(30 if case.words else 0):
        said += [HumanMessage(f"part {number} " + "word " * case.words[provider]), AIMessage("noted")]
    state = agent.invoke({"messages": [*said, HumanMessage("Please do it all.")]}, {"recursion_limit": 60})
    told = [(type(m).__name__, m.text, [c["name"] for c in getattr(m, "tool_calls", ())]) for m in state["messages"]]
    files = sorted(re.sub(r"session_\w+", "session", name) for name in state.get("files") or {})
    return (told, files, [line.cached_input_tokens for line in server.bill.lines]), state


def main() -> int:
    """Compare; how often it differed."""
    broken = 0
    with provider_server() as server:
        for case, provider in itertools.product(CASES, ("openai", "anthropic")):
            bare, _ = result(case, provider, server, None)
            for budget in BUDGETS:
                ours, state = result(case, provider, server, budget)
                spent = read(state)["spend"]["usd_nanos"]
                same, even = bare == ours, spent == server.bill.total("usd_nanos")
                broken += not (same and even)
                told = "as without us" if same else f"DIFFER: {bare} {ours}"
                books = "is the bill" if even else f"says {spent}, the bill {server.bill.total('usd_nanos')}"
                print(f"deepagents, {case.name}, {provider}, {budget}: messages, files, cached tokens {told}; ", end="")
                print(f"the ledger {books}")
    return broken


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
