"""The ledger in Postgres: for several machines on one account. Needs psycopg 3: `pip install 'rheostat[postgres]'`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from rheostat.errors import LedgerError, LedgerUnavailable, MissingExtra
from rheostat.ledger.durable import DurableLedger, Statement, Transaction
from rheostat.ledger.rows import SCHEMA, SCHEMA_VERSION

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresLedger"]

T = TypeVar("T")
_MIGRATION_LOCK = 0x5268656F
"""Key of the advisory lock under which the schema is made: several processes may start at once."""
_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class PostgresLedger(DurableLedger):
    """Accounts in a Postgres database; time is the server's, so that machines needn't agree on theirs.

    One transaction takes two round trips: lock and read the account and its parents; write and commit. A commit that
    lets a request leave is flushed to disk; the others needn't be: what a server loses in a crash is then still held.

    Args:
        address: A libpq connection string or URL, such as `postgresql://user@host/database`.
        connections: The most that this process opens.
        wait_seconds: How long to wait for a free connection, and for the database to come back.
        clock: Seconds since the epoch instead of the server's; for tests.

    Raises:
        MissingExtra: psycopg isn't installed.
        LedgerUnavailable: no connection.
        LedgerError: the tables are of a newer Rheostat.
    """

    _lock_rows = "FOR NO KEY UPDATE"

    def __init__(
        self,
        address: str,
        *,
        connections: int = 8,
        wait_seconds: float = 5.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__()
        try:
            import psycopg
            from psycopg_pool import ConnectionPool, PoolTimeout
        except ImportError:
            raise MissingExtra("PostgresLedger", "postgres") from None
        self._clock = clock
        self._gone: tuple[type[Exception], ...] = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
        self._database_error = psycopg.DatabaseError
        self._again = Retrying(
            retry=retry_if_exception_type(LedgerUnavailable),
            stop=stop_after_attempt(3),
            wait=wait_fixed(0.2),
            reraise=True,
        )
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            address,
            min_size=1,
            max_size=connections,
            timeout=wait_seconds,
            reconnect_timeout=wait_seconds,  # or the pool tries again ever more rarely, for minutes after an outage
            kwargs={"autocommit": True},
            configure=_configure,
            open=False,
        )
        try:
            with self._errors():
                self._pool.open(wait=True, timeout=wait_seconds)
                self._migrate()
        except BaseException:
            self._pool.close()
            raise

    def _migrate(self) -> None:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
            connection.execute("CREATE TABLE IF NOT EXISTS rheostat_meta (version INTEGER NOT NULL)")
            row = connection.execute("SELECT version FROM rheostat_meta").fetchone()
            version = row[0] if row else 0
            if version > SCHEMA_VERSION:
                raise LedgerError(
                    f"the ledger's tables are of a newer Rheostat (schema {version}, this one knows {SCHEMA_VERSION}); "
                    "they were left as they are: update rheostat"
                )
            if version == 0:
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.execute("INSERT INTO rheostat_meta VALUES (%s)", [SCHEMA_VERSION])

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._gone as error:
            raise LedgerUnavailable(f"the ledger's database can't be reached: {str(error).strip()}") from error
        except self._database_error as error:
            raise LedgerError(f"the ledger's database refused: {str(error).strip()}") from error

    def close(self) -> None:
        self._pool.close()

    # --- what DurableLedger asks for ------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, *, flush: bool) -> Iterator[Transaction]:
        with self._errors(), self._pool.connection() as connection:
            yield _Transaction(connection, self._clock, flush=flush)

    def _query(self, statement: Statement) -> list[tuple[Any, ...]]:
        with self._errors(), self._pool.connection() as connection:
            return connection.execute(*_translated(statement)).fetchall()

    def _retrying(self, work: Callable[[bool], T]) -> T:
        again = False

        def attempt() -> T:
            nonlocal again
            first, again = not again, True
            return work(not first)

        result: T = self._again(attempt)
        return result

    def _now_ms(self) -> int:
        return int(self._clock() * 1000) if self._clock else int(self._query((_CLOCK, []))[0][0])


class _Transaction:
    """Each half is one message: the statements in a row, their values put in by psycopg on our side."""

    def __init__(self, connection: psycopg.Connection[Any], clock: Callable[[], float] | None, *, flush: bool) -> None:
        self._connection, self._clock, self._flush = connection, clock, flush

    def _send(self, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
        from psycopg import ClientCursor

        text = "; ".join(statement[0] for statement in statements)
        values = [value for statement in statements for value in statement[1]]
        with ClientCursor(self._connection) as cursor:
            cursor.execute(*_translated((text, values)))
            rows = [cursor.fetchall()] if cursor.description else []
            while cursor.nextset():
                if cursor.description:
                    rows.append(cursor.fetchall())
        return rows

    def load(self, queries: Sequence[Statement]) -> tuple[int, list[list[tuple[Any, ...]]]]:
        begin = "BEGIN; SET LOCAL synchronous_commit = on" if self._flush else "BEGIN"
        *loaded, clock = self._send([(begin, []), *queries, (_CLOCK, [])])  # the time after the locks were granted
        return int(self._clock() * 1000) if self._clock else int(clock[0][0]), loaded

    def save(self, statements: Sequence[Statement]) -> None:
        self._send([*statements, ("COMMIT", [])])


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SET synchronous_commit = off")


def _translated(statement: Statement) -> tuple[Any, Sequence[Any]]:
    return statement[0].replace("?", "%s"), statement[1]
