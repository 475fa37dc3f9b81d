"""The law of rates: what counts against one now, and when a request may leave.

Many workers share the limits of one API key. A rate at an account above all of them makes each request wait, before it
leaves, until the provider's limit has room for it.

**The law.** A request counts its whole hold while it is in flight, and what it used for a minute after it ended. It may
leave if the sum, with it, is within the limit. So the provider never sees more than the limit in *any* sliding minute,
whenever between a request's departure and its end it counts it: a request that it counts within the minute before some
moment is then either still in flight, and counts here with at least as much, or has ended less than a minute before,
and counts here with what it used. Between two admissions the sum only falls.

That is stricter than the token bucket by which limits are usually described. A bucket that gives back at settlement
what was held too much lets a minute have its whole burst, its refill, and all that was given back meanwhile. Here, a
*burst* is the limit itself: an idle account may use a whole minute's worth at once, and then waits.

What is only held, or standing, counts nothing: the provider sees a request when it leaves, not when it is planned. So a
fan-out may be larger than the limit; its requests leave one after the other. A request waits with nothing in flight, so
those that wait can't block each other.

The space is constant: what has ended is added up in some sixty cells of a second. The clock is the account's own
time, which never runs backwards, whatever the ledger's clock does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from rheostat.money.ledger.counts import CACHED, CALLS, INPUT, OUTPUT, Counts
from rheostat.money.ledger.rate import Rate, RateSeen, field_of

__all__ = ["Pace", "Short"]

_CELLS = 60
_KINDS = 4
_ARRIVES_PARTS = 5
"""The longest way of a request to the provider, where that counts it when it arrives, in cells: five seconds."""
_CLOCK_MS = 100
"""How far the clocks of several processes may differ (see `PostgresLedger`)."""
_MOST_STOP_SECONDS = 600.0
"""The longest that a provider's word stops everybody: a broken header mustn't stop them for good."""


@dataclass(frozen=True, slots=True)
class Short:
    """A limit that an amount exceeds now."""

    name: str
    """As a field of `Rate`."""
    asked: int
    flying: int
    """In flight."""
    used: int
    """In the last minute, by requests that have ended."""
    cap: int
    ready_in_ms: int | None
    """When all limits have room, if nothing else leaves; `None`: that depends on what is in flight."""
    stopped: bool = False
    """There is room, but the provider wants nothing before that."""


@dataclass(slots=True)
class Pace:
    """A rate at an account, and what counts against it now. Times are of the account's own clock, in milliseconds.

    Amounts are [requests, tokens, input tokens, output tokens].
    """

    rate: Rate
    flying: list[int] = field(default_factory=lambda: [0] * _KINDS)
    """The holds of requests in flight."""
    cells: list[list[int]] = field(default_factory=list)
    """[its number, then an amount] of each cell with something in it, the oldest first."""
    stopped_until_ms: int = 0
    """The provider wants nothing before that."""
    line: list[list[Any]] = field(default_factory=list)
    """Those that wait, one place a process: [ticket, valid until (wall clock)], the first in line first."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Pace:
        """The inverse of `to_dict`."""
        return cls(**{**data, "rate": Rate(**data["rate"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a store."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"rate": self.rate.to_dict()}

    def amended(self, rate: Rate, now_ms: int) -> Pace:
        """The same under another rate. What has left counts as before; with another law, as if it had left now."""
        pace = replace(self, rate=rate)
        if (rate.counts_max_tokens, rate.period_seconds) != (self.rate.counts_max_tokens, self.rate.period_seconds):
            moved = [max(0, self.in_flight(number) - pace.in_flight(number)) for number in range(_KINDS)]
            pace.cells = []
            pace._post([self.used(number) + moved[number] for number in range(_KINDS)], now_ms)
        return pace

    # --- time -----------------------------------------------------------------------------------

    @property
    def _cell_ms(self) -> int:
        return max(1, int(1000 * self.rate.period_seconds) // _CELLS)

    @property
    def _kept_ms(self) -> int:
        """How long a cell counts after its last moment."""
        arrives = _ARRIVES_PARTS * self._cell_ms if self.rate.counts_max_tokens else 0
        return int(1000 * self.rate.period_seconds) + arrives + _CLOCK_MS

    def _ends_ms(self, cell: list[int]) -> int:
        return (cell[0] + 1) * self._cell_ms + self._kept_ms

    def tick(self, now_ms: int) -> None:
        """Drop what no longer counts."""
        gone = 0
        while gone < len(self.cells) and self._ends_ms(self.cells[gone]) <= now_ms:
            gone += 1
        if gone:
            del self.cells[:gone]

    # --- what counts ----------------------------------------------------------------------------

    def used(self, number: int) -> int:
        """The amount of a kind that has ended within the last minute, or left within it."""
        return sum(cell[number + 1] for cell in self.cells)

    def in_flight(self, number: int) -> int:
        """The amount of a kind that counts because it is in flight."""
        return 0 if self.rate.counts_max_tokens else self.flying[number]

    def counted(self, number: int) -> int:
        """All that counts of a kind now."""
        return self.in_flight(number) + self.used(number)

    def reading(self, now_ms: int) -> dict[str, Any]:
        """What counts now, as plain data: see `Reading`."""
        found: dict[str, Any] = {
            field_of(name): {"limit": cap, "in_flight": self.in_flight(number), "used": self.used(number)}
            for name, number, cap in self.rate.caps
        }
        return {**found, "stopped_seconds": max(0, self.stopped_until_ms - now_ms) / 1000}

    def beyond(self, asked: Counts) -> Short | None:
        """The limit that this amount can never fit; `None`: it can."""
        amount = _amount(asked)
        for name, number, cap in self.rate.caps:
            if amount[number] > cap:
                return self._short(name, number, cap, amount)
        return None

    def shortage(self, asked: Counts, now_ms: int) -> Short | None:
        """The limit that has no room for this amount now; of several, one that depends on what is in flight first."""
        amount, found = _amount(asked), None
        for name, number, cap in self.rate.caps:
            if amount[number] and self.counted(number) + amount[number] > cap:
                ready = self._ready_ms(amount[number], number, cap)
                short = self._short(name, number, cap, amount, None if ready is None else ready - now_ms)
                if found is None or short.ready_in_ms is None or (found.ready_in_ms or 0) < short.ready_in_ms:
                    found = short
                if ready is None:
                    break
        stopped = self.stopped_until_ms - now_ms
        if stopped > 0 and any(amount):
            if found is None:
                return replace(self.turn(asked), ready_in_ms=stopped, stopped=True)
            if found.ready_in_ms is not None:
                return replace(found, ready_in_ms=max(found.ready_in_ms, stopped))
        return found

    def turn(self, asked: Counts) -> Short:
        """No limit is short, but others are before this one."""
        return self._short(*next(iter(self.rate.caps)), _amount(asked))

    def _short(self, name: str, number: int, cap: int, amount: list[int], ready_in_ms: int | None = None) -> Short:
        return Short(name, amount[number], self.in_flight(number), self.used(number), cap, ready_in_ms)

    def _ready_ms(self, asked: int, number: int, cap: int) -> int | None:
        """When a limit has room for this much, if nothing else leaves; `None`: what is in flight is in the way."""
        over, ends = self.counted(number) + asked - cap, 0
        for cell in self.cells:
            if over <= 0:
                break
            over -= cell[number + 1]
            ends = self._ends_ms(cell)
        return ends if over <= 0 else None

    # --- requests -------------------------------------------------------------------------------

    def leaves(self, hold: Counts, now_ms: int) -> None:
        """Count a request that leaves now."""
        self._fly(hold, 1)
        if self.rate.counts_max_tokens:
            self._post(_amount(hold), now_ms)

    def never_left(self, hold: Counts, age_ms: int) -> None:
        """Give back a request that the provider never saw.

        Args:
            age_ms: The time since it was sent, by a clock that may jump.
        """
        self._fly(hold, -1)
        if not self.rate.counts_max_tokens or not 0 <= age_ms <= self._kept_ms // 2:
            return
        amount = _amount(hold)  # still in its cell; it is taken out of older ones, which end sooner
        for cell in self.cells:
            taken = [min(pair) for pair in zip(amount, cell[1:], strict=True)]
            cell[1:] = _beyond(cell[1:], taken)
            amount = _beyond(amount, taken)

    def ended(self, hold: Counts, cost: Counts, now_ms: int, *, had_left: bool, assumed: Counts | None = None) -> None:
        """Count what a request used for a minute from now.

        Args:
            cost: What it used, or is assumed to have used.
            had_left: It was in flight until now.
            assumed: What was counted when its cost was unknown, if it was: only what is beyond that counts now.
        """
        counted = [0] * _KINDS if assumed is None else _amount(assumed, cached=True)
        if had_left:
            self._fly(hold, -1)
        if self.rate.counts_max_tokens and (had_left or assumed is not None):
            counted = _amount(hold)
        self._post(_beyond(_amount(cost, cached=True), counted), now_ms)

    def _fly(self, hold: Counts, sign: int) -> None:
        self.flying = [had + sign * much for had, much in zip(self.flying, _amount(hold), strict=True)]

    def _post(self, amount: list[int], now_ms: int) -> None:
        if not any(amount):
            return
        number = now_ms // self._cell_ms
        if not self.cells or self.cells[-1][0] != number:
            self.cells.append([number, *(0 for _ in amount)])
        cell = self.cells[-1]
        cell[1:] = [had + much for had, much in zip(cell[1:], amount, strict=True)]

    # --- what the provider says --------------------------------------------------------------------

    def heed(self, seen: RateSeen, now_ms: int) -> bool:
        """Believe a provider that says that less is left than counts here. Returns whether anything changed."""
        foreign = [0] * _KINDS
        for name, number, cap in self.rate.caps:
            left, said = cap - self.counted(number), getattr(seen, field_of(name))
            if said is not None and 0 <= said < left:
                foreign[number] = left - said
        self._post(foreign, now_ms)
        until = 0
        if seen.stop_seconds is not None and seen.stop_seconds > 0:
            until = now_ms + int(1000 * min(seen.stop_seconds, _MOST_STOP_SECONDS))
        changed = any(foreign) or until > self.stopped_until_ms
        self.stopped_until_ms = max(self.stopped_until_ms, until)
        return changed


def _beyond(amount: list[int], other: list[int]) -> list[int]:
    return [max(0, one - two) for one, two in zip(amount, other, strict=True)]


def _amount(counts: Counts, *, cached: bool = False) -> list[int]:
    """[requests, tokens, input tokens, output tokens]; with `cached`, without the input that was read from a cache."""
    whole, output = counts[INPUT], counts[OUTPUT]
    fresh = max(0, whole - counts[CACHED]) if cached else whole
    return [counts[CALLS], whole + output, fresh, output]
