"""Where nothing was measured of a model, the weak prior stands in for it: what published results say of any model.

The prior is a kind of task named `*` with arms of a model named `*`, in the shipped profile (made by
`rheostat.bench.priors`). Arms of a model named `*` in another kind are the prior for that kind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rheostat.judgement.profile import SHRINK, Arm, KindProfile, Measured, Profile
from rheostat.judgement.shipped import prior
from rheostat.task import Effort
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["ANY", "with_priors"]

ANY: Final = "*"
"""Any model, or any kind of task."""
_STRONGER: Final = 1.0
"""How much better the next model in the user's order is taken to be, in log-odds; assumed. (Measured of the embedded
models on MBPP: 47 and 73 %, which is 1.1.)"""


def with_priors(
    profile: Profile, kind: str, models: Sequence[ModelFacts], levels: Mapping[str, Effort] | None = None
) -> Profile:
    """The profile with arms for each of these models, those of the prior where it has none for this kind of task.

    Args:
        models: In the order in which the user named them. One that nothing was measured of is taken for stronger than
            those before it, measured or not: that is why it was named.
        levels: The level of each model, where the user fixed it; `None`: the policy chooses it.
    """
    numbers = prior().kinds.get(kind) or _prior(profile, ANY) or prior().kinds[ANY]
    arms_of_any = _prior(profile, kind) or _prior(profile, ANY) or numbers
    measured = Profile(kinds={name: each for name, each in profile.kinds.items() if name != ANY}).without(ANY).kinds
    known = measured.get(kind) or replace(numbers, arms={})
    arms, place, mine, best = dict(known.arms), 0, False, -math.inf
    for facts in models:
        wanted = _useful(facts) if levels is None else {levels[facts.name]}
        own = {arm: each for arm, each in _named(known.arms, facts.name).items() if _level(arm, facts) in wanted}
        mine |= bool(own)
        if all(each.learned for arm, each in own.items() if not arm.strategy):  # else: it is known what it can do
            stands_in = _arms_of(facts, arms_of_any, wanted)
            better = _STRONGER * place
            if not own:  # it was named after one that is known to do better than the prior promises
                better = max(better, best + _STRONGER - _best(stands_in))
            own = _together(own, {arm: _better(each, better) for arm, each in stands_in.items()})
            place += 1
        arms |= own
        best = max(best, _best(own))
    return Profile(kinds={**measured, kind: replace(known if mine else numbers, arms=arms)})


def _named(arms: Mapping[Arm, Measured], name: str) -> dict[Arm, Measured]:
    """A model's arms; those of the same model for its second endpoint (`m#2`)."""
    of = name if any(arm.model == name for arm in arms) else name.partition("#")[0]
    return {replace(arm, model=name): each for arm, each in arms.items() if arm.model == of}


def _together(own: Mapping[Arm, Measured], prior: Mapping[Arm, Measured]) -> dict[Arm, Measured]:
    """What was learned, drawn towards the prior; and the prior's other arms, moved by how this model does."""
    at: dict[tuple[str, str], list[Arm]] = {}
    for arm in own:
        at.setdefault((arm.effort, arm.strategy), []).append(arm)
    shared = [(own[arm], its) for each, its in prior.items() for arm in at.get((each.effort, each.strategy), ())]
    tried = sum(mine.tried for mine, _ in shared)
    better = 0.0
    if tried:
        rates = [sum(mine.right for mine, _ in shared), sum(mine.tried * its.rate for mine, its in shared)]
        better = (_logit(rates[0], tried) - _logit(rates[1], tried)) * tried / (tried + SHRINK)
    made = dict(own)
    for arm, each in prior.items():
        mine = at.get((arm.effort, arm.strategy))
        for known in mine or ():
            right, weight = own[known].right + SHRINK * each.rate, own[known].tried + SHRINK
            made[known] = replace(own[known], right=right, tried=weight)
        if mine is None:
            ways = {one.way for one in at.get((arm.effort, ""), ())} or {arm.way}  # corrections of what was learned
            made |= {replace(arm, way=way): _better(each, better) for way in ways}
    return made


def _better(measured: Measured, log_odds: float) -> Measured:
    if not log_odds:
        return measured
    rate = 1 / (1 + math.exp(-_logit(measured.right, measured.tried) - log_odds))
    return replace(measured, right=rate * measured.tried)


def _logit(right: float, tried: float) -> float:
    return math.log((right + 0.5) / (tried - right + 0.5))


def _prior(profile: Profile, kind: str) -> KindProfile | None:
    known = profile.kinds.get(kind) or KindProfile()
    arms = {arm: each for arm, each in known.arms.items() if arm.model == ANY}
    return replace(known, arms=arms) if any(not arm.strategy for arm in arms) else None


def _level(arm: Arm, facts: ModelFacts | None = None) -> Effort:
    lowest = Effort.none if facts is None else facts.nearest(Effort.none)
    return Effort(arm.effort) if arm.effort else lowest


def _useful(facts: ModelFacts) -> set[Effort]:
    """The levels worth a try unmeasured: a model that doesn't think by itself gains nothing from room for a thought
    (measured on the embedded models, docs/benchmarks.md)."""
    return set(facts.levels) if facts.thinks else {facts.nearest(Effort.none)}


def _best(arms: Mapping[Arm, Measured]) -> float:
    """The log-odds of the fresh arm that is right most often."""
    return max((_logit(each.right, each.tried) for arm, each in arms.items() if not arm.strategy), default=-math.inf)


def _arms_of(facts: ModelFacts, prior: KindProfile, levels: Collection[Effort]) -> dict[Arm, Measured]:
    """The prior's arms as arms of this model, at the levels that both know; else at the model's own."""
    of_level = {_level(arm): arm for arm in prior.arms if not arm.strategy}
    both = [each for each in levels if each in of_level and facts.nearest(each) == each]
    made: dict[Arm, Measured] = {}
    for level in both or levels:
        near = min(of_level, key=functools.partial(_far, level))
        for arm, measured in prior.arms.items():
            if _level(arm) == near:
                made[replace(arm, model=facts.name, effort=level.value)] = _at(measured, facts, level, prior)
    return made


def _far(level: Effort, other: Effort) -> tuple[int, int]:
    return abs(other.rank - level.rank), other.rank


def _at(measured: Measured, facts: ModelFacts, level: Effort, prior: KindProfile) -> Measured:
    """The prior with the tokens of this model: a thought isn't longer than the level allows."""
    bare = min(each.output_tokens for each in prior.arms.values())
    thought = min(max(measured.output_tokens - bare, 0.0), float(facts.levels.get(level, 0)))
    return replace(measured, output_tokens=bare + thought)
