"""The ledger in Postgres: for several machines on one account. Needs psycopg 3: `pip install 'rheostat[postgres]'`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from rheostat.errors import BadInput, LedgerError, LedgerUnavailable, MissingExtra
from rheostat.money.ledger.durable import DurableLedger, Transaction
from rheostat.money.ledger.entry import OPEN, Entry, Held
from rheostat.money.ledger.law import Book
from rheostat.money.ledger.page import Page
from rheostat.money.ledger.refusals import no_text
from rheostat.money.ledger.rows import MIGRATIONS, SCHEMA_VERSION, Statement

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresLedger"]

T = TypeVar("T")
_MIGRATION_LOCK = 0x5268656F
"""The key of the advisory lock for schema changes, because several processes may start at once."""
_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_CLOCK_TOLERANCE_MS = 100
"""If our estimate of the server's clock is off by more than this, the server is asked."""
_REMEMBERED = 1_000


class PostgresLedger(DurableLedger):
    """Accounts in a Postgres database. It uses the server's time, so that the machines' clocks needn't agree.

    An operation takes one round trip if no other writer has changed the account since our last operation: it is
    computed on the remembered rows, and written on condition that their versions are unchanged. Otherwise it takes two:
    lock and read the account and its parents; write and commit. A commit that lets a request leave is flushed to disk.
    The others needn't be, because an amount whose settlement is lost in a crash is still held.

    Args:
        address: A libpq connection string or URL, such as `postgresql://user@host/database`.
        connections: The most connections that this process opens.
        wait_seconds: The longest wait for a free connection, and for the database to come back.
        clock: Returns seconds since the epoch, instead of the server's clock; for tests.

    Raises:
        MissingExtra: psycopg isn't installed.
        BadInput: The address can't be read.
        LedgerUnavailable: There is no connection.
        LedgerError: The tables were written by a newer Rheostat.
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
        self._memory = _Memory()
        self._server_ahead_ms = 0
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
            from psycopg_pool import ConnectionPool, PoolTimeout
        except ImportError:
            raise MissingExtra("PostgresLedger", "postgres") from None
        try:
            conninfo_to_dict(address)
        except psycopg.ProgrammingError:  # its message quotes parts of the password, and so would the pool's log
            raise BadInput(
                "the address of the ledger's database can't be read: it is postgresql://USER:PASSWORD@HOST/DATABASE, "
                "and spaces and other special characters in its parts are written as %20 and so on"
            ) from None
        self._clock = clock
        self._gone: tuple[type[Exception], ...] = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
        self._database_error = psycopg.DatabaseError
        self._again = Retrying(
            retry=retry_if_exception_type(LedgerUnavailable),
            stop=stop_after_attempt(2),
            wait=wait_fixed(0.2),
            reraise=True,
        )
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            address,
            min_size=1,
            max_size=connections,
            timeout=wait_seconds,
            reconnect_timeout=wait_seconds,  # else the pool's retries back off for minutes after an outage
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
                    f"a newer Rheostat wrote the ledger's tables (schema {version}, this one knows {SCHEMA_VERSION}); "
                    "they were left as they are: update rheostat"
                )
            for statement in (each for step in MIGRATIONS[version:] for each in step):
                connection.execute(statement)
            text = "INSERT INTO rheostat_meta VALUES (%s)" if version == 0 else "UPDATE rheostat_meta SET version = %s"
            connection.execute(text, [SCHEMA_VERSION])

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._gone as error:
            raise LedgerUnavailable(f"the ledger's database can't be reached: {str(error).strip()}") from error
        except self._database_error as error:
            raise LedgerError(f"the ledger's database refused: {str(error).strip()}") from error
        except UnicodeEncodeError as error:
            raise no_text(error) from None

    def close(self) -> None:
        self._pool.close()

    # --- one round trip, if the remembered rows are still valid ----------------------------------------

    def _change(
        self,
        account: str,
        op: Callable[[Book], T],
        *,
        reservations: Sequence[str] = (),
        also: Sequence[Statement] = (),
        flush: bool = False,
    ) -> T:
        remembered = None if also else self._memory.take(self._chain(account), reservations)
        now = self._clock_ms()
        if remembered is not None and all(entry.seen_at_ms <= now for entry in remembered[0]):
            page = Page(*remembered, now)
            try:
                result = op(page.book)
            except Exception:  # the remembered rows may be stale: let the tables decide
                remembered = None
            if remembered is not None and self._write_if_true(page, flush=flush):
                self._memory.keep(page)
                return result
        return super()._change(account, op, reservations=reservations, also=also, flush=flush)

    def _write_if_true(self, page: Page, *, flush: bool) -> bool:
        """Write the page's changes in one statement, unless the versions in the tables or the clock have moved on."""
        names = sorted(page.versions)
        marks = ", ".join("?" * len(names))
        pairs = ", ".join(["(?, ?)"] * len(names))
        true = ["count(*) = ?"]
        values: list[Any] = [*names, *(value for name in names for value in (name, page.versions[name])), len(names)]
        if self._clock is None:
            true.append(f"abs({_CLOCK} - ?) <= {_CLOCK_TOLERANCE_MS}")
            values.append(page.book.wall_ms)
        if flush:
            true.append("set_config('synchronous_commit', 'on', true) IS NOT NULL")
        parts = [
            f"seen AS MATERIALIZED (SELECT id FROM rheostat_accounts WHERE id IN ({marks})"  # noqa: S608 - only marks
            f" AND (id, version) IN ({pairs}) ORDER BY id FOR NO KEY UPDATE)",
            f"still AS MATERIALIZED (SELECT {' AND '.join(true)} AS true FROM seen)",  # noqa: S608 - only marks
        ]
        for number, (text, given) in enumerate(page.changes("(SELECT still.true FROM still)")):
            parts.append(f"change_{number} AS ({text})")
            values.extend(given)
        return bool(self._query((f"WITH {', '.join(parts)} SELECT still.true FROM still", values))[0][0])  # noqa: S608 - ours

    def _written(self, page: Page) -> None:
        self._memory.keep(page)

    def _clock_ms(self) -> int:
        """An estimate of the server's clock, without asking it."""
        return int(self._clock() * 1000) if self._clock else int(time.monotonic() * 1000) + self._server_ahead_ms

    # --- the methods that DurableLedger needs ---------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, *, flush: bool) -> Iterator[Transaction]:
        with self._errors(), self._pool.connection() as connection:
            transaction = _Transaction(connection, self._clock, flush=flush)
            yield transaction
            self._server_ahead_ms = transaction.server_ahead_ms

    def _query(self, statement: Statement) -> list[tuple[Any, ...]]:
        with self._errors(), self._pool.connection() as connection:
            return connection.execute(*_translated(statement)).fetchall()

    def _retrying(self, work: Callable[[bool], T]) -> T:
        try:
            return work(False)
        except LedgerUnavailable:
            result: T = self._again(work, True)
            return result

    def _now_ms(self) -> int:
        return int(self._clock() * 1000) if self._clock else int(self._query((f"SELECT {_CLOCK}", []))[0][0])


