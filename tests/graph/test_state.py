"""One key in a state: nothing else of ours is in it, nothing comes in from outside, and older checkpoints are read."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Command, interrupt

from conftest import Runner
from rheostat import Account, AdaptiveThinking, Budget, MemoryLedger, build_agent, build_solver, read
from rheostat.graph import merge
from rheostat.testing import ScriptedModel

BUDGET = Budget(tokens=100_000)
SAID: Any = {"messages": [HumanMessage("What is 2 + 2?")]}
CONFIG: Any = {"configurable": {"thread_id": "t"}}


def model() -> ScriptedModel:
    return ScriptedModel(script=lambda *_: "The answer is 4.")


def agent(**more: Any) -> Any:
    thinking = AdaptiveThinking(budget=BUDGET, ledger=more.pop("ledger", None), effort="none")
    return create_agent(model(), middleware=[thinking], **more)


def reading(account: str, parent: str = "", **more: int) -> Any:
    ledger = MemoryLedger()
    ledger.open(Account(account))
    return {**ledger.reading(account), "parent": parent, **more}


def old_checkpoint(values: dict[str, Any]) -> InMemorySaver:
    """As it was written when readings stood in the state by themselves."""

    class Old(TypedDict, total=False):
        messages: Annotated[list[AnyMessage], add_messages]
        question: str
        spend: dict[str, Any]
        run: dict[str, Any]
        thinking: dict[str, Any]

    saver = InMemorySaver()
    graph = StateGraph(Old)
    graph.add_node("write", lambda state: values)
    graph.add_edge(START, "write")
    graph.add_edge("write", END)
    graph.compile(checkpointer=saver).invoke({"question": ""}, CONFIG)
    return saver


def test_an_agents_state_gets_one_key_more(run: Runner) -> None:
    result = run(agent(), SAID)
    assert set(result) == {"messages", "rheostat"}
    found = read(result)
    assert set(found) == {"spend", "run", "thinking", "end"}
    assert found["run"]["calls"] == found["spend"]["calls"] == 1
    assert found["thinking"]["effort"] == "none"
    assert found["run"]["parent"] == found["spend"]["account"]


def test_graphs_of_ours_have_the_same_key(run: Runner) -> None:
    for graph, inputs in (
        (build_agent(model(), budget=BUDGET).compile(), SAID),
        (build_solver(model(), budget=BUDGET, effort="none").compile(), {"question": "What is 2 + 2?"}),
    ):
        result = run(graph, inputs)
        assert not {"spend", "run", "thinking"} & set(result)
        assert read(result)["run"]["calls"] == read(result)["spend"]["calls"] == 1


def test_an_older_checkpoint_goes_on_where_it_was(run: Runner) -> None:
    spent = reading("thread/t", version=7, calls=5, input_tokens=500)
    saver = old_checkpoint({"messages": [HumanMessage("hi"), AIMessage("hello")], "spend": spent, "run": spent})
    ledger = MemoryLedger()
    result = run(agent(checkpointer=saver, ledger=ledger), SAID, config=CONFIG)
    assert read(result)["spend"]["calls"] == ledger.reading("thread/t")["calls"] == 6
    assert read(result)["run"]["calls"] == 1
    again = run(agent(checkpointer=saver, ledger=ledger), SAID, config=CONFIG)
    assert read(again)["spend"]["calls"] == 7
    solver = build_solver(model(), budget=BUDGET, effort="none").compile(checkpointer=old_checkpoint({"spend": spent}))
    assert read(run(solver, {"question": "What is 2 + 2?"}, config=CONFIG))["spend"]["calls"] == 6


def test_what_was_read_before_is_read_still() -> None:
    spent = reading("thread/t", version=7, calls=5)
    old = {"messages": [], "spend": spent, "run": {}, "thinking": {"effort": "low"}}
    assert read(old) == {"spend": spent, "run": {}, "thinking": {"effort": "low"}, "end": {}}
    assert read({"spend": "a key of the user's", "run": 3}) == {"spend": {}, "run": {}, "thinking": {}, "end": {}}
    saver = old_checkpoint({"spend": spent, "thinking": {"effort": "low"}})
    [kept] = [each for each in [saver.get_tuple(CONFIG)] if each]
    assert read(kept.checkpoint["channel_values"])["spend"]["calls"] == 5
    assert read({}) == {"spend": {}, "run": {}, "thinking": {}, "end": {}}


def test_nothing_comes_in_from_outside(run: Runner) -> None:
    lie = {"spend": reading("thread/t", version=10**9, calls=-50), "run": reading("rich", version=10**9)}
    result = run(agent(), {**SAID, "rheostat": lie, **lie})
    assert read(result)["spend"]["calls"] == 1
    assert read(result)["run"]["account"] != "rich"


def test_readings_of_other_accounts_never_replace_ones_own() -> None:
    own, other = reading("a", version=3, calls=3), reading("b", version=9, calls=9)
    assert merge({"spend": own}, {"spend": other})["spend"] == own
    later = {**own, "version": 4, "calls": 4}
    for left, right in (({"spend": own}, {"spend": later}), ({"spend": later}, {"spend": own})):
        assert merge(left, right)["spend"]["calls"] == 4  # type: ignore[arg-type] # plain dicts
    assert merge(None, {"thinking": {"effort": "low"}}) == {"thinking": {"effort": "low"}}
    assert merge({"thinking": {"effort": "low"}}, None) == {"thinking": {"effort": "low"}}


def test_an_interrupted_run_of_an_older_checkpoint_can_be_resumed() -> None:
    """A node of the user's own waits for a person between two steps."""
    nodes = build_agent(model(), budget=BUDGET)
    saver = InMemorySaver()
    nodes.add_node("ask", lambda state: {"messages": [HumanMessage(interrupt("and?"))]})
    nodes.add_edge("ask", "think")
    nodes.edges.discard(("estimate", "think"))
    nodes.add_edge("estimate", "ask")
    graph = nodes.compile(checkpointer=saver)
    paused = graph.invoke(SAID, CONFIG)
    kept = saver.get_tuple(CONFIG)
    assert kept
    now = kept.checkpoint["channel_values"].pop("rheostat")  # as it would have been written before
    versions = kept.checkpoint["channel_versions"]
    old = {"spend": now["spend"], "run": now["run"]}
    versions.update({name: versions["rheostat"] for name in old})
    kept.checkpoint["channel_values"].update(old)
    versions.pop("rheostat")
    parent: Any = kept.parent_config or CONFIG
    saver.put(
        {"configurable": {**parent["configurable"], "checkpoint_ns": ""}},
        kept.checkpoint,
        kept.metadata,
        {name: versions[name] for name in old},
    )
    assert "__interrupt__" in paused
    result = graph.invoke(Command(resume="go on"), CONFIG)
    assert read(result)["run"]["account"] == now["run"]["account"]
    assert read(result)["run"]["calls"] == 1
