"""`spend` in graph state is right whatever LangGraph does with the nodes around it."""

from __future__ import annotations

import asyncio
import operator
import os
import subprocess
import sys
import threading
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Command, Overwrite, RetryPolicy, Send

from conftest import Runner, in_loop
from rheostat import (
    Account,
    BadInput,
    Budget,
    BudgetExceeded,
    Caps,
    MemoryLedger,
    Reading,
    SQLiteLedger,
    Vote,
    build_solver,
)
from rheostat.graph import RheostatState, merge
from rheostat.testing import Said, ScriptedModel, timeless

QUESTION = "Tom has 3 boxes with 12 pens each. He gives away 7. How many are left?"
ROOMY = Budget(tokens=100_000)


def model(text: str = "The answer is 29.") -> ScriptedModel:
    return ScriptedModel(script=lambda *_: text)


def solver(scripted: ScriptedModel, **kwargs: Any) -> Any:
    return build_solver(scripted, **{"budget": ROOMY, "effort": "none", **kwargs})


class Shared(TypedDict, total=False):
    question: str
    rheostat: Annotated[RheostatState, merge]
    answers: Annotated[list[str], operator.add]
    tries: int


def total(reading: Reading) -> tuple[int, int]:
    return reading["calls"], reading["input_tokens"] + reading["output_tokens"]


def truth(scripted: ScriptedModel) -> tuple[int, int]:
    return len(scripted.calls), scripted.billed.tokens


@pytest.mark.parametrize("thread", [None, "t"])
@pytest.mark.parametrize("shared_key", [True, False])
def test_subgraphs_on_one_ledger_add_up(run: Runner, thread: str | None, shared_key: bool) -> None:
    asked, ledger = model(), MemoryLedger()

    def node(state: Shared) -> Shared:
        return {"answers": [solver(asked, ledger=ledger).compile().invoke({"question": state["question"]})["answer"]]}

    graph = StateGraph(Shared)
    last = START
    for name in ("one", "two", "three"):
        graph.add_node(name, solver(asked, ledger=ledger).compile() if shared_key or name == "three" else node)
        graph.add_edge(last, name)
        last = name
    graph.add_edge(last, END)
    compiled = graph.compile(checkpointer=InMemorySaver() if thread else None)
    config = {"configurable": {"thread_id": thread}} if thread else {}
    result = run(compiled, {"question": QUESTION}, config=config)
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert truth(asked)[0] == 3


def test_a_fan_out_with_failing_branches(run: Runner) -> None:
    """Sixteen solvers at once, every fourth one's parent node fails after paying: all of it is in the thread."""
    asked, ledger = model(), MemoryLedger()
    inner = solver(asked, ledger=ledger).compile()

    def branch(state: dict[str, Any]) -> Shared:
        result = inner.invoke({"question": QUESTION})
        if state["number"] % 4 == 0:
            return {"answers": ["failed"]}
        return {"answers": [result["answer"]], "rheostat": result["rheostat"]}

    graph = StateGraph(Shared)
    graph.add_node("branch", branch)
    graph.add_node("last", inner)
    graph.add_conditional_edges(START, lambda _: [Send("branch", {"number": n}) for n in range(16)], ["branch"])
    graph.add_edge("branch", "last")
    graph.add_edge("last", END)
    result = run(graph.compile(), {"question": QUESTION})
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert truth(asked)[0] == 17


def test_a_node_that_raises_after_paying_and_is_tried_again(run: Runner) -> None:
    asked, ledger = model(), MemoryLedger()
    inner = solver(asked, ledger=ledger).compile()
    failures = iter([True, True, False])

    def node(state: Shared) -> Shared:
        result = inner.invoke({"question": QUESTION})
        if next(failures):
            raise ConnectionError("after paying")
        return {"rheostat": result["rheostat"]}

    graph = StateGraph(Shared)
    graph.add_node("node", node, retry_policy=RetryPolicy(initial_interval=0.01, jitter=False))
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    result = run(graph.compile(), {"question": QUESTION})
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert truth(asked)[0] == 3


