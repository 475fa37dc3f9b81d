"""Accounts and reservations as a ledger keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from rheostat.errors import LedgerError, NoPrice
from rheostat.money.budget import Budget
from rheostat.money.ledger.counts import LIMITS, UNPRICED, Counts, amount_of, counts_of, minus, plain, plus, zeros
from rheostat.money.ledger.pace import Pace
from rheostat.money.ledger.protocol import Reading
from rheostat.money.ledger.rate import Rate
from rheostat.money.ledger.window import Window
from rheostat.money.usage import Spend

__all__ = ["OPEN", "Entry", "Held", "Status", "dump"]

Status: TypeAlias = Literal["standing", "held", "sent", "unknown", "settled", "void"]
OPEN = ("standing", "held", "sent", "unknown")
"""Statuses in which a reservation is still charged: at its hold, or, if unknown, at its estimate."""


_CLOCKS_DIFFER_MS = 1_000
"""A clock that is behind by less is that of another process; one that is behind by more has jumped."""


@dataclass(slots=True)
class Held:
    """A reservation and its state."""

    id: str
    account: str
    amount: Counts
    model: str
    node: str
    held_at_ms: int
    status: Status = "held"
    begun_at_ms: int | None = None
    closed_at_ms: int | None = None
    actual: Counts | None = None
    """The actual cost; for an unknown reservation the estimate, if there is one."""
    request_id: str = ""

    @property
    def charge(self) -> Counts:
        """The amount charged while the reservation is open."""
        return self.amount if self.actual is None else self.actual


@dataclass(slots=True)
class Entry:
    """An account and its totals."""

    id: str
    budget: Budget | None
    parent: str | None
    window: Window | None
    opened_at_ms: int
    seen_at_ms: int
    """The ledger's clock at the last update of `elapsed_ms`."""
    elapsed_ms: int = 0
    version: int = 0
    settled: Counts = field(default_factory=zeros)
    held: Counts = field(default_factory=zeros)
    """Held amounts, standing holds included."""
    standing: Counts = field(default_factory=zeros)
    unknown: Counts = field(default_factory=zeros)
    charged: Counts = field(default_factory=zeros)
    """Amounts that count against the limits: settled, held and unknown; with a window, only those held within it."""
    overrun_usd_nanos: int = 0
    by_model: dict[str, Counts] = field(default_factory=dict)
    by_node: dict[str, Counts] = field(default_factory=dict)
    window_start_ms: int = 0
    window_end_ms: int = 0
    line: list[list[Any]] = field(default_factory=list)
    """The line for room at this account, one place per process: [ticket, valid until (ms)], the first in line first."""
    pace: Pace | None = None
    """Its rate, and what counts against it; its clock is `elapsed_ms`."""
    limits: tuple[tuple[str, int, int | None, int], ...] = ()
    deadline_ms: int | None = None
    children: int = 0
    """The number of open accounts with this parent (kept by the memory ledger, for eviction)."""
    pinned: bool = False
    """Opened without a reading, so that nothing could restore it after an eviction."""

    def __post_init__(self) -> None:
        self.bind(self.budget)

    def bind(self, budget: Budget | None) -> None:
        """Apply a budget's limits from now on."""
        self.budget = budget
        self.limits = ()
        self.deadline_ms = None
        if budget is not None:
            self.limits = tuple((name, *LIMITS[name], cap) for name, cap in budget.limits.items())
            self.deadline_ms = None if budget.seconds is None else int(budget.seconds * 1000)

    def tick(self, mono_ms: int, wall_ms: int) -> None:
        """Bring the time up to date; it never runs backwards, whatever the clocks do."""
        passed_ms = mono_ms - self.seen_at_ms
        if not -_CLOCKS_DIFFER_MS <= passed_ms < 0:
            self.elapsed_ms += max(0, passed_ms)
            self.seen_at_ms = mono_ms
        if self.window is not None and wall_ms >= self.window_end_ms:
            self.window_start_ms, self.window_end_ms = self.window.around(wall_ms)
            self.charged = zeros()
        if self.pace is not None:
            self.pace.tick(self.elapsed_ms)

    @property
    def rate(self) -> Rate | None:
        """Its rate."""
        return None if self.pace is None else self.pace.rate

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_ms is not None and self.elapsed_ms >= self.deadline_ms

    def counts_in_window(self, held: Held) -> bool:
        """Whether a reservation counts against the limits in the current window."""
        return held.held_at_ms >= self.window_start_ms

    def shortage(self, asked: Counts) -> tuple[str, int, int, float] | None:
        """(limit, asked, left, cap) of the exceeded limit for which waiting helps least; `None`: all limits hold.

        Raises:
            NoPrice: There is a limit in money, and the amount has no price.
        """
        charged = self.charged
        worst, found = -1, None
        for name, one, two, cap in self.limits:
            if name == "usd_nanos" and asked[UNPRICED]:
                raise NoPrice(f"account {self.id!r} has a limit in money; a call without a price can't be held on it")
            amount, used = asked[one], charged[one]
            if two is not None:
                amount, used = amount + asked[two], used + charged[two]
            if used + amount > cap:
                over = used + amount - cap
                coming = amount_of(name, self.held) - amount_of(name, self.standing)
                rank = 0 if over <= coming else 1 if over <= amount_of(name, self.held) else 2
                if rank > worst:
                    worst, found = rank, (name, amount, cap - used, cap)
        if self.late and self.deadline_ms is not None:
            return "seconds", 0, 0, self.deadline_ms / 1000
        return found

    def room(self, *, patient: bool = False) -> dict[str, float]:
        """The amount left by limit; if `patient`, the most that can be left when nothing is in flight any more."""
        left: dict[str, float] = {}
        for name, one, two, cap in self.limits:
            left[name] = cap - self.charged[one] - (0 if two is None else self.charged[two])
            if patient:
                left[name] = min(cap, left[name] + amount_of(name, self.held) - amount_of(name, self.standing))
        if self.deadline_ms is not None:
            left["seconds"] = (self.deadline_ms - self.elapsed_ms) / 1000
        return left

    def reading(self) -> Reading:
        """The totals as plain data."""
        return {
            "account": self.id,
            "parent": self.parent or "",
            "version": self.version,
            "opened_at": self.opened_at_ms // 1000,
            "elapsed_milliseconds": self.elapsed_ms,
            **plain(self.settled),
            **plain(minus(self.held, self.standing), "held_"),
            **plain(self.unknown, "unknown_"),
            "overrun_usd_nanos": self.overrun_usd_nanos,
            "by_model": {name: plain(counts) for name, counts in self.by_model.items()},
            "by_node": {name: plain(counts) for name, counts in self.by_node.items()},
            **({} if self.pace is None else {"rate": self.pace.reading(self.elapsed_ms)}),
        }

    def restore(self, reading: Reading, wall_ms: int) -> None:
        """Start from the last reading; amounts that were in flight then become unknown.

        Raises:
            LedgerError: It isn't a valid reading.
        """
        try:
            self.settled = counts_of(Spend.from_dict(reading))
            self.unknown = plus(*(counts_of(_part(reading, part)) for part in ("unknown", "held")))
            self.overrun_usd_nanos = int(reading["overrun_usd_nanos"])
            self.by_model, self.by_node = (
                {name: counts_of(Spend.from_dict(spend)) for name, spend in reading[by].items()}
                for by in ("by_model", "by_node")
            )
            opened_at_ms = int(reading["opened_at"]) * 1000
            self.elapsed_ms = max(int(reading["elapsed_milliseconds"]), wall_ms - opened_at_ms)
            self.opened_at_ms = min(self.opened_at_ms, opened_at_ms)
            self.version = max(self.version, int(reading["version"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(f"account {self.id!r}: the reading in state is damaged ({error!r})") from error
        self.charged = plus(self.settled, self.unknown)


def _part(reading: Reading, prefix: str) -> Spend:
    own = {key.removeprefix(f"{prefix}_"): value for key, value in reading.items() if key.startswith(f"{prefix}_")}
    return Spend.from_dict(own)


_NOTHING = zeros()


def dump(entry: Entry) -> dict[str, Any]:
    """The changing part of an account, for a store."""
    state = {name: getattr(entry, name) for name in _STORED}
    if entry.line or entry.standing != _NOTHING:  # most accounts have neither, so that rows stay short
        state["line"], state["standing"] = entry.line, entry.standing
    if entry.pace is not None:
        state["pace"] = entry.pace.to_dict()
    return state


_STORED = (
    "seen_at_ms", "elapsed_ms", "settled", "held", "unknown", "charged", "overrun_usd_nanos", "by_model", "by_node",
    "window_start_ms", "window_end_ms",
)  # fmt: skip
