"""What is believed about the answers to one task, and how each draw changes it.

A task has an *ease*, one number, normally distributed over the tasks of its kind; an arm is right with a probability
that rises with it (the Rasch model of test theory). Its mean over all tasks is the arm's measured rate, and its slope,
the kind's `spread`, says how much one arm's success or failure tells about the others. So a refused answer lowers the
chances of every further draw, and two answers that agree raise the chance of both:

- wrong answers of different arms are alike with probability `alike`, which is seldom, so that agreement is evidence; on
  hard tasks, where one wrong answer lures all, they are so more often (`lure`);
- a second sample of the same arm is a copy of the first with probability `repeat`, and later ones the more, as in
  Pólya's urn: so it is less evidence, and the order of the samples has no meaning;
- a score (confidence, a judge's points) falls into a band, which right and wrong answers reach at measured rates.

Everything is a sum over fifteen equally likely eases; nothing is sampled.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Final

__all__ = ["Belief", "Chances", "Play"]

_POINTS: Final = 15
_EASE: Final = tuple(NormalDist().inv_cdf((point + 0.5) / _POINTS) for point in range(_POINTS))
_LEAST: Final = 1e-3
"""No rate is nearer to 0 or 1: there is always a chance to be surprised."""
_Weights = tuple[float, ...]


@functools.lru_cache(maxsize=4096)
def curve(rate: float, spread: float, among: _Weights = (1 / _POINTS,) * _POINTS) -> _Weights:
    """P(right) at each ease, with this mean over tasks whose eases have these weights."""
    rate = min(max(rate, _LEAST), 1 - _LEAST)
    low, high = -40.0, 40.0
    for _ in range(50):
        middle = (low + high) / 2
        mean = sum(weight * _logistic(spread * ease + middle) for weight, ease in zip(among, _EASE, strict=True))
        low, high = (middle, high) if mean < rate * sum(among) else (low, middle)
    return tuple(_logistic(spread * ease + low) for ease in _EASE)


@functools.lru_cache(maxsize=256)
def lured(alike: float, lure: float) -> _Weights:
    """P(two wrong answers are equal) at each ease, when it is `alike` at the mean ease."""
    odds = math.log(max(alike, 1e-9) / max(1 - alike, 1e-9))
    return tuple(_logistic(odds - lure * ease) for ease in _EASE)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 60.0), -60.0)))


@dataclass(frozen=True, slots=True)
class Chances:
    """The measured rates of the arms on one kind of task."""

    rates: tuple[float, ...]
    """P(right) of each arm, over all tasks of the kind."""
    spread: float = 1.5
    """How differently hard the tasks are: 0 means that arms succeed independently of one another."""
    alike: float = 0.1
    """P(a wrong answer of one arm equals a wrong one of another)."""
    lure: float = 0.0
    """How much likelier equal wrong answers are on hard tasks: the fall of `alike`'s log-odds with the ease."""
    repeat: float = 0.5
    """P(a further sample of the same arm repeats an earlier one)."""
    follows: tuple[int, ...] = ()
    """For each arm: the arm that was wrong on the tasks on which its rate was measured; -1: it is of all tasks."""
    bands: tuple[tuple[tuple[float, float], ...], ...] = ()
    """For each arm: for each band of its score (P(band | right), P(band | wrong)); empty: no scores."""

    @property
    def alikes(self) -> _Weights:
        """`alike` at each ease."""
        return lured(self.alike, self.lure)

    def curve(self, arm: int) -> _Weights:
        """P(right) of an arm at each ease."""
        before = self.corrects(arm)
        if before < 0:
            return curve(self.rates[arm], self.spread)
        return curve(self.rates[arm], self.spread, tuple(1 - each for each in self.curve(before)))

    def corrects(self, arm: int) -> int:
        """The arm that was wrong on the tasks on which this one's rate was measured; -1: its rate is of all tasks."""
        return self.follows[arm] if arm < len(self.follows) else -1

    def banded(self, arm: int) -> tuple[tuple[float, float], ...]:
        """The bands of an arm's score."""
        return self.bands[arm] if arm < len(self.bands) else ()


@dataclass(frozen=True, slots=True)
class Play:
    """One draw, and what came of it."""

    arm: int
    answer: int = -1
    """The number of the group of equal answers; -1: no answer, or one that can't be compared."""
    band: int = -1
    """The band of its score; -1: it has none."""
    passed: bool | None = None
    """The verifier's verdict."""


