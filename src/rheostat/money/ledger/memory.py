"""The ledger in this process's memory: the default. It is thread-safe, and ends with the process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from rheostat.errors import BadInput
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger.counts import counts_of
from rheostat.money.ledger.journal import Line
from rheostat.money.ledger.law import Book
from rheostat.money.ledger.protocol import Account, FormerNames, Note, Reading, Reservation
from rheostat.money.ledger.rate import Rate, RateSeen
from rheostat.money.ledger.rows import account_of, line_of
from rheostat.money.ledger.steps import StepRecord
from rheostat.money.ledger.use import Use, UseKey, use_of
from rheostat.money.usage import Spend

__all__ = ["MemoryLedger"]


class MemoryLedger(FormerNames):
    """Accounts in a dict under one lock.

    Its size stays bounded over any number of threads and runs: beyond `max_accounts`, the accounts that were idle for
    longest are evicted, and restored later from the reading in their graph's state. An account is evicted only if it
    was opened with a reading, its newest reading was handed out, nothing is in flight on it, and it isn't a parent.

    Args:
        max_accounts: The number of accounts above which idle ones are evicted.
        clock: Returns monotonic seconds; for tests.
        wall: Returns seconds since the epoch; for tests.
    """

    shared = False

    def __init__(
        self,
        *,
        max_accounts: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if max_accounts < 1:
            raise BadInput(f"max_accounts must be at least 1, not {max_accounts}")
        self._max_accounts = max_accounts
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._book = Book()
        self._of: dict[str, set[str]] = {}
        """Account → the ids of its open reservations, if it has any."""
        self._steps: dict[str, StepRecord] = {}
        self._uses: dict[UseKey, Use] = {}
        self._read: dict[str, int] = {}
        """Account → the version of its last reading; the least recently read account comes first."""

    def _now(self) -> Book:
        book = self._book
        book.mono_ms, book.wall_ms = int(self._clock() * 1000), int(self._wall() * 1000)
        return book

    # --- accounts -------------------------------------------------------------------------------

    def open(self, account: Account, reading: Reading | None = None) -> None:
        with self._lock:
            book = self._now()
            if book.open(account, reading):
                if account.parent is not None:
                    book.entries[account.parent].children += 1
                if len(book.entries) > self._max_accounts:
                    self._evict()

    def amend(self, account: str, budget: Budget | None = None, *, rate: Rate | None = None) -> None:
        with self._lock:
            self._now().amend(account, budget, rate)

    def _evict(self) -> None:
        """Evict the tenth that was idle for longest; evicting many at once keeps the search cheap per account."""
        entries = self._book.entries
        wanted = max(1, self._max_accounts // 10)
        for name, version in list(self._read.items()):
            entry = entries[name]
            if entry.version == version and not (entry.pinned or entry.children or self._in_flight(name)):
                del entries[name], self._read[name]
                for reservation in self._of.pop(name, ()):
                    del self._book.reservations[reservation]
                if entry.parent is not None:
                    entries[entry.parent].children -= 1
                wanted -= 1
                if not wanted:
                    return

    def _in_flight(self, account: str) -> bool:
        own = self._of.get(account, ())
        return any(self._book.reservations[reservation].status != "unknown" for reservation in own)

    # --- hold, then pay -------------------------------------------------------------------------

    def hold(
        self, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]:
        ids = [os.urandom(16).hex() for _ in amounts]
        counts = [counts_of(amount) for amount in amounts]
        with self._lock:
            self._now().hold(ids, account, counts, note or {}, ticket)
            self._of.setdefault(account, set()).update(ids)
        return [Reservation(name, account, amount) for name, amount in zip(ids, amounts, strict=True)]

    def admit(
        self, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]:
        name, counts = os.urandom(16).hex(), counts_of(amount)
        with self._lock:
            book = self._now()
            book.admit(name, account, counts, note or {}, ticket)
            self._of.setdefault(account, set()).add(name)
            return Reservation(name, account, amount), book.room(account)

    def resize(self, account: str, standing: str, amount: Spend, note: Note | None = None) -> None:
        counts = counts_of(amount)
        with self._lock:
            self._now().resize(standing, account, counts, note or {})
            self._keep(account, standing)

    def draw(
        self, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]:
        ids = [os.urandom(16).hex() for _ in amounts]
        counts = [counts_of(amount) for amount in amounts]
        with self._lock:
            self._now().draw(standing, ids, account, counts, note or {})
            self._of.setdefault(account, set()).update(ids)
            self._keep(account, standing)
        return [Reservation(name, account, amount) for name, amount in zip(ids, amounts, strict=True)]

    def _keep(self, account: str, standing: str) -> None:
        held = self._book.reservations.get(standing)
        if held is None:
            return
        self._of.setdefault(account, set()).add(standing)
        if held.status == "void":
            self._forget(standing)

    def line_up(self, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None:
        with self._lock:
            self._now().line_up(account, ticket, seconds, rate=rate)

    def heed(self, account: str, seen: RateSeen) -> None:
        with self._lock:
            self._now().heed(account, seen)

    def chain(self, account: str) -> list[str]:
        with self._lock:
            return [entry.id for entry in self._now().chain(account)]

    def _forget(self, reservation: str) -> None:
        """Drop a closed reservation, which the totals include."""
        held = self._book.reservations.pop(reservation)
        own = self._of[held.account]
        own.discard(reservation)
        if not own:
            del self._of[held.account]

    def begin(self, reservation: str, *, ticket: str | None = None) -> Room | None:
        with self._lock:
            book = self._now()
            if not book.begin(reservation, ticket):
                return None
            return book.room(book.reservations[reservation].account)

    def settle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        with self._lock:
            posted, overrun = self._now().settle(reservation, actual, request_id)
            if posted:
                self._forget(reservation)
        if overrun is not None:
            raise overrun
        return posted

    def void(self, reservation: str) -> bool:
        with self._lock:
            given_back = self._now().void(reservation)
            if given_back:
                self._forget(reservation)
            return given_back

    def mark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool:
        counts = None if estimate is None else counts_of(estimate)
        with self._lock:
            return self._now().mark_unknown(reservation, counts)

    def expire(self, older_than_seconds: float, *, account: str | None = None) -> int:
        with self._lock:
            book = self._now()
            stale = book.stale(older_than_seconds)
            if account is not None:
                of = {name: book.reservations[name].account for name in stale}
                stale = [name for name in stale if f"{of[name]}/".startswith(f"{account}/")]
            for name in stale:
                if book.expire(name) == "void":
                    self._forget(name)
            return len(stale)

    # --- step records ---------------------------------------------------------------------------

    def record(self, step: StepRecord) -> None:
        used = use_of(step)
        with self._lock:
            self._steps[step.id] = step
            while len(self._steps) > self._max_accounts:
                del self._steps[next(iter(self._steps))]
            if used is not None:
                self._uses.setdefault(used[0], Use()).count(used[1])

    def uses(self, model: str | None = None) -> dict[UseKey, Use]:
        with self._lock:
            return {key: Use(dict(use.calls_by_bucket)) for key, use in self._uses.items() if model in (None, key[0])}

    async def auses(self, model: str | None = None) -> dict[UseKey, Use]:
        return self.uses(model)

    def steps(self, account: str | None = None) -> list[StepRecord]:
        with self._lock:
            return [step for step in self._steps.values() if account in (None, step.account)]

    async def arecord(self, step: StepRecord) -> None:
        self.record(step)

    # --- reading --------------------------------------------------------------------------------

    def room(self, account: str, *, patient: bool = False) -> Room:
        with self._lock:
            return self._now().room(account, patient=patient)

    def reading(self, account: str) -> Reading:
        with self._lock:
            reading = self._now().entry(account).reading()
            self._read.pop(account, None)
            self._read[account] = reading["version"]
            return reading

    # --- for display ----------------------------------------------------------------------------

    def accounts(self) -> list[tuple[Account, Reading]]:
        """All accounts that weren't evicted, with their readings, by id."""
        with self._lock:
            book = self._now()
            entries = sorted(book.entries.values(), key=lambda entry: entry.id)
            for each in entries:
                if each.pace is not None:
                    each.tick(book.mono_ms, book.wall_ms)
            return [(account_of(each), each.reading()) for each in entries]

    def journal(self, *, open_only: bool = False) -> list[Line]:
        """The open reservations, the oldest first; those that are settled or void are in the totals only."""
        with self._lock:
            held = sorted(self._book.reservations.values(), key=lambda each: (each.held_at_ms, each.id))
            return [line_of(each) for each in held]

    # --- async variants, which call the others because nothing here blocks ------------------------

    async def aopen(self, account: Account, reading: Reading | None = None) -> None:
        self.open(account, reading)

    async def aamend(self, account: str, budget: Budget | None = None, *, rate: Rate | None = None) -> None:
        self.amend(account, budget, rate=rate)

    async def ahold(
        self, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]:
        return self.hold(account, amounts, note, ticket=ticket)

    async def aadmit(
        self, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]:
        return self.admit(account, amount, note, ticket=ticket)

    async def aresize(self, account: str, standing: str, amount: Spend, note: Note | None = None) -> None:
        self.resize(account, standing, amount, note)

    async def adraw(
        self, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]:
        return self.draw(account, standing, amounts, note)

    async def aline_up(self, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None:
        self.line_up(account, ticket, seconds, rate=rate)

    async def abegin(self, reservation: str, *, ticket: str | None = None) -> Room | None:
        return self.begin(reservation, ticket=ticket)

    async def aheed(self, account: str, seen: RateSeen) -> None:
        self.heed(account, seen)

    async def asettle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        return self.settle(reservation, actual, request_id)

    async def avoid(self, reservation: str) -> bool:
        return self.void(reservation)

    async def amark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool:
        return self.mark_unknown(reservation, estimate)

    async def aexpire(self, older_than_seconds: float, *, account: str | None = None) -> int:
        return self.expire(older_than_seconds, account=account)

    async def aroom(self, account: str, *, patient: bool = False) -> Room:
        return self.room(account, patient=patient)

    async def areading(self, account: str) -> Reading:
        return self.reading(account)
