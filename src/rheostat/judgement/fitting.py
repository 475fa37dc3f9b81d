"""Trials → a profile: the rates of arms, and how their answers hang together."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rheostat.judgement.belief import Belief, Chances, Play, lured
from rheostat.judgement.profile import CORRECT, Arm, KindProfile, Measured, Profile

__all__ = ["Trial", "band_of", "fitted"]

_SPREADS: Final = (0.05, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
_CLUES: Final = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9)
_USUAL_SPREAD: Final = KindProfile().spread
_ALIKES: Final = (0.01, 0.02, 0.035, 0.05, 0.075, *(step / 20 for step in range(2, 20)))
_LURES: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
_LEAST_SCORES: Final = 20
_MOST_TASKS: Final = 600
"""The spread is fitted to so many tasks at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One draw of an arm on a task whose right answer is known."""

    task: str
    arm: Arm
    right: bool
    kind: str = ""
    answer: str | None = None
    """Equal answers have equal texts; `None`: no answer, or not recorded."""
    usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    seconds: float | None = None
    score: float | None = None
    """Its confidence or score, on any scale: more is better."""
    passed: bool | None = None
    """What a verifier said that a user has too; `None`: it can't tell, or there is none."""
    prompt: str = ""
    """The text of the task, for routers that learn from it."""
    difficulty: float | None = None
    """How hard it looks (`rheostat.thinking.difficulty`); `None`: unknown."""


def fitted(trials: Iterable[Trial], *, date: str = "", source: str = "") -> Profile:
    """A profile of these trials. Every kind has its own rates."""
    by_kind: dict[str, list[Trial]] = defaultdict(list)
    for each in trials:
        by_kind[each.kind].append(each)
    return Profile(kinds={kind: _fit(each, date, source) for kind, each in by_kind.items()})


def _fit(trials: Sequence[Trial], date: str, source: str) -> KindProfile:
    by_arm: dict[Arm, list[Trial]] = defaultdict(list)
    by_task: dict[str, list[Trial]] = defaultdict(list)
    for each in trials:
        by_arm[each.arm].append(each)
        by_task[each.task].append(each)
    arms = {arm: _measured(each, date, source) for arm, each in by_arm.items()}
    tasks = [each for each in by_task.values() if len({one.arm for one in each}) > 1]
    if not tasks:
        made = KindProfile(arms=arms)
        return replace(made, repeat=_repeat(by_task.values(), made))
    looks = [each[0].difficulty for each in tasks if each[0].difficulty is not None]
    mean, deviation = (statistics.fmean(looks), statistics.pstdev(looks)) if looks else (0.0, 0.0)
    made = KindProfile(arms=arms, difficulty=mean, difficulty_spread=deviation)
    spread, clue = _likeliest(tasks[:_MOST_TASKS], made)
    made = replace(made, spread=spread, clue=clue, tasks=len(tasks))
    alike, lure = _alike(tasks, made)
    made = replace(made, alike=alike, lure=lure)
    return replace(made, repeat=_repeat(by_task.values(), made))


