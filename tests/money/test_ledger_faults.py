"""Many processes on one account, kill -9, a database that goes away: never above the cap, nothing leaks."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

import scenarios
from conftest import in_loop
from postgres_server import PostgresServer
from rheostat import Account, Budget, LedgerError, LedgerUnavailable, Meter, PostgresLedger, Spend, build_solver
from rheostat.money.ledger import open_ledger
from rheostat.testing import timeless
from rheostat.testing.server import Fault, Turn
from stores import PostgresStore
from waiting import wait_for
from wire import PLAIN, simulated

WORKER = str(Path(__file__).parents[1] / "ledger_worker.py")
CAP_NANOS = 60_000


def start(address: str, seed: int, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, address, str(seed), str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_together(
    workers: list[subprocess.Popen[str]], meanwhile: Callable[[], None] = lambda: None
) -> list[dict[str, int]]:
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    meanwhile()
    said = [worker.communicate()[0] for worker in workers]
    return [json.loads(line) for line, worker in zip(said, workers, strict=True) if worker.returncode == 0]


def many_processes(address: str, number: int, rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = open_ledger(address)
    ledger.open(Account("shared", Budget(usd=f"{CAP_NANOS / 1e9:.9f}")))
    started = 0.0

    def begin() -> None:
        nonlocal started
        started = time.monotonic()

    results = run_together([start(address, seed, rounds) for seed in range(number)], begin)
    pairs = number * rounds / (time.monotonic() - started)
    with capsys.disabled():
        print(f"\n{number} processes on one {type(ledger).__name__} account: {pairs:,.0f} holds a second")
    assert len(results) == number
    reading = ledger.reading("shared")
    assert reading["usd_nanos"] == sum(result["settled"] for result in results) <= CAP_NANOS
    assert reading["calls"] == sum(result["calls"] for result in results)
    assert (reading["held_calls"], reading["unknown_calls"]) == (0, 0)
    assert sum(result["refused"] for result in results) > 0  # the cap was in the middle
    assert ledger.journal(open_only=True) == []
    ledger.close()


@pytest.mark.timeout(300)
def test_eight_processes_on_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many_processes(str(tmp_path / "ledger.db"), 8, 60, capsys)


@pytest.mark.timeout(300)
def test_thirty_two_processes_on_one_postgres_account(
    postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    store = PostgresStore(postgres)
    store.start(time.time)
    store.stop()
    many_processes(postgres.address, 32, 20, capsys)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_workers_that_are_killed_leave_nothing_but_unknown(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    address = str(tmp_path / "ledger.db")
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        store = PostgresStore(server)
        store.start(time.time)
        store.stop()
        address = server.address
    ledger = open_ledger(address)
    ledger.open(Account("shared", Budget(usd="1")))
    workers = [start(address, seed, 100_000) for seed in range(6)]
    dice = random.Random(5)

    def kill() -> None:
        wait_for(lambda: ledger.reading("shared")["calls"] > 20)
        for worker in workers:
            time.sleep(dice.random() * 0.1)
            os.kill(worker.pid, signal.SIGKILL)

    assert run_together(workers, kill) == []
    open_calls = len(ledger.journal(open_only=True))
    assert open_calls <= 6
    assert ledger.expire(0) == open_calls
    reading = ledger.reading("shared")
    journal = ledger.journal()
    settled = [line for line in journal if line.status == "settled"]
    assert len(settled) > 20
    assert reading["usd_nanos"] == sum(line.charge.usd_nanos or 0 for line in settled)
    assert reading["held_calls"] == 0
    assert reading["unknown_calls"] == sum(line.status == "unknown" for line in journal)
    assert {line.status for line in journal} <= {"settled", "void", "unknown"}
    ledger.close()


@pytest.mark.timeout(200)
def test_a_database_that_goes_away_fails_closed_and_comes_back(own_postgres: PostgresServer) -> None:
    server = own_postgres
    ledger = PostgresLedger(server.address, wait_seconds=1.0)
    with simulated() as api:
        meter = Meter(ledger, wait=wait_none())
        graph = build_solver(PLAIN.at(api), budget=Budget(calls=9), effort="none", meter=meter).compile()
        assert graph.invoke({"question": "What is 2 + 2?"})["answer"] == "4"
        server.kill()
        for ask in (graph.invoke, lambda inputs: in_loop(graph.ainvoke(inputs))):
            with pytest.raises(LedgerUnavailable, match="can't be reached"):
                ask({"question": "What is 2 + 2?"})
        assert api.bill.requests == 1  # without a hold nothing left
        server.start()
        assert graph.invoke({"question": "What is 2 + 2?"})["answer"] == "4"
        assert api.bill.requests == 2
    ledger.close()


@pytest.mark.timeout(200)
def test_a_database_that_goes_away_while_a_call_is_in_flight(own_postgres: PostgresServer) -> None:
    """The answer came, its cost can't be posted: it stays charged in full, and shows when the database is back."""
    server = own_postgres
    ledger = PostgresLedger(server.address, wait_seconds=0.5)

    def kill(number: int, body: dict[str, Any]) -> Turn:
        server.kill()
        return Turn(fault=Fault(seconds=0.5))

    with simulated(planned=kill) as api:
        graph = build_solver(
            PLAIN.at(api), budget=Budget(calls=1), effort="none", meter=Meter(ledger, wait=wait_none())
        ).compile()
        config: Any = {"configurable": {"thread_id": "t"}}
        with pytest.raises(LedgerUnavailable):
            graph.invoke({"question": "What is 2 + 2?"}, config)
        server.start()
        assert ledger.room("thread/t").calls is None  # the thread only counts
        [line] = ledger.journal(open_only=True)
        assert (line.status, api.bill.requests) == ("sent", 1)
        assert ledger.expire(0) == 1
        assert ledger.reading("thread/t")["unknown_calls"] == 1
    ledger.close()


def test_a_crash_inside_a_transaction_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, the process is stopped: whatever happens before the commit, the file is as it was."""
    ledger = open_ledger(str(tmp_path / "ledger.db"))
    ledger.open(Account("t", Budget(calls=3)))
    ledger.open(Account("a", Budget(calls=3), "t"))
    [held] = ledger.hold("a", [Spend(output_tokens=5, calls=1)])
    before = (timeless(ledger.reading("a")), timeless(ledger.reading("t")), ledger.journal())

    def explode(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("rheostat.money.ledger.sqlite._Transaction.save", explode)
    for change in (
        lambda: ledger.hold("a", [Spend(calls=1)]),
        lambda: ledger.begin(held.id),
        lambda: ledger.settle(held.id, Spend(calls=1)),
        lambda: ledger.mark_unknown(held.id),
        lambda: ledger.void(held.id),
        lambda: ledger.amend("a", Budget(calls=9)),
    ):
        with pytest.raises(LedgerError):
            change()
    monkeypatch.undo()
    assert (timeless(ledger.reading("a")), timeless(ledger.reading("t")), ledger.journal()) == before
    ledger.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(scenarios.scenarios(Path(), "postgresql://")))
def test_scenario(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The table of docs/explanation/ledger.md."""
    address = request.getfixturevalue("postgres").address if name.endswith("postgres") else None
    row = scenarios.scenarios(tmp_path, address)[name]()
    assert row.right, row
    assert row.requests >= 4
