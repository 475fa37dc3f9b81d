"""Wait in line for room that requests in flight hold, and for a rate, which time gives back (see `line`)."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import Callable
from typing import Generic, TypeVar

from rheostat.errors import BudgetExceeded, LedgerError
from rheostat.flow import Effect, Flow
from rheostat.money.ledger.line import BlocksALoop, Place, Waiter, chain_of, line_of
from rheostat.money.ledger.protocol import Ledger

__all__ = ["MOST_WAIT_SECONDS", "patiently"]

T = TypeVar("T")

MOST_WAIT_SECONDS = 600.0
"""The longest wait for room, whatever the deadline. A rate is waited for until the deadline."""
_POLL_SECONDS, _BEHIND_SECONDS = 0.1, 1.0
"""The polling intervals of the first waiter in a line and of the others; they are also woken when room comes back."""
_RATE_SECONDS, _LONGEST_SECONDS = 0.25, 5.0
"""The same of the first waiter for a rate: while what is in flight in other processes is in the way, or their waiters
are before it; and while only time gives it back, where it sleeps until that is over."""
_TICKET_SECONDS = 5.0
"""The time that a place in the ledger's line outlives its process."""
_CLOCK_SECONDS, _MOMENT_SECONDS = 0.1, 0.005
"""How far the clocks of a ledger and of this process may differ, if others use it and if not."""
_SWEEP_SECONDS = 60.0
"""How often a waiter for a rate looks for requests whose holder has died."""


def patiently(
    ledger: Ledger,
    account: str,
    work: Callable[[str | None], Flow[T]],
    *,
    wait: bool,
    standing: str = "",
    paced: bool = False,
    ticket: str | None = None,
) -> Flow[T]:
    """Do work that takes room; if requests in flight hold the room, or a rate has none now, wait for it.

    Args:
        work: Takes the room, or raises `BudgetExceeded` and holds no more than before; its argument is a ticket for
            `Ledger.hold`.
        wait: Whether to wait for room; `False`: work at once, or fail.
        standing: The name of the caller's own standing hold, which it may keep while it waits.
        paced: Whether to wait for a rate.
        ticket: The ticket of work of which this is a part: it doesn't wait behind that.

    Raises:
        BudgetExceeded: The room won't come back, or not within `MOST_WAIT_SECONDS` and the deadline; a rate has no room
            before the deadline, or can never have it.
    """
    if not (wait or paced):
        return (yield from work(None))
    waiting = _Waiting(ledger, account, work, wait=wait, standing=standing, paced=paced)
    waiting.ticket = ticket or waiting.ticket
    at = yield from waiting.blocked()
    if at is None:
        try:
            return (yield from work(waiting.ticket))
        except BudgetExceeded as refused:
            at = waiting.line_for(refused)
            if at is None:
                if refused.queued and not (refused.rate or wait):  # it needn't stand in that line
                    return (yield from work(None))
                raise
            waiting.refused = refused
    return (yield from waiting.until_done(at))


