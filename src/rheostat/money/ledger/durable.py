"""The base of the database ledgers: load the rows that an operation touches, apply the law, and write them back."""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from rheostat.errors import LedgerError
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger.counts import counts_of
from rheostat.money.ledger.entry import OPEN, dump
from rheostat.money.ledger.journal import Line
from rheostat.money.ledger.law import Book
from rheostat.money.ledger.notes import Notes, Transaction
from rheostat.money.ledger.page import Page
from rheostat.money.ledger.protocol import Account, FormerNames, Note, Reading, Reservation
from rheostat.money.ledger.rate import Rate, RateSeen
from rheostat.money.ledger.refusals import say_what_is_kept
from rheostat.money.ledger.rows import (
    ENTRY,
    HELD,
    Statement,
    account_of,
    budget_of,
    entry_of,
    held_of,
    line_of,
    packed,
    rate_of,
)
from rheostat.money.ledger.threads import InThreads
from rheostat.money.usage import Spend

__all__ = ["DurableLedger", "Statement", "Transaction"]

T = TypeVar("T")
_REMEMBERED = 10_000


class DurableLedger(InThreads, Notes, FormerNames):
    """A ledger in an SQL database. Subclasses define how to connect, lock and commit; the law is `law.Book`."""

    shared = True
    _lock_rows = ""
    """The clause of a SELECT that keeps other transactions from changing its rows until the commit."""

    def __init__(self) -> None:
        self._parents: dict[str, str | None] = {}
        self._account_of: dict[str, str] = {}

    @abc.abstractmethod
    def _now_ms(self) -> int:
        """The database's clock, in milliseconds since the epoch."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connections."""

    # --- load, change, save -----------------------------------------------------------------------

    def chain(self, account: str) -> list[str]:
        return self._retrying(lambda again: self._chain(account))

    def _chain(self, account: str) -> list[str]:
        """The account and all its parents, which are cached because they never change."""
        chain: list[str] = []
        name: str | None = account
        while name is not None:
            if name not in self._parents:
                rows = self._query(("SELECT parent FROM rheostat_accounts WHERE id = ?", [name]))
                if not rows:
                    raise LedgerError(f"no account {name!r}: open it first")
                _remember(self._parents, name, rows[0][0])
            chain.append(name)
            name = self._parents[name]
        return chain

    def _entries(self, names: Iterable[str], lock: str = "") -> Statement:
        names = sorted(names)
        marks = ", ".join("?" * len(names))
        return f"SELECT {ENTRY} FROM rheostat_accounts WHERE id IN ({marks}) ORDER BY id {lock}", names

    def _reservations(self, names: Sequence[str]) -> Statement:
        marks = ", ".join("?" * len(names))
        return f"SELECT {HELD} FROM rheostat_reservations WHERE id IN ({marks})", names

    def _change(
        self,
        account: str,
        op: Callable[[Book], T],
        *,
        reservations: Sequence[str] = (),
        also: Sequence[Statement] = (),
        flush: bool = False,
    ) -> T:
        """Apply `op` to the account, its parents and these reservations in one transaction."""
        queries = [self._entries(self._chain(account), self._lock_rows)]
        if reservations:
            queries.append(self._reservations(reservations))
        with self._transaction(flush=flush) as transaction:
            now, rows = transaction.load(queries)
            page = Page(map(entry_of, rows[0]), map(held_of, rows[1] if reservations else ()), now)
            result = op(page.book)
            transaction.save([*page.changes(), *also])
        self._written(page)
        return result

    def _written(self, page: Page) -> None:
        """Called after a commit, when the tables have the content of this page."""

    def _on(self, reservation: str, op: Callable[[Book], T], *, flush: bool = False) -> T | None:
        """Apply `op` to one reservation; `None` if there is no such reservation."""

        def work(again: bool) -> T | None:
            account = self._account_of.get(reservation)
            if account is None:
                text = "SELECT account FROM rheostat_reservations WHERE id = ?"
                rows = self._query((text, [reservation]))
                if not rows:
                    return None
                account = rows[0][0]
                _remember(self._account_of, reservation, account)
            return self._change(account, op, reservations=[reservation], flush=flush)

        return self._retrying(work)

    # --- accounts -----------------------------------------------------------------------------------

    def open(self, account: Account, reading: Reading | None = None) -> None:
        def work(again: bool) -> None:
            text = "SELECT parent, version, budget, state FROM rheostat_accounts WHERE id = ?"
            known = self._query((text, [account.id]))
            seen = (reading or {}).get("version", 0) if (reading or {}).get("account") == account.id else 0
            if known and known[0][0] == account.parent and known[0][1] >= seen:
                if reading is None:
                    say_what_is_kept(
                        account, None if known[0][2] is None else budget_of(known[0][2]), rate_of(known[0][3])
                    )
                return
            if known:  # either another parent, which is an error, or a state has a higher version
                self._change(account.id, lambda book: book.open(account, reading))
                return
            self._insert(account, reading)

        self._retrying(work)

    def _insert(self, account: Account, reading: Reading | None) -> None:
        try:
            parents = [] if account.parent is None else self._chain(account.parent)
        except LedgerError:
            parents = []  # the law raises the right error
        with self._transaction(flush=True) as transaction:
            now, rows = transaction.load([self._entries(parents, self._lock_rows)] if parents else [])
            book = Book(mono_ms=now, wall_ms=now)
            book.entries = {row[0]: entry_of(row) for row in (rows[0] if parents else ())}
            book.open(account, reading)
            entry, window = book.entries[account.id], account.window
            text = (
                f"INSERT INTO rheostat_accounts ({ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
            )
            transaction.save(
                [
                    (
                        text,
                        [
                            entry.id,
                            entry.parent,
                            None if entry.budget is None else packed(entry.budget.to_dict()),
                            window and window.every,
                            window and window.zone,
                            entry.opened_at_ms,
                            entry.version,
                            packed(dump(entry)),
                        ],
                    )
                ]
            )

    def amend(self, account: str, budget: Budget | None = None, *, rate: Rate | None = None) -> None:
        text = "UPDATE rheostat_accounts SET budget = ? WHERE id = ?"
        also = [] if budget is None else [(text, [packed(budget.to_dict()), account])]
        self._retrying(
            lambda again: self._change(account, lambda book: book.amend(account, budget, rate), also=also, flush=True)
        )

    # --- hold, then pay -------------------------------------------------------------------------

    def hold(
        self, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]:
        ids = [os.urandom(16).hex() for _ in amounts]
        counts = [counts_of(amount) for amount in amounts]

        def work(again: bool) -> None:
            def op(book: Book) -> None:
                if not book.reservations:  # else the first try was committed, and only its reply was lost
                    book.hold(ids, account, counts, note or {}, ticket)

            self._change(account, op, reservations=ids if again else ())

        self._retrying(work)
        for name in ids:
            _remember(self._account_of, name, account)
        return [Reservation(name, account, amount) for name, amount in zip(ids, amounts, strict=True)]

    def admit(
        self, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]:
        name, counts = os.urandom(16).hex(), counts_of(amount)

        def work(again: bool) -> Room:
            def op(book: Book) -> Room:
                if not book.reservations:  # else the first try was committed, and only its reply was lost
                    book.admit(name, account, counts, note or {}, ticket)
                return book.room(account)

            return self._change(account, op, reservations=[name] if again else (), flush=True)

        room = self._retrying(work)
        _remember(self._account_of, name, account)
        return Reservation(name, account, amount), room

    def resize(self, account: str, standing: str, amount: Spend, note: Note | None = None) -> None:
        counts = counts_of(amount)
        self._retrying(
            lambda again: self._change(
                account, lambda book: book.resize(standing, account, counts, note or {}), reservations=[standing]
            )
        )
        _remember(self._account_of, standing, account)

    def draw(
        self, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]:
        ids = [os.urandom(16).hex() for _ in amounts]
        counts = [counts_of(amount) for amount in amounts]

        def work(again: bool) -> None:
            def op(book: Book) -> None:
                if not book.reservations.keys() & set(ids):  # else the first try was committed
                    book.draw(standing, ids, account, counts, note or {})

            self._change(account, op, reservations=[standing, *(ids if again else ())])

        self._retrying(work)
        for name in ids:
            _remember(self._account_of, name, account)
        return [Reservation(name, account, amount) for name, amount in zip(ids, amounts, strict=True)]

    def line_up(self, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None:
        self._retrying(
            lambda again: self._change(account, lambda book: book.line_up(account, ticket, seconds, rate=rate))
        )

    def heed(self, account: str, seen: RateSeen) -> None:
        self._retrying(lambda again: self._change(account, lambda book: book.heed(account, seen)))

    def begin(self, reservation: str, *, ticket: str | None = None) -> Room | None:
        def op(book: Book) -> Room | None:
            return book.room(book.reservations[reservation].account) if book.begin(reservation, ticket) else None

        return self._on(reservation, op, flush=True)

    def settle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        counts_of(actual)  # checks the amount even if the reservation is unknown
        posted, overrun = self._on(reservation, lambda book: book.settle(reservation, actual, request_id)) or (
            False,
            None,
        )
        if overrun is not None:
            raise overrun
        return posted

    def void(self, reservation: str) -> bool:
        return bool(self._on(reservation, lambda book: book.void(reservation)))

    def mark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool:
        counts = None if estimate is None else counts_of(estimate)
        return bool(self._on(reservation, lambda book: book.mark_unknown(reservation, counts)))

    def expire(self, older_than_seconds: float, *, account: str | None = None) -> int:
        before = self._now_ms() - int(older_than_seconds * 1000)
        text = (
            "SELECT id FROM rheostat_reservations WHERE status IN ('standing', 'held', 'sent')"
            " AND COALESCE(begun_at_ms, held_at_ms) <= ?"
        )
        values: list[Any] = [before]
        if account is not None:
            text += " AND (account = ? OR substr(account, 1, ?) = ?)"
            values += [account, len(account) + 1, f"{account}/"]
        stale = [row[0] for row in self._retrying(lambda again: self._query((text, values)))]

        def expire(book: Book) -> int:
            name = next(iter(book.stale(older_than_seconds)), None)
            return 0 if name is None else bool(book.expire(name))

        return sum(self._on(name, expire) or 0 for name in stale)

    def prune(self, older_than_seconds: float) -> int:
        """Delete journal lines that were closed (settled or void) at least this long ago, and step records of that age.

        Returns:
            The number of journal lines deleted. No total changes.
        """
        before = self._now_ms() - int(older_than_seconds * 1000)
        text = (
            "DELETE FROM rheostat_reservations WHERE status IN ('settled', 'void') AND closed_at_ms <= ? RETURNING id"
        )
        lines = len(self._retrying(lambda again: self._query((text, [before]))))
        text_of_steps = "DELETE FROM rheostat_steps WHERE at_ms <= ? RETURNING id"
        self._retrying(lambda again: self._query((text_of_steps, [before])))
        return lines

    # --- reading --------------------------------------------------------------------------------

    def _snapshot(self, account: str) -> Book:
        def work(again: bool) -> Book:
            rows = self._query(self._entries(self._chain(account)))
            now = self._now_ms()
            return Book({row[0]: entry_of(row) for row in rows}, {}, now, now)

        return self._retrying(work)

    def room(self, account: str, *, patient: bool = False) -> Room:
        return self._snapshot(account).room(account, patient=patient)

    def reading(self, account: str) -> Reading:
        return self._snapshot(account).entry(account).reading()

    # --- for display ----------------------------------------------------------------------------

    def accounts(self) -> list[tuple[Account, Reading]]:
        """All accounts with their readings, by id."""
        text = f"SELECT {ENTRY} FROM rheostat_accounts ORDER BY id"
        entries = [entry_of(row) for row in self._retrying(lambda again: self._query((text, [])))]
        paced = [each for each in entries if each.pace is not None]
        now = self._now_ms() if paced else 0
        for each in paced:
            each.tick(now, now)
        return [(account_of(each), each.reading()) for each in entries]

    def journal(self, *, open_only: bool = False) -> list[Line]:
        """All reservations, the oldest first; with `open_only`, those neither settled nor void."""
        where = f"WHERE status IN ({', '.join(repr(status) for status in OPEN)})" if open_only else ""
        text = f"SELECT {HELD} FROM rheostat_reservations {where} ORDER BY held_at_ms, id"
        rows = self._retrying(lambda again: self._query((text, [])))
        return [line_of(held_of(row)) for row in rows]


def _remember(cache: dict[str, Any], name: str, value: Any) -> None:
    """Cache a fact that never changes; the oldest makes way if there are too many."""
    if len(cache) >= _REMEMBERED:
        with contextlib.suppress(StopIteration, KeyError, RuntimeError):  # another thread was faster
            del cache[next(iter(cache))]
    cache[name] = value
