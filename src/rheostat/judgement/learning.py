"""Verdicts of past runs → counts: what verifiers said of each arm, with forgetting, and where it has drifted.

Read from the records of candidates in a ledger, which hold no text. An arm that is played after a refusal meets harder
tasks than one that is played first, so that plain shares of passed answers would wrong it. Under the model of
`rheostat.judgement.belief` the draws that weren't made are missing at random, given those that were: its likelihood
needs no correction, and the rates are its maximum (EM over the eases; Dempster, Laird, Rubin 1977).
"""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rheostat.judgement.baselines import counted
from rheostat.judgement.belief import Belief, Chances, curve
from rheostat.judgement.priors import with_priors
from rheostat.judgement.profile import CORRECT, SAMPLE, Arm, KindProfile, Measured, Profile
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.task import Effort

__all__ = ["Drift", "Learned", "Outcome", "learned", "outcomes", "texts"]

_DAY_MS: Final = 86_400_000
_FORGOTTEN: Final = 1e-6
"""A verdict of a smaller weight says nothing any more."""
_ROUNDS: Final = 12
"""Of EM; the rates have settled to a percent long before."""
_RECENT: Final = 30
"""The latest first draws of an arm that are compared with all before them."""
_FAR: Final = 2.5
"""Standard errors between both that count as drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One draw that a verifier judged."""

    run: str
    kind: str
    difficulty: float | None
    arm: Arm
    passed: bool
    at_ms: int
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Drift:
    """An arm that does better or worse than it did."""

    kind: str
    arm: Arm
    before: tuple[int, int]
    """(passed, tried) of the earlier first draws."""
    recent: tuple[int, int]

    def __str__(self) -> str:
        (had, of), (has, now) = self.before, self.recent
        way = "better" if has / now > had / of else "worse"
        return (
            f"{self.arm} on {self.kind} does {way} than it did: {has / now:.0%} of the last {now} answers passed, "
            f"{had / of:.0%} of the {of} before"
        )


@dataclass(frozen=True, slots=True)
class Learned:
    """What past runs say."""

    profile: Profile
    drifts: tuple[Drift, ...]
    runs: int
    verdicts: int


def outcomes(steps: Iterable[StepRecord]) -> list[Outcome]:
    """The judged draws among step records, in the order in which they were made."""
    by_run: dict[str, list[StepRecord]] = defaultdict(list)
    for step in steps:
        if step.node == CANDIDATE and step.candidate.get("status") == "done":
            by_run[step.account].append(step)
    found: list[Outcome] = []
    for each in by_run.values():
        found += _of_run(sorted(each, key=lambda step: counted(step.candidate.get("number"))))
    return sorted(found, key=lambda one: one.at_ms)


def _of_run(steps: Sequence[StepRecord]) -> Iterator[Outcome]:
    drawn: set[tuple[str, str, str]] = set()
    for step in steps:
        at = (step.model, step.effort_planned, str(step.candidate.get("way", "")))
        again = at in drawn
        drawn.add(at)
        passed = step.candidate.get("passed")
        if passed is None and step.candidate.get("verified") and step.candidate.get("group") is None:
            passed = False  # it brought no answer
        if not isinstance(passed, bool) or not step.model or step.effort_planned not in ("", *Effort.__members__):
            continue
        strategy = (CORRECT if step.purpose == "correct" else SAMPLE) if again else ""
        cost = step.candidate.get("cost")
        cost = cost if isinstance(cost, dict) else {}
        difficulty = step.difficulty if isinstance(step.difficulty, int | float) else None
        yield Outcome(
            run=step.account,
            kind=step.kind,
            difficulty=difficulty,
            arm=Arm(model=at[0], effort=at[1], way=at[2], strategy=strategy),
            passed=passed,
            at_ms=step.at_ms,
            input_tokens=counted(cost.get("input_tokens")),
            output_tokens=counted(cost.get("output_tokens")),
            seconds=counted(step.milliseconds) / 1000,
        )


def texts(steps: Iterable[StepRecord]) -> tuple[list[str], dict[str, list[bool | None]]]:
    """The questions of runs that kept them, and whether each model's first judged answer passed; `None`: none was."""
    asked: dict[str, str] = {}
    passed: dict[str, dict[str, bool]] = defaultdict(dict)
    listed = list(steps)
    for step in listed:
        if step.node == DECISION and step.candidate.get("question"):
            asked[step.account] = str(step.candidate["question"])
    for each in outcomes(listed):
        if each.run in asked:
            passed[each.arm.model].setdefault(each.run, each.passed)
    return list(asked.values()), {model: [each.get(run) for run in asked] for model, each in sorted(passed.items())}