def test_a_cached_node_pays_once_and_brings_no_foreign_reading(run: Runner) -> None:
    asked, ledger = model(), MemoryLedger()
    graph = StateGraph(Shared)
    graph.add_node("one", solver(asked, ledger=ledger).compile(), cache_policy=CachePolicy())
    graph.add_node("two", solver(asked, ledger=ledger).compile())
    graph.add_edge(START, "two")
    graph.add_edge("two", "one")
    graph.add_edge("one", END)
    compiled = graph.compile(cache=InMemoryCache(), checkpointer=InMemorySaver())
    first = run(compiled, {"question": QUESTION}, config={"configurable": {"thread_id": "t"}})
    assert total(first["rheostat"]["spend"])[0] == 2
    second = run(compiled, {"question": QUESTION}, config={"configurable": {"thread_id": "u"}})
    assert second["rheostat"]["spend"]["account"] == "thread/u"
    assert len(asked.calls) in (3, 4)  # whether the cache hit is LangGraph's business (its key holds the state)
    assert ledger.reading("thread/t")["calls"] + ledger.reading("thread/u")["calls"] == len(asked.calls)
    assert total(second["rheostat"]["spend"])[0] == ledger.reading("thread/u")["calls"]


def test_a_caller_can_not_lower_it(run: Runner) -> None:
    asked, saver = model(), InMemorySaver()
    graph = solver(asked, budget=Budget(calls=3)).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    run(graph, {"question": QUESTION}, config=config)
    for lie in (
        {"account": "thread/t", "version": 10**9, "usd_nanos": 0, "calls": 0},
        Overwrite({"account": "thread/t", "version": 10**9, "calls": -5}),
    ):
        result = run(
            graph,
            {
                "question": QUESTION,
                "rheostat": {"spend": lie, "run": lie},
                "spend": lie,
                "run": lie,
                "budget": {"calls": 99},
            },
            config=config,
        )
    assert total(result["rheostat"]["spend"]) == truth(asked)


def test_an_overwritten_state_is_put_right_by_the_ledger(run: Runner) -> None:
    asked = model()
    graph = solver(asked).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    first = run(graph, {"question": QUESTION}, config=config)
    lie = {**first["rheostat"]["spend"], "calls": 0, "version": 10**6}
    graph.update_state(config, {"rheostat": Overwrite({**first["rheostat"], "spend": lie})}, as_node="decide")
    result = run(graph, {"question": QUESTION}, config=config)
    assert total(result["rheostat"]["spend"]) == truth(asked)


def test_forks_and_replays_add_up(run: Runner) -> None:
    asked, ledger = model(), MemoryLedger()
    graph = solver(asked, ledger=ledger).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    run(graph, {"question": QUESTION}, config=config)
    early = next(s for s in graph.get_state_history(config) if s.next == ("plan",))
    for _ in range(2):
        result = run(graph, None, config=early.config)
    fork = graph.update_state(early.config, {"round": 0})
    result = run(graph, None, config=fork)
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert truth(asked)[0] == 4


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_every_durability(run: Runner, durability: Any) -> None:
    asked = model()
    graph = solver(asked).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    for _ in range(2):
        result = run(graph, {"question": QUESTION}, config=config, durability=durability)
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert graph.get_state(config).values["rheostat"]["spend"] == result["rheostat"]["spend"]


def test_a_timeout_and_a_cancel_leave_the_call_unknown(tmp_path: Any) -> None:
    """The bill can't be known: the hold stays, and the next run of the thread feels it."""
    started = threading.Event()

    def wait() -> None:
        started.set()
        threading.Event().wait(0.5)

    def slow(*_: Any) -> Said:
        return Said(text="The answer is 29.", wait=wait)

    ledger = SQLiteLedger(tmp_path / "ledger.db")
    graph = solver(ScriptedModel(script=slow), ledger=ledger).compile()
    config: Any = {"configurable": {"thread_id": "t"}}

    async def run() -> None:
        task = asyncio.create_task(graph.ainvoke({"question": QUESTION}, config))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_loop(run())
    reading = ledger.reading("thread/t")
    assert (reading["calls"], reading["held_calls"], reading["unknown_calls"]) == (0, 0, 1)
    ledger.close()


def test_a_node_timeout_leaves_the_call_unknown_and_the_retry_pays_for_itself() -> None:
    """LangGraph cuts the node by cancelling it, and tries again: two calls were made, one of them has no bill."""
    delays = iter([5.0, 0.0])

    def slow(*_: Any) -> Said:
        delay = next(delays)
        return Said(text="The answer is 29.", wait=lambda: threading.Event().wait(delay) and None)

    ledger = MemoryLedger()
    graph = StateGraph(Shared)
    graph.add_node(
        "solve",
        solver(ScriptedModel(script=slow), ledger=ledger).compile(),
        timeout=2.0,
        retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01),
    )
    graph.add_edge(START, "solve")
    graph.add_edge("solve", END)
    result = in_loop(graph.compile().ainvoke({"question": QUESTION}, {"configurable": {"thread_id": "t"}}))
    spend = result["rheostat"]["spend"]
    assert (spend["calls"], spend["unknown_calls"], spend["held_calls"]) == (1, 1, 0)


