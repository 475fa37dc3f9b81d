"""The truth that a ledger is compared with: a list of all events, added up anew each time.

It shares no bookkeeping with the ledgers: it keeps no running totals, so that nothing can drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, Reading
from rheostat.money.usage import Spend
from rheostat.testing.rates import Post, RateTruth, amount_of

__all__ = ["Event", "LedgerTruth", "timeless"]

_LIMITED = ("usd_nanos", "tokens", "output_tokens", "thinking_tokens", "calls")


def timeless(reading: Reading) -> Reading:
    """A reading without names and clock values, which must be equal for two runs that did the same."""
    return {
        name: timeless(value) if isinstance(value, dict) else value
        for name, value in reading.items()
        if name not in ("account", "parent", "opened_at") and "milliseconds" not in name
    }


@dataclass(slots=True)
class Event:
    """One reservation and its state."""

    account: str
    amount: Spend
    at: float
    """The time of the hold, in seconds since the epoch."""
    model: str = ""
    status: str = "held"
    begun_at: float | None = None
    actual: Spend | None = None
    forgotten: bool = False
    """Its id was lost in a restart, so that it can't be closed any more."""

    @property
    def charge(self) -> Spend:
        """The amount that counts against the limits."""
        if self.status == "void":
            return Spend()
        return self.actual if self.actual is not None else self.amount


