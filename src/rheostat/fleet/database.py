"""The one database of a fleet: its ledger, its queue (DBOS), its checkpoints, and who works on it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from rheostat.addresses import without_password
from rheostat.errors import BadInput, LedgerUnavailable, MissingExtra
from rheostat.money.ledger import open_ledger
from rheostat.money.ledger.sqlite import SQLiteLedger

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["ALIVE_SECONDS", "Database", "Settings", "account_of", "queue_of"]

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 120
_LOCK: Final = 0x52686565666C7431
ALIVE_SECONDS: Final = 15.0
"""A worker that wasn't heard of for this long is taken for dead."""
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS rheostat_fleets (name TEXT PRIMARY KEY, settings TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rheostat_workers (executor TEXT PRIMARY KEY, fleet TEXT NOT NULL,"
    " seen_at_ms BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rheostat_suspects (task TEXT PRIMARY KEY, begun INTEGER NOT NULL)",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all workers of a fleet must agree on."""

    name: str
    graph: str = ""
    """The graph's address; empty: the graph exists in one process only."""
    each: dict[str, Any] | None = None
    """The limits of one task, as `Budget.to_dict` gives them."""
    at_once: int = 8
    """The tasks that one worker works on at the same time."""
    attempts: int = 3
    """The most times that one task is begun."""
    retention_days: float = 30.0
    """Results and checkpoints are deleted when they are this old."""
    model: str | None = None
    """The model by whose profile tasks are ordered."""
    paused: str = ""
    """Why no task is begun; empty: tasks are."""
    resumed: int = 0
    """How often it was resumed."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of `dataclasses.asdict`; unknown keys, such as those of newer versions, are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def queue_of(fleet: str) -> str:
    """The name of a fleet's queue."""
    return f"fleet {fleet}"


def account_of(fleet: str, task: str | None = None) -> str:
    """The account of a fleet, or of one of its tasks, which lies beneath it."""
    if task is None:
        return f"fleet/{fleet}"
    return f"fleet/{fleet}/{task.replace('%', '%25').replace('/', '%2F')}"  # a slash means: beneath


class Database:
    """Opens the ledger and the tables at one address: the path of an SQLite file, or `postgresql://…`.

    Raises:
        MissingExtra: DBOS isn't installed.
        BadInput: The path has a character that can't be used.
        LedgerError, LedgerUnavailable: As the ledger raises them.
    """

    def __init__(self, address: str) -> None:
        try:
            import dbos  # noqa: F401 - whether it is there
            import sqlalchemy as sa
        except ImportError:
            raise MissingExtra("Fleet", "fleet") from None
        self._sa = sa
        self.address = address
        self.ledger = open_ledger(address)  # first: it refuses a file that is a database of something else
        if isinstance(self.ledger, SQLiteLedger):
            self.url = f"sqlite:///{Path(self.ledger.path).resolve()}"
            if "?" in self.url:  # what follows would be read as options, and the queue be in another file
                raise BadInput(f"the path of a fleet's database can't have a '?': {address}")
        else:
            self.url = "postgresql+psycopg://" + address.partition("://")[2]
        self.engine = self._engine()
        with self.alone(), self.engine.begin() as connection:
            for statement in _TABLES:
                connection.execute(sa.text(statement))

    @property
    def is_file(self) -> bool:
        """Whether it is an SQLite file, so that all workers are on one machine."""
        return self.url.startswith("sqlite")

    def _engine(self) -> Engine:
        """An engine whose connections wait for each other."""
        sa = self._sa
        engine: Engine
        if not self.is_file:
            engine = sa.create_engine(self.url, pool_size=8, max_overflow=8, pool_pre_ping=True)
            return engine
        engine = sa.create_engine(self.url)

        def connected(connection: Any, record: Any) -> None:
            connection.isolation_level = "IMMEDIATE"
            for pragma in ("busy_timeout = 60000", "foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL"):
                connection.execute(f"PRAGMA {pragma}")

        sa.event.listen(engine, "connect", connected)
        return engine

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make tables while no other process does; Postgres would refuse one of both.

        Waiting without a statement, because an index that is made concurrently waits for all statements to end.
        """
        if self.is_file:
            yield
            return
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            key = {"key": _LOCK}
            while not connection.execute(self._sa.text("SELECT pg_try_advisory_lock(:key)"), key).scalar():
                time.sleep(0.1)
            try:
                yield
            finally:
                connection.execute(self._sa.text("SELECT pg_advisory_unlock(:key)"), key)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self.ledger.close()

    def query(self, text: str, **values: Any) -> list[Any]:
        """The rows of a statement, which may be run again after an outage: it must not matter how often."""

        def work(connection: Connection) -> list[Any]:
            result = connection.execute(self._sa.text(text), values)
            return list(result) if result.returns_rows else []

        return self.patiently(work)

    def patiently(self, work: Callable[[Connection], T]) -> T:
        """Do work in a transaction; while the database can't be reached, wait for it.

        Raises:
            LedgerUnavailable: It didn't come back within two minutes.
        """
        away = (self._sa.exc.OperationalError, self._sa.exc.InterfaceError)
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(away), stop=stop_after_delay(_PATIENCE_SECONDS), wait=wait_fixed(0.5),
                reraise=True,
            ):  # fmt: skip
                with attempt, self.engine.begin() as connection:
                    return work(connection)
        except away as error:
            said = without_password(str(error.orig).strip()) or type(error).__name__
            raise LedgerUnavailable(f"the fleet's database can't be reached: {said}") from error
        raise AssertionError  # the loop returns or raises

    # --- settings ---------------------------------------------------------------------------------

    def settings(self, fleet: str) -> Settings:
        """What the workers of a fleet must agree on.

        Raises:
            BadInput: There is no such fleet here; the message names those that there are.
        """
        rows = self.query("SELECT settings FROM rheostat_fleets WHERE name = :name", name=fleet)
        if not rows:
            names = [row[0] for row in self.query("SELECT name FROM rheostat_fleets ORDER BY name")]
            there = f"there are {', '.join(names)}" if names else "there is none: `rheostat fleet run` makes one"
            raise BadInput(f"no fleet {fleet!r} in this database; {there}")
        return Settings.from_dict(json.loads(rows[0][0]))

    def save(self, settings: Settings) -> None:
        """Keep the settings of a fleet."""
        self.query(
            "INSERT INTO rheostat_fleets (name, settings) VALUES (:name, :settings)"
            " ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
            name=settings.name,
            settings=json.dumps(asdict(settings)),
        )

    # --- workers ----------------------------------------------------------------------------------

    def beat(self, executor: str, fleet: str) -> None:
        """Say that a worker is alive."""
        self.query(
            "INSERT INTO rheostat_workers (executor, fleet, seen_at_ms) VALUES (:executor, :fleet, :now)"
            " ON CONFLICT (executor) DO UPDATE SET seen_at_ms = excluded.seen_at_ms, fleet = excluded.fleet",
            executor=executor,
            fleet=fleet,
            now=self.now_ms(),
        )

    def leave(self, executor: str) -> None:
        """Say that a worker has ended."""
        self.query("DELETE FROM rheostat_workers WHERE executor = :executor", executor=executor)

    def alive(self, fleet: str) -> list[str]:
        """The workers of a fleet that are alive."""
        rows = self.query(
            "SELECT executor FROM rheostat_workers WHERE fleet = :fleet AND seen_at_ms >= :since ORDER BY executor",
            fleet=fleet,
            since=self.now_ms() - int(1000 * ALIVE_SECONDS),
        )
        return [row[0] for row in rows]

    def suspect(self, task: str) -> int:
        """Count that a task is begun whose worker died before; returns how often it was."""
        self.query(
            "INSERT INTO rheostat_suspects (task, begun) VALUES (:task, 1)"
            " ON CONFLICT (task) DO UPDATE SET begun = rheostat_suspects.begun + 1",
            task=task,
        )
        return int(self.query("SELECT begun FROM rheostat_suspects WHERE task = :task", task=task)[0][0])

    def cleared(self, task: str) -> None:
        """Forget that count."""
        self.query("DELETE FROM rheostat_suspects WHERE task = :task", task=task)

    def beats(self, fleet: str) -> dict[str, int]:
        """When each worker of a fleet was last heard of, by the database's clock."""
        text = "SELECT executor, seen_at_ms FROM rheostat_workers WHERE fleet = :fleet"
        return {row[0]: row[1] for row in self.query(text, fleet=fleet)}

    def now_ms(self) -> int:
        """The database's clock, so that the machines' clocks needn't agree."""
        if self.is_file:
            return int(time.time() * 1000)
        return int(self.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")[0][0])
