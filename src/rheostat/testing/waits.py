"""Rules of the ledger's state machine for standing holds and the line (needs hypothesis)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from rheostat.errors import BudgetExceeded
from rheostat.money.ledger import Ledger
from rheostat.money.usage import Spend
from rheostat.testing.truth import Event, LedgerTruth

__all__ = ["AMOUNTS", "Waits", "part"]

AMOUNTS = st.builds(
    Spend,
    usd_nanos=st.integers(0, 400),
    input_tokens=st.integers(0, 200),
    output_tokens=st.integers(0, 200),
    thinking_tokens=st.integers(0, 100),
    calls=st.just(1),
)


def part(amount: Spend, share: float) -> Spend:
    return Spend(**{name: int((value or 0) * share) for name, value in amount.to_dict().items()})


def _beyond(amount: Spend, other: Spend) -> Spend:
    """The excess of an amount over another, kind by kind."""
    had = other.to_dict()
    return Spend(**{name: max(0, (value or 0) - (had[name] or 0)) for name, value in amount.to_dict().items()})


class Waits(RuleBasedStateMachine):
    """The rules for standing holds and the line."""

    accounts = Bundle("accounts")
    ledger: Ledger
    truth: LedgerTruth
    now: float

    # --- standing holds -----------------------------------------------------------------------

    def _standing(self, account: str) -> tuple[str, Event | None]:
        """The name of the account's standing hold, and its event if it is open; a closed one gets a successor."""
        for number in range(100):
            name = f"standing {number} of {account}"
            event = self.truth.events.get(name)
            if event is None or (event.status == "void" and not event.forgotten):
                return name, None
            if event.status == "standing" and not event.forgotten:
                return name, event
        raise AssertionError("a hundred standing holds of one account")

    @rule(account=accounts, amount=AMOUNTS, share=st.sampled_from([0.0, 0.5, 1.0, None]))
    def resize(self, account: str, amount: Spend, share: float | None) -> None:
        name, event = self._standing(account)
        old = event.amount if event is not None else Spend()
        new = part(amount, share) if share else Spend()
        if share is None:  # nearly all room, so that others find room that won't come back
            left = self.truth.left(account, self.now)
            free = min(int(left.get("tokens", 400)), int(left.get("output_tokens", 400))) - amount.output_tokens // 2
            new = old + Spend(output_tokens=max(0, free), calls=0 if event else 1)
        more = _beyond(new, old)
        fits = more == Spend() or self.truth.fits(account, [more], self.now, sized=False)
        try:
            self.ledger.resize(account, name, new, {"model": "m1", "node": "n"})
        except BudgetExceeded as error:
            assert not fits, f"refused, though it fits: {error}"
            return
        assert fits, "resized, though it doesn't fit"
        if event is not None:
            event.status = "void"
        if new != Spend():
            self.truth.events[name] = Event(account, new, self.now, "m1", status="standing")

    @rule(account=accounts, wanted=st.lists(AMOUNTS, min_size=1, max_size=2))
    def draw(self, account: str, wanted: list[Spend]) -> None:
        name, event = self._standing(account)
        old, total = event.amount if event is not None else Spend(), sum(wanted, Spend())
        more = _beyond(total, old)
        alone = event is not None and more == Spend()
        fits = self.truth.small(account, wanted) and (alone or self.truth.fits(account, [more], self.now, sized=False))
        try:
            drawn = self.ledger.draw(account, name, wanted, {"model": "m1", "node": "n"})
        except BudgetExceeded as error:
            assert not fits, f"refused, though it fits: {error}"
            return
        assert fits, "drawn, though it doesn't fit"
        rest = _beyond(old, total)
        if event is not None:
            event.amount, event.at = rest, self.now
            event.status = "void" if rest == Spend() else "standing"
        for one in drawn:
            self.truth.events[one.id] = Event(account, one.amount, self.now, "m1")

    # --- the line -----------------------------------------------------------------------------

    @rule(account=accounts, ticket=st.sampled_from(["t1", "t2"]), seconds=st.sampled_from([0, 50]))
    def line_up(self, account: str, ticket: str, seconds: int) -> None:
        self.ledger.line_up(account, ticket, seconds)
        line = [each for each in self.truth.lines.get(account, []) if each[1] > self.now]
        place = next((number for number, each in enumerate(line) if each[0] == ticket), len(line))
        line[place : place + 1] = [(ticket, self.now + seconds)] if seconds else []
        self.truth.lines[account] = line

    @rule(account=accounts, ticket=st.sampled_from(["", "t1", "t2"]), wanted=AMOUNTS)
    def hold_in_line(self, account: str, ticket: str, wanted: Spend) -> None:
        """Hold with a ticket, which must wait for those ahead in the line."""
        fits = self.truth.fits(account, [wanted], self.now)
        first = self.truth.is_first(account, ticket, self.now)
        try:
            [held] = self.ledger.hold(account, [wanted], {"model": "m1", "node": "n"}, ticket=ticket)
        except BudgetExceeded as error:
            assert not (fits and first), f"refused, though it fits and is the first: {error}"
            assert error.queued == fits
            return
        assert fits, "held, though it doesn't fit"
        assert first, "held, though others wait"
        self.truth.events[held.id] = Event(account, held.amount, self.now, "m1")
        own = next((n for n in self.truth.chain(account) if ticket in self.truth.waiting(n, self.now)), None)
        if own is not None:
            self.truth.lines[own] = [each for each in self.truth.lines[own] if each[0] != ticket]
