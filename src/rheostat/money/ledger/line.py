"""The lines of those that wait: for room that requests in flight hold and will give back, and for a rate.

Each account that is short of room has a line, first come, first served, and another one for its rate. The ledger keeps
the lines across processes (`Ledger.line_up`), with a place for the first waiter of each process. A waiter for room
holds nothing but its own standing hold, and never waits for the standing holds of other waiters. A waiter for a rate
may hold room, but has nothing in flight, and only what is in flight is in its way. So there is no deadlock: one of them
can always go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

from rheostat.errors import BudgetExceeded
from rheostat.flow import Effect, Flow
from rheostat.money.ledger.protocol import Ledger

__all__ = ["BlocksALoop", "Line", "Owner", "Place", "Waiter", "chain_of", "last_word_of", "line_of"]

Owner: TypeAlias = tuple[int, int]
"""(thread id, id of the task in it or 0)."""
Place: TypeAlias = tuple[str, bool]
"""A line: the account, and whether it is the one for its rate."""

_STILL_SECONDS = 60.0
"""The longest wait for runs that keep a standing hold, while no room comes back."""


class Line:
    """The lines of one ledger in this process, with the requests in flight and the standing holds known here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Place, deque[Waiter]] = {}
        self._sending: Counter[Owner] = Counter()
        self._runs: dict[str, frozenset[str]] = {}
        self._parked: Counter[str] = Counter()
        self._stirred_at = time.monotonic()
        self.stale_after_seconds: float | None = None
        """The age at which a hold has lost its holder (see `Meter`)."""

    # --- events ---------------------------------------------------------------------------------

    def stir(self) -> None:
        """Wake the first waiters, because room may have come back."""
        self._stirred_at = time.monotonic()
        if self._waiting:
            with self._lock:
                first = [waiting[0] for waiting in self._waiting.values()]
            for waiter in first:
                waiter.wake()

    def began(self) -> Owner:
        """Note that a request has left, and return its owner."""
        owner = _me()
        with self._lock:
            self._sending[owner] += 1
        return owner

    def ended(self, owner: Owner) -> None:
        """Note that an owner's request has its reply or has failed."""
        with self._lock:
            self._sending[owner] -= 1
            if self._sending[owner] <= 0:
                del self._sending[owner]

    def keeps(self, standing: str, chain: frozenset[str] | None) -> None:
        """Note the accounts at which a run keeps a standing hold for its last word; `None`: it no longer does."""
        with self._lock:
            if chain is None:
                self._runs.pop(standing, None)
            else:
                self._runs[standing] = chain

    # --- waiters --------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Whether no call is waiting."""
        return not self._waiting

    @property
    def for_rates(self) -> bool:
        """Whether a call is waiting for a rate, perhaps with room that others wait for."""
        with self._lock:
            return any(rate for _, rate in self._waiting)

    def blocking(self, chain: list[str], kinds: Sequence[bool]) -> Place | None:
        """The first line of these kinds at these accounts in which others wait, or `None`.

        A request that is paid for by several accounts waits for all of them in turn: it doesn't wait for itself.
        """
        me = _me()
        with self._lock:
            lines = ((account, rate) for account in chain for rate in kinds)
            return next((line for line in lines if line in self._waiting and self._waiting[line][0].owner != me), None)

    def has_another(self, waiter: Waiter, place: Place) -> bool:
        """Whether a waiter of the same task is in that line: the work around this one, which waits for both."""
        with self._lock:
            return any(each.owner == waiter.owner and each is not waiter for each in self._waiting.get(place, ()))

    def join(self, waiter: Waiter, place: Place) -> None:
        """Put a waiter at the end of a line, unless it is already in it."""
        if waiter.place == place:
            return
        self.leave(waiter)
        with self._lock:
            waiter.place = place
            self._waiting.setdefault(place, deque()).append(waiter)
            if waiter.standing:
                self._parked[waiter.standing] += 1

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out of its line, and wake the new first one."""
        first: Waiter | None = None
        with self._lock:
            place, waiter.place = waiter.place, None
            waiting = self._waiting.get(place) if place is not None else None
            if waiting is None or place is None:
                return
            with contextlib.suppress(ValueError):
                waiting.remove(waiter)
            if waiting:
                first = waiting[0]
            else:
                del self._waiting[place]
            if waiter.standing:
                self._parked[waiter.standing] -= 1
                if self._parked[waiter.standing] <= 0:
                    del self._parked[waiter.standing]
        if first is not None:
            first.wake()

    def is_first(self, waiter: Waiter) -> bool:
        """Whether a waiter is the first in its line."""
        waiting = self._waiting.get(waiter.place) if waiter.place is not None else None
        return waiting is not None and waiting[0] is waiter

    def helps(self, refused: BudgetExceeded, waiter: Waiter, *, shared: bool) -> bool:
        """Whether room can come back if this waiter waits."""
        if refused.rate and (not refused.waits or refused.ready_in_seconds is not None):
            return refused.waits
        still = time.monotonic() - self._stirred_at > _STILL_SECONDS
        if refused.waits:
            alone = bool(self._sending) and set(self._sending) == {_me()}  # only this task's own open stream holds it
            return not alone or (shared and not still)
        if not refused.waits_for_runs or still:
            return False
        with self._lock:
            return any(
                refused.account in chain and name != waiter.standing and name not in self._parked
                for name, chain in self._runs.items()
            )


class Waiter:
    """A call that waits, in a thread or on an event loop."""

    def __init__(self, standing: str) -> None:
        self.place: Place | None = None
        self.standing = standing
        self.owner = _me()
        self._told = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._atold: asyncio.Event | None = None

    def wake(self) -> None:
        self._told.set()
        if self._loop is not None and self._atold is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                self._loop.call_soon_threadsafe(self._atold.set)

    def pause(self, seconds: float, *, blocks: bool = False) -> Effect:
        """Wait until woken, or for at most `seconds`.

        Args:
            blocks: Also block an event loop: nothing but time is waited for, which goes on meanwhile.
        """

        def do() -> None:
            if asyncio._get_running_loop() is not None and not blocks:
                raise BlocksALoop
            self._told.wait(seconds)
            self._told.clear()

        async def ado() -> None:
            if self._atold is None:
                self._loop, self._atold = asyncio.get_running_loop(), asyncio.Event()
            if not self._told.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._atold.wait(), seconds)
            self._told.clear()
            self._atold.clear()

        return Effect(do, ado)


class BlocksALoop(Exception):
    """Blocking code would wait on the event loop's own thread, where nothing else could go on meanwhile."""


_lines: WeakKeyDictionary[Ledger, Line] = WeakKeyDictionary()
_lines_lock = threading.Lock()


def last_word_of(account: str) -> str:
    """The name of the standing hold for a run's last word."""
    return f"last word of {account}"


def line_of(ledger: Ledger) -> Line:
    """The lines of a ledger in this process."""
    line = _lines.get(ledger)
    if line is None:
        with _lines_lock:
            line = _lines.setdefault(ledger, Line())
    return line


def chain_of(ledger: Ledger, account: str) -> Flow[list[str]]:
    """The account and all its parents."""
    if not ledger.shared:
        return ledger.chain(account)
    chain: list[str] = yield Effect(lambda: ledger.chain(account), lambda: asyncio.to_thread(ledger.chain, account))
    return chain


def _me() -> Owner:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task) if task is not None else 0
