"""deepagents with our line: a subagent, a result that is put aside and a file, bare and with us, on two simulated APIs.

Run by `guests.py` in `.venv-guests`, where deepagents is installed. Messages, files and cached tokens must be the same,
and our ledger the server's bill.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

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


def result(provider: Any, server: ProviderServer, budget: Budget | None) -> tuple[Any, Any]:
    """What an agent did: its messages, its files and what was read from the cache; and its state."""
    from deepagents import create_deep_agent  # type: ignore[import-not-found]  # it is installed beside

    server.reset(*TURNS)
    chat: Any = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key="k")  # type: ignore[arg-type]  # a text
    if provider == "anthropic":
        chat = ChatAnthropic(model="claude-opus-4-8", base_url=server.url, api_key="k")  # type: ignore[arg-type,call-arg]
    ours = []
    if budget is not None:
        ours = [AdaptiveThinking(budget=budget, endpoint=lambda chat: endpoint_for(chat, provider=provider))]
    agent = create_deep_agent(model=chat, tools=[fetch], middleware=ours)
    state = agent.invoke({"messages": [HumanMessage("Please do it all.")]}, {"recursion_limit": 60})
    said = [(type(m).__name__, m.text, [c["name"] for c in getattr(m, "tool_calls", ())]) for m in state["messages"]]
    cached = [line.cached_input_tokens for line in server.bill.lines]
    return (said, sorted(state.get("files") or {}), cached), state


def main() -> int:
    """Compare; how often it differed."""
    broken = 0
    with provider_server() as server:
        for provider in ("openai", "anthropic"):
            bare, _ = result(provider, server, None)
            for budget in BUDGETS:
                ours, state = result(provider, server, budget)
                spent = read(state)["spend"]["usd_nanos"]
                same, even = bare == ours, spent == server.bill.total("usd_nanos")
                broken += not (same and even)
                told = "as without us" if same else f"DIFFER: {bare} {ours}"
                books = "is the bill" if even else f"says {spent}, the bill {server.bill.total('usd_nanos')}"
                print(f"deepagents, {provider}, {budget}: messages, files, cached tokens {told}; the ledger {books}")
    return broken


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