@dataclass(slots=True)
class _Known:
    """An account at a version, and some of its open reservations at the same version."""

    version: int
    entry: Entry | None = None
    reservations: dict[str, Held] = field(default_factory=dict)


class _Memory:
    """Remembered accounts, valid while no other process writes to them. A caller that takes one has it exclusively."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, _Known] = {}

    def take(self, chain: Sequence[str], reservations: Sequence[str]) -> tuple[list[Entry], list[Held]] | None:
        """Take the account, all its parents and these reservations of it; `None` if any of them isn't remembered."""
        entries: list[Entry] = []
        taken: list[Held] = []
        with self._lock:
            for name in chain:
                known = self._accounts.get(name)
                if known is not None and known.entry is not None:
                    entries.append(known.entry)
                    known.entry = None
            own = self._accounts.get(chain[0])
            if own is not None:
                taken.extend(own.reservations.pop(name) for name in reservations if name in own.reservations)
        whole = len(entries) == len(chain) and len(taken) == len(reservations)
        return (entries, taken) if whole else None

    def keep(self, page: Page) -> None:
        """Remember a page that was written; forget an account that another process has changed since our last write."""
        with self._lock:
            for name, entry in page.book.entries.items():
                known = self._accounts.pop(name, None)
                untouched = known is not None and known.version == page.versions[name]
                known = known if known is not None and untouched else _Known(entry.version)
                known.version, known.entry = entry.version, entry if untouched else None
                self._accounts[name] = known  # moved to the end, so that it is forgotten last
            for held in page.book.reservations.values():
                if held.status in OPEN:
                    self._accounts[held.account].reservations[held.id] = held
            while len(self._accounts) > _REMEMBERED:
                del self._accounts[next(iter(self._accounts))]


class _Transaction:
    """A transaction of two messages: each has several statements, with the values filled in by psycopg here."""

    def __init__(self, connection: psycopg.Connection[Any], clock: Callable[[], float] | None, *, flush: bool) -> None:
        self._connection, self._clock, self._flush = connection, clock, flush
        self.server_ahead_ms = 0

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
        *loaded, clock = self._send(
            [(begin, []), *queries, (f"SELECT {_CLOCK}", [])]
        )  # the time once the locks are granted
        self.server_ahead_ms = int(clock[0][0]) - int(time.monotonic() * 1000)
        return int(self._clock() * 1000) if self._clock else int(clock[0][0]), loaded

    def save(self, statements: Sequence[Statement]) -> None:
        self._send([*statements, ("COMMIT", [])])


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SET synchronous_commit = off")


def _translated(statement: Statement) -> tuple[Any, Sequence[Any]]:
    return statement[0].replace("?", "%s"), statement[1]
