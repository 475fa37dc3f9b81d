"""Bootstrap intervals over rows, with or without numpy, and the same either way."""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Sequence

__all__ = ["RESAMPLES", "intervals"]

RESAMPLES = 10_000
_BATCH = 500
Interval = tuple[float, float]


def intervals(columns: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = RESAMPLES) -> list[Interval]:
    """The 95 % intervals of the means of columns that share their rows.

    Each resample draws as many rows as there are, with replacement, the same rows for all columns: a difference of two
    lines, given as a column, is compared pair by pair. The bounds are the 2.5 % and 97.5 % quantiles of the means.
    """
    rows = len(columns[0]) if columns else 0
    if not rows:
        return [(0.0, 0.0)] * len(columns)
    dice = random.Random(seed)  # noqa: S311 - a bootstrap, repeatable
    means: list[list[float]] = [[] for _ in columns]
    for start in range(0, resamples, _BATCH):
        batch = min(_BATCH, resamples - start)
        for column, more in zip(means, _means(columns, rows, batch, dice.randbytes(4 * rows * batch)), strict=True):
            column.extend(more)
    low, high = int(0.025 * resamples), min(int(0.975 * resamples), resamples - 1)
    return [(ranked[low], ranked[high]) for ranked in map(sorted, means)]


def _means(columns: Sequence[Sequence[float]], rows: int, batch: int, noise: bytes) -> list[list[float]]:
    """The means of a batch of resamples; each four bytes of noise choose a row."""
    try:
        import numpy as np
    except ImportError:
        return _means_without_numpy(columns, rows, batch, noise)
    chosen = (np.frombuffer(noise, dtype="<u4").astype(np.uint64) * rows >> 32).astype(np.int64).reshape(batch, rows)
    chosen += np.arange(batch)[:, None] * rows
    times = np.bincount(chosen.ravel(), minlength=batch * rows).reshape(batch, rows).astype(float)
    found: list[list[float]] = np.round(np.asarray(columns, dtype=float) @ times.T / rows, 12).tolist()
    return found


def _means_without_numpy(columns: Sequence[Sequence[float]], rows: int, batch: int, noise: bytes) -> list[list[float]]:
    words = array("I", noise)
    if sys.byteorder == "big":
        words.byteswap()
    chosen = [word * rows >> 32 for word in words]
    parts = [chosen[start * rows : (start + 1) * rows] for start in range(batch)]
    # Rounded, because the two ways add in another order.
    return [[round(sum(map(column.__getitem__, part)) / rows, 12) for part in parts] for column in columns]
