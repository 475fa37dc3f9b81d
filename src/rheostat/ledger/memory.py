"""The ledger in this process's memory: the default. Safe for threads; it forgets when the process ends."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rheostat.budget import Room
from rheostat.errors import BudgetExceeded, HoldExceeded, LedgerError
from rheostat.ledger.protocol import Account, Reading, Reservation
from rheostat.usage import Spend

__all__ = ["MemoryLedger"]

_ZERO = Spend()


def _covers(hold: Spend, actual: Spend) -> bool:
    """Does the hold bound what the call really used, kind by kind?"""
    return (
        (actual.usd_nanos or 0) <= (hold.usd_nanos or 0)
        and actual.tokens <= hold.tokens
        and actual.output_tokens <= hold.output_tokens
        and (actual.thinking_tokens or 0) <= (hold.thinking_tokens or 0)
    )


@dataclass(slots=True)
class _Entry:
    account: Account
    opened_at: float
    deadline: float | None
    version: int = 0
    settled: Spend = _ZERO
    held: Spend = _ZERO
    unknown: Spend = _ZERO
    overrun_usd_nanos: int = 0
    open: set[str] = field(default_factory=set)


class MemoryLedger:
    """Accounts in a dict under one lock.

    Args:
        clock: Monotonic seconds; for tests.
        wall: Seconds since the epoch; for tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock, self._wall = clock, wall
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._open: dict[str, tuple[Reservation, str]] = {}
        """Reservation id → (reservation, "held" | "unknown"). Settled and voided ones leave."""

    # --- accounts -------------------------------------------------------------------------------

    def open(self, account: Account, reading: Reading | None = None) -> None:
        with self._lock:
            if account.id in self._entries:
                return
            now, opened_at = self._clock(), self._wall()
            entry = _Entry(account, opened_at, None)
            if reading and reading.get("account") == account.id:
                entry.opened_at = min(opened_at, float(reading["opened_at"]))
                entry.settled = Spend.from_dict(reading)
                # what was in the air when the last process ended: nobody knows what it cost
                entry.unknown = _part(reading, "unknown") + _part(reading, "held")
                entry.overrun_usd_nanos = reading["overrun_usd_nanos"]
            entry.version = (reading or {}).get("version", 0) + 1
            if account.budget.seconds is not None:
                entry.deadline = now + account.budget.seconds - (opened_at - entry.opened_at)
            self._entries[account.id] = entry

    def _entry(self, account: str) -> _Entry:
        try:
            return self._entries[account]
        except KeyError:
            raise LedgerError(f"no account {account!r}: open it first") from None

    def close(self, account: str) -> None:
        """Forget an account that nothing is held on; it comes back from its reading."""
        with self._lock:
            entry = self._entries.get(account)
            if entry is not None and not any(self._open[r][1] == "held" for r in entry.open):
                for reservation in entry.open:
                    del self._open[reservation]
                del self._entries[account]

    # --- hold, then pay -------------------------------------------------------------------------

    def hold(self, account: str, amounts: Sequence[Spend], note: dict[str, str] | None = None) -> list[Reservation]:
        with self._lock:
            entry = self._entry(account)
            total = sum(amounts, _ZERO)
            shortage = self._room(entry).shortage(total)
            if shortage is not None:
                limit, asked, left = shortage
                cap = entry.account.budget.limits.get(limit) or int(entry.account.budget.seconds or 0)
                raise BudgetExceeded(account=account, limit=limit, asked=asked, left=left, cap=cap)
            held = [Reservation(uuid.uuid4().hex, account, amount, dict(note or {})) for amount in amounts]
            for reservation in held:
                self._open[reservation.id] = (reservation, "held")
                entry.open.add(reservation.id)
            entry.held = entry.held + total
            entry.version += 1
            return held

    def _close(self, reservation_id: str) -> tuple[_Entry, Reservation] | None:
        """Take an open reservation out of the held or unknown total; `None` if it is closed already."""
        found = self._open.pop(reservation_id, None)
        if found is None:
            return None
        reservation, status = found
        entry = self._entry(reservation.account)
        entry.open.discard(reservation_id)
        if status == "held":
            entry.held = _minus(entry.held, reservation.amount)
        else:
            entry.unknown = _minus(entry.unknown, reservation.amount)
        entry.version += 1
        return entry, reservation

    def settle(self, reservation: str, actual: Spend) -> None:
        with self._lock:
            closed = self._close(reservation)
            if closed is None:
                return
            entry, held = closed
            entry.settled = entry.settled + actual
            if _covers(held.amount, actual):
                return
            over = max(0, (actual.usd_nanos or 0) - (held.amount.usd_nanos or 0))
            entry.overrun_usd_nanos += over
            raise HoldExceeded(
                account=held.account,
                limit="hold (tokens)" if actual.tokens > held.amount.tokens else "hold (usd_nanos)",
                asked=actual.tokens if actual.tokens > held.amount.tokens else actual.usd_nanos or 0,
                left=0,
                cap=held.amount.tokens if actual.tokens > held.amount.tokens else held.amount.usd_nanos or 0,
                hint=f"The provider reported {actual} where at most {held.amount} was possible; it is posted in full.",
            )

    def void(self, reservation: str) -> None:
        with self._lock:
            self._close(reservation)

    def lose(self, reservation: str) -> None:
        with self._lock:
            found = self._open.get(reservation)
            if found is None or found[1] == "unknown":
                return
            entry = self._entry(found[0].account)
            entry.held = _minus(entry.held, found[0].amount)
            entry.unknown = entry.unknown + found[0].amount
            entry.version += 1
            self._open[reservation] = (found[0], "unknown")

    def knows(self, reservation: str) -> bool:
        with self._lock:
            return self._open.get(reservation, (None, ""))[1] == "held"

    # --- reading --------------------------------------------------------------------------------

    def _room(self, entry: _Entry) -> Room:
        charged = entry.settled + entry.held + entry.unknown
        left = {name: cap - (getattr(charged, name) or 0) for name, cap in entry.account.budget.limits.items()}
        seconds = None if entry.deadline is None else entry.deadline - self._clock()
        return Room(**left, seconds=seconds)

    def room(self, account: str) -> Room:
        with self._lock:
            return self._room(self._entry(account))

    def reading(self, account: str) -> Reading:
        with self._lock:
            entry = self._entry(account)
            return {
                "account": account,
                "version": entry.version,
                "opened_at": int(entry.opened_at),
                **entry.settled.to_dict(),
                **{f"held_{name}": value for name, value in entry.held.to_dict().items()},
                **{f"unknown_{name}": value for name, value in entry.unknown.to_dict().items()},
                "overrun_usd_nanos": entry.overrun_usd_nanos,
            }

    # --- the same, awaitable: nothing here blocks -------------------------------------------------

    async def aopen(self, account: Account, reading: Reading | None = None) -> None:
        self.open(account, reading)

    async def ahold(
        self, account: str, amounts: Sequence[Spend], note: dict[str, str] | None = None
    ) -> list[Reservation]:
        return self.hold(account, amounts, note)

    async def asettle(self, reservation: str, actual: Spend) -> None:
        self.settle(reservation, actual)

    async def avoid(self, reservation: str) -> None:
        self.void(reservation)

    async def alose(self, reservation: str) -> None:
        self.lose(reservation)

    async def aknows(self, reservation: str) -> bool:
        return self.knows(reservation)

    async def aroom(self, account: str) -> Room:
        return self.room(account)

    async def areading(self, account: str) -> Reading:
        return self.reading(account)


def _part(reading: Reading, prefix: str) -> Spend:
    own = {key.removeprefix(f"{prefix}_"): value for key, value in reading.items() if key.startswith(f"{prefix}_")}
    return Spend.from_dict(own)


def _minus(total: Spend, amount: Spend) -> Spend:
    def less(a: int | None, b: int | None) -> int | None:
        return None if a is None or b is None else a - b

    return replace(
        total,
        usd_nanos=less(total.usd_nanos, amount.usd_nanos),
        input_tokens=total.input_tokens - amount.input_tokens,
        cached_input_tokens=total.cached_input_tokens - amount.cached_input_tokens,
        output_tokens=total.output_tokens - amount.output_tokens,
        thinking_tokens=less(total.thinking_tokens, amount.thinking_tokens),
        calls=total.calls - amount.calls,
    )
