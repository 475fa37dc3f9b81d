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

__all__ = ["BEST_FIXED", "STRONG_ALWAYS", "Baseline", "Beside", "Compared", "compared", "counted"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One line of a comparison: the runs themselves, or a baseline on the same tasks."""

    name: str
    """The baseline's; empty: the runs."""
    runs: int
    of: int
    """How many `right` is out of: the judged runs; for a baseline those that it is known for."""
    right: float
    """For a baseline the number to be expected."""
    spent: float
    """Nano-dollars or output tokens; for a baseline what it was to cost."""
    per_right: float | None
    unit: Unit
    saved: float | None = None
    """What the runs saved beside this baseline; negative if they spent more."""

    @property
    def saved_share(self) -> float | None:
        """The saved share of the baseline's cost."""
        return None if self.saved is None else self.saved / self.spent


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
    expected: dict[tuple[str, Unit], dict[str, float]] = field(default_factory=dict)
    """For each baseline and unit: `runs` that it is known for, `right` ones to be expected of it, its `cost`
    (nano-dollars or output tokens); and `spent` on the same runs."""

    def cost_per_right(self, unit: Unit) -> float | None:
        """The cost of a right answer over the judged runs; `None` without one."""
        spent = self.judged_usd_nanos if unit == "usd" else self.judged_output_tokens
        return spent / self.solved if self.solved else None

    def beside(self) -> list[Beside]:
        """The runs, in dollars if anything was paid for in dollars, then each baseline that has a cost."""
        unit = "usd" if self.usd_nanos else "tokens"
        spent = self.usd_nanos if unit == "usd" else self.output_tokens
        made = [
            Beside(
                name="", runs=self.runs, of=self.judged, right=self.solved, spent=spent,
                per_right=self.cost_per_right(unit), unit=unit,
            )
        ]  # fmt: skip
        for (name, each), one in self.expected.items():
            if one["cost"]:
                made.append(Beside(
                    name=name, runs=round(one["runs"]), of=round(one["runs"]), right=one["right"], spent=one["cost"],
                    per_right=one["cost"] / max(one["right"], 1e-9), unit=each, saved=one["cost"] - one["spent"],
                ))  # fmt: skip
        return made


@dataclass(slots=True)
class _Run:
    kind: str = ""
    usd_nanos: int = 0
    output_tokens: int = 0
    passed: bool | None = None
    silent: bool = False
    """A verifier was there, and a draw brought no answer."""
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
                cost = step.candidate.get(part)
                cost = cost if isinstance(cost, dict) else {}
                run.usd_nanos += counted(cost.get("usd_nanos"))
                run.output_tokens += counted(cost.get("output_tokens"))
            if step.candidate.get("chosen") and isinstance(step.candidate.get("passed"), bool):
                run.passed = step.candidate["passed"]
            elif step.candidate.get("verified") and step.candidate.get("group") is None:
                run.silent = True
        elif step.node == DECISION and step.candidate.get("action") in ("accept", "stop"):
            ended.add(step.account)
            listed = step.candidate.get("baselines")
            run.baselines = [each for each in listed if _whole(each)] if isinstance(listed, list) else []
            if step.candidate.get("chosen") is None and run.silent:
                run.passed = False
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
        key = each["name"], each["unit"]
        one = total.expected.setdefault(key, dict.fromkeys(("runs", "right", "cost", "spent"), 0.0))
        one["runs"] += 1
        one["right"] += each["chance"]
        one["cost"] += each["cost"]
        one["spent"] += run.usd_nanos if each["unit"] == "usd" else run.output_tokens


def counted(given: Any) -> int:
    """A count of a record, which another version may have written; 0 for anything that is none."""
    return int(given) if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 1e18 else 0


def _whole(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and isinstance(given.get("name"), str)
        and given.get("unit") in ("usd", "tokens")
        and all(isinstance(given.get(key), int | float) for key in ("chance", "cost"))
    )
