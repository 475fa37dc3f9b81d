"""How many tokens replies use: a histogram for each model, effort and purpose, and the quantiles out of it.

Buckets grow by 5 %, so that a quantile is at most 5 % too high; counts only add up, so that writers on several machines
need no more than `calls = calls + 1`. A reply that was cut by its cap would have gone on: it counts as twice that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rheostat.money.ledger.steps import StepRecord

__all__ = ["Use", "UseKey", "use_of"]

UseKey: TypeAlias = tuple[str, str, str]
"""Model, effort, purpose."""

_GROWTH = math.log(1.05)


def _bucket(tokens: int) -> int:
    return 0 if tokens < 1 else 1 + math.ceil(math.log(tokens) / _GROWTH - 1e-9)


def _most(bucket: int) -> int:
    """The most tokens that fall into a bucket."""
    return 0 if bucket == 0 else math.floor(math.exp((bucket - 1) * _GROWTH) + 1e-6)


@dataclass(slots=True)
class Use:
    """Output tokens of one model's replies at one effort and for one purpose."""

    calls_by_bucket: dict[int, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """How many replies were counted."""
        return sum(self.calls_by_bucket.values())

    def count(self, bucket: int, calls: int = 1) -> None:
        """Count replies."""
        self.calls_by_bucket[bucket] = self.calls_by_bucket.get(bucket, 0) + calls

    def quantile(self, share: float) -> int:
        """Output tokens that this share of the replies stays within, thought included; 0: there were none."""
        wanted, seen = share * self.calls, 0
        for bucket in sorted(self.calls_by_bucket):
            seen += self.calls_by_bucket[bucket]
            if seen >= wanted:
                return _most(bucket)
        return 0

    def to_dict(self) -> Mapping[str, int]:
        """For people: calls and quantiles."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
        return {"calls": self.calls, **{name: self.quantile(share) for name, share in shares.items()}}


def use_of(step: StepRecord) -> tuple[UseKey, int] | None:
    """What a step adds to the histograms, and in which bucket; `None`: it says nothing of use."""
    spend = step.requests[-1].get("spend") if step.requests else None
    if step.error or not spend or not step.effort_planned or not step.model:
        return None
    tokens = int(spend["output_tokens"])
    if step.starved or step.stop == "length":
        tokens = max(tokens, 2 * (step.most_output_tokens or tokens))
    return (step.model, step.effort_planned, step.purpose), _bucket(tokens)
