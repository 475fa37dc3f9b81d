"""The policy over recorded trials, beside every fixed arm, their best mix, and an oracle.

What is replayed is what the solver does: `rheostat.judgement.worth.Weigher` over a profile that was fitted on other
tasks. It never sees whether an answer is right, except through a verifier, if the replay has one.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rheostat.errors import BadInput
from rheostat.judgement.belief import Belief, Play
from rheostat.judgement.first import Sure
from rheostat.judgement.fitting import Trial, band_of, fitted
from rheostat.judgement.profile import Arm, Profile
from rheostat.judgement.worth import Option, Weigher, reference
from rheostat.replay.intervals import intervals
from rheostat.replay.trials import Trials

__all__ = ["ArmsReplay", "Point", "frontier", "mixed", "replay_arms"]

_FOLDS: Final = 5
LADDER: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0)
"""The worths that are replayed, in multiples of the reference price, where none is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Accuracy and cost of one way to spend, as means over tasks."""

    name: str
    accuracy: float
    cost: float
    draws: float = 1.0
    worth: float | None = None
    """Of the policy: what a right answer was worth."""
    fixed_arm: str = ""
    """Of the policy: the fixed arm with the largest sum at this worth, chosen on the same tasks as the profile."""
    against_fixed: tuple[float, float, float] | None = None
    """Value (worth · accuracy − cost) less that of the fixed arm, in units of the worth, with its 95 % interval."""
    against_mix: tuple[float, float, float] | None = None
    """Accuracy less that of the random mix of fixed arms at the same cost, with its 95 % interval."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) not in (None, "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsReplay:
    """The result of a replay."""

    unit: str
    tasks: int
    policy: tuple[Point, ...]
    """One for each worth, ascending."""
    fixed: tuple[Point, ...]
    """Every arm on every task, the most accurate first."""
    oracle: Point
    """The cheapest arm that is right; on a task that none solves, the cheapest arm."""

    @property
    def best(self) -> Point:
        """The most accurate fixed arm, chosen in hindsight."""
        return max(self.fixed, key=lambda each: (each.accuracy, -each.cost))

    def mix(self, cost: float) -> float:
        """The accuracy of the best random mix of fixed arms, chosen in hindsight, at a mean cost."""
        return mixed(frontier(self.fixed), cost)

    @property
    def as_good_as_best(self) -> Point | None:
        """The cheapest point of the policy that is at least as accurate as the best fixed arm."""
        found = [each for each in self.policy if each.accuracy >= self.best.accuracy - 1e-9]
        return min(found, key=lambda each: each.cost, default=None)


@dataclass(slots=True)
class _Played:
    right: float = 0.0
    cost: float = 0.0
    draws: float = 0.0


