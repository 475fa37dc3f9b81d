"""Adaptive-Consistency's stopping rule (Aggarwal et al., arXiv:2305.11860), exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["beta_certainty", "beta_stop"]


@lru_cache(maxsize=4096)
def beta_certainty(first: int, second: int) -> float:
    """The probability that the first answer is really more frequent than the second, by the Beta posterior of their
    counts with a flat prior: 1 - I_½(first + 1, second + 1).

    For whole counts it is a sum of binomials: the chance of at most `first` heads in first + second + 1 fair tosses.
    """
    tosses = first + second + 1
    return sum(math.comb(tosses, heads) for heads in range(first + 1)) / (1 << tosses)


def beta_stop(keys: Sequence[str | None], threshold: float = 0.95) -> int:
    """The samples that the rule draws: it stops when the leader is certain enough, at the latest at the end.

    Args:
        keys: The answers in the order of their draws; `None` is no answer: it costs a sample and is no vote.
    """
    counts: Counter[str] = Counter()
    for drawn, key in enumerate(keys, 1):
        if key is None:
            continue
        counts[key] += 1
        top = [count for _, count in counts.most_common(2)]
        if beta_certainty(top[0], top[1] if len(top) > 1 else 0) >= threshold:
            return drawn
    return len(keys)