def learned(found: Sequence[Outcome], base: Profile, *, now_ms: int, half_life_days: float = 60.0) -> Learned:
    """The counts of each arm on each kind of task; an outcome counts half after `half_life_days`.

    Args:
        base: Gives how the arms of a kind hang together; the rates don't come from it.
    """
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for each in found:
        by_kind[each.kind].append(each)
    kinds = {}
    for kind, ours in by_kind.items():
        like = base.kinds.get(kind) or with_priors(base, kind, []).kinds[kind]
        weights = [0.5 ** min(max(now_ms - one.at_ms, 0) / _DAY_MS / half_life_days, 100.0) for one in ours]
        recent = [(one, weight) for one, weight in zip(ours, weights, strict=True) if weight > _FORGOTTEN]
        if recent:
            arms = _arms([one for one, _ in recent], [weight for _, weight in recent], like)
            kinds[kind] = replace(like, arms=arms, tasks=0.0)
    drifts = tuple(drift for kind, ours in sorted(by_kind.items()) for drift in _drifts(kind, ours))
    return Learned(Profile(kinds=kinds), drifts, len({each.run for each in found}), len(found))


def _arms(found: Sequence[Outcome], weights: Sequence[float], like: KindProfile) -> dict[Arm, Measured]:
    of_arm: dict[Arm, list[tuple[Outcome, float]]] = defaultdict(list)
    for each, weight in zip(found, weights, strict=True):
        of_arm[each.arm].append((each, weight))
    tried = {arm: sum(weight for _, weight in pairs) for arm, pairs in of_arm.items()}
    passed = {arm: sum(weight for one, weight in pairs if one.passed) for arm, pairs in of_arm.items()}
    rates = {arm: passed[arm] / tried[arm] for arm in of_arm}
    rates |= _unbiased(found, weights, like, {arm: rates[arm] for arm in rates if not arm.strategy})
    made: dict[Arm, Measured] = {}
    for arm, pairs in of_arm.items():
        latest = max(one.at_ms for one, _ in pairs)
        made[arm] = Measured(
            right=rates[arm] * tried[arm],
            tried=tried[arm],
            input_tokens=_mean((one.input_tokens, weight) for one, weight in pairs),
            output_tokens=_mean((one.output_tokens, weight) for one, weight in pairs),
            seconds=_mean((one.seconds, weight) for one, weight in pairs),
            date=datetime.datetime.fromtimestamp(latest / 1000, datetime.UTC).date().isoformat(),
            source="the verdicts of your runs",
            learned=True,
        )
    return made


def _mean(pairs: Iterable[tuple[float, float]]) -> float:
    listed = list(pairs)
    return sum(value * weight for value, weight in listed) / sum(weight for _, weight in listed)


def _unbiased(
    found: Sequence[Outcome], weights: Sequence[float], like: KindProfile, rates: dict[Arm, float]
) -> dict[Arm, float]:
    """The likeliest rates of arms that aren't corrections or repetitions, over all tasks of the kind."""
    runs: dict[str, list[tuple[Outcome, float]]] = defaultdict(list)
    for each, weight in zip(found, weights, strict=True):
        if each.arm in rates:
            runs[each.run].append((each, weight))
    patterns: dict[tuple[float, tuple[tuple[Arm, bool], ...]], float] = defaultdict(float)
    for run in runs.values():
        ease = round(4 * like.ease(run[0][0].difficulty)) / 4
        patterns[ease, tuple((one.arm, one.passed) for one, _ in run)] += max(weight for _, weight in run)
    if all(len(draws) < 2 for _, draws in patterns) and not like.clue:
        return rates
    for _ in range(_ROUNDS):
        seen: dict[Arm, list[float]] = {arm: [] for arm in rates}
        right: dict[Arm, float] = dict.fromkeys(rates, 0.0)
        curves = {arm: curve(rate, like.spread) for arm, rate in rates.items()}
        for (ease, draws), count in patterns.items():
            at = list(Belief.of(Chances(rates=(), spread=like.spread), ease, like.clue).unseen)
            for arm, passed in draws:
                at = [w * (c if passed else 1 - c) for w, c in zip(at, curves[arm], strict=True)]
            total = max(sum(at), 1e-300)
            for arm, passed in draws:
                met = seen[arm] or [0.0] * len(at)
                seen[arm] = [old + count * w / total for old, w in zip(met, at, strict=True)]
                right[arm] += count * passed
        rates = {arm: _rate(right[arm], tuple(seen[arm]), like.spread) for arm in rates}
    return rates


def _rate(right: float, met: tuple[float, ...], spread: float) -> float:
    """The rate over all tasks of an arm that was right so often on tasks of these eases."""
    total = sum(met)
    share = (right + 0.25) / (total + 0.5)
    there = curve(share, spread, tuple(each / total for each in met))
    return sum(there) / len(there)


def _drifts(kind: str, found: Sequence[Outcome]) -> Iterator[Drift]:
    first: dict[Arm, list[bool]] = defaultdict(list)
    begun: set[str] = set()
    for each in found:
        if each.run not in begun:  # later draws meet other tasks
            begun.add(each.run)
            first[each.arm].append(each.passed)
    for arm, passed in sorted(first.items()):
        before, recent = passed[:-_RECENT], passed[-_RECENT:]
        if len(before) < _RECENT:
            continue
        rates = [(sum(each) + 0.5) / (len(each) + 1) for each in (before, recent)]
        error = math.sqrt(sum(r * (1 - r) / len(e) for r, e in zip(rates, (before, recent), strict=True)))
        if abs(rates[1] - rates[0]) > _FAR * error:
            yield Drift(kind, arm, (sum(before), len(before)), (sum(recent), len(recent)))
