"""The ledger in one SQLite file: it outlives the process, and is safe for threads and processes on one machine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rheostat.errors import BadInput, LedgerError, LedgerUnavailable
from rheostat.files import check_regular
from rheostat.money.ledger.durable import DurableLedger, Statement, Transaction
from rheostat.money.ledger.refusals import no_text
from rheostat.money.ledger.rows import MIGRATIONS, SCHEMA_VERSION

__all__ = ["SQLiteLedger"]

T = TypeVar("T")
_APPLICATION_ID = 0x5268656F  # "Rheo"


class SQLiteLedger(DurableLedger):
    """Accounts in an SQLite file with a write-ahead log.

    Args:
        path: The file, which is created if it doesn't exist. Don't use a network file system, where SQLite's locks
            don't work.
        power_safe: Flush to disk before a request leaves, so that its hold survives a power cut. Without it, a hold
            survives the end of the process, even by `kill -9`.
        busy_seconds: The longest wait for other processes.
        wall: Returns seconds since the epoch; for tests.

    Raises:
        LedgerError: The file isn't a ledger, is damaged, or was written by a newer Rheostat; it is left untouched.
        LedgerUnavailable: The file can't be opened.
        BadInput: The path is `:memory:`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        power_safe: bool = False,
        busy_seconds: float = 30.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        if str(path) == ":memory:":
            raise BadInput("SQLiteLedger needs a file; for a ledger in memory use MemoryLedger()")
        self.path = Path(path)
        self._power_safe, self._busy_seconds, self._wall = power_safe, busy_seconds, wall
        self._lock = threading.RLock()
        self._owner = 0
        self._connection: sqlite3.Connection | None = None
        with self._lock:
            self._connected()

    # --- the file -----------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        self._connection = None  # a connection must not be used by a forked child
        with self._errors():
            if self.path.exists():
                check_regular(self.path)
                if self.path.stat().st_size:
                    self._inspect()
            connection = sqlite3.connect(
                self.path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                self._create(connection)
            except BaseException:
                connection.close()
                raise
        self._connection, self._owner = connection, os.getpid()
        return connection

    def _inspect(self) -> None:
        """Check, read-only, that the file is a ledger of a known version.

        Raises:
            LedgerError: It isn't.
        """
        uri = f"{self.path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=self._busy_seconds)) as connection:
            try:
                [application] = connection.execute("PRAGMA application_id").fetchone()
                [version] = connection.execute("PRAGMA user_version").fetchone()
                [tables, active] = connection.execute(
                    "SELECT count(*), sum(type IN ('view', 'trigger')) FROM sqlite_master"
                ).fetchone()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                raise LedgerError(
                    f"{self.path} is not an SQLite file, or damaged ({error}); it was left as it is"
                ) from (error)
        if tables and application != _APPLICATION_ID:
            raise LedgerError(f"{self.path} is a database of something else; give the ledger a file of its own")
        if active:
            raise LedgerError(
                f"{self.path} has views or triggers, which a ledger never has: they would run with each query. It was "
                "left as it is"
            )
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path} was written by a newer Rheostat (schema {version}, this one knows {SCHEMA_VERSION}); "
                "it was left as it is: update rheostat"
            )

    def _create(self, connection: sqlite3.Connection) -> None:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            [version] = connection.execute("PRAGMA user_version").fetchone()  # another process may have been first
            if version < SCHEMA_VERSION:
                for statement in (each for step in MIGRATIONS[version:] for each in step):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise LedgerUnavailable(f"the ledger {self.path} can't be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"the ledger {self.path} is damaged: {error}") from error
        except UnicodeEncodeError as error:
            raise no_text(error) from None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    # --- the methods that DurableLedger needs ---------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, *, flush: bool) -> Iterator[Transaction]:
        with self._lock, self._errors():
            connection = self._connected()
            if self._power_safe:
                connection.execute(f"PRAGMA synchronous = {'FULL' if flush else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(connection, self._now_ms())
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _query(self, statement: Statement) -> list[tuple[Any, ...]]:
        with self._lock, self._errors():
            return self._connected().execute(*statement).fetchall()

    def _retrying(self, work: Callable[[bool], T]) -> T:
        return work(False)  # a file doesn't come back, and SQLite has already waited for a busy one

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)


class _Transaction:
    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def load(self, queries: Sequence[Statement]) -> tuple[int, list[list[tuple[Any, ...]]]]:
        return self._now_ms, [self._connection.execute(*query).fetchall() for query in queries]

    def save(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            self._connection.execute(*statement)
        self._connection.execute("COMMIT")
