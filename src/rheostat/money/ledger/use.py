"""The output tokens that replies use: a histogram for each model, effort and purpose, and its quantiles.

Buckets grow by 5 %, so that a quantile is at most 5 % too high. Counts only add up, so that writers on several machines
need no more than `calls = calls + 1`. A reply that was cut by its length cap counts as twice the cap, because it would
have gone on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rheostat.money.ledger.steps import StepRecord

__all__ = ["Use", "UseKey", "use_of"]

UseKey: TypeAlias = tuple[str, str, str]
"""(model, effort, purpose)."""

_GROWTH = math.log(1.05)


def _bucket(tokens: int) -> int:
    return 0 if tokens < 1 else 1 + math.ceil(math.log(tokens) / _GROWTH - 1e-9)


def _most(bucket: int) -> int:
    """The most tokens that fall into a bucket."""
    return 0 if bucket == 0 else math.floor(math.exp((bucket - 1) * _GROWTH) + 1e-6)


@dataclass(slots=True)
class Use:
    """A histogram of the output tokens of a model's replies at one effort and for one purpose."""

    calls_by_bucket: dict[int, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """The number of replies counted."""
        return sum(self.calls_by_bucket.values())

    def count(self, bucket: int, calls: int = 1) -> None:
        """Add a number of replies to a bucket."""
        self.calls_by_bucket[bucket] = self.calls_by_bucket.get(bucket, 0) + calls

    def quantile(self, share: float) -> int:
        """The output tokens, thinking included, that this share (0 to 1) of replies doesn't exceed; 0: no replies."""
        wanted, seen = share * self.calls, 0
        for bucket in sorted(self.calls_by_bucket):
            seen += self.calls_by_bucket[bucket]
            if seen >= wanted:
                return _most(bucket)
        return 0

    def to_dict(self) -> Mapping[str, int]:
        """The number of calls and some quantiles, for display."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
        return {"calls": self.calls, **{name: self.quantile(share) for name, share in shares.items()}}


def use_of(step: StepRecord) -> tuple[UseKey, int] | None:
    """The histogram and the bucket to which a step adds; `None`: it tells nothing about use."""
    spend = step.requests[-1].get("spend") if step.requests else None
    if step.error or not spend or not step.effort_planned or not step.model:
        return None
    tokens = int(spend["output_tokens"])
    if step.starved or step.stop == "length":
        tokens = max(tokens, 2 * (step.most_output_tokens or tokens))
    return (step.model, step.effort_planned, step.purpose), _bucket(tokens)