@dataclass(slots=True)
class LedgerTruth:
    """Accounts, their budgets, and every reservation ever made."""

    accounts: dict[str, Account] = field(default_factory=dict)
    budgets: dict[str, Budget | None] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    opened_at: dict[str, float] = field(default_factory=dict)
    lines: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    """Account → its line: (ticket, valid until), the first in line first."""
    rates: RateTruth = field(default_factory=RateTruth)

    def open(self, account: Account, now: float) -> None:
        """Record that an account was opened."""
        self.accounts[account.id] = account
        self.budgets[account.id] = account.budget
        self.opened_at[account.id] = now
        if account.rate is not None:
            self.rates.limits[account.id] = account.rate

    def chain(self, account: str) -> list[str]:
        """The account and all its parents."""
        chain, name = [], account
        while name:
            chain.append(name)
            name = self.accounts[name].parent or ""
        return chain

    def under(self, account: str) -> list[Event]:
        """Every reservation at the account or beneath it."""
        return [event for event in self.events.values() if account in self.chain(event.account)]

    def total(self, account: str, *statuses: str) -> Spend:
        """The sum of the reservations with these statuses."""
        return sum((event.charge for event in self.under(account) if event.status in statuses), Spend())

    def charged(self, account: str, now: float) -> Spend:
        """The amount that counts against the account's limits now."""
        window = self.accounts[account].window
        counted = self.under(account)
        if window is not None:
            today = _period(now, window.every)
            counted = [event for event in counted if _period(event.at, window.every) == today]
        return sum((event.charge for event in counted), Spend())

    def left(self, account: str, now: float) -> dict[str, float]:
        """The room: the amount left of every limit, as the minimum over the account and its parents."""
        left: dict[str, float] = {}
        for name in self.chain(account):
            budget = self.budgets[name]
            if budget is None:
                continue
            charged = self.charged(name, now)
            own: dict[str, float] = {limit: cap - getattr(charged, limit) for limit, cap in budget.limits.items()}
            if budget.seconds is not None:
                own["seconds"] = budget.seconds - (now - self.opened_at[name])
            for limit, amount in own.items():
                left[limit] = min(amount, left.get(limit, amount))
        return left

    def fits(self, account: str, amounts: list[Spend], now: float, *, sized: bool = True) -> bool:
        """Whether these amounts may be held together; unless `sized` is false, as one request each."""
        total = sum(amounts, Spend())
        left = self.left(account, now)
        return all(getattr(total, limit) <= left[limit] for limit in _LIMITED if limit in left) and (
            left.get("seconds", 1) > 0 and (not sized or self.small(account, amounts))
        )

    # --- rates ----------------------------------------------------------------------------------

    def small(self, account: str, amounts: list[Spend]) -> bool:
        """Whether each request is within the whole limit of every rate."""
        caps = [cap for name in self.chain(account) for cap in self.rates.caps(name).items()]
        return all(amount_of(amount)[limit] <= cap for amount in amounts for limit, cap in caps)

    def rate(self, account: str, now: float) -> dict[str, tuple[int, int]]:
        """(in flight, used within the last minute) by limit of an account's own rate."""
        posts = [post for post in self.rates.posts if account in self.chain(post.account)]
        used = self.rates.used(posts, self.opened_at[account], now)
        flying = [amount_of(event.amount) for event in self.under(account) if event.status == "sent"]
        return {limit: (sum(each[limit] for each in flying), used[limit]) for limit in self.rates.caps(account)}

    def may_leave(self, account: str, amount: Spend, now: float) -> bool:
        """Whether every rate has room for a request now."""
        asked = amount_of(amount)
        rates = [(self.rates.caps(name), self.rate(name, now)) for name in self.chain(account)]
        return self.small(account, [amount]) and all(
            not asked[limit] or sum(counted[limit]) + asked[limit] <= cap
            for caps, counted in rates
            for limit, cap in caps.items()
        )

    def ends(self, event: Event, cost: Spend, now: float) -> None:
        """Record what a request counts from its end on; of late news, only what is beyond the assumption."""
        amount = amount_of(cost, cached=True)
        if event.status == "unknown":
            assumed = amount_of(event.charge, cached=True)
            amount = {limit: max(0, value - assumed[limit]) for limit, value in amount.items()}
        self.rates.posts.append(Post(event.account, now, amount))

    # --- lines ----------------------------------------------------------------------------------

    def waiting(self, account: str, now: float) -> list[str]:
        """The valid tickets in an account's line."""
        return [ticket for ticket, until in self.lines.get(account, []) if until > now]

    def is_first(self, account: str, ticket: str, now: float) -> bool:
        """Whether a ticket is the first in its line, or, if it is in none, whether all lines are empty."""
        chain = self.chain(account)
        own = next((name for name in chain if ticket in self.waiting(name, now)), None)
        if own is not None:
            return self.waiting(own, now)[0] == ticket
        return not any(self.waiting(name, now) for name in chain)

    def check(self, ledger: Ledger, account: str, now: float) -> Reading:
        """Assert that an account's reading and room equal the truth, and return the reading.

        Raises:
            AssertionError: They don't; the message has the difference.
        """
        reading = ledger.reading(account)
        by_status = {"": ("settled",), "held_": ("held", "sent"), "unknown_": ("unknown",)}
        for prefix, statuses in by_status.items():
            for name, value in self.total(account, *statuses).to_dict().items():
                _same(f"{account}: {prefix}{name}", reading[prefix + name], value)
        models = sum((Spend.from_dict(spend) for spend in reading["by_model"].values()), Spend())
        named = [e.charge for e in self.under(account) if e.status == "settled" and e.model]
        _same(f"{account}: by model", models, sum(named, Spend()))
        room = ledger.room(account)
        left = self.left(account, now)
        for limit in (*_LIMITED, "seconds"):
            _same(f"{account}: room {limit}", getattr(room, limit), left.get(limit))
        for (limit, counted), told in zip(self.rate(account, now).items(), _told(reading), strict=True):
            _same(f"{account}: rate {limit}", told, counted)
        return reading


def _told(reading: Reading) -> list[tuple[int, int]]:
    kinds = [each for each in reading.get("rate", {}).values() if isinstance(each, dict)]
    return [(each["in_flight"], each["used"]) for each in kinds]


def _same(what: str, got: object, wanted: object) -> None:
    if isinstance(got, float) and isinstance(wanted, float):
        if abs(got - wanted) < 0.01:
            return
    elif got == wanted:
        return
    raise AssertionError(f"{what}: the ledger says {got}, the truth is {wanted}")


def _period(at: float, every: str) -> tuple[int, ...]:
    date = datetime.fromtimestamp(at, UTC)
    return (date.year, date.month, date.day if every == "day" else 0)
