"""A fleet on each database: what it does, and that nothing is lost, repeated or paid twice."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from fleets import GRAPHS, Log, Plain, check_books, plain, questions, server_with
from postgres_server import PostgresServer
from rheostat import Account, BadInput, Budget, LimitWarning, Rate, ThinkingChatModel, open_ledger
from rheostat.fleet import Fleet
from rheostat.fleet.graphs import load_graph
from rheostat.fleet.queue import Queue
from rheostat.fleet.supervisor import WorkersFailed
from rheostat.testing import ScriptedModel
from rheostat.testing.server.limits import Limiter

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # DBOS leaves its pools to the collector
    pytest.mark.timeout(300),
]
_names = (f"fleet-{number}" for number in itertools.count())


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "fleet.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.address


@pytest.fixture
def name() -> str:
    return f"{next(_names)}-{os.getpid()}"


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def server(log: Log) -> Iterator[object]:
    with server_with(log) as running:
        yield running


def graph(kind: str) -> str:
    """Its address: worker processes load it."""
    return f"{GRAPHS}:{kind}"


def here(kind: str) -> Any:
    """The graph itself: this process works on it, which takes less time."""
    return load_graph(graph(kind))


def test_every_task_ends_once_with_its_answer_and_its_price(db: str, name: str, log: Log, server: object) -> None:
    with Fleet(name, graph("solver"), budget=Budget(usd="5"), each=Budget(usd="0.2"), db=db, workers=2) as fleet:
        assert fleet.submit(questions(6)) == 6
        assert fleet.submit(questions(7)) == 1, "the same id is the same task"
        results = fleet.gather()
        assert sorted(each.id for each in results) == [f"{number:04}" for number in range(7)]
        assert {(each.state, each.answer, each.by, each.attempts) for each in results} == {("done", "42", "answer", 1)}
        assert len(log.prompts) == 7
        check_books(fleet, server, "5")  # type: ignore[arg-type]
        assert sum(float(each.usd or 0) for each in results) == pytest.approx((fleet.reading()["usd_nanos"] or 0) / 1e9)
        again = asyncio.run(fleet.agather())
        assert again == results
        assert len(log.prompts) == 7, "nothing is left to do"


def test_a_graph_object_is_worked_on_in_this_process(tmp_path: Path, log: Log, server: object) -> None:
    with Fleet("here", here("agent"), budget=Budget(usd="5"), db=tmp_path / "fleet.db") as fleet:
        fleet.submit(questions(3))
        results = asyncio.run(fleet.agather())
    assert {(each.state, each.answer) for each in results} == {("done", "The answer is 42.")}
    assert sorted(log.prompts) == ["question 0", "question 1", "question 2"]


def test_the_cap_leaves_the_rest_queued_and_more_money_goes_on(db: str, name: str, log: Log, server: object) -> None:
    with Fleet(name, here("steps"), budget=Budget(calls=10), db=db, at_once=2) as fleet:
        fleet.submit(questions(8))
        fleet.gather()
        counts = fleet.counts()
        assert fleet.paused().startswith("budget")
        assert len(log.prompts) == 10, "the cap is used, and not exceeded"
        assert counts.done in (2, 3)
        assert (counts.queued, counts.failed) == (8 - counts.done, 0)
        ledger = open_ledger(db)
        ledger.amend(fleet.account, Budget(calls=24))
        ledger.close()
        fleet.resume()
        fleet.gather()
        assert fleet.counts().done == 8
        assert len(log.prompts) == 24
        assert not log.twice(), "what was paid for under the first cap isn't paid for again"


def test_a_task_has_limits_of_its_own(db: str, name: str, log: Log, server: object) -> None:
    with Fleet(name, here("steps"), budget=Budget(calls=100), each=Budget(calls=2), db=db) as fleet:
        fleet.submit(questions(2))
        results = fleet.gather()
        assert [(each.state, each.by, each.calls) for each in results] == [("done", "budget", 2)] * 2
        assert not fleet.paused()


def test_a_poisonous_task_is_set_aside_and_the_others_go_on(tmp_path: Path, log: Log, server: object) -> None:
    db, name = str(tmp_path / "fleet.db"), "poison"
    tasks = [*questions(3), {"id": "raises", "question": "raise"}, {"id": "kills", "question": "kill the worker"}]
    with Fleet(name, graph("steps"), budget=Budget(usd="5"), db=db) as fleet:  # all at once, in one worker
        fleet.submit(tasks)
        results = {each.id: each for each in fleet.gather()}
        assert [results[task["id"]].state for task in tasks] == ["done", "done", "done", "failed", "failed"]
        assert "a defect of the graph" in results["raises"].why
        assert "its worker died" in results["kills"].why
        assert log.twice() <= 3, "only what was in flight beside the task that kills"
        assert fleet.retry() == 2
        assert fleet.counts().queued == 2


def test_what_can_never_start_is_said_at_once(tmp_path: Path) -> None:
    db = tmp_path / "fleet.db"
    with pytest.raises(BadInput, match="a new fleet needs a hard cap"):
        Fleet("x", graph("steps"), db=db)
    with pytest.raises(BadInput, match=r"no file .*nowhere\.py"):
        Fleet("x", "nowhere.py:graph", budget=Budget(usd="1"), db=db)
    with pytest.raises(BadInput, match="there is none"):
        Fleet("x", db=db)
    with pytest.raises(BadInput, match="without '/'"):
        Fleet("a/b", graph("steps"), budget=Budget(usd="1"), db=db)
    with pytest.raises(BadInput, match="workers is a whole number"):
        Fleet("x", graph("steps"), budget=Budget(usd="1"), db=db, workers=0)


def test_workers_that_cannot_start_are_not_started_for_ever(tmp_path: Path, server: object) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from fleet_graphs import steps as graph\n")
    (tmp_path / "fleet_graphs.py").write_text(GRAPHS.read_text())
    with Fleet("bad", f"{bad}:graph", budget=Budget(usd="1"), db=tmp_path / "fleet.db") as fleet:
        fleet.submit(questions(1))
        bad.write_text("raise RuntimeError('broken since')\n")
        with pytest.raises(WorkersFailed, match="broken since"):
            fleet.work()


def test_what_was_refused_before_a_fleet_was_resumed_pauses_it_no_more(tmp_path: Path, server: object) -> None:
    """A task that was refused may end long after its fleet got more money."""
    with Fleet("p", here("steps"), budget=Budget(usd="5"), db=tmp_path / "fleet.db") as fleet:
        fleet.submit([{"id": "a", "question": "a"}])
        queue = Queue(fleet._database, "p")
        _, resumed, _ = queue.begun("p/a")
        queue.pause("budget: used up", resumed)
        assert fleet.paused()
        fleet.resume()
        queue.pause("budget: used up", resumed)
        assert not fleet.paused()
        queue.close()


def test_no_task_begins_while_it_is_paused_or_after_its_deadline(tmp_path: Path, log: Log, server: object) -> None:
    past, soon = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    with Fleet("p", here("steps"), budget=Budget(usd="5"), db=tmp_path / "fleet.db") as fleet:
        fleet.submit([{"id": "late", "question": "a", "deadline": past.isoformat()}])
        fleet.submit([{"id": "timely", "question": "b", "deadline": soon.isoformat()}])
        fleet.pause()
        fleet.gather()
        assert not log.prompts
        assert fleet.counts().queued == 2
        fleet.resume()
        results = {each.id: each for each in fleet.gather()}
        assert (results["late"].state, results["late"].by, results["late"].calls) == ("failed", "deadline", 0)
        assert results["timely"].state == "done"
        assert fleet.retry() == 0


def test_with_less_money_than_tasks_the_worthiest_go_first(tmp_path: Path, log: Log, server: object) -> None:
    tasks = [{"id": str(worth), "question": f"worth {worth}", "worth": worth} for worth in (1, 5, 3, 2, 4)]
    with Fleet("w", here("steps"), budget=Budget(calls=7), db=tmp_path / "fleet.db", at_once=1) as fleet:
        fleet.submit([*tasks, {"id": "first", "question": "first of all", "priority": 1, "worth": "0.01"}])
        fleet.gather()
        done = {each.id for each in fleet.results() if each.state == "done"}
        assert done == {"first", "5"}


def test_old_results_and_their_checkpoints_are_deleted_and_the_spend_stays(tmp_path: Path, server: object) -> None:
    path = tmp_path / "fleet.db"
    with Fleet("old", here("steps"), budget=Budget(usd="5"), db=path, retention_days=1e-9) as fleet:
        fleet.submit(questions(2))
        fleet.gather()
        spent = fleet.reading()["usd_nanos"]
        fleet.gather()  # the next supervisor sweeps
        assert fleet.results() == []
        assert fleet.reading()["usd_nanos"] == spent
        assert not fleet._database.query("SELECT 1 FROM checkpoints")


def test_tasks_of_another_form_stay_and_are_named(tmp_path: Path, server: object) -> None:
    with Fleet("v", here("steps"), budget=Budget(usd="5"), db=tmp_path / "fleet.db") as fleet:
        fleet.submit(questions(2))
        fleet._database.query(
            "UPDATE workflow_status SET application_version = 'rheostat-fleet-0' WHERE workflow_uuid = 'v/0001'"
        )
        fleet.gather()
        counts = fleet.counts()
        assert (counts.done, counts.queued, counts.foreign) == (1, 1, 1)


def test_two_fleets_in_one_database_dont_mix(tmp_path: Path, log: Log, server: object) -> None:
    path = tmp_path / "fleet.db"
    with (
        Fleet("one", here("steps"), budget=Budget(calls=3), db=path) as one,
        Fleet("one%", here("steps"), budget=Budget(calls=6), db=path) as two,
    ):
        one.submit(questions(1))
        two.submit(questions(2))
        assert len(one.gather()) == 1
        assert len(two.gather()) == 2
        assert one.counts().total == 1


def test_two_supervisors_on_one_machine_share_the_work(tmp_path: Path, log: Log, server: object) -> None:
    """Two fleets' objects of the same name, at work at the same time, as `fleet run` and `fleet worker` are."""
    log.seconds = 0.2
    path = tmp_path / "fleet.db"
    with Fleet("two", graph("steps"), budget=Budget(usd="5"), db=path, at_once=2) as one, Fleet("two", db=path) as two:
        one.submit(questions(8))
        with ThreadPoolExecutor(2) as both:
            assert {counts.failed for counts in both.map(Fleet.work, (one, two))} == {0}
        assert one.counts().done == 8
    assert len(log.prompts) == len(set(log.prompts)) == 24


