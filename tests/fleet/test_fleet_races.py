"""What comes between: an outage, another supervisor, a signal, a thread. Nothing is lost, stuck or uncounted."""

from __future__ import annotations

import _thread
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbos._sys_db import SystemDatabase
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph
from sqlalchemy.exc import OperationalError

from fleets import GRAPHS, Log, Plain, plain, questions, server_with
from rheostat import Account, BadInput, Budget, LedgerUnavailable, MemoryLedger, ThinkingChatModel, open_ledger
from rheostat.fleet import Fleet, FleetTask, queue, supervisor, worker
from rheostat.fleet import fleet as fleet_module
from rheostat.fleet import work as work_module
from rheostat.fleet.graphs import load_graph
from rheostat.fleet.queue import Queue
from rheostat.fleet.supervisor import Supervisor
from rheostat.fleet.work import Work
from rheostat.testing import ScriptedModel
from waiting import wait_for

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.timeout(120)]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def server(log: Log) -> Iterator[object]:
    with server_with(log) as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is taken for dead after two seconds."""
    monkeypatch.setattr(queue, "ALIVE_SECONDS", 2.0)
    monkeypatch.setattr(worker, "ALIVE_SECONDS", 2.0)
    monkeypatch.setattr(supervisor, "_SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(worker, "_BEAT_SECONDS", 0.1)
    monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.1)


def steps(folder: Path, **more: Any) -> Fleet:
    """A fleet in this process."""
    return Fleet("f", load_graph(f"{GRAPHS}:steps"), budget=Budget(usd="5"), db=folder / "fleet.db", **more)


def test_a_worker_is_alive_until_its_last_calls_have_ended(
    tmp_path: Path, log: Log, server: object, quick: None
) -> None:
    """Else other workers would take its tasks when a call takes longer than that."""
    log.seconds = 3.0
    with steps(tmp_path) as fleet, ThreadPoolExecutor(1) as aside:
        fleet.submit(questions(1))
        working = aside.submit(fleet.work)
        wait_for(lambda: log.prompts)
        fleet.stop()
        time.sleep(0.3)
        before = fleet._database.beats("f")
        assert before
        wait_for(lambda: fleet._database.beats("f") != before)
        assert fleet._database.beats("f")
        working.result()
        assert not fleet.alive()
        assert fleet.counts().queued == 1


def test_a_claim_whose_reply_was_lost_is_made_again(
    tmp_path: Path, log: Log, server: object, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database went away right after it had written that the task is this worker's."""
    claim, lost = SystemDatabase.start_queued_workflows, []

    def claims(self: Any, *given: Any, **more: Any) -> Any:
        claimed = claim(self, *given, **more)
        if claimed[0] and not lost:
            lost.append(claimed)
            raise OperationalError("COMMIT", None, Exception("gone"))
        return claimed

    monkeypatch.setattr(SystemDatabase, "start_queued_workflows", claims)
    with steps(tmp_path) as fleet:
        fleet.submit(questions(2))
        assert [each.state for each in fleet.gather()] == ["done", "done"]
        assert lost
        assert len(log.prompts) == 6