class _Waiting(Generic[T]):
    """One call that waits until it has what it wants."""

    def __init__(
        self,
        ledger: Ledger,
        account: str,
        work: Callable[[str | None], Flow[T]],
        *,
        wait: bool,
        standing: str,
        paced: bool,
    ) -> None:
        self.ledger, self.account, self.work = ledger, account, work
        self.wait, self.paced, self.shared = wait, paced, ledger.shared
        self.line, self.waiter = line_of(ledger), Waiter(standing)
        self.ticket: str | None = "" if self.shared else None
        self.own = ""
        self.refused: BudgetExceeded | None = None
        """Its last refusal."""
        self.kept: Place | None = None
        """Its place in one of the ledger's lines, and how long that is valid."""
        self.kept_until = 0.0
        self.until = math.inf
        """When it gives up on room."""

    def blocked(self) -> Flow[Place | None]:
        """The line in which others already wait."""
        if self.line.empty:
            return None
        kinds = [rate for rate, waits in ((False, self.wait), (True, self.paced)) if waits]
        return self.line.blocking((yield from chain_of(self.ledger, self.account)), kinds)

    def line_for(self, refused: BudgetExceeded) -> Place | None:
        """The line in which waiting helps; `None`: it doesn't, or isn't wanted."""
        place = (refused.account, refused.rate)
        if not (self.paced if refused.rate else self.wait) or self.line.has_another(self.waiter, place):
            return None
        return place if self.line.helps(refused, self.waiter, shared=self.shared) else None

    def until_done(self, at: Place) -> Flow[T]:
        """Wait in this line, and work when it is its turn."""
        ledger, account = self.ledger, self.account
        room = yield Effect(lambda: ledger.room(account), lambda: ledger.aroom(account))
        later = _CLOCK_SECONDS if self.shared else _MOMENT_SECONDS  # so that the ledger sees the deadline passed, too
        deadline = math.inf if room.seconds is None else time.monotonic() + room.seconds + later
        self._join(at)
        swept_at = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                if now >= deadline or (now >= self.until and not self.line.for_rates):
                    return (yield from self.work(None))
                first = self.line.is_first(self.waiter)
                if first:
                    try:
                        return (yield from self.work(self.ticket))
                    except BudgetExceeded as refused:
                        place = self.line_for(refused)
                        if place is None:
                            raise
                        self.refused = refused
                        self._join(place)
                seconds = self._seconds(first=first)
                if first and self.shared:
                    yield from self._keep_place(seconds)
                if self._for_rate and time.monotonic() - swept_at > _SWEEP_SECONDS:
                    swept_at = time.monotonic()
                    yield from self._sweep()
                left = max(0.001, min(seconds, deadline - time.monotonic()))
                try:
                    yield self.waiter.pause(left, blocks=first and self._only_time)
                except BlocksALoop:
                    deadline = 0.0
        except GeneratorExit:
            raise
        except BaseException:
            if self.kept is not None:
                with contextlib.suppress(LedgerError):
                    yield self._place(self.kept, 0)
            raise
        finally:
            self.line.leave(self.waiter)

    def _join(self, place: Place) -> None:
        if self.waiter.place == place:
            return
        if place[1]:
            self.until = math.inf
        elif self.until == math.inf:
            self.until = time.monotonic() + MOST_WAIT_SECONDS
        self.line.join(self.waiter, place)

    @property
    def _for_rate(self) -> bool:
        return self.waiter.place is not None and self.waiter.place[1]

    @property
    def _only_time(self) -> bool:
        """Nothing but time is in the way, so that it is known when to look again."""
        refused = self.refused
        return self._for_rate and refused is not None and refused.ready_in_seconds is not None

    def _seconds(self, *, first: bool) -> float:
        """How long to wait before looking again, unless woken."""
        if not first:
            return _BEHIND_SECONDS
        refused = self.refused
        if refused is None or not self._for_rate:
            return _POLL_SECONDS
        if refused.ready_in_seconds is None or refused.queued:
            return _RATE_SECONDS if self.shared else _POLL_SECONDS
        unheard = self.shared and refused.coming  # what other processes give back
        return min(refused.ready_in_seconds + 0.001, _BEHIND_SECONDS if unheard else _LONGEST_SECONDS)

    # --- the ledger's lines -----------------------------------------------------------------------

    def _keep_place(self, seconds: float) -> Flow[None]:
        """Take or renew the place in the ledger's line, so that it outlives the next pause."""
        place, now = self.waiter.place, time.monotonic()
        if place is None or (self.kept == place and self.kept_until > now + seconds + _TICKET_SECONDS / 3):
            return
        if self.kept is not None and self.kept != place:
            yield self._place(self.kept, 0)
        self.ticket = self.own = self.own or uuid.uuid4().hex
        self.kept, self.kept_until = place, now + seconds + _TICKET_SECONDS
        yield self._place(place, seconds + _TICKET_SECONDS)

    def _place(self, place: Place, seconds: float) -> Effect:
        ledger, ticket, (account, rate) = self.ledger, self.ticket or "", place
        kind = {"rate": True} if rate else {}
        return Effect(
            lambda: ledger.line_up(account, ticket, seconds, **kind),
            lambda: ledger.aline_up(account, ticket, seconds, **kind),
        )

    def _sweep(self) -> Flow[None]:
        """Close requests whose holder has died: if all wait, nobody else looks for them."""
        ledger, stale = self.ledger, self.line.stale_after_seconds
        if stale is not None:
            yield Effect(lambda: ledger.expire(stale), lambda: ledger.aexpire(stale))
