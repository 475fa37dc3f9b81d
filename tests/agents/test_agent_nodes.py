"""Nodes for a graph of one's own, and `build_agent`: in all four ways, the ledger is the server's bill."""

from __future__ import annotations

import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

from conftest import Runner
from rheostat import AgentNodes, BadInput, Budget, BudgetExceeded, NoPrice, build_agent, terms
from rheostat.agents.nodes import AgentGraphState
from rheostat.providers import endpoint_for
from rheostat.testing.server import Turn
from wire import CHAT, Api, on_every_api, simulated

ASK: Any = {"messages": [HumanMessage("What is 2 * 3?")]}
BUDGET = Budget(usd="5", seconds=60)


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


CALL = Turn(tool_calls=(("multiply", {"a": 2, "b": 3}),), text="")


def agrees(result: Any, server: Any) -> None:
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "thinking_tokens", "usd_nanos")
    spend = result["rheostat"]["spend"]
    assert {name: spend[name] for name in names} == {name: server.bill.total(name) for name in names}
    assert result["rheostat"]["spend"]["held_usd_nanos"] == result["rheostat"]["spend"]["unknown_usd_nanos"] == 0
    assert server.bill.refusals == []


@on_every_api
def test_an_agent(api: Api, run: Runner) -> None:
    with simulated(CALL, Turn(text="It is 6.")) as server:
        graph = build_agent(api.at(server), [multiply], budget=BUDGET, system_prompt="Be short.").compile()
        result = run(graph, ASK)
        assert [type(m).__name__ for m in result["messages"]] == [
            "HumanMessage",
            "AIMessage",
            "ToolMessage",
            "AIMessage",
        ]
        assert result["rheostat"]["thinking"]["effort"]
        assert result["difficulty"]["score"] >= 0
        agrees(result, server)


@on_every_api
def test_a_refused_answer_goes_back_with_the_reason(api: Api, run: Runner) -> None:
    with simulated(Turn(text="It is 5."), Turn(text="It is 6.")) as server:

        def right(text: str) -> bool | str:
            return "6" in text or "five is too little"

        graph = build_agent(api.at(server), [multiply], budget=BUDGET, verifier=right).compile()
        result = run(graph, ASK)
        assert result["verdict"]["passed"] is True
        assert result["corrections"] == 1
        assert "five is too little" in str(server.bill.bodies[1])
        agrees(result, server)


def test_corrections_end(run: Runner) -> None:
    with simulated(Turn(text="It is 5.")) as server:
        graph = build_agent(CHAT.at(server), budget=BUDGET, verifier=lambda text: "no", most_corrections=2).compile()
        result = run(graph, ASK)
        assert (result["verdict"]["passed"], result["corrections"], server.bill.requests) == (False, 2, 3)


def test_nodes_in_a_graph_of_ones_own(run: Runner) -> None:
    """estimate, plan, think: nothing else is needed."""
    with simulated(Turn(text="hello")) as server:
        nodes = AgentNodes(CHAT.at(server), budget=BUDGET)
        graph = StateGraph(AgentGraphState)
        for name in ("estimate", "plan", "think"):
            graph.add_node(name, getattr(nodes, name))
        graph.add_edge(START, "estimate")
        graph.add_edge("estimate", "plan")
        graph.add_edge("plan", "think")
        graph.add_edge("think", END)
        result = run(graph.compile(), ASK)
        assert result["plan"]["effort"] == result["rheostat"]["thinking"]["effort"]
        agrees(result, server)


def test_tools_that_fail_come_back_as_evidence(run: Runner) -> None:
    @tool
    def broken(x: int) -> int:
        """Never works."""
        raise ValueError("no luck today")

    with simulated(Turn(tool_calls=(("broken", {"x": 1}), ("nothing", {})), text=""), Turn(text="sorry")) as server:
        result = run(build_agent(CHAT.at(server), [broken], budget=BUDGET).compile(), ASK)
        failed = [m for m in result["messages"] if isinstance(m, ToolMessage)]
        assert [m.status for m in failed] == ["error", "error"]
        assert "no luck today" in failed[0].text
        assert "broken" in failed[1].text
        agrees(result, server)


@pytest.mark.parametrize(("idempotent", "calls"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("error", [ConnectionError, TimeoutError])
def test_a_lost_connection_is_tried_again_if_that_does_no_harm(
    run: Runner, error: type[Exception], idempotent: bool, calls: int
) -> None:
    made: list[int] = []

    @tool
    def fetch(x: int) -> int:
        """Fetch a number from far away."""
        made.append(x)
        if len(made) == 1:
            raise error("the line went dead")
        return 42

    priced = terms(fetch, usd="0.01", seconds=5, idempotent=idempotent)
    with simulated(Turn(tool_calls=(("fetch", {"x": 1}),), text=""), Turn(text="well")) as server:
        result = run(build_agent(CHAT.at(server), [priced], budget=BUDGET).compile(), ASK)
        [said] = [m for m in result["messages"] if isinstance(m, ToolMessage)]
        assert len(made) == calls
        assert said.text == "42" if idempotent else "the line went dead" in said.text
        assert result["rheostat"]["spend"]["usd_nanos"] == server.bill.total("usd_nanos") + calls * 10_000_000


@pytest.mark.parametrize(("idempotent", "hint"), [(True, "ask for less"), (False, "may have taken effect")])
def test_a_tool_that_is_given_up_may_have_taken_effect(run: Runner, idempotent: bool, hint: str) -> None:
    @tool
    def slow(x: int) -> int:
        """Take a nap."""
        time.sleep(0.5)
        return x

    with simulated(Turn(tool_calls=(("slow", {"x": 1}),), text=""), Turn(text="well")) as server:
        late = terms(slow, seconds=0.1, idempotent=idempotent)
        result = run(build_agent(CHAT.at(server), [late], budget=BUDGET).compile(), ASK)
        [said] = [m for m in result["messages"] if isinstance(m, ToolMessage)]
        assert "no result within 0.1 s" in said.text
        assert hint in said.text


def test_the_last_word(run: Runner) -> None:
    with simulated(*[CALL] * 20) as server:
        result = run(build_agent(CHAT.at(server), [multiply], budget=Budget(calls=3)).compile(), ASK)
        assert isinstance(result["messages"][-1], AIMessage)
        assert not result["messages"][-1].tool_calls
        assert server.bill.requests == 3


def test_bad_input() -> None:
    with simulated() as server:
        with pytest.raises(BadInput, match="Budget"):
            build_agent(CHAT.at(server), budget=3)
        with pytest.raises(NoPrice):
            build_agent(endpoint_for(CHAT.chat(server)), budget=Budget(usd="1"))
        with pytest.raises(BudgetExceeded):
            build_agent(CHAT.at(server), budget=Budget(tokens=100)).compile().invoke(ASK)
        with pytest.raises(BadInput, match="messages"):
            build_agent(CHAT.at(server), budget=BUDGET).compile().invoke({})
        assert server.bill.requests == 0