def test_a_task_that_was_taken_before_it_began_is_left_alone(
    tmp_path: Path, log: Log, server: object, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker hung between the claim and the beginning."""
    begun, taken = Queue.begun, []

    def begins(self: Queue, name: str) -> Any:
        if not taken:
            taken.append(name)
            self.database.query("UPDATE workflow_status SET owner_xid = 'another', executor_id = 'another'")
        return begun(self, name)

    monkeypatch.setattr(Queue, "begun", begins)
    with steps(tmp_path) as fleet, ThreadPoolExecutor(1) as aside:
        fleet.submit(questions(1))
        working = aside.submit(fleet.gather)
        wait_for(lambda: taken)
        time.sleep(0.5)
        assert not log.prompts
        assert [each.state for each in working.result()] == ["done"]  # once that one is taken for dead


def test_an_outage_while_a_tasks_end_is_written_is_not_its_fault(
    tmp_path: Path, log: Log, server: object, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, away = work_module._Results.done, []

    async def ends(self: Any, *given: Any, **more: Any) -> Any:
        if not away:
            away.append(more)
            raise LedgerUnavailable("away")
        return await done(self, *given, **more)

    monkeypatch.setattr(work_module._Results, "done", ends)
    with steps(tmp_path, each=Budget(calls=2)) as fleet:
        fleet.submit(questions(1))
        assert [(each.state, each.by) for each in fleet.gather()] == [("done", "budget")]
        assert away[0]["by"] == "budget"


def test_a_worker_that_is_told_to_stop_doesnt_wait_for_the_databases_return(
    tmp_path: Path, log: Log, server: object, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with steps(tmp_path) as fleet:
        with monkeypatch.context() as outage:

            def gone(*given: Any, **more: Any) -> Any:
                raise LedgerUnavailable("away")

            async def ends(self: Any, *given: Any, **more: Any) -> Any:
                fleet.stop()
                for each in ("begun", "put_back", "owner"):
                    outage.setattr(Queue, each, gone)
                gone()

            outage.setattr(work_module._Results, "done", ends)
            fleet.submit(questions(1))
            with pytest.raises(LedgerUnavailable):  # it ends, and says why
                fleet.work()
            paid = len(log.prompts)
        assert [each.state for each in fleet.gather()] == ["done"]
        assert len(log.prompts) == paid  # its steps are in the checkpoints


async def run_once(graph: Any, ledger: MemoryLedger, **more: Any) -> Any:
    work = Work("f", graph, ledger, attempts=1, **more)
    return await work.run(FleetTask(id="a", input={"question": "q"}))


def test_an_outage_that_is_over_at_once_counts_as_no_attempt() -> None:
    failures = [psycopg.OperationalError("server closed the connection unexpectedly")]

    class Saver(InMemorySaver):
        async def aput(self, *given: Any, **more: Any) -> Any:
            if failures:
                raise failures.pop()
            return await super().aput(*given, **more)

    ledger = MemoryLedger()
    ledger.open(Account("fleet/f"))
    made = plain(lambda state: {"answer": "42"}).compile(checkpointer=Saver())
    assert asyncio.run(run_once(made, ledger)).answer == "42"
    assert not failures


def test_a_tasks_seconds_begin_when_it_does() -> None:
    """Its account is older if it failed before its first step, and was retried later."""
    ledger = MemoryLedger()
    ledger.open(Account("fleet/f"))
    ledger.open(Account("fleet/f/a", Budget(seconds=1), "fleet/f"))
    time.sleep(1.1)
    chat = ThinkingChatModel(model=ScriptedModel(script=["42"]), budget=Budget(tokens=5_000))
    made = plain(lambda state: {"answer": chat.invoke(state["question"]).text}).compile(checkpointer=InMemorySaver())
    assert asyncio.run(run_once(made, ledger, each=Budget(seconds=1))).answer == "42"


def test_two_retries_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(state: Plain) -> Plain:
        raise ValueError("no")

    with Fleet("f", plain(fails), budget=Budget(usd="1"), db=tmp_path / "f.db", attempts=1) as fleet:
        fleet.submit(["a?", "b?"])
        seen = fleet.gather()
        assert {each.state for each in seen} == {"failed"}
        monkeypatch.setattr(Queue, "results", lambda self, states: iter(seen))
        assert fleet.retry() == 2
        assert fleet.retry() == 0, "the other one was faster"


def test_pause_and_resume_at_the_same_time_leave_one_of_both(tmp_path: Path, server: object) -> None:
    with steps(tmp_path) as fleet, ThreadPoolExecutor(2) as both:
        for _ in range(20):
            start = threading.Barrier(2)

            def at_once(what: Any, start: threading.Barrier = start) -> None:
                start.wait()
                what()

            list(both.map(at_once, (fleet.pause, fleet.resume)))
            [places] = fleet._database.query("SELECT worker_concurrency FROM queues")[0]
            assert bool(fleet.paused()) == (places == 0)
        assert fleet._database.settings("f").resumed == 20


def test_a_pause_while_a_fleet_is_opened_again_stays(
    tmp_path: Path, server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with steps(tmp_path) as first:
        monkeypatch.setattr(fleet_module, "prepare", lambda database: first.pause())
        with steps(tmp_path, at_once=3) as again:
            assert again.paused()
            assert again._database.settings("f").at_once == 3


def test_a_fleet_that_is_cancelled_before_it_began_ends(
    tmp_path: Path, log: Log, server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.seconds, work = 0.5, Fleet.work

    def begins_late(self: Fleet, **more: Any) -> Any:
        time.sleep(0.3)
        return work(self, **more)

    monkeypatch.setattr(Fleet, "work", begins_late)

    async def soon_cancelled(fleet: Fleet) -> None:
        working = asyncio.create_task(fleet.agather())
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    with steps(tmp_path, at_once=1) as fleet:
        fleet.submit(questions(5))
        asyncio.run(soon_cancelled(fleet))
        assert not fleet.counts().done


def test_a_path_that_would_name_another_file(tmp_path: Path) -> None:
    (tmp_path / "what?").mkdir()
    with pytest.raises(BadInput, match="can't have a"):
        Fleet("f", plain(lambda state: {}), budget=Budget(usd="1"), db=tmp_path / "what?" / "fleet.db")


def test_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    with Fleet("f", plain(lambda state: {"answer": "\ud83d!"}), budget=Budget(usd="1"), db=tmp_path / "f.db") as fleet:
        with pytest.raises(BadInput, match="task 1"):
            fleet.submit(["\ud83d?"])
        fleet.submit(["a?"])
        assert [(each.state, each.answer) for each in fleet.gather()] == [("done", "?!")]


def test_a_graph_that_cannot_be_compiled_is_said_at_once(tmp_path: Path) -> None:
    made = StateGraph(Plain)
    made.add_node("answer", lambda state: {})
    with pytest.raises(BadInput, match=r"the graph can't be compiled: .*entrypoint"):
        Fleet("f", made, budget=Budget(usd="1"), db=tmp_path / "f.db")


def test_results_are_in_one_order(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Those that were queued in one transaction have the same time on Postgres, and no order of their own."""
    address = request.getfixturevalue("postgres").address
    made = plain(lambda state: {"answer": state["question"]})
    with Fleet("order", made, budget=Budget(usd="1"), db=address) as fleet:
        fleet.submit(questions(300))
        fleet.submit(questions(1200))
        for number in range(0, 1200, 3):
            fleet._database.query(
                "UPDATE dbos.workflow_status SET status = 'ERROR' WHERE workflow_uuid = :name",
                name=f"order/{number:04}",
            )
        assert [each.id for each in fleet._queue.results(("failed",))] == [f"{each:04}" for each in range(0, 1200, 3)]
        assert [each.id for each in fleet.results()] == [f"{each:04}" for each in range(1200)]


def test_machines_that_open_a_fleet_in_an_empty_database_at_the_same_time(request: pytest.FixtureRequest) -> None:
    """Each makes the tables that aren't there."""
    address = request.getfixturevalue("postgres").address
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS empty_at_first")
        connection.execute("CREATE DATABASE empty_at_first")
    db, made, start = address.replace("/postgres", "/empty_at_first"), plain(lambda state: {}), threading.Barrier(3)

    def opened(number: int) -> int:
        start.wait()
        with Fleet("first", made, budget=Budget(usd="1"), db=db) as fleet:
            return fleet.submit([{"id": str(number), "question": "q"}])

    with ThreadPoolExecutor(3) as machines:
        assert list(machines.map(opened, range(3))) == [1, 1, 1]


# --- processes ------------------------------------------------------------------------------------------------


def instead(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let the supervisor start this instead of workers."""
    start = subprocess.Popen
    monkeypatch.setattr(
        supervisor.subprocess, "Popen", lambda command, **more: start([sys.executable, "-c", script], **more)
    )


def test_a_worker_that_said_much_before_a_task_killed_it(
    tmp_path: Path, server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as plain text, and its first words are long past."""
    said = f"{worker.READY}\nx".encode() + "ä".encode() * 3000 + b"\xff"
    instead(monkeypatch, f"import os; os.write(2, {said!r})")
    with steps(tmp_path) as fleet:
        watch = Supervisor(fleet._database, fleet.settings)
        for _ in range(4):
            process = watch._start("w")
            process.popen.wait()
            watch._died(process)  # doesn't raise


def test_a_second_ctrl_c_ends_all_workers_at_once(
    tmp_path: Path, server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 40)
    with steps(tmp_path) as fleet:
        watch = Supervisor(fleet._database, fleet.settings, workers=3)
        watch._keep()
        threading.Timer(0.5, _thread.interrupt_main).start()
        began = time.monotonic()
        watch._end()
        assert time.monotonic() - began < 20


def test_a_worker_that_hangs_for_good_is_killed(
    tmp_path: Path, server: object, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """There may be no other one. One that is still loading its graph isn't."""
    instead(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(supervisor, "_HUNG_SECONDS", 1.0)
    with steps(tmp_path) as fleet:
        watch = Supervisor(fleet._database, fleet.settings, workers=2)
        watch._keep()
        (hangs, hung), (_, loads) = watch._processes.items()
        fleet._database.beat(hangs, "f")
        until = time.monotonic() + 15
        while hung.popen.poll() is None:
            assert time.monotonic() < until, "it lives"
            watch.tidy()
            time.sleep(0.15)
        assert loads.popen.poll() is None
        watch._keep()
        assert not fleet._database.beats("f")
        for each in watch._processes.values():
            each.popen.kill()
        watch._end()


def test_a_worker_that_cannot_start_ends_whatever_its_graph_began(tmp_path: Path, server: object) -> None:
    """A thread of the graph's module would keep the process, and the supervisor would wait for it for ever."""
    file = tmp_path / "bad.py"
    file.write_text(f"import sys; sys.path.append({str(GRAPHS.parent)!r})\nfrom fleet_graphs import steps as graph\n")
    db = str(tmp_path / "fleet.db")
    with Fleet("f", f"{file}:graph", budget=Budget(usd="1"), db=db):
        file.write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n1 / 0\n")
        asked = {"db": db, "fleet": "f", "executor": "w", "path": []}
        command = [sys.executable, "-m", "rheostat.fleet.worker"]
        ended = subprocess.run(
            command, input=json.dumps(asked) + "\n", text=True, capture_output=True, timeout=50, check=False
        )
        assert ended.returncode == 1
        assert "ZeroDivisionError" in ended.stderr


def test_a_call_in_a_thread_of_the_graphs_own_is_not_made_without_an_account(
    tmp_path: Path, log: Log, server: object
) -> None:
    with Fleet("f", f"{GRAPHS}:threads", budget=Budget(usd="1"), db=tmp_path / "fleet.db", attempts=1) as fleet:
        fleet.submit(questions(1))
        [result] = fleet.gather()
        assert not log.prompts
        assert (result.state, "no account pays" in result.why) == ("failed", True), result.why
    ledger = open_ledger(str(tmp_path / "fleet.db"))
    assert not ledger.reading("fleet/f")["calls"]
    ledger.close()
