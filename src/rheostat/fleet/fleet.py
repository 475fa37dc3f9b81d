"""`Fleet`: many budget-capped tasks on one graph, that outlive the processes which work on them."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from rheostat.errors import BadInput, LedgerUnavailable
from rheostat.fleet.checkpoints import prepare
from rheostat.fleet.database import Database, Settings, account_of
from rheostat.fleet.graphs import AnyGraph, checked, load_graph
from rheostat.fleet.queue import Queue
from rheostat.fleet.results import Counts, TaskResult
from rheostat.fleet.tasks import FleetTask, as_tasks
from rheostat.judgement.shipped import default_profile
from rheostat.money.budget import Budget, checked_budget
from rheostat.money.ledger import Account, Rate, Reading
from rheostat.money.ledger.rows import budget_of

__all__ = ["Fleet"]


class Fleet:
    """Tasks under one hard cap, on a durable queue: whatever is killed, each task ends once, and no step is paid twice.

    The queue, the checkpoints and the ledger are in one database. The accounts are `fleet/NAME` with the cap (beneath
    `rate/NAME`, if there is a rate), beneath it `fleet/NAME/TASK`, and beneath that the runs. Opening a fleet that
    exists goes on with it.

    >>> fleet = Fleet("nightly", "graphs/solver.py:graph", budget=Budget(usd="50"), each=Budget(usd="0.20"))
    >>> fleet.submit([{"id": "1", "question": "What is 7 * 6?"}])
    >>> for result in fleet.gather():
    ...     print(result.id, result.answer, result.usd)

    Args:
        name: Names the fleet within its database.
        graph: The address of a LangGraph graph, such as `graphs/solver.py:graph` or `package.module:graph`, which
            workers in processes of their own load; or the graph itself, which is run in this process. It may be
            compiled or not; it gets the fleet's checkpointer, and all its model calls are paid by the task's account.
        budget: The hard cap of all tasks together; required for a new fleet. `Ledger.amend("fleet/NAME", …)` changes
            it.
        each: The limits of one task.
        db: The path of an SQLite file, or `postgresql://…` for workers on several machines.
        rate: The requests and tokens a minute that the provider allows, of all workers together: calls wait for them.
        account: An account above, open in the database's ledger: a team's, or a rate that several fleets share.
        workers: Worker processes on this machine; with a graph object there is one worker, in this process.
        at_once: The tasks that one worker works on at the same time; by default 8. A fleet that is opened again keeps
            what isn't given.
        attempts: The most times that one task is begun before it is set aside as failed; by default 3.
        retention_days: Results and checkpoints are deleted when they are this old; by default 30. What was spent stays
            in the ledger.
        model: A model's name: with less money than tasks, those go first for which its profile promises the most
            correct answers' worth per dollar. Without it the order is by `priority` and `worth` alone.

    Raises:
        BadInput: The name, the graph or a number can't be used; a new fleet has no budget.
        MissingExtra: `pip install 'rheostat[fleet]'` is needed.
        LedgerError, LedgerUnavailable: As the ledger raises them.
    """

    def __init__(
        self,
        name: str,
        graph: str | AnyGraph | None = None,
        *,
        budget: Budget | None = None,
        each: Budget | None = None,
        db: str | Path = "fleet.db",
        rate: Rate | None = None,
        account: str | None = None,
        workers: int = 1,
        at_once: int | None = None,
        attempts: int | None = None,
        retention_days: float | None = None,
        model: str | None = None,
    ) -> None:
        if not isinstance(name, str) or not 1 <= len(name) <= 100 or "/" in name or not name.isprintable():
            raise BadInput(f"a fleet's name is a text of 1 to 100 printable characters without '/', not {name!r}")
        for option, number in (("workers", workers), ("at_once", at_once), ("attempts", attempts)):
            if number is None:
                continue
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise BadInput(f"{option} is a whole number of at least 1, not {number!r}")
        if retention_days is not None and retention_days <= 0:
            raise BadInput(f"retention_days must be above zero, not {retention_days!r}")
        self.name, self.workers, self.db = name, workers, str(db)
        self.account = account_of(name)
        """The account with the cap."""
        self._graph = checked(graph, "the graph") if graph is not None and not isinstance(graph, str) else None
        self._database = Database(self.db)
        self._queue = Queue(self._database, name)
        self._running: Any = None
        try:
            known = self._known()
            if known is None and graph is None:
                self._database.settings(name)  # raises, and names the fleets that there are
            if known is None or graph is not None:
                address = _absolute(graph) if isinstance(graph, str) else ""
                given = {
                    "each": None if each is None else checked_budget(each).to_dict(),
                    "at_once": at_once,
                    "attempts": attempts,
                    "retention_days": retention_days,
                    "model": model,
                }
                changed: Any = {option: value for option, value in given.items() if value is not None}
                made = replace(known or Settings(name=name), graph=address, **changed)
                self._open(made, budget, rate, account, new=known is None)
                prepare(self._database)
                if known is None:
                    self._queue.open(made)
                else:  # it may have been paused or resumed meanwhile
                    self._queue.change(lambda now: replace(now, graph=address, **changed))
                known = made
            self.settings = known
        except BaseException:
            self.close()
            raise

    def _known(self) -> Settings | None:
        rows = self._database.query("SELECT name FROM rheostat_fleets WHERE name = :name", name=self.name)
        return self._database.settings(self.name) if rows else None

    def _open(
        self, settings: Settings, budget: Budget | None, rate: Rate | None, account: str | None, *, new: bool
    ) -> None:
        if new and budget is None:
            raise BadInput(f'a new fleet needs a hard cap: Fleet({self.name!r}, …, budget=Budget(usd="50"))')
        if settings.graph:
            load_graph(settings.graph)  # a mistake shows here, not in every worker
        ledger, pace = self._database.ledger, f"rate/{self.name}"
        above = account if rate is None else pace
        if not new:
            [above] = self._database.query("SELECT parent FROM rheostat_accounts WHERE id = :id", id=self.account)[0]
            if (rate is not None and above != pace) or (rate is None and account not in (None, above)):
                raise BadInput(
                    f"fleet {self.name!r} is open under {above or 'no account'}, which can't be changed: give a rate "
                    "to that account (`rheostat ledger amend`), or start a fleet of another name"
                )
        if rate is not None:
            ledger.open(Account(pace, parent=account, rate=rate), {})
            ledger.amend(pace, rate=rate)
        if budget is not None:
            ledger.open(Account(self.account, checked_budget(budget), above))

    def close(self) -> None:
        """Close the connections; tasks and results stay in the database."""
        self._queue.close()
        self._database.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- in ---------------------------------------------------------------------------------------

    def submit(self, tasks: Iterable[FleetTask | Mapping[str, Any] | str]) -> int:
        """Queue tasks. A task whose id is known is the same task: it isn't queued again, whatever became of it.

        Args:
            tasks: `{"id", "question" | "messages" | "input", "worth", "deadline", "priority"}`, or questions.

        Returns:
            The number of new tasks.

        Raises:
            BadInput: One of them can't be used; none is queued.
        """
        return self._queue.add(as_tasks(tasks), default_profile(), self.settings.model)

    async def asubmit(self, tasks: Iterable[FleetTask | Mapping[str, Any] | str]) -> int:
        """As `submit`."""
        return await asyncio.to_thread(self.submit, list(tasks))

    def pause(self) -> None:
        """Begin no further task; those that are running go on."""
        self._queue.pause("paused by the user")

    def resume(self) -> None:
        """Begin tasks again, after `pause` or when the cap was raised."""
        self._queue.resume()

    def retry(self) -> int:
        """Queue the failed tasks again, except those whose deadline passed; returns their number."""
        return self._queue.retry()

    # --- work -------------------------------------------------------------------------------------

    def work(self, *, stay: bool = False, tell: Callable[[Counts], None] = lambda counts: None) -> Counts:
        """Run workers until all tasks have ended, or none can be begun because the fleet is paused or used up.

        Args:
            stay: Go on until the process is told to stop.
            tell: Called a few times a second with the counts.

        Raises:
            BadInput: Nothing says which graph; or this process uses DBOS for something else.
            WorkersFailed: Workers can't start.
        """
        from rheostat.fleet.supervisor import Supervisor

        if self._graph is None and not self.settings.graph:
            raise BadInput(
                f"fleet {self.name!r} was made with a graph object: give it again, Fleet({self.name!r}, graph)"
            )
        if self._graph is None:
            self._running = supervisor = Supervisor(self._database, self.settings, self.workers)
            return supervisor.run(stay=stay, tell=tell)
        from rheostat.fleet.worker import Worker

        executor = f"{self.name}/{platform.node()}/{uuid.uuid4().hex[:8]}"
        self._running = worker = Worker(self._database, self.settings, executor, self._graph)
        watch = Supervisor(self._database, self.settings, workers=0)

        def done() -> bool:
            with contextlib.suppress(LedgerUnavailable):  # it has been waited for, and may come back
                watch.tidy()
                counts = self._queue.counts()
                tell(counts)
                return not stay and watch.over(counts)
            return False

        with ThreadPoolExecutor(1) as aside:  # DBOS would put its work on an event loop that runs here
            running = aside.submit(worker.run, done)
            try:
                running.result()
            except BaseException:
                worker.stop()
                raise
        return self._queue.counts()

    def stop(self) -> None:
        """Let `work`, in another thread or below a signal handler, finish the calls under way and end."""
        if self._running is not None:
            self._running.stop()

    def gather(self) -> list[TaskResult]:
        """Work until nothing is left to do, and return what became of each task."""
        self.work()
        return self.results()

    async def agather(self) -> list[TaskResult]:
        """As `gather`; if it is cancelled, the calls under way are finished first."""
        working = asyncio.ensure_future(asyncio.to_thread(self.gather))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            while not working.done():
                self.stop()  # again, if it hadn't begun
                await asyncio.wait([working], timeout=0.2)
            raise

    # --- out --------------------------------------------------------------------------------------

    def results(self) -> list[TaskResult]:
        """What became of each task so far."""
        return list(self._queue.results())

    def counts(self) -> Counts:
        """The tasks by state."""
        return self._queue.counts()

    def paused(self) -> str:
        """Why no task is begun; empty: tasks are."""
        return self._database.settings(self.name).paused

    def alive(self) -> list[str]:
        """The workers that are alive, on all machines."""
        return self._database.alive(self.name)

    def budget(self) -> Budget | None:
        """The cap as it is now."""
        rows = self._database.query("SELECT budget FROM rheostat_accounts WHERE id = :id", id=self.account)
        return budget_of(rows[0][0]) if rows and rows[0][0] else None

    def reading(self) -> Reading:
        """What the fleet has spent."""
        return self._database.ledger.reading(self.account)


def _absolute(address: str) -> str:
    """A graph's address that is the same from every directory."""
    where, _, name = address.rpartition(":")
    return f"{Path(where).resolve()}:{name}" if where.endswith(".py") else address
