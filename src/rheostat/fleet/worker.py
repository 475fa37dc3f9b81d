"""A worker: takes tasks of one fleet from the queue and works on several of them at the same time.

`python -m rheostat.fleet.worker` is one in a process of its own. It reads what to do as one line of JSON from standard
input, works until its parent closes that (or is gone), finishes the calls that are under way, and ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from dbos import DBOS, DBOSConfig, WorkflowSerializationFormat, _dbos
from dbos._context import current_owner_xid
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from rheostat.addresses import without_password
from rheostat.calling.instrument import install_gate
from rheostat.errors import BadInput, LedgerError, LedgerUnavailable
from rheostat.fleet.checkpoints import close_saver, open_saver
from rheostat.fleet.database import ALIVE_SECONDS, Database, Settings, queue_of
from rheostat.fleet.graphs import AnyGraph, compiled, load_graph
from rheostat.fleet.queue import APPLICATION, VERSION, WORKFLOW, Queue
from rheostat.fleet.results import TaskResult
from rheostat.fleet.tasks import FleetTask
from rheostat.fleet.work import PutBack, Taken, TaskFailed, UsedUp, Work
from rheostat.money.budget import Budget
from rheostat.visible import one_line

__all__ = ["AWAY", "GRACE_SECONDS", "READY", "Worker", "main"]

READY: Final = "this worker takes tasks"
"""What a worker says when it has started."""
AWAY: Final = 75
"""The exit status of a worker that can't reach the database (EX_TEMPFAIL)."""
GRACE_SECONDS: Final = 600
"""The longest that a worker that was told to stop waits for calls under way."""
_BEAT_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 3.0
_OUTAGE: Final = (LedgerUnavailable, OperationalError, InterfaceError, NoConnection)
_log = logging.getLogger(__name__)


class Alone:
    """Tasks run side by side, but one whose worker died runs alone: if it kills this worker too, it was its fault."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._together, self._lone, self._waiting = 0, False, 0

    @asynccontextmanager
    async def taken(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait for a place."""
        async with self._changed:
            if alone:
                self._waiting += 1
                try:
                    await self._changed.wait_for(lambda: not self._lone and not self._together)
                finally:
                    self._waiting -= 1
                self._lone = True
            else:
                await self._changed.wait_for(lambda: not self._lone and not self._waiting)
                self._together += 1
        try:
            yield
        finally:
            async with self._changed:
                if alone:
                    self._lone = False
                else:
                    self._together -= 1
                self._changed.notify_all()


@dataclass
class Claim:
    """A worker's claim to one task, which another one may take when this one is silent for too long."""

    worker: Worker
    name: str
    token: str | None
    """What its claim wrote into the queue."""
    sure_at: float = 0.0
    """When the queue said so."""

    async def holds(self) -> bool:
        """Whether the task is still this worker's; the queue is asked only if this process was away for a while."""
        if self.sure_at > self.worker.away_until and time.time() - self.worker.heard_at < ALIVE_SECONDS / 2:
            return True
        now = time.time()
        if await asyncio.to_thread(self.worker.queue.owner, self.name) != self.token:
            return False
        self.sure_at = now
        return True