def replay_arms(
    trials: Trials,
    fit: Trials | None = None,
    *,
    verified: bool = True,
    worths: Sequence[float] = (),
    orders: int = 5,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> ArmsReplay:
    """Replay the policy at several worths.

    Args:
        fit: The trials that the profile is fitted on; without them each fifth of the tasks is judged by a profile of
            the other four.
        verified: Whether an answer is right is a verifier's verdict too, so that it can be refused.
        worths: What a right answer is worth, in the unit of the costs; empty: multiples of the reference price.
        orders: Random orders of the repeated trials of an arm.
        on_step: Called with (steps done, all steps).
    """
    if fit is not None and fit.unit != trials.unit:
        raise BadInput(f"the costs of the two files have different units: {fit.unit} and {trials.unit}")
    by_task: dict[str, list[Trial]] = defaultdict(list)
    for each in trials.trials:
        by_task[each.task].append(each)
    if not by_task:
        raise BadInput("there is no trial")
    names = sorted(by_task)
    folds = _folds(names, fit, trials, seed)
    chosen = tuple(worths) or _ladder(folds[0][0])
    fixed, per_task = _fixed(by_task, trials)
    points = []
    for number, worth in enumerate(chosen):
        played: dict[str, _Played] = {}
        rival: dict[str, tuple[float, float]] = {}
        arms: list[str] = []
        for profile, tasks in folds:
            brain = _Brain(profile, worth, trials, verified)
            arm = _best_fixed(profile, worth)
            arms.append(str(arm))
            for task in tasks:
                played[task] = brain.play(by_task[task], orders, seed)
                rival[task] = per_task[task].get(arm, (0.0, 0.0))
        points.append(_point(worth, names, played, rival, max(set(arms), key=arms.count), fixed, seed))
        if on_step is not None:
            on_step(number + 1, len(chosen))
    ranked = tuple(sorted(fixed, key=lambda each: (-each.accuracy, each.cost)))
    return ArmsReplay(
        unit=trials.unit, tasks=len(names), policy=tuple(points), fixed=ranked, oracle=_oracle(by_task, trials)
    )


def _folds(names: Sequence[str], fit: Trials | None, trials: Trials, seed: int) -> list[tuple[Profile, Sequence[str]]]:
    if fit is not None:
        return [(_profile(fit.trials, fit), names)]
    if len(names) < 2:
        raise BadInput("a profile needs other tasks than those that it judges: give --fit FILE, or more tasks")
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - folds, repeatable
    parts = [shuffled[fold::_FOLDS] for fold in range(min(_FOLDS, len(names)))]
    made: list[tuple[Profile, Sequence[str]]] = []
    for part in parts:
        out = set(part)
        made.append((_profile([each for each in trials.trials if each.task not in out], trials), part))
    return made


def _profile(listed: Iterable[Trial], trials: Trials) -> Profile:
    return fitted(replace(each, usd=trials.cost(each)) for each in listed)  # in the unit of the replay


def _ladder(profile: Profile) -> tuple[float, ...]:
    prices = [
        reference([profile.rate(kind, arm) for arm in each.arms], [one.usd or 0.0 for one in each.arms.values()])
        for kind, each in profile.kinds.items()
    ]
    base = sum(prices) / len(prices) or 1.0
    return tuple(base * times for times in LADDER)


@dataclass(slots=True)
class _Brain:
    """A policy at one worth, fitted on other tasks."""

    profile: Profile
    worth: float
    trials: Trials
    verified: bool
    _by_kind: dict[tuple[str, bool], Sure] = field(default_factory=dict)

    def play(self, pool: Sequence[Trial], orders: int, seed: int) -> _Played:
        """The mean over random orders of what was recorded."""
        total = _Played()
        repeated = len({each.arm for each in pool}) < len(pool)
        count = orders if repeated else 1
        for order in range(count):
            dice = random.Random(f"{seed} {order} {pool[0].task}".encode(errors="surrogatepass"))  # noqa: S311 - repeatable
            one = self._once(pool, dice, repeated)
            total.right += one.right / count
            total.cost += one.cost / count
            total.draws += one.draws / count
        return total

    def _sure(self, kind: str, comparable: bool, repeated: bool) -> Sure:
        if (kind, comparable) not in self._by_kind:
            arms = self.profile.arms(kind)
            found = [self.profile.measured(kind, arm) for arm in arms]
            costs = [0.0 if each is None else each.usd or 0.0 for each in found]
            weigher = Weigher(
                tuple(Option(number, cost, repeated) for number, cost in enumerate(costs)), self.worth,
                verified=self.verified, comparable=comparable, unit=self.trials.unit,
            )  # fmt: skip
            self._by_kind[kind, comparable] = Sure.of(self.profile, kind, arms, weigher)
        return self._by_kind[kind, comparable]

    def _once(self, pool: Sequence[Trial], dice: random.Random, repeated: bool) -> _Played:
        kind = pool[0].kind
        left: dict[Arm, list[Trial]] = defaultdict(list)
        for each in sorted(pool, key=lambda _: dice.random()):
            left[each.arm].append(each)
        comparable = any(each.answer is not None for each in pool)
        sure = self._sure(kind, comparable, repeated)
        belief, groups, made = Belief.of(sure.chances), dict[str, int](), _Played()
        drawn: dict[int, Trial] = {}
        while True:
            choice = sure.choose(belief, can=lambda arm: bool(left.get(sure.arms[arm])))
            if choice.arm is None:
                break
            got = left[sure.arms[choice.arm]].pop()
            made.cost += self.trials.cost(got)
            made.draws += 1
            if self.verified and got.right:
                return _Played(1.0, made.cost, made.draws)
            group = _group(got, groups, belief)
            if group >= 0:
                drawn.setdefault(group, got)
            passed = False if self.verified and group >= 0 else got.passed
            found = self.profile.measured(kind, sure.arms[choice.arm])
            band = band_of(got.score, found.cuts if found is not None else ())
            belief = belief.after(Play(choice.arm, group, band, passed))
        leading = belief.leader[1]
        made.right = float(leading in drawn and drawn[leading].right)
        return made


def _group(trial: Trial, groups: dict[str, int], belief: Belief) -> int:
    """The group of an answer; an answer that isn't recorded is a group of its own."""
    if trial.answer is None:
        return belief.new_group
    return groups.setdefault(trial.answer, belief.new_group)


def _best_fixed(profile: Profile, worth: float) -> Arm:
    """The fixed arm with the largest sum over all kinds."""
    sums: dict[Arm, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for kind in profile.kinds.values():
        for arm, each in kind.arms.items():
            total = sums[arm]
            total[0] += each.right
            total[1] += each.tried
            total[2] += (each.usd or 0.0) * each.tried
    most = max(each[1] for each in sums.values())
    tried = {arm: each for arm, each in sums.items() if each[1] >= most / 2}
    return max(sorted(tried), key=lambda arm: (worth * tried[arm][0] - tried[arm][2]) / tried[arm][1])


def _fixed(
    by_task: Mapping[str, Sequence[Trial]], trials: Trials
) -> tuple[list[Point], dict[str, dict[Arm, tuple[float, float]]]]:
    per_task: dict[str, dict[Arm, tuple[float, float]]] = {}
    sums: dict[Arm, list[tuple[float, float]]] = defaultdict(list)
    for task, pool in by_task.items():
        by_arm: dict[Arm, list[Trial]] = defaultdict(list)
        for each in pool:
            by_arm[each.arm].append(each)
        per_task[task] = {
            arm: (sum(one.right for one in each) / len(each), sum(map(trials.cost, each)) / len(each))
            for arm, each in by_arm.items()
        }
        for arm, got in per_task[task].items():
            sums[arm].append(got)
    complete = {arm: each for arm, each in sums.items() if len(each) >= 0.9 * len(by_task)} or sums
    points = [
        Point(name=str(arm), accuracy=sum(a for a, _ in each) / len(each), cost=sum(c for _, c in each) / len(each))
        for arm, each in complete.items()
    ]
    return points, per_task


def frontier(points: Iterable[Point]) -> list[tuple[float, float]]:
    """The upper hull of (cost, accuracy), from spending nothing."""
    hull: list[tuple[float, float]] = []
    for at in sorted([(0.0, 0.0), *((each.cost, each.accuracy) for each in points)]):
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], at):
            hull.pop()
        hull.append(at)
    return hull


