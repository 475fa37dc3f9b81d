"""Count votes among sampled answers, and decide when there are enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Votes", "boundary", "first_draw"]

SLOPE = 0.15
"""The decrease of the required lead with each vote."""


@dataclass(frozen=True, slots=True)
class Votes:
    """Counts of equal answers. Errors and empty answers are never votes."""

    ranked: tuple[tuple[str, float], ...]
    """(answer key, votes), most votes first."""

    @classmethod
    def count(cls, keys: Iterable[str], weights: Iterable[float] | None = None) -> Votes:
        """Count answer keys (equal answers have equal keys). In a tie, the key seen first leads.

        Args:
            weights: The weight of each vote; `None`: 1 each.
        """
        if weights is None:
            return cls(tuple(Counter(keys).most_common()))
        sums: dict[str, float] = {}
        for key, weight in zip(keys, weights, strict=True):
            sums[key] = sums.get(key, 0.0) + weight
        return cls(tuple(sorted(sums.items(), key=lambda each: -each[1])))

    @property
    def total(self) -> float:
        """The number of votes, by weight."""
        return sum(votes for _, votes in self.ranked)

    @property
    def leader(self) -> str | None:
        """The key with the most votes; `None` without votes."""
        return self.ranked[0][0] if self.ranked else None

    @property
    def lead(self) -> float:
        """The votes of the first key minus those of the second; 0 without votes."""
        top = [votes for _, votes in self.ranked[:2]]
        return top[0] - (top[1] if len(top) > 1 else 0) if top else 0

    @property
    def share(self) -> float | None:
        """The leader's share of all votes, 0 to 1; `None` without votes."""
        return self.ranked[0][1] / self.total if self.ranked else None


def boundary(votes: float, base: float) -> float:
    """The lead that is enough after a number of votes: `base - 0.15 · votes`.

    Optimal stopping with a finite horizon predicts such a falling boundary. On recorded samples (DATE, GPT-3.5, at
    most 40 samples), it was more accurate for its price than every Beta-posterior threshold of Adaptive-Consistency
    (arXiv:2305.11860): base 3 gave 67.89 % at 5.1 samples, Beta ≥ .80 gave 67.55 % at 4.8, all 40 samples 68.0 %. A
    larger base buys more certainty. (Those recordings count one prompt's samples twice; docs/benchmarks.md has the
    figures without.)
    """
    return base - SLOPE * votes


def first_draw(base: float) -> int:
    """The fewest votes that could be enough; they are needed anyway, so draw them at once."""
    votes = 1
    while votes < boundary(votes, base):
        votes += 1
    return votes
