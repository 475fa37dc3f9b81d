"""The queue of a fleet, kept by DBOS: one workflow a task, whose id is the task's.

A task is *queued*, *running*, *done*, or *failed*: set aside after its last attempt, or because its deadline passed.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from dbos import DBOS, DBOSClient, EnqueueOptions, WorkflowSerializationFormat
from dbos._error import DBOSException
from sqlalchemy import Connection, text

from rheostat.fleet.database import ALIVE_SECONDS, Database, Settings, account_of, queue_of
from rheostat.fleet.order import place, value
from rheostat.fleet.results import ENDED, STATES, Counts, State, TaskResult, result_of
from rheostat.fleet.tasks import FleetTask
from rheostat.judgement.profile import Profile

__all__ = ["APPLICATION", "VERSION", "WORKFLOW", "Queue", "Silence"]

APPLICATION: Final = "rheostat"
WORKFLOW: Final = "rheostat fleet task"
VERSION: Final = "rheostat-fleet-1"
"""Of what is queued. A worker begins only tasks of its own version, whatever version of Rheostat queued them."""
_POLL_SECONDS: Final = 0.1
_PAGE: Final = 500


class Silence:
    """Who wasn't heard of for a while of *our* time, in which we looked again and again.

    By the database's clock alone, all would be dead after an outage, or when a machine wakes up.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[int | None, float]] = {}
        """Of each worker: its last beat, and since when we see that one."""
        self._looked = -math.inf

    def of(self, executors: Collection[str], beats: Mapping[str, int], seconds: float | None = None) -> set[str]:
        """Those of these workers whose last beat has been the same for so many seconds, 15 by default."""
        now = time.monotonic()
        if now - self._looked > ALIVE_SECONDS / 2:
            self._since.clear()
        self._looked = now
        self._since = {
            name: known if (known := self._since.get(name)) and known[0] == beats.get(name) else (beats.get(name), now)
            for name in executors
        }
        return {name for name, (_, since) in self._since.items() if now - since > (seconds or ALIVE_SECONDS)}