def _measured(trials: Sequence[Trial], date: str, source: str) -> Measured:
    cuts, right, wrong = _bands(trials)
    by_task: dict[str, list[bool]] = defaultdict(list)
    for each in trials:
        by_task[each.task].append(each.right)
    return Measured(
        right=sum(sum(each) / len(each) for each in by_task.values()),  # repeated draws of a task are no new tasks
        tried=len(by_task),
        input_tokens=_mean(each.input_tokens for each in trials) or 0.0,
        output_tokens=_mean(each.output_tokens for each in trials) or 0.0,
        usd=_mean(each.usd for each in trials),
        seconds=_mean(each.seconds for each in trials),
        cuts=cuts,
        score_right=right,
        score_wrong=wrong,
        date=date,
        source=source,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None


def band_of(score: float | None, cuts: Sequence[float]) -> int:
    """The band that a score falls into; -1: it has none."""
    return bisect.bisect_right(cuts, score) if score is not None and cuts else -1


def _bands(trials: Sequence[Trial]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Three bands with a third of the scores each, and the right and wrong answers in them."""
    scores = sorted(each.score for each in trials if each.score is not None)
    if len(scores) < _LEAST_SCORES or scores[0] == scores[-1]:
        return (), (), ()
    cuts = tuple(dict.fromkeys(scores[len(scores) * third // 3] for third in (1, 2)))
    counts = {True: [0.0] * (len(cuts) + 1), False: [0.0] * (len(cuts) + 1)}
    for each in trials:
        if each.score is not None:
            counts[each.right][band_of(each.score, cuts)] += 1
    return cuts, tuple(counts[True]), tuple(counts[False])


def _likeliest(tasks: Sequence[Sequence[Trial]], kind: KindProfile) -> tuple[float, float]:
    """The spread and the clue under which the pattern of right and wrong answers is likeliest (marginal likelihood)."""
    order = sorted(arm for arm in kind.arms if arm.strategy != CORRECT)
    numbers = {arm: number for number, arm in enumerate(order)}
    rates = tuple((kind.arms[arm].right + 0.5) / (kind.arms[arm].tried + 1) for arm in order)
    patterns: dict[tuple[float, tuple[tuple[int, bool], ...]], int] = defaultdict(int)
    for task in tasks:
        first: dict[int, bool] = {}
        for each in task:
            if each.arm in numbers:
                first.setdefault(numbers[each.arm], each.right)
        patterns[round(kind.ease(task[0].difficulty), 1), tuple(sorted(first.items()))] += 1

    def likelihood(at: tuple[float, float]) -> float:
        spread, clue = at
        chances = Chances(rates=rates, spread=spread)
        total = 0.0
        for (ease, pattern), count in patterns.items():
            weights = Belief.of(chances, ease, clue).unseen
            for arm, right in pattern:
                curve = chances.curve(arm)
                weights = tuple(w * (c if right else 1 - c) for w, c in zip(weights, curve, strict=True))
            total += count * math.log(max(sum(weights), 1e-300))
        return total - (spread - _USUAL_SPREAD) ** 2 / 2 - 2 * clue**2  # a weak prior: few tasks say little

    clues = _CLUES if kind.difficulty_spread else (0.0,)
    return max(itertools.product(_SPREADS, clues), key=likelihood)


def _alike(tasks: Iterable[Sequence[Trial]], kind: KindProfile) -> tuple[float, float]:
    """How often two wrong answers of different arms are equal at the mean ease, and how that falls with the ease."""
    order = sorted(kind.arms)
    numbers = {arm: number for number, arm in enumerate(order)}
    rates = tuple((kind.arms[arm].right + 0.5) / (kind.arms[arm].tried + 1) for arm in order)
    chances = Chances(rates=rates, spread=kind.spread)
    pairs: dict[tuple[tuple[float, ...], bool], int] = defaultdict(int)
    for task in tasks:
        first: dict[Arm, Trial] = {}
        for each in task:
            first.setdefault(each.arm, each)
        at = Belief.of(chances, kind.ease(task[0].difficulty), kind.clue).unseen
        for arm, each in first.items():
            curve = chances.curve(numbers[arm])
            at = tuple(w * (c if each.right else 1 - c) for w, c in zip(at, curve, strict=True))
        weights = tuple(round(w / max(sum(at), 1e-300), 3) for w in at)
        wrong = [each.answer for each in first.values() if not each.right and each.answer is not None]
        for one, two in itertools.combinations(wrong, 2):
            pairs[weights, one == two] += 1

    def likelihood(at: tuple[float, float]) -> float:
        alike = lured(*at)
        total = math.log(at[0] * (1 - at[0]) ** 9) - at[1] ** 2 / 2  # as if one pair of ten were equal
        for (weights, equal), count in pairs.items():
            share = sum(w * a for w, a in zip(weights, alike, strict=True)) / sum(weights)
            total += count * math.log(max(share if equal else 1 - share, 1e-12))
        return total

    return max(itertools.product(_ALIKES, _LURES if len(pairs) > 1 else (0.0,)), key=likelihood)


def _repeat(tasks: Iterable[Sequence[Trial]], kind: KindProfile) -> float:
    """How often a further sample of an arm repeats an earlier one, beyond what chance explains."""
    arms = sorted(kind.arms)
    numbers = {arm: number for number, arm in enumerate(arms)}
    rates = tuple((kind.arms[arm].right + 0.5) / (kind.arms[arm].tried + 1) for arm in arms)
    chances = Chances(rates=rates, spread=kind.spread, alike=kind.alike, lure=kind.lure, repeat=0.0)
    by_chance = {arm: _agrees(chances, number) for arm, number in numbers.items()}
    pairs = equal = expected = 0.0
    for task in tasks:
        drawn: dict[Arm, list[str]] = defaultdict(list)
        for each in task:
            if each.answer is not None and each.arm in numbers:
                drawn[each.arm].append(each.answer)
        for arm, answers in drawn.items():
            for one, two in itertools.combinations(answers[:6], 2):
                pairs += 1
                equal += one == two
                expected += by_chance[arm]
    if not pairs or expected >= pairs:
        return kind.repeat
    return min(max((equal - expected) / (pairs - expected), 0.0), 0.95)


def _agrees(chances: Chances, arm: int) -> float:
    """P(two samples of an arm are equal), if neither copies the other."""
    first = Belief.of(chances).after(Play(arm, 0))
    return first.after(Play(arm, 0)).total / sum(first.after(Play(arm, group)).total for group in (0, 1))