def test_what_json_has_no_form_for_and_a_question_to_a_human(tmp_path: Path) -> None:
    class Found(BaseModel):
        price: int

    class State(TypedDict, total=False):
        question: str
        answer: Any

    def answer(state: State) -> State:
        if state["question"] == "human":
            interrupt("may I?")
        return {"answer": Found(price=3) if state["question"] == "model" else {date(2026, 1, 1)}}

    made = StateGraph(State)
    made.add_node("answer", answer)
    made.add_edge(START, "answer")
    made.add_edge("answer", END)
    with Fleet("odd", made, budget=Budget(usd="5"), db=tmp_path / "fleet.db") as fleet:
        fleet.submit([{"id": each, "question": each} for each in ("human", "model", "set", "100 %_'\"ü\\/x")])

        async def in_a_loop() -> None:
            fleet.work()  # as in a notebook

        asyncio.run(in_a_loop())
        results = {each.id: each for each in fleet.results()}
    assert (results["human"].state, results["human"].by) == ("failed", "user")
    assert results["model"].answer == {"price": 3}
    assert "2026" in results["set"].answer
    assert len(results) == 4


def test_models_without_a_price_under_a_cap_in_tokens(tmp_path: Path) -> None:
    model = ThinkingChatModel(model=ScriptedModel(script=["42", "42"]), budget=Budget(tokens=4_000))
    made = plain(lambda state: {"answer": model.invoke(state["question"]).text})
    with Fleet("free", made, budget=Budget(tokens=10_000), each=Budget(tokens=5_000), db=tmp_path / "f.db") as fleet:
        fleet.submit(["a?", "b?"])
        assert [(each.state, each.answer) for each in fleet.gather()] == [("done", "42")] * 2
        assert fleet.reading()["calls"] == 2