def _turns_up(one: tuple[float, float], two: tuple[float, float], three: tuple[float, float]) -> bool:
    return (two[1] - one[1]) * (three[0] - one[0]) <= (three[1] - one[1]) * (two[0] - one[0])


def mixed(hull: Sequence[tuple[float, float]], cost: float) -> float:
    """The accuracy of a random mix of points on the hull, at a mean cost."""
    best = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(hull):
        if y1 < y0:
            break
        if cost < x1:
            return max(best, y0 + (y1 - y0) * (cost - x0) / (x1 - x0))
        best = max(best, y1)
    return best


def _point(
    worth: float,
    names: Sequence[str],
    played: Mapping[str, _Played],
    rival: Mapping[str, tuple[float, float]],
    fixed_arm: str,
    fixed: Sequence[Point],
    seed: int,
) -> Point:
    count = len(names)
    accuracy = sum(played[name].right for name in names) / count
    cost = sum(played[name].cost for name in names) / count
    hull = frontier(fixed)
    level = mixed(hull, cost)
    slope = (mixed(hull, cost * 1.001) - level) / max(cost * 0.001, 1e-12)
    values = [(played[name].right - rival[name][0]) - (played[name].cost - rival[name][1]) / worth for name in names]
    above = [played[name].right - level - slope * (played[name].cost - cost) for name in names]
    (value_low, value_high), (low, high) = intervals([values, above], seed=seed, resamples=2_000)
    return Point(
        name="policy",
        accuracy=accuracy,
        cost=cost,
        draws=sum(played[name].draws for name in names) / count,
        worth=worth,
        fixed_arm=fixed_arm,
        against_fixed=(sum(values) / count, value_low, value_high),
        against_mix=(accuracy - level, low, high),
    )


def _oracle(by_task: Mapping[str, Sequence[Trial]], trials: Trials) -> Point:
    rights = costs = 0.0
    for pool in by_task.values():
        solved = [each for each in pool if each.right]
        rights += bool(solved)
        costs += min(trials.cost(each) for each in solved or pool)
    return Point(name="oracle", accuracy=rights / len(by_task), cost=costs / len(by_task))
