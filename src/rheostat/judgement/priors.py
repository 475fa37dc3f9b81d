"""Where nothing was measured of a model, the weak prior stands in for it: what published results say of any model.

The prior is a kind of task named `*` with arms of a model named `*`, in the shipped profile (`make priors`). Arms of a
model named `*` in another kind are the prior for that kind.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rheostat.judgement.profile import SHRINK, Arm, KindProfile, Measured, Profile
from rheostat.judgement.shipped import shipped
from rheostat.task import Effort
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["ANY", "with_priors"]

ANY: Final = "*"
"""Any model, or any kind of task."""


def with_priors(profile: Profile, kind: str, models: Sequence[ModelFacts], fixed: Effort | None = None) -> Profile:
    """The profile with arms for each of these models, those of the prior where it has none for this kind of task.

    Args:
        fixed: The level that the user asked for; `None`: the policy chooses it.
    """
    prior = _prior(profile, kind) or _prior(shipped(), kind) or _prior(profile, ANY) or shipped().kinds[ANY]
    measured = Profile(kinds={name: each for name, each in profile.kinds.items() if name != ANY}).without(ANY).kinds
    known = measured.get(kind) or replace(prior, arms={})
    arms = dict(known.arms)
    for facts in models:
        levels = {fixed} if fixed is not None else _useful(facts)
        own = {arm: each for arm, each in known.arms.items() if arm.model == facts.name and _level(arm) in levels}
        fresh = {arm: each for arm, each in own.items() if not arm.strategy}
        if not all(each.learned for each in fresh.values()):
            continue  # calibrated: it is known what it can do
        arms |= _together(own, _arms_of(facts, prior, levels))
    names = {each.name for each in models}
    numbers = known if any(arm.model in names for arm in known.arms) else prior
    return Profile(kinds={**measured, kind: replace(numbers, arms=arms)})


def _together(own: Mapping[Arm, Measured], prior: Mapping[Arm, Measured]) -> dict[Arm, Measured]:
    """What was learned, drawn towards the prior; and the prior's other arms, moved by how this model does."""
    at = {(each.effort, each.strategy): each for each in own}
    shared = [(own[at[key]], prior[each]) for each in prior if (key := (each.effort, each.strategy)) in at]
    tried = sum(mine.tried for mine, _ in shared)
    better = 0.0
    if tried:
        rates = [sum(mine.right for mine, _ in shared), sum(mine.tried * its.rate for mine, its in shared)]
        better = (_logit(rates[0], tried) - _logit(rates[1], tried)) * tried / (tried + SHRINK)
    made: dict[Arm, Measured] = {}
    for arm, each in prior.items():
        mine = own.get(at.get((arm.effort, arm.strategy), arm))
        if mine is None:
            rate = 1 / (1 + math.exp(-_logit(each.right, each.tried) - better))
            made[arm] = replace(each, right=rate * each.tried) if better else each
        else:
            right, tried = mine.right + SHRINK * each.rate, mine.tried + SHRINK
            made[at[arm.effort, arm.strategy]] = replace(mine, right=right, tried=tried)
    return made


def _logit(right: float, tried: float) -> float:
    return math.log((right + 0.5) / (tried - right + 0.5))


def _prior(profile: Profile, kind: str) -> KindProfile | None:
    known = profile.kinds.get(kind) or KindProfile()
    arms = {arm: each for arm, each in known.arms.items() if arm.model == ANY}
    return replace(known, arms=arms) if arms else None


def _level(arm: Arm) -> Effort:
    return Effort(arm.effort or "none")


def _useful(facts: ModelFacts) -> set[Effort]:
    """The levels worth a try unmeasured: a model that doesn't think by itself gains nothing from room for a thought
    (measured on the embedded models, docs/benchmarks.md)."""
    return set(facts.levels) if facts.thinks else {facts.nearest(Effort.none)}


def _arms_of(facts: ModelFacts, prior: KindProfile, levels: Collection[Effort]) -> dict[Arm, Measured]:
    """The prior's arms as arms of this model, at the levels that both know; else at the model's own."""
    of_level = {_level(arm): arm for arm in prior.arms if not arm.strategy}
    both = [each for each in levels if each in of_level and facts.nearest(each) == each]
    made: dict[Arm, Measured] = {}
    for level in both or levels:
        near = min(of_level, key=lambda known, at=level: (abs(known.rank - at.rank), known.rank))  # type: ignore[misc]
        for arm, measured in prior.arms.items():
            if _level(arm) == near:
                made[replace(arm, model=facts.name, effort=level.value)] = _at(measured, facts, level, prior)
    return made


def _at(measured: Measured, facts: ModelFacts, level: Effort, prior: KindProfile) -> Measured:
    """The prior with the tokens of this model: a thought isn't longer than the level allows."""
    bare = min(each.output_tokens for each in prior.arms.values())
    thought = min(max(measured.output_tokens - bare, 0.0), float(facts.levels.get(level, 0)))
    return replace(measured, output_tokens=bare + thought)