def test_what_is_no_matter_of_the_fleets_money_does_not_pause_it(tmp_path: Path, log: Log, server: Any) -> None:
    """A graph's own budget; a request that is larger than the rate; a provider that is down."""
    small = ThinkingChatModel(model=ScriptedModel(script=["42"] * 4), budget=Budget(tokens=5))
    made = plain(lambda state: {"answer": small.invoke(state["question"]).text})
    with Fleet("inner", made, budget=Budget(tokens=10_000), db=tmp_path / "f.db") as fleet:
        fleet.submit(["a?", "b?"])
        assert {(each.state, each.by) for each in fleet.gather()} == {("done", "budget")}
        assert not fleet.paused()
    with Fleet("rate", here("steps"), budget=Budget(usd="5"), rate=Rate(tpm=20), db=tmp_path / "f.db") as fleet:
        fleet.submit(questions(2))
        assert {(each.state, each.by) for each in fleet.gather()} == {("failed", "error")}
        assert not fleet.paused()
    down = with_end("failure", "it is down")
    with Fleet("down", down, budget=Budget(usd="5"), db=tmp_path / "f.db", attempts=1) as fleet:
        fleet.submit(["a?"])
        [result] = fleet.gather()
        assert (result.state, "it is down" in result.why) == ("failed", True)
        assert fleet.retry() == 1