@dataclass
class Worker:
    """One process of a fleet. There can be one worker in a process at a time, because DBOS has one instance."""

    database: Database
    settings: Settings
    executor: str
    """Its id: another worker that starts under the same id goes on with what this one left."""
    graph: AnyGraph
    heard_at: float = 0.0
    """The time of its last heartbeat, on the wall, which also goes on while the machine sleeps."""
    away_until: float = 0.0
    """The time of its last heartbeat that came late."""
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _idle: dict[str, float] = field(default_factory=dict, repr=False)
    """Tasks that are this worker's by the queue, but on which it doesn't work, and since when."""
    _work: Work | None = field(default=None, repr=False)
    _running: int = 0
    _making: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _alone: Alone = field(default_factory=Alone, repr=False)

    def stop(self) -> None:
        """Take no further task, finish the calls under way, put the tasks back, and end. Returns at once."""
        self._stop.set()

    def run(self, done: Callable[[], bool] = lambda: False) -> None:
        """Work until told to stop.

        Args:
            done: Asked every half a second: whether there is nothing left to do.

        Raises:
            BadInput: This process already has a worker, or uses DBOS for something else.
        """
        global _worker  # noqa: PLW0603 - DBOS's registry is as global
        if _worker is not None or _dbos._dbos_global_instance is not None:
            raise BadInput(
                "this process already uses DBOS, for a fleet or for something else: give the graph's address, such "
                "as 'graphs/solver.py:graph', so that the fleet has processes of its own"
            )
        _worker = self
        queue = self.queue = Queue(self.database, self.settings.name)
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self.database.url,
            "system_database_engine": self.database.engine,
            "dbos_system_schema": None if self.database.is_file else "dbos",
            "executor_id": self.executor,
            "application_version": VERSION,
            "log_level": "CRITICAL",  # its log names tasks that were put back as errors; what failed is in the results
            "use_listen_notify": False,
        }
        logging.getLogger("dbos").propagate = False
        try:
            queue.client.check_connection()
            queue.inherit(self.executor)
            self.database.beat(self.executor, self.settings.name)
            self.heard_at = time.time()
            DBOS(config=config)
            DBOS.listen_queues([queue_of(self.settings.name)])
            DBOS.launch()
            _log.warning(READY)
            beat = threading.Thread(target=self._beat, name="fleet-heartbeat", daemon=True)
            beat.start()
            while not self._stop.wait(0.5) and not done():
                pass
            self._stop.set()
        finally:
            self._stop.set()
            try:
                DBOS.destroy(workflow_completion_timeout_sec=GRACE_SECONDS if self._running else 0)
                queue.sweep(leaving=self.executor)
                self._ended.set()
                self.database.leave(self.executor)
            finally:
                self._ended.set()
                queue.close()
                _worker = None

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):  # the last calls may take longer than a dead worker is waited for
            try:
                self.database.beat(self.executor, self.settings.name)
                now = time.time()
                if not 0 <= now - self.heard_at < ALIVE_SECONDS / 2:
                    self.away_until = now
                self.heard_at = now
                if not self._stop.is_set():
                    self._idle = self.queue.abandoned(self.executor, self._active(), self._idle)
            except Exception as error:  # the database is away for a while
                _log.warning("no heartbeat: %s", type(error).__name__)

    @staticmethod
    def _active() -> list[str]:
        """The tasks on which this process works."""
        dbos = _dbos._dbos_global_instance
        return [] if dbos is None else dbos._active_workflows_set.activeList()

    async def _ready(self) -> Work:
        async with self._making:
            if self._work is None:
                saver = await open_saver(self.database, max(2, self.settings.at_once))
                self._keeper = asyncio.create_task(_kept(saver))
                each = self.settings.each
                self._work = Work(
                    self.settings.name,
                    compiled(self.graph, saver),
                    self.database.ledger,
                    each=None if each is None else Budget.from_dict(each),
                    attempts=self.settings.attempts,
                    stopping=self._stop.is_set,
                )
        return self._work

    async def _prepared(self, claim: Claim) -> tuple[bool, int]:
        """Make everything ready; whether a worker died while it had this task, and how often the fleet was resumed."""
        try:
            await self._ready()
            now = time.time()
            claims, resumed, owner = await asyncio.to_thread(self.queue.begun, claim.name)
        except Exception as error:  # the database is away: that is not the task's fault
            _log.warning("not ready: %s", one_line(without_password(str(error))))
            await asyncio.sleep(_AGAIN_SECONDS)
            raise PutBack from error
        if owner != claim.token:
            raise Taken
        claim.sure_at = now
        return claims > 1, resumed

    async def _work_on(self, task: FleetTask, claim: Claim, *, died: bool) -> TaskResult:
        """Run a task; one whose worker died runs alone, and each time that it begins so is counted until it ends."""
        work = await self._ready()
        async with self._alone.taken(alone=died):
            if not died:
                return await work.run(task, ours=claim.holds)
            try:
                begun = await asyncio.to_thread(self.database.suspect, claim.name)
                return await work.run(task, begun, claim.holds)
            finally:  # whatever became of it, it didn't kill this worker
                await asyncio.to_thread(self.database.cleared, claim.name)

    async def task(self, row: dict[str, Any]) -> dict[str, Any]:
        """The body of the workflow."""
        self._running += 1
        try:
            return await self._task(row)
        finally:
            self._running -= 1

    async def _task(self, row: dict[str, Any]) -> dict[str, Any]:
        task = FleetTask.from_dict(row)
        name = self.queue.id_of(task.id)
        claim = Claim(self, name, current_owner_xid(name))
        while True:
            try:
                return await self._once(task, claim)
            except _OUTAGE as error:  # just when the task's end, or why it goes back, was to be written
                _log.warning("the database is away: %s", type(error).__name__)
                if self._stop.is_set():  # the task goes on elsewhere when this worker is gone
                    raise asyncio.CancelledError from None
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _once(self, task: FleetTask, claim: Claim) -> dict[str, Any]:
        """Work on a task once; an outage of the database ends it like any other exception."""
        name, resumed = claim.name, 0
        try:
            died, resumed = await self._prepared(claim)
            result = (await self._work_on(task, claim, died=died)).to_dict()
            # half of a surrogate pair, which a model may say, can't be stored
            stored: dict[str, Any] = json.loads(json.dumps(result, ensure_ascii=False).encode(errors="replace"))
            return stored
        except TaskFailed as failed:
            raise SetAside(json.dumps(failed.result.to_dict())) from None
        except PutBack as why:
            if isinstance(why, UsedUp):
                await asyncio.to_thread(self.queue.pause, f"budget: {why}", resumed)
            if not isinstance(why, Taken) and await claim.holds():
                await asyncio.to_thread(self.queue.put_back, name)
            raise asyncio.CancelledError from None  # DBOS records no outcome


async def _kept(saver: Any) -> None:
    """Close the saver when DBOS ends its event loop, which cancels what runs on it."""
    try:
        await asyncio.Event().wait()
    finally:
        await close_saver(saver)


class SetAside(Exception):
    """How a failed task is recorded: its text is the result as JSON."""


_worker: Worker | None = None


@DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None, serialization_type=WorkflowSerializationFormat.PORTABLE)
async def _fleet_task(task: dict[str, Any]) -> dict[str, Any]:
    if _worker is None:
        raise asyncio.CancelledError
    return await _worker.task(task)


def main() -> None:
    """Work as standard input says, until it is closed."""
    asked = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides
    try:
        sys.path += [each for each in asked["path"] if each not in sys.path]  # at the end: it hides nothing
        database = Database(asked["db"])
        settings = database.settings(asked["fleet"])
        worker = Worker(database, settings, asked["executor"], load_graph(settings.graph))
        install_gate(strict=True)  # a call in a thread that knows no task would be paid by no account

        def closed() -> None:
            sys.stdin.read()
            worker.stop()

        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        threading.Thread(target=closed, daemon=True).start()
        worker.run()
    except LedgerError as error:
        _log.error("%s", one_line(without_password(str(error))))
        os._exit(AWAY if isinstance(error, LedgerUnavailable) else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # threads of models and pools must not hold up the end


if __name__ == "__main__":
    main()