def test_an_error_handler_beside_it_changes_nothing(run: Runner) -> None:
    asked, ledger = model(), MemoryLedger()
    inner = solver(asked, ledger=ledger).compile()

    def fails(state: Shared) -> Shared:
        inner.invoke({"question": QUESTION})
        raise ConnectionError("after paying")

    def handler(state: Shared) -> Command[Any]:
        return Command(update={"answers": ["handled"]}, goto="last")

    graph = StateGraph(Shared)
    graph.add_node("fails", fails, error_handler=handler)
    graph.add_node("last", inner)
    graph.add_edge(START, "fails")
    graph.add_edge("last", END)
    result = run(graph.compile(), {"question": QUESTION})
    assert result["answers"] == ["handled"]
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert truth(asked)[0] == 2


def test_it_survives_strict_checkpoints() -> None:
    program = """
import warnings
from langgraph.checkpoint.memory import InMemorySaver
from rheostat import Budget, build_solver
from rheostat.testing import ScriptedModel
warnings.simplefilter("error")
graph = build_solver(ScriptedModel(script=["The answer is 29."]), budget=Budget(tokens=9000), effort="none")
config = {"configurable": {"thread_id": "t"}}
compiled = graph.compile(checkpointer=InMemorySaver(), interrupt_before=["settle"])
compiled.invoke({"question": "What is 30 - 1?"}, config, durability="sync")
result = compiled.invoke(None, config)
assert result["rheostat"]["spend"]["calls"] == 1 and type(result["rheostat"]["spend"]) is dict, result
"""
    environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_a_tenant_binds_all_its_threads(run: Runner) -> None:
    asked, ledger = model(), MemoryLedger()
    ledger.open(Account("tenant", Budget(calls=3)))
    ledger.open(Account("other", Budget(calls=1)))
    graph = solver(asked, ledger=ledger, account="tenant").compile(checkpointer=InMemorySaver())
    for number in range(3):
        run(graph, {"question": QUESTION}, config={"configurable": {"thread_id": str(number)}})
    late = run(graph, {"question": QUESTION}, config={"configurable": {"thread_id": "late"}})
    assert late["answer"] is None
    assert "account 'tenant' (above 'thread/late" in late["stopped"]
    assert late["stopped"].count("calls: asked 1, left 0 of 3 (settled 3)") == 1
    strict = solver(asked, ledger=ledger, account="tenant", on_limit="raise").compile()
    with pytest.raises(BudgetExceeded, match="tenant"):
        run(strict, {"question": QUESTION})
    config = {"configurable": {"thread_id": "another"}}
    result = run(graph, {"question": QUESTION}, config=config, context={"account": "other"})
    assert result["answer"] == "29"
    assert (ledger.reading("tenant")["calls"], ledger.reading("other")["calls"]) == (3, 1)


def test_many_at_once_under_one_tenant_never_pass_its_cap() -> None:
    asked, ledger = model(), MemoryLedger()
    ledger.open(Account("tenant", Budget(calls=20)))
    graph = solver(asked, ledger=ledger, account="tenant").compile()

    async def one(number: int) -> str:
        result = await graph.ainvoke({"question": QUESTION}, {"configurable": {"thread_id": str(number)}})
        return str(result["answer"])

    async def all_() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(64)))

    answers = in_loop(all_())
    assert len(asked.calls) == ledger.reading("tenant")["calls"] == 20
    assert answers.count("29") == 20


def test_its_size_does_not_grow_with_the_steps() -> None:
    asked = model()
    graph = solver(asked).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    sizes = [len(str(timeless(graph.invoke({"question": QUESTION}, config)["rheostat"]["spend"]))) for _ in range(12)]
    assert max(sizes) - min(sizes) <= 30  # longer numbers only


# --- at the limit --------------------------------------------------------------------------------


def disagreeing() -> ScriptedModel:
    numbers = iter(range(10_000))
    lock = threading.Lock()

    def say(*_: Any) -> str:
        with lock:
            return f"The answer is {next(numbers) % 2}"

    return ScriptedModel(script=say)


