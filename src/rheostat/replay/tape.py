"""The order in which recorded samples are drawn."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from rheostat.replay.rows import Row, Sample

__all__ = ["Tape", "order_of"]


def order_of(row: Row, order: int, seed: int = 0) -> list[int]:
    """A random order of a row's samples; the same seed, row id and order number give the same one.

    Greedy samples come first, then the others. In both parts, the next sample is from the way of asking (model and
    way) that was drawn from least, so that each way comes before any repetition; within a way the order is random, and
    so is the way that begins.
    """
    dice = random.Random(f"{seed} {order} {row.id}".encode(errors="surrogatepass"))  # noqa: S311 - repeatable on purpose
    lanes: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for number, each in enumerate(row.samples):
        lanes.setdefault((each.model, each.way), ([], []))[0 if each.greedy else 1].append(number)
    ways = list(lanes.values())
    dice.shuffle(ways)
    drawn = [0] * len(ways)
    ordered: list[int] = []
    for part in (0, 1):
        left = [way[part] for way in ways]
        for lane in left:
            dice.shuffle(lane)
        while any(left):
            way = min((number for number, lane in enumerate(left) if lane), key=drawn.__getitem__)
            ordered.append(left[way].pop())
            drawn[way] += 1
    return ordered


class Tape:
    """The samples of a row in one order, each to be drawn once."""

    def __init__(self, samples: Sequence[Sample], order: Iterable[int]) -> None:
        self._below: dict[int | None, list[int]] = {}
        for number in order:
            self._below.setdefault(samples[number].parent, []).append(number)
        for each in self._below.values():
            each.reverse()
        self.left = sum(len(each) for each in self._below.values())
        """The samples not yet drawn."""

    def draw(self, parent: int | None = None) -> int | None:
        """The next unused sample below `parent` (`None`: a fresh answer); `None`: there is none."""
        below = self._below.get(parent)
        if not below:
            return None
        self.left -= 1
        return below.pop()
