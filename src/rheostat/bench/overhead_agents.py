"""The overhead in an agent: our middleware, nodes and chat model against the bare ones, interleaved in one run.

`python -m rheostat.bench.overhead_agents` prints medians: on loopback through ChatOpenAI and ChatAnthropic (a server
that answers at once), then with a scripted model; per call in a run of 20 tool calls, and for conversations of 0 to
1,000 steps, which shows growth. `adds` compares with the bare object, or with an idle middleware that has our hooks.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr

from rheostat.agents.middleware import AdaptiveThinking
from rheostat.agents.nodes import AgentGraphState, AgentNodes, build_agent
from rheostat.chat_model import ThinkingChatModel
from rheostat.money.budget import Budget
from rheostat.providers import Endpoint, endpoint_for
from rheostat.testing import Said, ScriptedModel, scripted
from rheostat.testing.server import Turn, provider_server

__all__ = ["main"]

_BUDGET = Budget(tokens=10**12)


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return "nothing"


class _Idle(AgentMiddleware[Any, Any, Any]):
    """A middleware with our hooks and no work in them, which shows LangChain's own share."""

    def before_agent(self, state: Any, runtime: Any) -> None:
        return None

    def after_agent(self, state: Any, runtime: Any) -> None:
        return None

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(model=request.model))

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request)


def _conversation(steps: int) -> list[BaseMessage]:
    messages: list[BaseMessage] = [HumanMessage("Look for it.")]
    for number in range(steps):
        call: Any = {"name": "look", "args": {"where": f"place {number}"}, "id": str(number)}
        messages += [AIMessage("", tool_calls=[call]), ToolMessage("nothing", tool_call_id=str(number))]
    return messages


def _node(chat: BaseChatModel) -> Any:
    graph = StateGraph(AgentGraphState)
    graph.add_node("think", lambda state: {"messages": [chat.invoke(state["messages"])]})
    graph.add_edge(START, "think")
    graph.add_edge("think", END)
    return graph.compile()


def _ours(at: Endpoint) -> Any:
    nodes = AgentNodes(at, budget=_BUDGET)
    graph = StateGraph(AgentGraphState)
    graph.add_node("estimate", nodes.estimate)
    graph.add_node("think", nodes.think)
    graph.add_edge(START, "estimate")
    graph.add_edge("estimate", "think")
    graph.add_edge("think", END)
    return graph.compile()


def _cases(chat: BaseChatModel, at: Endpoint, messages: list[BaseMessage]) -> dict[str, tuple[str, Callable[[], Any]]]:
    """By name: (the case to compare with, or an empty string; the work)."""
    bare_agent = create_agent(chat, [look])
    idle = create_agent(chat, [look], middleware=[_Idle()])
    agent = create_agent(chat, [look], middleware=[AdaptiveThinking(budget=_BUDGET, endpoint=lambda _: at)])
    bare_node, node = _node(chat), _ours(at)
    model = ThinkingChatModel(model=at, budget=_BUDGET)
    inputs: Any = {"messages": messages}
    return {
        "chat model, bare": ("", lambda: chat.invoke(messages)),
        "ThinkingChatModel": ("chat model, bare", lambda: model.invoke(messages)),
        "node, bare": ("", lambda: bare_node.invoke(inputs)),
        "estimate + think": ("node, bare", lambda: node.invoke(inputs)),
        "create_agent, bare": ("", lambda: bare_agent.invoke(inputs)),
        "create_agent + idle middleware": ("create_agent, bare", lambda: idle.invoke(inputs)),
        "create_agent + AdaptiveThinking": ("create_agent + idle middleware", lambda: agent.invoke(inputs)),
    }


_LOOP = 20


def _scripted_loop() -> tuple[BaseChatModel, Endpoint]:
    def script(messages: list[BaseMessage], kwargs: dict[str, Any]) -> Said:
        done = sum(isinstance(message, ToolMessage) for message in messages)
        return Said(text="done") if done >= _LOOP else Said(tool_calls=(("look", {"where": f"place {done}"}),))

    model = ScriptedModel(script=script)
    return model, endpoint_for(model)


def _served(number: int, body: dict[str, Any]) -> Turn:
    """The simulator's turn: one of `_LOOP` tool calls, then the answer."""
    texts = str(body["messages"])
    done = texts.count("tool_call_id") + texts.count("tool_use_id")
    if done >= _LOOP:
        return Turn(text="done", thinking_tokens=0)
    return Turn(text="", thinking_tokens=0, tool_calls=(("look", {"where": f"place {done}"}),))


def _loops(chat: BaseChatModel, at: Endpoint) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Runs of `_LOOP` tool calls, in the shape of `_cases`."""
    bare = create_agent(chat, [look])
    agent = create_agent(chat, [look], middleware=[AdaptiveThinking(budget=_BUDGET, endpoint=lambda _: at)])
    idle = create_agent(chat, [look], middleware=[_Idle()])
    built = build_agent(at, [look], budget=_BUDGET).compile()
    inputs: Any = {"messages": [HumanMessage("Look for it.")]}
    many: Any = {"recursion_limit": 1000}
    return {
        "create_agent, bare": ("", lambda: bare.invoke(inputs, many)),
        "create_agent + idle middleware": ("create_agent, bare", lambda: idle.invoke(inputs, many)),
        "create_agent + AdaptiveThinking": ("create_agent + idle middleware", lambda: agent.invoke(inputs, many)),
        "build_agent": ("create_agent, bare", lambda: built.invoke(inputs, many)),
    }


def _measure(title: str, cases: dict[str, tuple[str, Callable[[], Any]]], repeats: int, calls: int = 1) -> None:
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _, case in cases.values():
        case()
    for _ in range(repeats):
        for name, (_, case) in cases.items():
            started = time.perf_counter()
            case()
            times[name].append(1000 * (time.perf_counter() - started) / calls)
    sys.stdout.write(f"{title}\n")
    for name, (bare, _) in cases.items():
        line = f"  {name:32} {statistics.median(times[name]):8.3f} ms"
        if bare:  # runs that are neighbours in time share lasting noise, so their differences are free of it
            added = statistics.median(a - b for a, b in zip(times[name], times[bare], strict=True))
            line += f"   adds {added:+.3f} ms to {bare}"
        sys.stdout.write(f"{line}\n")


def main(repeats: int = 200) -> None:
    """Measure all cases and print the tables."""
    with provider_server(planned=_served) as server:
        chats: dict[str, tuple[BaseChatModel, Any]] = {
            "ChatOpenAI": (ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key=SecretStr("k")), "openai"),
            "ChatAnthropic": (
                ChatAnthropic(
                    model_name="claude-opus-4-8", base_url=server.url, api_key=SecretStr("k"), stop=None, timeout=None
                ),
                "anthropic",
            ),
        }
        for name, (chat, provider) in chats.items():
            at = endpoint_for(chat, provider=provider)
            _measure(f"{name} on loopback, {_LOOP} tool calls, by call", _loops(chat, at), repeats // 8, _LOOP + 1)
            for steps in (_LOOP, 1000):
                cases = _cases(chat, at, _conversation(steps))
                _measure(f"{name} on loopback, after {steps} steps", cases, repeats // (1 if steps < 1000 else 8))
    _measure(f"a scripted model, {_LOOP} tool calls, by call", _loops(*_scripted_loop()), repeats // 2, _LOOP + 1)
    for steps in (0, 1000):
        at, _ = scripted("done")
        cases = _cases(at.chat, at, _conversation(steps))
        _measure(f"a scripted model, after {steps} steps", cases, repeats if not steps else repeats // 4)


if __name__ == "__main__":
    main()
