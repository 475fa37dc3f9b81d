"""What a run is compared with: the best fixed arm of the profile, and the strongest one always.

The numbers of the baselines are expectations by the profile, those of the run are what was spent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rheostat.judgement.worth import Unit
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION

__all__ = ["BEST_FIXED", "STRONG_ALWAYS", "Baseline", "Compared", "compared"]

BEST_FIXED: Final = "best fixed"
"""The one arm that brings most beyond its price on tasks that look like this one."""
STRONG_ALWAYS: Final = "strong always"
"""The arm that is right most often, whatever it costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One answer from a fixed arm."""

    name: str
    arm: str
    chance: float
    """P(right), by the profile."""
    cost: float
    """Its expected cost: nano-dollars or output tokens."""
    unit: Unit

    def to_dict(self) -> dict[str, Any]:
        """Plain data for state and records."""
        return asdict(self)


@dataclass(slots=True)
class Compared:
    """Runs together, beside the baselines on the same tasks."""

    runs: int = 0
    judged: int = 0
    """The runs whose answer a verifier judged."""
    solved: int = 0
    usd_nanos: int = 0
    output_tokens: int = 0
    judged_usd_nanos: int = 0
    judged_output_tokens: int = 0
    expected: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each baseline: `runs` that it is known for, `right` ones to be expected of it, and its `usd` (nano-dollars)
    or `tokens`; and `spent` on the same runs, in the same unit."""

    def cost_per_right(self, unit: Unit) -> float | None:
        """The cost of a right answer over the judged runs; `None` without one."""
        spent = self.judged_usd_nanos if unit == "usd" else self.judged_output_tokens
        return spent / self.solved if self.solved else None


@dataclass(slots=True)
class _Run:
    kind: str = ""
    usd_nanos: int = 0
    output_tokens: int = 0
    passed: bool | None = None
    models: set[str] = field(default_factory=set)
    baselines: list[dict[str, Any]] = field(default_factory=list)


def compared(steps: Iterable[StepRecord], by: str = "") -> dict[str, Compared]:
    """Finished runs of the solver, summed up by `kind`, `account` (the thread) or `model`; by default all together."""
    runs: dict[str, _Run] = defaultdict(_Run)
    ended: set[str] = set()
    for step in steps:
        run = runs[step.account]
        if step.node == CANDIDATE:
            run.kind = step.kind
            run.models.add(step.model)
            for part in ("cost", "scoring"):
                cost = step.candidate.get(part) or {}
                run.usd_nanos += cost.get("usd_nanos") or 0
                run.output_tokens += cost.get("output_tokens") or 0
            if step.candidate.get("chosen") and isinstance(step.candidate.get("passed"), bool):
                run.passed = step.candidate["passed"]
        elif step.node == DECISION and step.candidate.get("action") in ("accept", "stop"):
            ended.add(step.account)
            run.baselines = step.candidate.get("baselines") or []
    made: dict[str, Compared] = defaultdict(Compared)
    for account, run in sorted(runs.items()):
        if account in ended:
            _add(made[_name(by, account, run)], run)
    return dict(made)


def _name(by: str, account: str, run: _Run) -> str:
    if by == "account":
        return account.rpartition("/run/")[0] or account
    return {"kind": run.kind, "model": ", ".join(sorted(run.models))}.get(by, "all")


def _add(total: Compared, run: _Run) -> None:
    total.runs += 1
    total.usd_nanos += run.usd_nanos
    total.output_tokens += run.output_tokens
    if run.passed is not None:
        total.judged += 1
        total.solved += run.passed
        total.judged_usd_nanos += run.usd_nanos
        total.judged_output_tokens += run.output_tokens
    for each in run.baselines:
        one = total.expected.setdefault(
            each["name"], {"runs": 0, "right": 0.0, "usd": 0.0, "tokens": 0.0, "spent": 0.0}
        )
        one["runs"] += 1
        one["right"] += each["chance"]
        one[each["unit"]] += each["cost"]
        one["spent"] += run.usd_nanos if each["unit"] == "usd" else run.output_tokens
