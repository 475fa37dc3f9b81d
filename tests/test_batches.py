"""`ThinkingChatModel` in batches, maps and LCEL: one budget, however many at once, in and outside of a graph's node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import END, START, StateGraph

from conftest import in_loop
from rheostat import Budget, BudgetExceeded, ThinkingChatModel
from rheostat.testing.server import Turn
from wire import CHAT, simulated

PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])


class State(TypedDict, total=False):
    count: int
    replies: list[Any]


def in_a_node(ask: Callable[[int], Any], aask: Callable[[int], Any]) -> Callable[[int], list[Any]]:
    def graph_of(node: Any) -> Any:
        graph = StateGraph(State)
        graph.add_node("ask", node)
        graph.add_edge(START, "ask")
        graph.add_edge("ask", END)
        return graph.compile()

    async def node(state: State) -> State:
        return {"replies": await aask(state["count"])}

    blocking = graph_of(lambda state: {"replies": ask(state["count"])})
    asynchronous = graph_of(node)

    def both(count: int) -> list[Any]:
        half = count // 2
        first = blocking.invoke({"count": count - half})["replies"]
        return [*first, *(in_loop(asynchronous.ainvoke({"count": half}))["replies"] if half else [])]

    return both


def ways(model: ThinkingChatModel) -> dict[str, Callable[[int], list[Any]]]:
    chain = PROMPT | model | StrOutputParser()

    def texts(count: int) -> list[Any]:
        return [f"Question {number}?" for number in range(count)]

    def dicts(count: int) -> list[Any]:
        return [{"question": each} for each in texts(count)]

    def batch(count: int) -> list[Any]:
        return chain.batch(dicts(count), return_exceptions=True)

    async def abatch(count: int) -> list[Any]:
        return await chain.abatch(dicts(count), return_exceptions=True)

    return {
        "batch": lambda n: model.batch(texts(n), return_exceptions=True),
        "a batch, five at once": lambda n: model.batch(texts(n), {"max_concurrency": 5}, return_exceptions=True),
        "abatch": lambda n: in_loop(model.abatch(texts(n), return_exceptions=True)),
        "as completed": lambda n: [each for _, each in model.batch_as_completed(texts(n), return_exceptions=True)],
        "map": lambda n: model.map().invoke(texts(n)),
        "a chain's batch": batch,
        "a chain's abatch": lambda n: in_loop(abatch(n)),
        "in a node": in_a_node(batch, abatch),
    }


NAMES = (
    "batch", "a batch, five at once", "abatch", "as completed", "map", "a chain's batch", "a chain's abatch",
    "in a node",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 40, 200])
def test_all_are_answered_and_counted(name: str, count: int) -> None:
    with simulated(Turn(text="Yes.")) as server:
        model = ThinkingChatModel(model=CHAT.chat(server), budget=Budget(tokens=5_000_000))
        replies = ways(model)[name](count)
        assert len(replies) == count
        assert not [each for each in replies if isinstance(each, Exception)]
        spend = model.spend
        assert (spend["calls"], spend["unknown_calls"], spend["held_calls"]) == (count, 0, 0)
        assert spend["input_tokens"] == server.bill.total("input_tokens")
        assert spend["output_tokens"] == server.bill.total("output_tokens")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "map"])
def test_what_the_budget_cant_pay_is_refused_one_by_one(name: str) -> None:
    """Twenty-five calls of forty: the others are refused, and the cap holds."""
    with simulated(Turn(text="Yes.")) as server:
        model = ThinkingChatModel(model=CHAT.chat(server), budget=Budget(calls=25))
        replies = ways(model)[name](40)
        refused = [each for each in replies if isinstance(each, Exception)]
        assert {type(each) for each in refused} == {BudgetExceeded}
        assert len(refused) == 15
        assert model.spend["calls"] == server.bill.requests == 25