def with_end(by: str, why: str) -> Any:
    class Ended(Plain, total=False):
        rheostat: dict[str, Any]

    made = StateGraph(Ended)
    made.add_node("a", lambda state: {"rheostat": {"end": {"by": by, "why": why}}})
    made.add_edge(START, "a")
    made.add_edge("a", END)
    return made


def test_names_and_ids_that_look_alike_are_not_mixed(tmp_path: Path) -> None:
    made = plain(lambda state: {"answer": state["question"]})
    path = tmp_path / "f.db"
    with Fleet("Night", made, budget=Budget(usd="1"), db=path) as upper:
        upper.submit([{"id": each, "question": each} for each in ("a", "a/b", "a%2Fb")])
        assert sorted(each.id for each in upper.gather()) == ["a", "a%2Fb", "a/b"]
    with Fleet("night", made, budget=Budget(usd="1"), db=path) as lower:
        lower.submit(["x\u2028y"])
        assert len(lower.gather()) == 1
    with Fleet("Night", db=path) as again:
        assert len(again.results()) == 3
        with pytest.raises(BadInput, match="made with a graph object"):
            again.work()


def test_a_fleet_is_opened_again_as_it_was(tmp_path: Path, server: object) -> None:
    path = tmp_path / "fleet.db"
    with Fleet("r", graph("steps"), budget=Budget(usd="5"), rate=Rate(rpm=60), db=path):
        pass
    with Fleet("r", graph("steps"), budget=Budget(usd="5"), db=path) as fleet:
        assert str(fleet.budget()) == "$5"
    with (
        pytest.warns(LimitWarning, match="keeps its limits"),
        Fleet("r", graph("steps"), budget=Budget(usd="6"), rate=Rate(rpm=90), db=path),
    ):
        pass
    with Fleet("s", graph("steps"), budget=Budget(usd="5"), db=path):
        pass
    with pytest.raises(BadInput, match="is open under no account, which can't be changed"):
        Fleet("s", graph("steps"), budget=Budget(usd="5"), rate=Rate(rpm=60), db=path)


def test_an_existing_ledger_can_hold_a_fleet(tmp_path: Path, server: object) -> None:
    ledger = open_ledger(str(tmp_path / "spend.db"))
    ledger.open(Account("team", Budget(usd="1")))
    ledger.close()
    with Fleet("f", here("steps"), budget=Budget(usd="5"), db=tmp_path / "spend.db") as fleet:
        fleet.submit(questions(1))
        assert fleet.gather()[0].state == "done"


def test_all_workers_together_keep_to_the_rate(tmp_path: Path, log: Log, server: Any) -> None:
    """Two processes; the server refuses what is above its limits in any sliding window of two seconds."""
    server.limiter = Limiter(rpm=15, tpm=2_000, seconds=2)
    rate = Rate(rpm=15, tpm=2_000, period_seconds=2)
    db = tmp_path / "fleet.db"
    with Fleet("paced", graph("steps"), budget=Budget(usd="5"), rate=rate, db=db, workers=2) as fleet:
        fleet.submit(questions(14))
        assert {each.state for each in fleet.gather()} == {"done"}
        assert len(log.prompts) == 42
        assert not server.limiter.refused
        assert not server.limiter.exceeded
        check_books(fleet, server, "5")
