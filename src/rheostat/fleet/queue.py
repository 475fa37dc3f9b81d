"""The queue of a fleet, kept by DBOS: one workflow a task, whose id is the task's.

A task is *queued*, *running*, *done*, or *failed*: set aside after its last attempt, or because its deadline passed.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeAlias

from dbos import DBOS, DBOSClient, EnqueueOptions, WorkflowSerializationFormat
from sqlalchemy import Connection

from rheostat.fleet.database import ALIVE_SECONDS, Database, Settings, account_of, queue_of
from rheostat.fleet.order import place, value
from rheostat.fleet.tasks import FleetTask
from rheostat.judgement.profile import Profile

__all__ = ["APPLICATION", "VERSION", "WORKFLOW", "Counts", "Queue", "State", "TaskResult"]

APPLICATION: Final = "rheostat"
WORKFLOW: Final = "rheostat fleet task"
VERSION: Final = "rheostat-fleet-1"
"""Of what is queued. A worker begins only tasks of its own version, whatever version of Rheostat queued them."""
_POLL_SECONDS: Final = 0.1
_PAGE: Final = 500

State: TypeAlias = Literal["queued", "running", "done", "failed"]
_STATES: Final[dict[str, State]] = {
    "ENQUEUED": "queued", "DELAYED": "queued", "CANCELLED": "queued", "PENDING": "running", "SUCCESS": "done",
    "ERROR": "failed", "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}  # fmt: skip
_ENDED: Final = ("SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What became of one task."""

    id: str
    state: State
    answer: Any = None
    """As the graph gave it; `None`: there is none."""
    verdict: bool | None = None
    """What the graph's verifier said of the answer; `None`: nothing could tell."""
    by: str = ""
    """What ended it: `answer`, `budget`, `deadline`, `error` … (see `rheostat.graph.ending`)."""
    why: str = ""
    """The same in words; of a failed task its last error."""
    usd: str | None = None
    """Dollars spent on it, all attempts together; `None`: part of it had no price."""
    tokens: int = 0
    """Input and output tokens, all attempts together."""
    calls: int = 0
    attempts: int = 0
    """The times that it was begun."""
    seconds: float = 0.0
    """From its last beginning to its end."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The tasks of a fleet by state, and how long those that ended have taken together."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    foreign: int = 0
    """Of the queued ones, those that another version of Rheostat queued in a form that this one doesn't know."""
    first_ms: int | None = None
    """When the first task began, in milliseconds since the epoch."""
    last_ms: int | None = None
    """When the latest ended."""
    recent: int = 0
    """Tasks that ended in the last five minutes."""

    @property
    def ended(self) -> int:
        """The tasks that need no further work."""
        return self.done + self.failed

    @property
    def total(self) -> int:
        """All tasks."""
        return self.queued + self.running + self.ended


