"""What dies in the middle of a fleet: workers, their supervisor, the database. Nothing is lost, nothing repeated.

`FLEET_TASKS=200` (as `make soak` sets it) runs all of it with more tasks; else only the shorter ones run, with few.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleets import Log, check_books, questions, server_with, starting
from postgres_server import PostgresServer
from rheostat.fleet import Fleet
from rheostat.testing.server import ProviderServer
from waiting import wait_for

TASKS = int(os.environ.get("FLEET_TASKS", "12"))
WORKERS = 3 if "FLEET_TASKS" in os.environ else 1
long = pytest.mark.skipif("FLEET_TASKS" not in os.environ, reason="takes a minute: make soak")
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.timeout(600)]
_names = (f"faults-{number}" for number in itertools.count())


@pytest.fixture
def log() -> Log:
    return Log(seconds=0.2)


@pytest.fixture
def server(log: Log) -> Iterator[ProviderServer]:
    with server_with(log) as running:
        yield running


def workers_of(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [each for each in psutil.Process(supervisor.pid).children() if each.is_running()]


def ended(process: Any, folder: Path, statuses: tuple[int, ...] = (0,)) -> None:
    assert process.wait(200) in statuses, (folder / "run.log").read_text()[-3000:]


@pytest.fixture(params=[pytest.param("sqlite", marks=long), "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "fleet.db")
    running: PostgresServer = request.getfixturevalue("postgres")
    return running.address


def test_killed_workers_and_a_killed_supervisor(db: str, tmp_path: Path, log: Log, server: ProviderServer) -> None:
    """One worker dies, then the supervisor; what was left is taken up, and the cap ends it in the middle."""
    name, at_once, workers = next(_names), 4, WORKERS
    options = ("--usd", "20", "--workers", str(workers), "--at-once", str(at_once))
    supervisor = starting(questions(TASKS), db, tmp_path, *options, name=name)
    wait_for(lambda: len(log.prompts) >= TASKS // 2)
    workers_of(supervisor)[0].kill()
    at_kill = len(log.prompts)
    wait_for(lambda: len(log.prompts) >= at_kill + TASKS // 3)
    orphans = workers_of(supervisor)
    supervisor.kill()
    supervisor.wait()
    psutil.wait_procs(orphans, timeout=60)  # they finish their calls, put the rest back, and end
    assert not [each for each in orphans if each.is_running()]
    again = starting(questions(TASKS), db, tmp_path, *options, name=name)
    ended(again, tmp_path)
    with Fleet(name, db=db) as fleet:
        assert fleet.counts().done == TASKS
        assert {each.state for each in fleet.results()} == {"done"}
        check_books(fleet, server, "20")
    asked = 3 * TASKS
    assert len(set(log.prompts)) == asked, "each step of each task was asked for"
    assert log.twice() <= at_once, "and again only what was in flight in the worker that was killed"


@long
def test_the_cap_in_the_middle_with_kills(db: str, tmp_path: Path, log: Log, server: ProviderServer) -> None:
    """A cap of half the money, and a dead worker: bill ≤ ledger ≤ cap, and the rest is queued with the reason."""
    price = 55_000 * 3 * TASKS // 2
    name, cap = next(_names), f"{price / 1e9:.9f}"
    supervisor = starting(questions(TASKS), db, tmp_path, "--usd", cap, "--at-once", "4", "--json", name=name)
    wait_for(lambda: len(log.prompts) >= TASKS // 2)
    workers_of(supervisor)[0].kill()
    ended(supervisor, tmp_path, (3,))
    with Fleet(name, db=db) as fleet:
        counts = fleet.counts()
        assert fleet.paused().startswith("budget")
        assert counts.queued + counts.done == TASKS
        assert 0 < counts.done < TASKS
        check_books(fleet, server, cap)
        told = json.loads(next(line for line in (tmp_path / "run.log").read_text().splitlines() if line[:1] == "{"))
        assert told["tasks"]["queued"] == counts.queued


@long
def test_a_worker_that_hangs_and_comes_back_leaves_its_tasks_to_those_that_took_them(
    tmp_path: Path, log: Log, server: ProviderServer
) -> None:
    db, at_once = str(tmp_path / "fleet.db"), 3
    options = ("--usd", "20", "--workers", "2", "--at-once", str(at_once))
    supervisor = starting(questions(24), db, tmp_path, *options)  # after a minute it would be killed
    wait_for(lambda: len(log.prompts) >= 8)
    hung = workers_of(supervisor)[0]
    hung.suspend()
    with Fleet("f", db=db) as fleet:
        wait_for(lambda: fleet.counts().done >= 23, seconds=200)
        hung.resume()
        ended(supervisor, tmp_path)
        assert fleet.counts().done == 24
        check_books(fleet, server, "20")
    assert len(set(log.prompts)) == 3 * 24
    assert log.twice() <= at_once, "again only what was in flight"


@long
def test_the_only_worker_hangs_for_good(tmp_path: Path, log: Log, server: ProviderServer) -> None:
    db = str(tmp_path / "fleet.db")
    supervisor = starting(questions(TASKS), db, tmp_path, "--usd", "20", "--at-once", "3")
    wait_for(lambda: len(log.prompts) >= 8)
    workers_of(supervisor)[0].suspend()
    ended(supervisor, tmp_path)
    with Fleet("f", db=db) as fleet:
        assert fleet.counts().done == TASKS
        check_books(fleet, server, "20")
    assert log.twice() <= 3, "again only what was in flight"


def test_what_a_dead_worker_held_holds_nothing_up(tmp_path: Path, log: Log, server: ProviderServer) -> None:
    """Its tasks run one after the other now, and the first of them must not wait for the holds of the others."""
    log.seconds = 2.0
    db, cap = str(tmp_path / "fleet.db"), "0.0033"  # four calls in flight, and no fifth
    supervisor = starting(questions(6), db, tmp_path, "--usd", cap, "--at-once", "4", "--json")
    wait_for(lambda: len(log.prompts) >= 4)
    workers_of(supervisor)[0].kill()
    ended(supervisor, tmp_path, (3,))
    with Fleet("f", db=db) as fleet:
        assert fleet.paused().startswith("budget")
        assert fleet.counts().queued == 6
        check_books(fleet, server, cap)


def test_a_fleet_that_is_told_to_stop_finishes_its_calls(tmp_path: Path, log: Log, server: ProviderServer) -> None:
    db = str(tmp_path / "fleet.db")
    supervisor = starting(questions(6), db, tmp_path, "--usd", "5", "--at-once", "3")
    wait_for(lambda: len(log.prompts) >= 4)
    supervisor.send_signal(signal.SIGINT)
    ended(supervisor, tmp_path, (130,))
    with Fleet("f", db=db) as fleet:
        counts = fleet.counts()
        assert counts.queued + counts.done == 6
        assert counts.queued
        assert not fleet.reading()["unknown_calls"], "no call was cut"
        check_books(fleet, server, "5")
    ended(starting(questions(6), db, tmp_path, "--usd", "5", "--at-once", "3"), tmp_path)
    assert len(log.prompts) == len(set(log.prompts)) == 18


@long
def test_a_database_that_restarts(
    own_postgres: PostgresServer, tmp_path: Path, log: Log, server: ProviderServer
) -> None:
    supervisor = starting(questions(TASKS), own_postgres.address, tmp_path, "--usd", "5", "--at-once", "4")
    wait_for(lambda: len(log.prompts) >= TASKS // 2)
    own_postgres.kill()
    own_postgres.start()
    ended(supervisor, tmp_path)
    with Fleet("f", db=own_postgres.address) as fleet:
        assert fleet.counts().done == TASKS
        check_books(fleet, server, "5")
    assert len(set(log.prompts)) == 3 * TASKS
    assert log.twice() <= 8, "again only what was in flight when it went"
