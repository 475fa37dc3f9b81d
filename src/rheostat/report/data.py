"""What a report says, as plain frozen data. No text in it was made safe to show: that is `page`'s work."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from rheostat.judgement.baselines import Beside
from rheostat.money.usage import Spend

__all__ = [
    "AccountRow", "Candidate", "Decision", "Limit", "Named", "Point", "Report", "Request", "Run", "State", "Step",
    "Totals",
]  # fmt: skip

State: TypeAlias = Literal["settled", "unknown", "in flight", "not sent"]
"""What became of a request's hold. `unknown`: it stays charged, at the hold or at an estimate within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What accounts have spent, by the ledger's readings."""

    settled: Spend = field(default_factory=Spend)
    held: Spend = field(default_factory=Spend)
    """Held by calls in flight."""
    unknown: Spend = field(default_factory=Spend)
    """Charged for calls whose cost is unknown."""
    overrun_usd_nanos: int = 0
    """The amount that providers charged above holds."""

    @property
    def charged(self) -> Spend:
        """All that counts against the limits, standing holds left out."""
        return self.settled + self.held + self.unknown

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            settled=self.settled + other.settled,
            held=self.held + other.held,
            unknown=self.unknown + other.unknown,
            overrun_usd_nanos=self.overrun_usd_nanos + other.overrun_usd_nanos,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One hard limit and how much of it is used."""

    name: str
    """`usd_nanos`, `tokens`, `output_tokens`, `thinking_tokens`, `calls` or `seconds`."""
    most: float
    used: float | None
    """`None`: it can't be told, as for spend without a price, or within a day or a month."""

    @property
    def share(self) -> float | None:
        """The used share; above 1 where a provider charged above a hold."""
        return None if self.used is None else self.used / self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One account: its limits and its totals."""

    account: str
    kind: Literal["account", "thread", "run"]
    """`account`: a user's, a team's or another one that was opened above threads."""
    depth: int
    """How many of the accounts above it are in the report too."""
    above: str
    """The account above it; empty: none."""
    totals: Totals
    limits: tuple[Limit, ...] = ()
    window: str = ""
    """`day` or `month`, where the limits start anew each day or month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The settled spend of one model or one node."""

    name: str
    spend: Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that left, or was to leave."""

    model: str
    request_id: str
    """The provider's id, or that of the reservation."""
    state: State
    charge: Spend
    """Settled: what it cost. Unknown or in flight: what it is charged at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call in the timeline: its plan and its outcome."""

    number: int
    """Its place in the timeline, from 1."""
    at_ms: int
    """Milliseconds since the epoch."""
    milliseconds: int
    account: str
    node: str
    model: str
    planned: bool
    """Whether there is a plan; a call beside it, such as a judge's, only has a line in the journal."""
    state: State
    charge: Spend
    requests: tuple[Request, ...]
    kind: str = ""
    difficulty: float | None = None
    effort_asked: str = ""
    effort_planned: str = ""
    effort_seen: str = ""
    thinking_tokens: int = 0
    """The most thinking tokens planned; those that were used are in `charge`."""
    most_output_tokens: int | None = None
    verdict: str = ""
    """The verdict on the candidate that the call was made for: `passed`, `refused`, or nothing."""
    stop: str = ""
    starved: bool = False
    last_word: bool = False
    error: str = ""
    decided_by: str = ""
    reasons: tuple[str, ...] = ()
    purpose: str = ""
    way: str = ""
    candidate: str = ""
    """The id of the candidate that it was made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One sample of the solver. Candidates are listed depth first, each below the one that it came from."""

    candidate: str
    parent: str
    """The id of the one that it corrects or continues; empty: a fresh answer."""
    depth: int
    round: int
    model: str
    effort: str
    way: str
    purpose: str
    status: str
    verdict: str
    error: str
    score: float | None
    scores: tuple[tuple[str, float], ...]
    chosen: bool
    group: int | None
    """Equal answers have equal numbers; `None`: no answer."""
    cost: Spend
    scoring: Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the solver decided after a round, and why."""

    round: int
    action: str
    chosen: str
    reasons: tuple[str, ...]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the solver: its candidates as a tree, and its decisions."""

    account: str
    at_ms: int
    strategy: str
    scorer: str
    kind: str
    difficulty: float | None
    question: str
    """The question, if the run kept it."""
    ended: bool
    candidates: tuple[Candidate, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All that was charged up to a moment."""

    at_ms: int
    usd_nanos: int | None
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report on a run, a thread or an account. `build_report` makes it."""

    what: str
    made_at_ms: int
    redacted: bool
    kept_whole: bool
    """Whether the timeline has all that was charged; else the totals hold more, because a memory ledger keeps no closed
    lines, or because old records were pruned."""
    totals: Totals
    limits: tuple[Limit, ...]
    """Those of the one account that the report is about; empty if there are several, or none."""
    window: str
    accounts: tuple[AccountRow, ...]
    models: tuple[Named, ...]
    nodes: tuple[Named, ...]
    steps: tuple[Step, ...]
    runs: tuple[Run, ...]
    points: tuple[Point, ...]
    beside: tuple[Beside, ...]
    """The finished runs of the solver, and the baselines on the same tasks."""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return asdict(self)

    def html(self) -> str:
        """The report as one page that needs nothing else: no network, no other file.

        Raises:
            MissingExtra: jinja2 or matplotlib isn't installed (the extra `report`).
        """
        from rheostat.report.page import page_of

        return page_of(self)

    def _repr_html_(self) -> str:
        """The page in a frame, so that nothing of it touches the notebook."""
        from rheostat.report.page import frame_of

        return frame_of(self)
