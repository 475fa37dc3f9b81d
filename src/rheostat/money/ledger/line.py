"""Those that wait for room: what is only held by requests under way comes back when their replies are in.

One line for each account that is short of room, the first to come the first to be served; beyond this process the
ledger keeps it (`Ledger.line_up`), where the first of each process has a place. Nothing waits while it holds anything
but its own standing hold, and what waits doesn't count on the standing holds of others that wait: so one can always go
on.
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
"""A thread, and the task in it."""

MOST_WAIT_SECONDS = 600.0
"""Nothing waits for longer, whatever its deadline."""
_POLL_SECONDS, _BEHIND_SECONDS = 0.1, 1.0
"""How often the first of a line looks whether there is room, beside being told; and how often the others look up."""
_TICKET_SECONDS = 5.0
"""How long a place in the ledger's line outlives its process."""
_STILL_SECONDS = 60.0
"""For so long is waited for runs that keep something back, while nothing comes back."""


class Line:
    """The lines of one ledger in this process, and what is known here of those that hold its room."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._sending: Counter[Owner] = Counter()
        self._runs: dict[str, frozenset[str]] = {}
        self._parked: Counter[str] = Counter()
        self._stirred_at = time.monotonic()

    # --- what others do -------------------------------------------------------------------------

    def stir(self) -> None:
        """Room may have come back."""
        self._stirred_at = time.monotonic()
        if self._waiting:
            with self._lock:
                first = [waiting[0] for waiting in self._waiting.values()]
            for waiter in first:
                waiter.wake()

    def began(self) -> Owner:
        """A request has left here."""
        owner = _me()
        with self._lock:
            self._sending[owner] += 1
        return owner

    def ended(self, owner: Owner) -> None:
        """Its reply is in, or it has failed."""
        with self._lock:
            self._sending[owner] -= 1
            if self._sending[owner] <= 0:
                del self._sending[owner]

    def keeps(self, standing: str, chain: frozenset[str] | None) -> None:
        """A run keeps something back for its last word, at these accounts; `None`: no longer."""
        with self._lock:
            if chain is None:
                self._runs.pop(standing, None)
            else:
                self._runs[standing] = chain

    # --- those that wait ------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """No call waits."""
        return not self._waiting

    def blocking(self, chain: list[str]) -> str | None:
        """An account of these at which others wait."""
        return next((account for account in chain if account in self._waiting), None)

    def join(self, waiter: _Waiter, account: str) -> None:
        """Go to the end of an account's line, unless one stands in it."""
        if waiter.account == account:
            return
        self.leave(waiter)
        with self._lock:
            waiter.account = account
            self._waiting.setdefault(account, deque()).append(waiter)
            if waiter.standing:
                self._parked[waiter.standing] += 1

    def leave(self, waiter: _Waiter) -> None:
        """Don't wait any more; the next one may go."""
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
        """Is it this one's turn?"""
        waiting = self._waiting.get(waiter.account)
        return waiting is not None and waiting[0] is waiter

    def helps(self, refused: BudgetExceeded, waiter: _Waiter, *, shared: bool) -> bool:
        """Will room come back, if this one waits?"""
        still = time.monotonic() - self._stirred_at > _STILL_SECONDS
        if refused.waits:
            alone = bool(self._sending) and set(self._sending) == {_me()}  # a stream that this very task leaves open
            return not alone or (shared and not still)
        if not refused.waits_for_runs or still:
            return False
        with self._lock:
            return any(
                refused.account in chain and name != waiter.standing and name not in self._parked
                for name, chain in self._runs.items()
            )


class _Waiter:
    """One that waits, in a thread or on an event loop."""

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
        """Until it is told, or for so long."""

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
    """Blocking code on an event loop's own thread: nothing else there could go on while it waits."""


_lines: WeakKeyDictionary[Ledger, Line] = WeakKeyDictionary()
_lines_lock = threading.Lock()


def last_word_of(account: str) -> str:
    """The name of the standing hold for a run's last word."""
    return f"last word of {account}"


def line_of(ledger: Ledger) -> Line:
    """The line of a ledger in this process."""
    line = _lines.get(ledger)
    if line is None:
        with _lines_lock:
            line = _lines.setdefault(ledger, Line())
    return line


def patiently(
    ledger: Ledger, account: str, work: Callable[[str | None], Flow[T]], *, wait: bool, standing: str = ""
) -> Flow[T]:
    """Do what takes room; where that is only held by requests under way, wait for it.

    Args:
        work: Takes the room, or raises `BudgetExceeded` and holds nothing; with a place in the ledger's line, as
            `Ledger.hold` takes it.
        wait: False: don't.
        standing: The caller's own standing hold: it may keep that while it waits.

    Raises:
        BudgetExceeded: it can't be had, or not within `MOST_WAIT_SECONDS` or the deadline.
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