@dataclass
class Queue:
    """The tasks of one fleet."""

    database: Database
    fleet: str
    _client: DBOSClient | None = field(default=None, repr=False)
    _silent: dict[str, tuple[int | None, float]] = field(default_factory=dict, repr=False)
    """Of each worker with tasks: its last beat, and since when we see that one."""
    _looked: float = -math.inf

    @property
    def client(self) -> DBOSClient:
        """DBOS's client on the same connections."""
        if self._client is None:
            DBOS.migrate(self.database.url)
            self._client = DBOSClient(
                system_database_engine=self.database.engine,
                dbos_system_schema=None if self.database.is_file else "dbos",
                application_name=APPLICATION,
            )
        return self._client

    def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            self._client.destroy()
            self._client = None

    @property
    def _table(self) -> str:
        return "workflow_status" if self.database.is_file else "dbos.workflow_status"

    @property
    def _prefix(self) -> str:
        return f"{self.fleet}/"

    def id_of(self, task: str) -> str:
        """The id of a task's workflow."""
        return f"{self._prefix}{task}"

    def thread_of(self, workflow: str) -> str:
        """The thread of a workflow's checkpoints."""
        return account_of(self.fleet, workflow.removeprefix(self._prefix)).removeprefix("fleet/")

    # --- in ---------------------------------------------------------------------------------------

    def open(self, settings: Settings) -> None:
        """Make the queue, or give it these settings."""
        self.client.register_queue(
            queue_of(self.fleet),
            worker_concurrency=0 if settings.paused else settings.at_once,
            polling_interval_sec=_POLL_SECONDS,
        )
        self.database.save(settings)

    def pause(self, why: str, resumed: int | None = None) -> None:
        """Begin no further task; those that are running go on.

        Args:
            resumed: Not if the fleet was resumed more often than this: what was refused before that may fit now.
        """
        settings = self.database.settings(self.fleet)
        if resumed is None or resumed == settings.resumed:
            self.open(replace(settings, paused=why))

    def resume(self) -> None:
        """Begin tasks again."""
        settings = self.database.settings(self.fleet)
        self.open(replace(settings, paused="", resumed=settings.resumed + 1))

    def add(self, tasks: Sequence[FleetTask], profile: Profile, model: str | None) -> int:
        """Queue tasks; those that were queued before, in whatever state they are now, are left alone.

        Returns:
            The number of new ones.
        """
        known = {row[0] for row in self.database.query(
            f"SELECT workflow_uuid FROM {self._table} WHERE substr(workflow_uuid, 1, :n) = :prefix",  # noqa: S608 - ours
            n=len(self._prefix), prefix=self._prefix,
        )}  # fmt: skip
        new = [task for task in tasks if self.id_of(task.id) not in known]
        for begin in range(0, len(new), _PAGE):
            page = new[begin : begin + _PAGE]
            places = [place(task.priority, value(task, profile, model)) for task in page]

            def enqueue(connection: Connection, page: Any = page, places: Any = places) -> None:
                for task, behind in zip(page, places, strict=True):
                    options: EnqueueOptions = {
                        "workflow_name": WORKFLOW,
                        "queue_name": queue_of(self.fleet),
                        "workflow_id": self.id_of(task.id),
                        "app_version": VERSION,
                        "priority": behind,
                        "serialization_type": WorkflowSerializationFormat.PORTABLE,
                    }
                    self.client.enqueue_in_transaction(connection, options, task.to_dict())

            self.database.patiently(enqueue)
        return len(new)

    def put_back(self, *ids: str) -> None:
        """Queue running tasks again, as if they hadn't been begun; their checkpoints are kept."""
        if ids:
            self.client.resume_workflows(list(ids), queue_name=queue_of(self.fleet))

    def sweep(self, *, leaving: str | None = None) -> int:
        """Queue the tasks again whose workers are gone.

        Args:
            leaving: A worker that is about to end, and has stopped working.

        Returns:
            Their number.
        """
        running = self._running()
        if leaving is not None:
            self.inherit(leaving)
            self.put_back(*(name for name, executor in running if executor == leaving))
            return len(running)
        gone = self._gone({executor for _, executor in running})
        found = 0
        for name, executor in running:
            # DBOS's own recovery, which counts the attempt and has one winner; the client has no public name for it
            if executor in gone and self.client._sys_db.reenqueue_for_recovery(name, [executor], queue_of(self.fleet)):
                found += 1
                self._give_up(name, ALIVE_SECONDS / 2)  # a hold that is younger is that of the next worker
        return found

    def inherit(self, executor: str) -> None:
        """Give up the calls of a dead worker, before another one starts under its id."""
        for name, other in self._running():
            if other == executor:
                self._give_up(name, 0)

    def _give_up(self, name: str, older_than_seconds: float) -> None:
        """Close a task's reservations, so that no other task waits for them until this one is begun again."""
        self.database.ledger.expire(older_than_seconds, account=account_of(self.fleet, name.removeprefix(self._prefix)))

    def _running(self) -> list[tuple[str, str]]:
        """Each running task's workflow and worker."""
        return [(row[0], row[1]) for row in self.database.query(
            f"SELECT workflow_uuid, executor_id FROM {self._table}"  # noqa: S608 - our own constant
            " WHERE status = 'PENDING' AND queue_name = :queue",
            queue=queue_of(self.fleet),
        )]  # fmt: skip

    def _gone(self, executors: set[str]) -> set[str]:
        """Those that weren't heard of for a while of *our* time, in which we looked again and again.

        By the database's clock alone, all would be dead after an outage, or when a machine wakes up.
        """
        now, beats = time.monotonic(), self.database.beats(self.fleet) if executors else {}
        if now - self._looked > ALIVE_SECONDS / 2:
            self._silent.clear()
        self._looked = now
        self._silent = {
            name: known if (known := self._silent.get(name)) and known[0] == beats.get(name) else (beats.get(name), now)
            for name in executors
        }
        return {name for name, (_, since) in self._silent.items() if now - since > ALIVE_SECONDS}

    def retry(self) -> int:
        """Queue the failed tasks again, except those whose deadline passed; what they spent before stays spent.

        Returns:
            Their number.
        """
        failed: tuple[State, ...] = ("failed",)
        again = [each.id for each in self.results(failed) if each.by != "deadline"]
        for task in again:
            self.client.rewind_workflow(self.id_of(task), queue_name=queue_of(self.fleet), application_version=VERSION)
        return len(again)

    def begun(self, workflow: str) -> tuple[int, int]:
        """How often a task was begun, and how often its fleet was resumed.

        Putting a task back starts its count anew, a worker's death doesn't.
        """
        ((begun, settings),) = self.database.query(
            f"SELECT recovery_attempts, (SELECT settings FROM rheostat_fleets WHERE name = :fleet) FROM {self._table}"  # noqa: S608 - our constant
            " WHERE workflow_uuid = :name",
            name=workflow, fleet=self.fleet,
        )  # fmt: skip
        return int(begun or 1), Settings.from_dict(json.loads(settings)).resumed

    def owner(self, workflow: str) -> str | None:
        """The token of the execution that a running task belongs to: each claim writes another one."""
        text = f"SELECT owner_xid FROM {self._table} WHERE workflow_uuid = :name"  # noqa: S608 - our constant
        rows = self.database.query(text, name=workflow)
        return rows[0][0] if rows else None

    # --- out --------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """The tasks by state."""
        now = self.database.now_ms()
        columns = (
            "status, application_version, count(*), min(started_at_epoch_ms), max(completed_at), "
            "sum(CASE WHEN completed_at >= :since THEN 1 ELSE 0 END)"
        )
        rows = self.database.query(
            f"SELECT {columns} FROM {self._table}"  # noqa: S608 - our constants
            " WHERE substr(workflow_uuid, 1, :n) = :prefix GROUP BY status, application_version",
            n=len(self._prefix), prefix=self._prefix, since=now - 300_000,
        )  # fmt: skip
        by: dict[str, int] = {"queued": 0, "running": 0, "done": 0, "failed": 0}
        foreign, recent, firsts, lasts = 0, 0, [], []
        for status, version, count, first, last, lately in rows:
            by[_STATES[status]] += count
            if _STATES[status] == "queued" and version != VERSION:
                foreign += count
            if status in _ENDED:
                recent += int(lately or 0)
                lasts.append(last)
            firsts.append(first)
        known = [each for each in firsts if each], [each for each in lasts if each]
        return Counts(
            **by,
            foreign=foreign,
            recent=recent,
            first_ms=min(known[0], default=None),
            last_ms=max(known[1], default=None),
        )

    def results(self, states: Collection[State] = ()) -> Iterator[TaskResult]:
        """What became of each task, by the time at which it was queued.

        Args:
            states: Only tasks in one of these; all by default.
        """
        begin = 0
        while True:
            page = self.client.list_workflows(
                workflow_id_prefix=self._prefix,
                status=[each for each, state in _STATES.items() if not states or state in states],
                limit=_PAGE,
                offset=begin,
                load_input=False,
            )
            for each in page:
                if each.workflow_id.startswith(self._prefix):  # SQLite's LIKE ignores case
                    yield self._result(each)
            if len(page) < _PAGE:
                return
            begin += _PAGE

    def _result(self, status: Any) -> TaskResult:
        name = status.workflow_id.removeprefix(self._prefix)
        state = _STATES[status.status]
        if state == "done":
            return _known(status.output, id=name)
        began, ended = status.dequeued_at, status.completed_at
        known = TaskResult(
            id=name,
            state=state,
            attempts=status.recovery_attempts or 0,
            seconds=(ended - began) / 1000 if began and ended else 0.0,
        )
        if state != "failed":
            return known
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            return _known(json.loads(str(status.error)), id=name, state="failed")
        return replace(known, by="error", why=str(status.error))

    def old(self, days: float) -> list[str]:
        """The ids of the workflows of tasks that ended this many days ago."""
        before = self.database.now_ms() - int(days * 86_400_000)
        return [row[0] for row in self.database.query(
            f"SELECT workflow_uuid FROM {self._table} WHERE substr(workflow_uuid, 1, :n) = :prefix"  # noqa: S608 - ours
            " AND completed_at <= :before AND status IN ('SUCCESS', 'ERROR', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')",
            n=len(self._prefix), prefix=self._prefix, before=before,
        )]  # fmt: skip

    def delete(self, workflows: Sequence[str], days: float) -> None:
        """Delete the results of these tasks, except those that were queued again meanwhile."""
        for begin in range(0, len(workflows), _PAGE):
            ended = set(self.old(days))
            self.client.delete_workflows([each for each in workflows[begin : begin + _PAGE] if each in ended])


def _known(row: dict[str, Any], **more: Any) -> TaskResult:
    """A result from a row, which a newer version may have written."""
    return TaskResult(**{name: value for name, value in {**row, **more}.items() if name in _FIELDS})


_FIELDS = {each.name for each in fields(TaskResult)}
