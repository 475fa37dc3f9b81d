"""Wait in line for room that requests in flight hold and will give back.

Each account that is short of room has a line, first come, first served. The ledger keeps the line across processes
(`Ledger.line_up`), with a place for the first waiter of each process. A waiter holds nothing but its own standing hold,
and never waits for the standing holds of other waiters. So there is no deadlock: one of them can always go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from rheostat.errors import BudgetExceeded, LedgerError
from rheostat.flow import Effect, Flow
from rheostat.money.ledger.protocol import Ledger

__all__ = ["MOST_WAIT_SECONDS", "Owner", "chain_of", "last_word_of", "line_of", "patiently"]

T = TypeVar("T")
Owner: TypeAlias = tuple[int, int]
"""(thread id, id of the task in it or 0)."""

MOST_WAIT_SECONDS = 600.0
"""The longest wait, whatever the deadline."""
_POLL_SECONDS, _BEHIND_SECONDS = 0.1, 1.0
"""The polling intervals of the first waiter in a line and of the others; they are also woken when room comes back."""
_TICKET_SECONDS = 5.0
"""The time that a place in the ledger's line outlives its process."""
_STILL_SECONDS = 60.0
"""The longest wait for runs that keep a standing hold, while no room comes back."""


class Line:
    """The lines of one ledger in this process, with the requests in flight and the standing holds known here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._sending: Counter[Owner] = Counter()
        self._runs: dict[str, frozenset[str]] = {}
        self._parked: Counter[str] = Counter()
        self._stirred_at = time.monotonic()

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

    def blocking(self, chain: list[str]) -> str | None:
        """The first of these accounts at which others wait, or `None`."""
        return next((account for account in chain if account in self._waiting), None)

    def join(self, waiter: _Waiter, account: str) -> None:
        """Put a waiter at the end of an account's line, unless it is already in it."""
        if waiter.account == account:
            return
        self.leave(waiter)
        with self._lock:
            waiter.account = account
            self._waiting.setdefault(account, deque()).append(waiter)
            if waiter.standing:
                self._parked[waiter.standing] += 1

    def leave(self, waiter: _Waiter) -> None:
        """Take a waiter out of its line, and wake the new first one."""
        first: _Waiter | None = None
        with self._lock:
            account, waiter.account = waiter.account, ""
            waiting = self._waiting.get(account)
            if waiting is None:
                return
            with contextlib.suppress(ValueError):
                waiting.remove(waiter)
            if waiting:
                first = waiting[0]
            else:
                del self._waiting[account]
            if waiter.standing:
                self._parked[waiter.standing] -= 1
                if self._parked[waiter.standing] <= 0:
                    del self._parked[waiter.standing]
        if first is not None:
            first.wake()

    def is_first(self, waiter: _Waiter) -> bool:
        """Whether a waiter is the first in its line."""
        waiting = self._waiting.get(waiter.account)
        return waiting is not None and waiting[0] is waiter

    def helps(self, refused: BudgetExceeded, waiter: _Waiter, *, shared: bool) -> bool:
        """Whether room can come back if this waiter waits."""
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


class _Waiter:
    """A call that waits, in a thread or on an event loop."""

    def __init__(self, standing: str) -> None:
        self.account = ""
        self.standing = standing
        self._told = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._atold: asyncio.Event | None = None

    def wake(self) -> None:
        self._told.set()
        if self._loop is not None and self._atold is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                self._loop.call_soon_threadsafe(self._atold.set)

    def pause(self, seconds: float) -> Effect:
        """Wait until woken, or for at most `seconds`."""

        def do() -> None:
            if asyncio._get_running_loop() is not None:
                raise _BlocksALoop
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


class _BlocksALoop(Exception):
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


def patiently(
    ledger: Ledger, account: str, work: Callable[[str | None], Flow[T]], *, wait: bool, standing: str = ""
) -> Flow[T]:
    """Do work that takes room; if requests in flight hold the room, wait for it.

    Args:
        work: Takes the room, or raises `BudgetExceeded` and holds nothing; its argument is a ticket for `Ledger.hold`.
        wait: Whether to wait; `False`: work at once, or fail.
        standing: The name of the caller's own standing hold, which it may keep while it waits.

    Raises:
        BudgetExceeded: The room won't come back, or not within `MOST_WAIT_SECONDS` and the deadline.
    """
    if not wait:
        return (yield from work(None))
    line, shared = line_of(ledger), ledger.shared
    waiter = _Waiter(standing)
    at = None
    if not line.empty:
        at = line.blocking((yield from chain_of(ledger, account)))
    if at is None:
        try:
            return (yield from work("" if shared else None))
        except BudgetExceeded as refused:
            if not line.helps(refused, waiter, shared=shared):
                raise
            at = refused.account
    return (yield from _in_line(ledger, account, work, line, waiter, at))


def _in_line(
    ledger: Ledger, account: str, work: Callable[[str | None], Flow[T]], line: Line, waiter: _Waiter, at: str
) -> Flow[T]:
    shared, ticket, kept_at, renewed_at = ledger.shared, "", "", 0.0
    room = yield Effect(lambda: ledger.room(account), lambda: ledger.aroom(account))
    until = time.monotonic() + min(MOST_WAIT_SECONDS, room.seconds if room.seconds is not None else MOST_WAIT_SECONDS)
    line.join(waiter, at)
    try:
        while True:
            first = line.is_first(waiter)
            if time.monotonic() >= until:
                return (yield from work(None))
            if first:
                try:
                    return (yield from work(ticket if shared else None))
                except BudgetExceeded as refused:
                    if not line.helps(refused, waiter, shared=shared):
                        raise
                    line.join(waiter, refused.account)
                if shared and (kept_at != waiter.account or time.monotonic() - renewed_at > _TICKET_SECONDS / 3):
                    if kept_at not in ("", waiter.account):
                        yield from _place(ledger, kept_at, ticket, 0)
                    ticket, kept_at, renewed_at = ticket or uuid.uuid4().hex, waiter.account, time.monotonic()
                    yield from _place(ledger, kept_at, ticket, _TICKET_SECONDS)
            left = max(0.001, until - time.monotonic())
            try:
                yield waiter.pause(min(left, _POLL_SECONDS if first else _BEHIND_SECONDS))
            except _BlocksALoop:
                until = 0.0
    except GeneratorExit:
        raise
    except BaseException:
        if kept_at:
            with contextlib.suppress(LedgerError):
                yield from _place(ledger, kept_at, ticket, 0)
        raise
    finally:
        line.leave(waiter)


def _place(ledger: Ledger, account: str, ticket: str, seconds: float) -> Flow[None]:
    yield Effect(lambda: ledger.line_up(account, ticket, seconds), lambda: ledger.aline_up(account, ticket, seconds))


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
