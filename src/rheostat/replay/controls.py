"""What a strategy is compared with: simple ways to use the same samples in the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rheostat.evidence.candidate import Candidate
from rheostat.replay.adaptive import beta_stop
from rheostat.replay.play import Outcome, candidate_of
from rheostat.replay.rows import Row, Sample
from rheostat.strategies.base import best
from rheostat.strategies.nodes import value_of

__all__ = ["Control", "Run", "controls_for"]

FIXED = (3, 5, 8, 12, 20, 40)
BETA = 0.95


@dataclass(slots=True)
class Run:
    """A row in one order, and what the strategy did with it."""

    samples: tuple[Sample, ...]
    order: list[int]
    outcome: Outcome
    _candidates: list[Candidate] | None = None

    @property
    def candidates(self) -> list[Candidate]:
        """The samples as candidates, numbered by the order; made once."""
        if self._candidates is None:
            self._candidates = [candidate_of(self.samples[at], place, at) for place, at in enumerate(self.order)]
        return self._candidates

    @property
    def roots(self) -> list[int]:
        """The samples without a parent, in order."""
        return [at for at in self.order if self.samples[at].parent is None]


Taken = tuple[int | None, Sequence[int]]
"""The sample whose answer is taken, and all that were drawn for it."""


@dataclass(frozen=True, slots=True)
class Control:
    """A simple way to use the samples of a run."""

    id: str
    name: str
    take: Callable[[Run], Taken]
    oracle: bool = False
    """It is right if any sample is: a bound, not a method."""
    matched: bool = False
    """It draws as many samples as the strategy does in the mean, rounded, or in the same run."""
    average: bool = False
    """It takes each recorded sample with the same probability, so that no order matters."""


def controls_for(kind: str, rows: Sequence[Row], mean_samples: float) -> list[Control]:
    """The controls of a kind of strategy: `votes`, `best-of-n` or `tree`.

    Args:
        mean_samples: The strategy's mean samples; rounded, they are one of the fixed numbers.
    """
    greedy = all(any(each.greedy for each in row.samples) for row in rows if row.samples)
    votable = any(each.key is not None for row in rows for each in row.samples)
    most = max((len(row.samples) for row in rows), default=0)
    matched = min(max(round(mean_samples), 1), most)
    counts = sorted({matched, *(count for count in FIXED if count < most)})
    made = [Control("single", "single sample", lambda run: (None, ()), average=True)]
    if greedy:
        made.append(Control("greedy", "greedy sample", _greedy))
    if kind == "tree":
        made.append(Control("first-root", "first root", lambda run: (_first(run.roots), run.roots[:1])))
        made.append(Control("best-roots", "best of roots*", _roots, matched=True))
        made.append(Control("best-all", "best of all nodes", lambda run: (_best_value(run, run.order), run.order)))
    if kind == "best-of-n":
        for count in counts:
            name = f"best of {count}{'*' if count == matched else ''}"
            made.append(Control(f"best-{count}", name, _best_of(count), matched=count == matched))
        made.append(Control("best-all", "best of all", _best_of(most)))
    if kind == "votes":
        for count in counts:
            name = f"majority of {count}{'*' if count == matched else ''}"
            made.append(Control(f"majority-{count}", name, _majority_of(count), matched=count == matched))
    if kind != "tree" and votable:
        made.append(Control("majority-all", "majority of all", _majority_of(most)))
    if kind == "votes":
        made.append(Control(f"beta-{BETA}", f"Beta {BETA}", _beta))
    made.append(Control("oracle", "oracle", lambda run: (None, run.order), oracle=True))
    return made


def _first(places: Sequence[int]) -> int | None:
    return places[0] if places else None


def _greedy(run: Run) -> Taken:
    at = next((at for at in run.order if run.samples[at].greedy), None)
    return at, () if at is None else (at,)


def _leader(run: Run, count: int) -> int | None:
    """The first sample of the most frequent answer among the first ones; in a tie, the answer seen first."""
    keys = {at: key for at in run.order[:count] if (key := run.samples[at].key) is not None}
    if not keys:
        return None
    leader = Counter(keys.values()).most_common(1)[0][0]
    return next(at for at, key in keys.items() if key == leader)


def _majority_of(count: int) -> Callable[[Run], Taken]:
    return lambda run: (_leader(run, count), run.order[:count])


def _best_of(count: int) -> Callable[[Run], Taken]:
    def take(run: Run) -> Taken:
        found = best(run.candidates[:count])
        return None if found is None else int(found.id), run.order[:count]

    return take


def _beta(run: Run) -> Taken:
    drawn = beta_stop([run.samples[at].key for at in run.order], BETA)
    return _leader(run, drawn), run.order[:drawn]


def _best_value(run: Run, places: Sequence[int]) -> int | None:
    """The sample of the highest value (verdict, else score); in a tie, the first in the order."""
    by_place = dict(zip(run.order, run.candidates, strict=True))
    answered = [at for at in places if run.samples[at].answer is not None]
    return max(answered, key=lambda at: value_of(by_place[at]), default=None)


def _roots(run: Run) -> Taken:
    roots = run.roots[: max(len(run.outcome.drawn), 1)]
    return _best_value(run, roots), roots
