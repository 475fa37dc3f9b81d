"""The law of the ledger, against a model of the truth: nothing overspent, lost or counted twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from langchain_core.exceptions import ModelError
from langgraph.types import default_retry_on

from rheostat import Account, Budget, BudgetExceeded, HoldExceeded, LedgerError, MemoryLedger, Spend
from rheostat.ledger import latest_reading
from rheostat.testing import Truth, check_ledger

CAP = 1000
amounts = st.builds(
    Spend,
    usd_nanos=st.integers(0, 400),
    input_tokens=st.integers(0, 200),
    output_tokens=st.integers(0, 200),
    calls=st.just(1),
)


class LedgerMachine(RuleBasedStateMachine):
    """Random histories of hold, settle, void, lose, settle again and restart."""

    held = Bundle("held")

    @initialize()
    def start(self) -> None:
        self.ledger = MemoryLedger()
        self.account = Account("a", Budget(usd="0.000001", tokens=CAP))
        self.ledger.open(self.account)
        self.truth = Truth()
        self.version = 0

    @rule(target=held, wanted=st.lists(amounts, min_size=1, max_size=3))
    def hold(self, wanted: list[Spend]) -> tuple[str, ...]:
        charged = self.truth.settled + sum((*self.truth.open.values(), *self.truth.lost.values()), Spend())
        total = charged + sum(wanted, Spend())
        fits = total.tokens <= CAP and (total.usd_nanos or 0) <= 1000
        try:
            reservations = self.ledger.hold("a", wanted)
        except BudgetExceeded as error:
            assert not fits
            assert error.asked > error.left
            return ()
        assert fits
        for reservation in reservations:
            self.truth.open[reservation.id] = reservation.amount
        return tuple(reservation.id for reservation in reservations)

    @rule(ids=held, share=st.floats(0, 1))
    def settle(self, ids: tuple[str, ...], share: float) -> None:
        """Also the second settling: a bundle's value stays, so ids come again and must change nothing."""
        for name in ids:
            amount = self.truth.open.pop(name, None) or self.truth.lost.pop(name, None)
            bound = amount or Spend(usd_nanos=10**6, input_tokens=10**6, output_tokens=10**6)
            actual = Spend(
                usd_nanos=int((bound.usd_nanos or 0) * share),
                input_tokens=int(bound.input_tokens * share),
                output_tokens=int(bound.output_tokens * share),
                calls=1,
            )
            self.ledger.settle(name, actual)
            if amount is not None:
                self.truth.settled = self.truth.settled + actual

    @rule(ids=consumes(held))
    def void(self, ids: tuple[str, ...]) -> None:
        for name in ids:
            self.ledger.void(name)
            self.truth.open.pop(name, None)
            self.truth.lost.pop(name, None)

    @rule(ids=held)
    def lose(self, ids: tuple[str, ...]) -> None:
        for name in ids:
            self.ledger.lose(name)
            if name in self.truth.open:
                self.truth.lost[name] = self.truth.open.pop(name)

    @rule()
    def restart(self) -> None:
        """A new process that has only the reading: what was held is unknown, and can't be settled by id any more."""
        reading = self.ledger.reading("a")
        self.ledger = MemoryLedger()
        self.ledger.open(self.account, reading)
        gone = sum((*self.truth.open.values(), *self.truth.lost.values()), Spend())
        self.truth.open.clear()
        self.truth.lost = {"from before": gone}

    @invariant()
    def agrees(self) -> None:
        check_ledger(self.ledger, "a", self.truth)
        charged = self.truth.settled + sum((*self.truth.open.values(), *self.truth.lost.values()), Spend())
        assert charged.tokens <= CAP
        assert (charged.usd_nanos or 0) <= 1000
        assert self.ledger.room("a").tokens == CAP - charged.tokens

    @invariant()
    def version_only_rises(self) -> None:
        version = self.ledger.reading("a")["version"]
        assert version >= self.version
        self.version = version


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


def test_sixteen_holders_never_pass_the_cap_together() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(tokens=1000)))
    barrier = threading.Barrier(16)

    def spend() -> int:
        barrier.wait()
        got = 0
        for _ in range(50):
            try:
                [held] = ledger.hold("a", [Spend(output_tokens=7, calls=1)])
            except BudgetExceeded:
                continue
            ledger.settle(held.id, Spend(output_tokens=7, calls=1))
            got += 7
        return got

    with ThreadPoolExecutor(16) as pool:
        spent = sum(future.result() for future in [pool.submit(spend) for _ in range(16)])
    assert spent == ledger.reading("a")["output_tokens"] == 994


def test_all_or_none() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(tokens=100)))
    with pytest.raises(BudgetExceeded, match="tokens: asked 120, left 100 of 100"):
        ledger.hold("a", [Spend(output_tokens=60), Spend(output_tokens=60)])
    assert ledger.room("a").tokens == 100


def test_an_overrun_is_posted_in_full_and_raised() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(usd="1")))
    [held] = ledger.hold("a", [Spend(usd_nanos=100, output_tokens=10)])
    with pytest.raises(HoldExceeded, match="posted in full"):
        ledger.settle(held.id, Spend(usd_nanos=150, output_tokens=15))
    reading = ledger.reading("a")
    assert (reading["usd_nanos"], reading["output_tokens"], reading["overrun_usd_nanos"]) == (150, 15, 50)
    assert reading["held_output_tokens"] == 0


def test_the_deadline_counts_from_the_first_opening_even_after_a_restart() -> None:
    now, wall = [100.0], [5000.0]
    ledger = MemoryLedger(clock=lambda: now[0], wall=lambda: wall[0])
    account = Account("a", Budget(seconds=10))
    ledger.open(account)
    now[0] += 4
    assert ledger.room("a").seconds == pytest.approx(6)
    reading = ledger.reading("a")
    later = MemoryLedger(clock=lambda: 0.0, wall=lambda: 5007.0)
    later.open(account, reading)
    assert later.room("a").seconds == pytest.approx(3)
    wall[0], now[0] = 0.0, 111.0  # a wall clock that jumps back changes nothing in a running process
    with pytest.raises(BudgetExceeded, match="seconds"):
        ledger.hold("a", [Spend()])


def test_an_unknown_account_is_an_error() -> None:
    with pytest.raises(LedgerError, match="open it first"):
        MemoryLedger().hold("nobody", [Spend()])


readings = st.builds(lambda version: {"version": version, "account": "a"}, st.integers(0, 50))


@given(readings, readings, readings)
def test_the_reducer_is_a_maximum(a: dict, b: dict, c: dict) -> None:
    assert latest_reading(a, a) == a
    assert latest_reading(a, b) == latest_reading(b, a)
    assert latest_reading(latest_reading(a, b), c) == latest_reading(a, latest_reading(b, c))
    assert latest_reading(None, a) == latest_reading(a, None) == a


def test_a_spent_budget_is_neither_retried_by_langgraph_nor_by_langchain() -> None:
    error = BudgetExceeded(account="a", limit="tokens", asked=2, left=1, cap=1)
    assert not default_retry_on(error)
    assert isinstance(error, ModelError)
    assert error.is_retryable is False