@dataclass(frozen=True, slots=True)
class Belief:
    """The joint probability of the task's ease and of which answer is right, after some draws."""

    chances: Chances
    plays: tuple[Play, ...] = ()
    right: dict[int, _Weights] = field(default_factory=dict)
    """For each group of equal answers: the weight, at each ease, of it being the right one."""
    unseen: _Weights = (1 / _POINTS,) * _POINTS
    """The weight, at each ease, of no answer so far being right."""
    look: tuple[float, float] = (0.0, 0.0)
    """How easy the task looked before the first draw, and how much that says."""

    @classmethod
    def of(cls, chances: Chances, ease: float = 0.0, clue: float = 0.0) -> Belief:
        """What is believed before the first draw.

        Args:
            ease: How easy this task looks among those of its kind, in standard deviations.
            clue: How much the look says: its correlation with the ease, from 0 (nothing) to below 1.
        """
        ease, clue = round(4 * ease) / 4, min(abs(clue), 0.95)  # few different beliefs, so that decisions are known
        left = 1 - clue**2
        weights = [math.exp(each**2 / 2 - (each - clue * ease) ** 2 / (2 * left)) for each in _EASE]
        return cls(chances, unseen=tuple(each / sum(weights) for each in weights), look=(ease, clue))

    @property
    def key(self) -> tuple[object, ...]:
        """Equal beliefs have equal keys."""
        return self.chances, self.look, tuple(sorted(self.plays, key=_order))

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return sum(self.unseen) + sum(sum(each) for each in self.right.values())

    @property
    def leader(self) -> tuple[float, int]:
        """(the probability that it is right, the group) of the likeliest answer; (0, -1) without one."""
        total = self.total
        best = max(self.right.items(), key=lambda each: (round(sum(each[1]) / total, 9), -each[0]), default=None)
        return (0.0, -1) if best is None else (round(sum(best[1]) / self.total, 9), best[0])

    def chance(self, arm: int) -> float:
        """The probability that the next answer of an arm is right.

        A sample that repeats a refused answer is refused again.
        """
        refused = sum(each.arm == arm and each.passed is False for each in self.plays)
        fresh = 1 - self._share(refused, refused)
        curve_ = self.chances.curve(arm)
        return round(fresh * sum(weight * rate for weight, rate in zip(self._marginal(), curve_, strict=True)), 9)

    def _marginal(self) -> list[float]:
        total = self.total
        return [sum(each) / total for each in zip(self.unseen, *self.right.values(), strict=True)]

    def after(self, play: Play) -> Belief:
        """What is believed after one more draw; a probability of zero leaves the belief as it was."""
        if play.answer < 0:
            return self._without_answer(play)
        curve_, (copied, fresh) = self.chances.curve(play.arm), self._copied(play)
        if_right, if_wrong = self._banded(play)
        known = play.answer in self.right
        groups = len(self.right)
        after: dict[int, _Weights] = {}
        for group, weights in self.right.items():
            if group == play.answer:
                after[group] = _times(weights, [(copied + fresh * each) * if_right for each in curve_])
            else:
                missed = self._missed(curve_, known, groups - 1)
                after[group] = _times(weights, [(copied + fresh * each) * if_wrong for each in missed])
        if not known:
            after[play.answer] = _times(self.unseen, [fresh * each * if_right for each in curve_])
        missed = self._missed(curve_, known, groups)
        unseen = _times(self.unseen, [(copied + fresh * each) * if_wrong for each in missed])
        return self._judged(replace(self, plays=(*self.plays, play), right=after, unseen=unseen), play)

    def _judged(self, made: Belief, play: Play) -> Belief:
        right = dict(made.right)
        if play.passed is False:
            right[play.answer] = (0.0,) * _POINTS
        elif play.passed:
            right = {group: each if group == play.answer else (0.0,) * _POINTS for group, each in right.items()}
        unseen = (0.0,) * _POINTS if play.passed else made.unseen
        judged = replace(made, right=right, unseen=unseen)
        if judged.total <= 1e-300:  # the verifier contradicts itself, or an arm that is always right was refused
            return replace(made, right=self.right, unseen=self.unseen)
        return judged

    def _without_answer(self, play: Play) -> Belief:
        miss = [1 - each for each in self.chances.curve(play.arm)]
        right = {group: _times(weights, miss) for group, weights in self.right.items()}
        return replace(self, plays=(*self.plays, play), right=right, unseen=_times(self.unseen, miss))

    def _missed(self, curve_: _Weights, known: bool, groups: int) -> _Weights:
        """P(wrong, and this wrong answer | so many other groups are wrong too) at each ease."""
        alikes = self.chances.alikes
        if known:
            return _times(alikes, [1 - each for each in curve_])
        return tuple((1 - c) * max(1 - a * groups, _LEAST) for c, a in zip(curve_, alikes, strict=True))

    def _copied(self, play: Play) -> tuple[float, float]:
        """(P(this answer, as a copy of an earlier one of this arm), P(it is no copy))."""
        before = [each.answer for each in self.plays if each.arm == play.arm and each.answer >= 0]
        return self._share(before.count(play.answer), len(before)), 1 - self._share(len(before), len(before))

    def _share(self, equal: int, drawn: int) -> float:
        """P(a copy of one of so many equal draws), after so many in all."""
        if not drawn or not self.chances.repeat:
            return 0.0
        return equal / (drawn + 1 / min(self.chances.repeat, 1 - _LEAST) - 1)

    def _banded(self, play: Play) -> tuple[float, float]:
        bands = self.chances.banded(play.arm)
        return bands[play.band] if 0 <= play.band < len(bands) else (1.0, 1.0)

    def outcomes(self, arm: int) -> list[tuple[float, Belief]]:
        """What may be believed after one more draw of an arm, and how probable each is: it gives one of the answers so
        far, or another one. The probabilities sum to 1. Its score isn't foreseen.
        """
        made = [self.after(Play(arm, group)) for group in (*self.right, self.new_group)]
        total = sum(each.total for each in made)
        return [(each.total / total, each) for each in made if each.total > 1e-12 * total]

    @property
    def new_group(self) -> int:
        """The number of a group that no answer is in yet."""
        return max((each.answer for each in self.plays), default=-1) + 1


def _times(weights: Sequence[float], factors: Sequence[float]) -> _Weights:
    return tuple(weight * factor for weight, factor in zip(weights, factors, strict=True))


def _order(play: Play) -> tuple[int, int, int, int]:
    return play.arm, play.answer, play.band, -1 if play.passed is None else int(play.passed)