def test_winding_down_is_seen_in_state_and_stream() -> None:
    stages, in_state = [], []
    graph = build_solver(disagreeing(), budget=Budget(calls=5), strategy=Vote(lead=3.0)).compile()
    for mode, event in graph.stream({"question": QUESTION}, stream_mode=["custom", "updates"]):
        if mode == "custom" and event["type"] == "wind_down":
            stages.append(event["stage"])
        if mode == "updates" and "plan" in event:
            in_state.append(event["plan"]["wind_down"])
    assert stages[-1] == "end"
    assert set(stages[:-1]) & {"less thought", "fewer samples", "last word"}
    assert [stage for stage in in_state if stage] == stages


def test_on_limit_raise(run: Runner) -> None:
    graph = build_solver(disagreeing(), budget=Budget(calls=5), strategy=Vote(lead=3.0), on_limit="raise").compile()
    with pytest.raises(BudgetExceeded, match="calls: asked 2, left 1 of 5"):
        run(graph, {"question": QUESTION})


def test_on_limit_interrupt_asks_for_more_or_finishes(run: Runner) -> None:
    asked = disagreeing()
    graph = build_solver(
        asked, budget=Budget(calls=5), strategy=Vote(lead=3.0), on_limit="interrupt", caps=Caps(max_samples=7)
    ).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    run(graph, {"question": QUESTION}, config=config)
    [question] = graph.get_state(config).interrupts
    assert question.value["type"] == "budget"
    assert "calls" in question.value["why"]
    assert question.value["budget"] == {"calls": 5}
    for wrong in ("more", {"budget": {"dollars": 5}}, {"budget": {"calls": -1}}):
        run(graph, Command(resume=wrong), config=config)
        [question] = graph.get_state(config).interrupts
        assert question.value["problem"]
    assert len(asked.calls) == 4
    run(graph, Command(resume={"budget": {"calls": 7}}), config=config)
    assert len(asked.calls) == 6
    assert graph.get_state(config).interrupts
    result = run(graph, Command(resume="finish"), config=config)
    assert result["stopped"].startswith("budget: ")
    assert result["answer"] in ("0", "1")
    assert total(result["rheostat"]["spend"]) == truth(asked)
    assert len(asked.calls) == 6


def test_more_budget_survives_a_restart() -> None:
    """The human's answer is in the state: a new process with an empty ledger knows it."""
    saver, asked = InMemorySaver(), disagreeing()
    config: Any = {"configurable": {"thread_id": "t"}}

    def graph(**kwargs: Any) -> Any:
        made = build_solver(
            asked, budget=Budget(calls=5), strategy=Vote(lead=3.0), on_limit="interrupt", caps=Caps(max_samples=12)
        )
        return made.compile(checkpointer=saver, **kwargs)

    graph().invoke({"question": QUESTION}, config)
    graph(interrupt_after=["plan"]).invoke(Command(resume={"budget": {"calls": 7}}), config)
    graph().invoke(None, config)
    assert len(asked.calls) == 6


def test_a_last_word_of_ones_own() -> None:
    """Nothing but the last word may touch the reserve."""
    asked = ScriptedModel(script=lambda *_: Said(text="no idea", output_tokens=2))
    graph = build_solver(
        asked, budget=Budget(calls=4), effort="thorough", last_word=Budget(calls=3), verifier=lambda _: None
    ).compile()
    stages = [
        e["stage"] for e in graph.stream({"question": QUESTION}, stream_mode="custom") if e["type"] == "wind_down"
    ]
    assert stages == ["last word"]
    assert len(asked.calls) == 1


def test_bad_on_limit() -> None:
    with pytest.raises(BadInput, match="answer, raise, interrupt; not 'stop'"):
        build_solver(model(), budget=ROOMY, on_limit="stop")


def test_room_that_others_took_between_plan_and_hold_is_planned_anew(run: Runner) -> None:
    class Contended(MemoryLedger):
        refusals = 1

        def hold(self, account: str, amounts: Any, note: Any = None, **more: Any) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise BudgetExceeded(account="tenant", limit="calls", asked=1, left=0, cap=1)
            return super().hold(account, amounts, note, **more)

    asked = model()
    result = run(solver(asked, budget=Budget(calls=1), ledger=Contended()).compile(), {"question": QUESTION})
    assert (result["answer"], result["rheostat"]["spend"]["calls"], len(asked.calls)) == ("29", 1, 1)
