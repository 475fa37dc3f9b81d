"""Every candidate and every decision is on the stream and in the step records, once, without any text."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from conftest import Runner
from rheostat import (
    Budget,
    Caps,
    MemoryLedger,
    NoPrice,
    Price,
    SQLiteLedger,
    build_solver,
    resolve,
)
from rheostat.cli.view import SolveView
from rheostat.errors import LedgerError
from rheostat.evidence.scorers import Judge
from rheostat.graph.events import listen
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.strategies import BestOfN, Refine, Stop, TreeSearch, Vote
from rheostat.testing import Said, ScriptedModel
from rheostat.thinking.difficulty import Agreement
from searched import CANARY, QUESTION, ROOMY, judging, numbered, racing, searching, shown
from stores import PostgresStore

PRICE = Price(input_per_million=Decimal(1), output_per_million=Decimal(10))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    if request.param == "sqlite":
        opened = SQLiteLedger(tmp_path / "spend.db")
        yield opened
        opened.close()
        return
    store = PostgresStore(request.getfixturevalue("postgres"))
    yield store.start(time.time)  # without the accounts of other tests
    store.stop()


def recorded(ledger: Any, account: str, node: str = CANDIDATE) -> list[StepRecord]:
    found = [step for step in ledger.steps(account) if step.node == node]
    return sorted(found, key=lambda step: (step.candidate.get("number", 0), step.candidate["round"]))


def test_every_ledger_records_each_candidate_as_the_result_has_it(ledger: Any, run: Runner) -> None:
    result = run(searching(ledger).compile(), {"question": QUESTION})
    account = result["rheostat"]["run"]["account"]
    steps = recorded(ledger, account)
    drawn = sorted(result["candidates"], key=lambda each: each["number"])
    assert len(steps) == len(drawn) == 5
    for step, each in zip(steps, drawn, strict=True):
        for name in ("id", "number", "parent", "round", "way", "purpose", "status", "passed", "score", "scores"):
            assert step.candidate[name] == each[name]
        for name, cost in (("cost", each["spend"]), ("scoring", each["scoring"])):
            assert step.candidate[name].items() <= cost.items()
        assert (step.model, step.effort_planned) == (each["model"], each["effort"])
    assert [step.candidate["id"] for step in steps if step.candidate["chosen"]] == [result["chosen"]]
    groups: dict[Any, set[str]] = {}
    for step, each in zip(steps, drawn, strict=True):
        groups.setdefault(step.candidate["group"], set()).add(each["key"])
    assert [len(keys) for keys in groups.values()] == [1] * len(groups)
    assert sorted(groups) == list(range(len(groups)))
    decisions = recorded(ledger, account, DECISION)
    assert decisions[-1].reasons == (result["stopped"],)
    assert (decisions[-1].candidate["strategy"], decisions[-1].candidate["scorer"]) == ("tree", "judge")
    assert StepRecord.from_dict(json.loads(json.dumps(steps[0].to_dict()))) == steps[0]


def test_calls_say_for_which_candidate_they_were_made(ledger: Any) -> None:
    result = searching(ledger).compile().invoke({"question": QUESTION})
    calls = [step for step in ledger.steps(result["rheostat"]["run"]["account"]) if step.of_call]
    told = {step.candidate["id"]: step.candidate for step in calls}
    assert told == {
        each["id"]: {"id": each["id"], "parent": each["parent"], "way": each["way"]} for each in result["candidates"]
    }


def test_a_node_that_runs_again_replaces_its_records(ledger: Any) -> None:
    """A resume from before `decide`, as after a crash, and a fork of the finished run."""
    graph = searching(ledger).compile(checkpointer=InMemorySaver(), interrupt_before=["decide"])
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"question": QUESTION}, config)
    before = graph.get_state(config).config
    for _ in range(2):  # the same decision twice
        graph.invoke(None, before)
        first = graph.get_state(before).values["rheostat"]["run"]["account"]
        assert len(recorded(ledger, first)) == 2
        assert len(recorded(ledger, first, DECISION)) == 1
    result = graph.get_state(config).values
    while graph.get_state(config).next:
        result = graph.invoke(None, config)
    assert len(recorded(ledger, first)) == len(result["candidates"]) == 5


def test_a_run_again_on_a_thread_has_records_of_its_own(ledger: Any) -> None:
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    accounts = [graph.invoke({"question": QUESTION}, config)["rheostat"]["run"]["account"] for _ in range(2)]
    assert [len(recorded(ledger, account)) for account in accounts] == [5, 5]


def test_a_score_that_an_equal_answer_got_is_recorded_and_streamed() -> None:
    ledger, model = MemoryLedger(), ScriptedModel(script=["The answer is 4."])
    judge = ScriptedModel(script=['{"reason": "so so", "points": 5}'], model="judge")
    graph = build_solver(
        model, budget=ROOMY, ledger=ledger, strategy=BestOfN(samples=3), scorer=Judge(model=judge), effort="none"
    ).compile()
    events = list(graph.stream({"question": "What is 2 + 2?"}, stream_mode="custom"))
    scored = [each for each in events if each["type"] == "score"]
    assert {each["id"]: each["score"] for each in scored} == {"r1s0": 0.5, "r1s1": 0.5, "r1s2": 0.5}
    assert sum(each["cost"]["calls"] for each in scored) == 1
    steps = [step for step in ledger.steps() if step.node == CANDIDATE]
    assert [step.candidate["score"] for step in steps] == [0.5] * 3
    assert {step.candidate["group"] for step in steps} == {0}


def test_the_best_so_far_is_recorded_even_if_the_budget_ends_the_run(run: Runner) -> None:
    ledger = MemoryLedger()
    graph = build_solver(
        numbered(), budget=Budget(calls=5), ledger=ledger, strategy=TreeSearch(samples=12, at_once=2),
        scorer=Judge(model=judging()), caps=Caps(max_samples=30, max_rounds=30), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    account = result["rheostat"]["run"]["account"]
    assert [s.candidate["id"] for s in recorded(ledger, account) if s.candidate["chosen"]] == [result["chosen"]]
    assert recorded(ledger, account, DECISION)[-1].reasons == (result["stopped"],)


def test_the_probes_are_candidates_too() -> None:
    ledger, model = MemoryLedger(), ScriptedModel(script=["The answer is 4."])
    graph = build_solver(
        model, budget=ROOMY, ledger=ledger, probe=Agreement(samples=2), strategy=Vote(lead=4.0)
    ).compile()
    events = list(graph.stream({"question": "What is 2 + 2?"}, stream_mode=["custom", "values"]))
    result = events[-1][1]
    told = {each["id"] for mode, each in events if mode == "custom" and each["type"] == "sample"}
    ids = {each["id"] for each in result["candidates"]}
    assert {"probe0", "probe1"} < ids
    assert told == ids
    assert {step.candidate["id"] for step in ledger.steps() if step.node == CANDIDATE} == ids


def test_probes_that_decide_end_the_run(run: Runner) -> None:
    ledger, model = MemoryLedger(), ScriptedModel(script=["The answer is 4."])
    graph = build_solver(model, budget=ROOMY, ledger=ledger, probe=Agreement(samples=3), effort="fast").compile()
    result = run(graph, {"question": "What is 2 + 2?"})
    assert (result["answer"], result["status"]) == ("4", "answered")
    assert [each["id"] for each in result["candidates"]] == ["probe0", "probe1", "probe2"]
    assert result["rheostat"]["run"]["calls"] == 3


def test_a_probe_draws_no_more_than_the_operator_allows(run: Runner) -> None:
    model = ScriptedModel(script=["The answer is 4.", "The answer is 5.", "The answer is 6."])
    graph = build_solver(
        model, budget=ROOMY, probe=Agreement(samples=3), strategy=Vote(), caps=Caps(max_samples=2)
    ).compile()
    result = run(graph, {"question": "What is 2 + 2?"})
    assert len(result["candidates"]) == 2
    assert "operator allows no more" in result["stopped"]


def test_a_strategy_that_stops_at_once_sends_nothing(run: Runner) -> None:
    class Never:
        def decide(self, task: Any, history: Any, view: Any) -> Stop:
            return Stop("not today")

    result = run(build_solver(ScriptedModel(script=["4"]), budget=ROOMY, strategy=Never()).compile(), {"question": "?"})
    assert (result["answer"], result["status"], result["stopped"]) == (None, "unsolved", "not today")
    assert result["rheostat"]["run"]["calls"] == 0


def test_a_strategys_own_cap_is_never_passed(run: Runner) -> None:
    model, judge = resolve(numbered(), price=PRICE), resolve(judging(), price=PRICE)
    for cap in (Budget(tokens=1_000), Budget(usd="0.004"), Budget(calls=3), Budget(output_tokens=300)):
        graph = build_solver(
            model, budget=Budget(tokens=1_000_000), strategy=BestOfN(samples=12, at_once=5, cap=cap),
            scorer=Judge(model=judge), effort="none", caps=Caps(max_samples=30, max_rounds=30, answer_tokens=64),
        ).compile()  # fmt: skip
        result = run(graph, {"question": QUESTION})
        spent = result["rheostat"]["run"]
        assert "own cap" in " ".join([result["stopped"], *(each["reason"] for each in result["candidates"])])
        assert spent["input_tokens"] + spent["output_tokens"] <= (cap.tokens or 10**9)
        assert spent["usd_nanos"] <= (cap.usd_nanos or 10**15)
        assert spent["calls"] <= (cap.calls or 10**9)


def test_a_strategys_own_cap_in_dollars_needs_prices() -> None:
    with pytest.raises(NoPrice):
        build_solver(numbered(), budget=ROOMY, strategy=Vote(cap=Budget(usd="0.01")))


def test_what_was_cancelled_is_recorded_and_on_the_stream() -> None:
    ledger = MemoryLedger()
    endpoint, config = racing()
    graph = build_solver(endpoint, budget=ROOMY, ledger=ledger, strategy=Vote(first_samples=8), effort="none").compile()
    view = SolveView("What is 2 + 2?", "scripted", ROOMY)
    stop = listen(lambda type_, data: view.feed({"type": type_, **data}))
    result = graph.invoke({"question": "What is 2 + 2?"}, config)
    stop()
    cancelled = [each["id"] for each in result["candidates"] if each["status"] == "cancelled"]
    assert cancelled
    steps = [step for step in ledger.steps() if step.node == CANDIDATE]
    assert [step.candidate["id"] for step in steps if step.candidate["status"] == "cancelled"] == cancelled
    lines = {line.split()[1]: line for line in shown(view).splitlines() if " r1s" in line}
    assert all("cancelled" in lines[name] for name in cancelled)
    assert view.totals.cancelled == len(cancelled)


def test_a_ledger_that_loses_records_costs_nothing_else(run: Runner) -> None:
    class Forgetful(MemoryLedger):
        def record(self, step: StepRecord) -> None:
            raise LedgerError("no room for notes")

    result = run(searching(Forgetful()).compile(), {"question": QUESTION})
    assert len(result["candidates"]) == 5


def test_records_hold_no_text(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    ledger = SQLiteLedger(path)
    searching(ledger).compile().invoke({"question": f"{QUESTION} {CANARY}"})
    searching(
        ledger, scorer=None, strategy=Refine(), verifier=lambda answer: f"no {CANARY}: {answer}"
    ).compile().invoke({"question": QUESTION})
    broken = ScriptedModel(script=[Said(error=ValueError(f"broken {CANARY}"))])
    build_solver(broken, budget=ROOMY, ledger=ledger, effort="none").compile().invoke({"question": QUESTION})
    failed = [step for step in ledger.steps() if step.node == CANDIDATE and step.candidate["status"] == "failed"]
    assert failed
    assert all(step.error and step.candidate["group"] is None for step in failed)
    ledger.close()
    for file in tmp_path.iterdir():
        assert CANARY.encode() not in file.read_bytes(), file


def test_a_record_of_an_older_version_loads() -> None:
    old = {name: value for name, value in StepRecord(id="s", account="a").to_dict().items() if name != "candidate"}
    assert StepRecord.from_dict({**old, "of a newer one": 1}) == StepRecord(id="s", account="a")


def test_a_record_replaces_the_one_with_its_id(ledger: Any) -> None:
    for number in range(3):
        ledger.record(StepRecord(id="s", account="replaced", difficulty=float(number)))
    assert [step.difficulty for step in ledger.steps("replaced")] == [2.0]


def test_a_memory_ledger_drops_the_oldest_records() -> None:
    ledger = MemoryLedger(max_accounts=3)
    for number in range(5):
        ledger.record(StepRecord(id=str(number), account="a"))
    assert [step.id for step in ledger.steps()] == ["2", "3", "4"]