@dataclass
class Queue:
    """The tasks of one fleet."""

    database: Database
    fleet: str
    _client: DBOSClient | None = field(default=None, repr=False)
    _silence: Silence = field(default_factory=Silence, repr=False)

    @property
    def client(self) -> DBOSClient:
        """DBOS's client on the same connections."""
        if self._client is None:
            with self.database.alone():
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
    def _schema(self) -> str:
        return "" if self.database.is_file else "dbos."

    @property
    def _table(self) -> str:
        return f"{self._schema}workflow_status"

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
            worker_concurrency=_places(settings),
            polling_interval_sec=_POLL_SECONDS,
        )
        self.database.save(settings)

    def change(self, changed: Callable[[Settings], Settings]) -> None:
        """Change the settings, and the queue with them.

        In one transaction: of two that change them at the same time, or one that dies here, none may leave a queue that
        takes no tasks in a fleet that isn't paused.
        """

        def work(connection: Connection) -> None:
            name = {"name": self.fleet}
            connection.execute(text("UPDATE rheostat_fleets SET name = name WHERE name = :name"), name)  # the lock
            row = connection.execute(text("SELECT settings FROM rheostat_fleets WHERE name = :name"), name).one()
            made = changed(Settings.from_dict(json.loads(row[0])))
            connection.execute(
                text("UPDATE rheostat_fleets SET settings = :settings WHERE name = :name"),
                {**name, "settings": json.dumps(asdict(made))},
            )
            connection.execute(
                text(f"UPDATE {self._schema}queues SET worker_concurrency = :places WHERE name = :queue"),  # noqa: S608 - our own constant
                {"places": _places(made), "queue": queue_of(self.fleet)},
            )

        self.database.patiently(work)

    def pause(self, why: str, resumed: int | None = None) -> None:
        """Begin no further task; those that are running go on.

        Args:
            resumed: Not if the fleet was resumed more often than this: what was refused before that may fit now.
        """
        self.change(lambda now: replace(now, paused=why) if resumed in (None, now.resumed) else now)

    def resume(self) -> None:
        """Begin tasks again."""
        self.change(lambda now: replace(now, paused="", resumed=now.resumed + 1))

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
        executors = {executor for _, executor in running}
        gone = self._silence.of(executors, self.database.beats(self.fleet) if executors else {})
        found = 0
        for name, executor in running:
            if executor in gone:
                self._give_up(name, ALIVE_SECONDS / 2)  # first: whoever dies here must leave no hold without its owner
                found += self._recovered(name, executor)
        return found

    def _recovered(self, name: str, executor: str) -> bool:
        """Queue a worker's task again by DBOS's own recovery, which counts the attempt and has one winner."""
        return self.client._sys_db.reenqueue_for_recovery(name, [executor], queue_of(self.fleet))  # no public name

    def abandoned(self, executor: str, active: Collection[str], before: Mapping[str, float]) -> dict[str, float]:
        """Queue a worker's own tasks again on which it doesn't work: a claim's reply, or an outcome, was lost.

        Args:
            active: Those on which it works.
            before: What this returned the last time.

        Returns:
            Each other one, and since when.
        """
        now = time.monotonic()
        found = {name: before.get(name, now) for name, other in self._running() if other == executor}
        idle = {name: since for name, since in found.items() if name not in active}
        for name in [name for name, since in idle.items() if now - since > ALIVE_SECONDS]:
            self._recovered(name, executor)
            del idle[name]
        return idle

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

    def retry(self) -> int:
        """Queue the failed tasks again, except those whose deadline passed; what they spent before stays spent.

        Returns:
            Their number.
        """
        failed: tuple[State, ...] = ("failed",)
        again = 0
        for task in [each.id for each in self.results(failed) if each.by != "deadline"]:
            with contextlib.suppress(DBOSException):  # another one was faster
                self.client.rewind_workflow(
                    self.id_of(task), queue_name=queue_of(self.fleet), application_version=VERSION
                )
                again += 1
        return again

    def begun(self, workflow: str) -> tuple[int, int, str | None]:
        """How often a task was begun, how often its fleet was resumed, and the token of `owner`.

        Putting a task back starts its count anew, a worker's death doesn't.
        """
        of_fleet = "(SELECT settings FROM rheostat_fleets WHERE name = :fleet)"
        ((begun, owner, settings),) = self.database.query(
            f"SELECT recovery_attempts, owner_xid, {of_fleet} FROM {self._table} WHERE workflow_uuid = :name",  # noqa: S608 - ours
            name=workflow, fleet=self.fleet,
        )  # fmt: skip
        return int(begun or 1), Settings.from_dict(json.loads(settings)).resumed, owner

    def owner(self, workflow: str) -> str | None:
        """The token of the execution that a running task belongs to: each claim writes another one."""
        query = f"SELECT owner_xid FROM {self._table} WHERE workflow_uuid = :name"  # noqa: S608 - our constant
        rows = self.database.query(query, name=workflow)
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
            by[STATES[status]] += count
            if STATES[status] == "queued" and version != VERSION:
                foreign += count
            if status in ENDED:
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
        wanted = [each for each, state in STATES.items() if not states or state in states]
        ids = [row[0] for row in self.database.query(
            f"SELECT workflow_uuid FROM {self._table} WHERE substr(workflow_uuid, 1, :n) = :prefix"  # noqa: S608 - ours
            f" AND status IN ({', '.join(map(repr, wanted))}) ORDER BY created_at, workflow_uuid",
            n=len(self._prefix), prefix=self._prefix,
        )]  # fmt: skip
        for begin in range(0, len(ids), _PAGE):  # not by offsets: tasks that were queued together have no order there
            page = ids[begin : begin + _PAGE]
            found = {
                each.workflow_id: each
                for each in self.client.list_workflows(workflow_ids=page, status=wanted, load_input=False)
            }
            yield from (result_of(each.removeprefix(self._prefix), found[each]) for each in page if each in found)

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


def _places(settings: Settings) -> int:
    """The tasks that a worker may work on at the same time."""
    return 0 if settings.paused else settings.at_once
