"""Test any ledger with random histories, compared with the truth (needs hypothesis)."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rheostat.errors import BudgetExceeded, HoldExceeded, LimitWarning
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, Rate, Reading, Window
from rheostat.money.ledger.entry import OPEN
from rheostat.money.usage import Spend
from rheostat.testing.truth import Event, LedgerTruth
from rheostat.testing.waits import AMOUNTS, Waits, part

__all__ = ["Store", "ledger_machine"]

START = 1_780_000_000.0

_limits = st.fixed_dictionaries(
    {},
    optional={
        "usd": st.sampled_from(["0.0000004", "0.000004"]),
        "tokens": st.integers(100, 6000),
        "output_tokens": st.integers(100, 4000),
        "thinking_tokens": st.integers(50, 2000),
        "calls": st.integers(1, 30),
        "seconds": st.integers(5, 300_000),
    },
)
_rates = st.builds(
    Rate,
    rpm=st.integers(1, 6),
    tpm=st.none() | st.integers(150, 2000),
    input_tpm=st.none() | st.integers(100, 900),
    output_tpm=st.none() | st.integers(100, 900),
)
_pick = st.integers(0, 10**6)
_MOST_ACCOUNTS = 6


class Store(Protocol):
    """The storage of the ledger under test."""

    durable: bool
    """`True`: a restarted ledger knows everything. `False`: it knows only what the readings contain."""

    def start(self, clock: Any) -> Ledger:
        """A ledger on an empty store, with `clock()` as seconds since the epoch."""

    def restart(self, clock: Any) -> Ledger:
        """The ledger as a new process sees it after all others were killed."""

    def another(self, clock: Any) -> Ledger:
        """The ledger as a second process sees it while the first one lives; without a store, the same object."""

    def stop(self) -> None:
        """Clean up."""


def ledger_machine(make_store: Any) -> type[RuleBasedStateMachine]:
    """A hypothesis state machine for a ledger.

    It runs hold, begin, settle, settle again, overrun, void, mark as unknown, expire, amend, standing holds, the line,
    two processes, restart, time, nested accounts, windows and rates in random order. After every step, the ledger must
    equal the truth.

    >>> TestMyLedger = ledger_machine(MyStore).TestCase  # doctest: +SKIP

    Args:
        make_store: Called for each history; returns a `Store`.
    """

    class LedgerMachine(Waits):
        accounts = Waits.accounts

        def __init__(self) -> None:
            super().__init__()
            self.now = START
            self.store: Store = make_store()
            self.ledger = self.store.start(lambda: self.now)
            self.other: Ledger | None = None
            self.truth = LedgerTruth()
            self.versions: dict[str, int] = {}
            self.steps = 0
            self.rested = 0
            """Steps since the last restart or amendment, because several in a row test little."""

        # --- accounts -----------------------------------------------------------------------------

        def _open(self, parent: str | None, limits: dict[str, Any], every: Any, rate: Rate | None = None) -> str:
            name = f"a{len(self.truth.accounts)}"
            if every is not None:
                limits = {limit: cap for limit, cap in limits.items() if limit != "seconds"}
            account = Account(name, Budget(**limits) if limits else None, parent, every and Window(every), rate)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LimitWarning)
                self.ledger.open(account, {})
            self.truth.open(account, self.now)
            return name

        @initialize(target=accounts, limits=_limits, rate=st.none() | _rates)
        def first(self, limits: dict[str, Any], rate: Rate | None) -> str:
            return self._open(None, limits, None, rate)

        @precondition(lambda self: len(self.truth.accounts) < _MOST_ACCOUNTS)
        @rule(
            target=accounts,
            parent=st.none() | accounts,
            limits=_limits,
            every=st.sampled_from([None, "day", "month"]),
            rate=st.none() | st.none() | _rates,
        )
        def open(self, parent: str | None, limits: dict[str, Any], every: Any, rate: Rate | None) -> str:
            return self._open(parent, limits, every if self.store.durable else None, rate)

        @precondition(lambda self: self.rested > 5)
        @rule(account=accounts)
        def open_again(self, account: str) -> None:
            self.ledger.open(self.truth.accounts[account], self.ledger.reading(account))

        @precondition(lambda self: self.rested > 10)
        @rule(account=accounts, limits=_limits)
        def amend(self, account: str, limits: dict[str, Any]) -> None:
            self.rested = 0
            limits = {limit: cap for limit, cap in limits.items() if limit != "seconds"}
            if limits:
                self.ledger.amend(account, Budget(**limits))
                self.truth.budgets[account] = Budget(**limits)

        @precondition(lambda self: self.truth.rates.limits)
        @rule(pick=_pick, rate=_rates)
        def amend_rate(self, pick: int, rate: Rate) -> None:
            """A tighter or a looser rate, with requests in flight and others that have just ended."""
            account = sorted(self.truth.rates.limits)[pick % len(self.truth.rates.limits)]
            self.ledger.amend(account, rate=rate)
            self.truth.rates.limits[account] = rate

        # --- hold, then pay -----------------------------------------------------------------------

        @rule(account=accounts, wanted=st.lists(AMOUNTS, min_size=1, max_size=3))
        def hold(self, account: str, wanted: list[Spend]) -> None:
            fits = self.truth.fits(account, wanted, self.now)
            try:
                held = self.ledger.hold(account, wanted, {"model": f"m{len(wanted)}", "node": "n"})
            except BudgetExceeded as error:
                assert not fits, f"refused, though it fits: {error}"
                assert error.account in self.truth.chain(account)
                assert error.asked > error.left or error.limit == "seconds"
                self._says_if_waiting_helps(account, sum(wanted, Spend()), error)
                return
            assert fits, "held, though it doesn't fit"
            for one in held:
                self.truth.events[one.id] = Event(account, one.amount, self.now, f"m{len(wanted)}")

        def _says_if_waiting_helps(self, account: str, wanted: Spend, error: BudgetExceeded) -> None:
            """`waits` is true exactly if the amount would fit after all amounts in flight were given back."""
            room = self.ledger.room(account, patient=True)
            if error.rate:
                assert not error.waits, "a hold is refused by a rate only if it is too large for it"
                return
            if not any(self.truth.accounts[name].window for name in self.truth.chain(account)):
                assert error.waits == room.fits(wanted)
                assert not error.waits or error.waits_for_runs

        @rule(account=accounts, wanted=AMOUNTS)
        def hold_one(self, account: str, wanted: Spend) -> None:
            """A second rule for holds, so that more of them are made."""
            self.hold(account, [wanted])

        def _name(self, pick: int) -> str:
            """An open reservation three times out of four, else any, because a closed one must stay closed."""
            events = self.truth.events
            open_ = [name for name, event in events.items() if event.status in OPEN and not event.forgotten]
            names = open_ if open_ and pick % 4 else list(events)
            return names[pick % len(names)]

        def _known(self, name: str, *statuses: str) -> Event | None:
            event = self.truth.events[name]
            return event if event.status in statuses and not event.forgotten else None

        @precondition(lambda self: self.truth.events)
        @rule(pick=_pick)
        def begin(self, pick: int) -> None:
            name = self._name(pick)
            event, sent = self._known(name, "held"), self._known(name, "sent")
            late = event is not None and self.truth.left(event.account, self.now).get("seconds", 1) <= 0
            may = event is None or late or self.truth.may_leave(event.account, event.amount, self.now)
            try:
                room = self.ledger.begin(name)
            except BudgetExceeded as error:
                assert error.rate, "only a rate stops what is held"
                assert not may, f"it may leave: {error}"
                return
            assert may, "it left too early"
            assert (room is not None) == (event is not None)
            if event is not None:
                event.status, event.begun_at = "sent", self.now
            if sent is not None:
                self.truth.ends(sent, sent.amount, self.now)
                sent.status = "unknown"

        @precondition(lambda self: self.truth.events)
        @rule(pick=_pick, share=st.sampled_from([0.0, 0.3, 1.0]))
        def settle(self, pick: int, share: float) -> None:
            """Settle, also a second time, which must change nothing."""
            name = self._name(pick)
            event = self._known(name, "standing", "held", "sent", "unknown")
            amount = self.truth.events[name].amount
            actual = Spend(
                usd_nanos=int((amount.usd_nanos or 0) * share),
                input_tokens=int(amount.input_tokens * share),
                output_tokens=int(amount.output_tokens * share),
                calls=min(1, amount.calls),
            )
            assert self.ledger.settle(name, actual, "r") == (event is not None)
            if event is not None:
                self.truth.ends(event, actual, self.now)
                event.status, event.actual = "settled", actual

        @precondition(lambda self: self.truth.events)
        @rule(pick=_pick)
        def overrun(self, pick: int) -> None:
            """Settle more than the hold, which must be posted in full."""
            name = self._name(pick)
            event = self._known(name, "standing", "held", "sent", "unknown")
            amount = self.truth.events[name].amount
            actual = Spend(usd_nanos=(amount.usd_nanos or 0) + 7, output_tokens=amount.output_tokens + 1, calls=1)
            try:
                assert not self.ledger.settle(name, actual)
                assert event is None
            except HoldExceeded:
                assert event is not None
                self.truth.ends(event, actual, self.now)
                event.status, event.actual = "settled", actual

        @precondition(lambda self: self.truth.events)
        @rule(pick=_pick)
        def void(self, pick: int) -> None:
            name = self._name(pick)
            event = self._known(name, "standing", "held", "sent", "unknown")
            assert self.ledger.void(name) == (event is not None)
            if event is not None:
                event.status = "void"

        @rule(account=accounts, wanted=AMOUNTS)
        def admit(self, account: str, wanted: Spend) -> None:
            """Hold and begin in one step."""
            may = self.truth.may_leave(account, wanted, self.now)
            fits = self.truth.fits(account, [wanted], self.now) and may
            try:
                held, room = self.ledger.admit(account, wanted, {"model": "m1", "node": "n"})
            except BudgetExceeded as error:
                assert not fits, f"refused, though it fits: {error}"
                return
            assert fits, "admitted, though it doesn't fit"
            event = Event(account, held.amount, self.now, "m1", status="sent", begun_at=self.now)
            self.truth.events[held.id] = event
            assert room.calls == self.truth.left(account, self.now).get("calls")
            assert self.ledger.begin(held.id) is None, "it had begun already"
            self.truth.ends(event, event.amount, self.now)
            event.status = "unknown"

        @precondition(lambda self: self.truth.events)
        @rule(pick=_pick, share=st.sampled_from([None, 0.0, 0.4, 2.0]))
        def mark_unknown(self, pick: int, share: float | None) -> None:
            """Mark as unknown in full, or at an estimate, which never counts for more than the hold."""
            name = self._name(pick)
            event = self._known(name, "standing", "held", "sent")
            amount = self.truth.events[name].amount
            guess = None if share is None else part(amount, share)
            assert self.ledger.mark_unknown(name, guess) == (event is not None)
            if event is not None:
                charge = None if share is None else part(amount, min(share, 1.0))
                self.truth.ends(event, amount if charge is None else charge, self.now)
                event.status, event.actual = "unknown", charge

        # --- time and death -----------------------------------------------------------------------

        @rule(seconds=st.sampled_from([1, 100, 90_000]))
        def time_passes(self, seconds: int) -> None:
            self.now += seconds

        @rule(seconds=st.sampled_from([5, 50, 50_000]))
        def expire(self, seconds: int) -> None:
            waiting = ("standing", "held", "sent")
            open_ = [e for e in self.truth.events.values() if e.status in waiting and not e.forgotten]
            stale = [e for e in open_ if (e.begun_at or e.at) <= self.now - seconds]
            assert self.ledger.expire(seconds) == len(stale)
            for event in stale:
                if event.status == "sent":
                    self.truth.ends(event, event.amount, self.now)
                event.status = "unknown" if event.status == "sent" else "void"

        @precondition(lambda self: self.truth.events)
        @rule(pick=_pick)
        def abandon(self, pick: int) -> None:
            """A holder sends its request and dies; another process cleans up."""
            self.begin(pick)
            self.time_passes(100)
            self.expire(50)

        @rule()
        def another_process(self) -> None:
            """Let another process do the next steps; each process must see the other's changes."""
            other = self.other or self.store.another(lambda: self.now)
            self.ledger, self.other = other, self.ledger

        @precondition(lambda self: self.rested > 20)
        @rule()
        def restart(self) -> None:
            self.rested = 0
            self.other = None
            readings: dict[str, Reading] = {name: self.ledger.reading(name) for name in self.truth.accounts}
            self.ledger = self.store.restart(lambda: self.now)
            if self.store.durable:
                return
            for name, account in self.truth.accounts.items():
                amended = Account(
                    name, self.truth.budgets[name], account.parent, rate=self.truth.rates.limits.get(name)
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", LimitWarning)
                    self.ledger.open(amended, readings[name])
            self.truth.lines.clear()
            self.truth.rates.posts.clear()
            for event in self.truth.events.values():
                if event.status in ("held", "sent"):
                    event.status = "unknown"
                elif event.status == "standing":
                    event.status = "void"
                event.forgotten = True

        @invariant()
        def agrees(self) -> None:
            """Check one account after each step, in turn; `teardown` checks all of them."""
            self.steps += 1
            self.rested += 1
            names = list(self.truth.accounts)
            if names:
                self._check(names[self.steps % len(names)])

        def _check(self, account: str) -> None:
            version = self.truth.check(self.ledger, account, self.now)["version"]
            assert version >= self.versions.get(account, 0)
            self.versions[account] = version

        def teardown(self) -> None:
            try:
                for account in self.truth.accounts:
                    self._check(account)
            finally:
                self.store.stop()

    return LedgerMachine
