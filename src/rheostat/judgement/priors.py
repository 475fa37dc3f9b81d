"""Where nothing was measured of a model, the weak prior stands in for it: what published results say of any model.

The prior is a kind of task named `*` with arms of a model named `*`, in the shipped profile (`make priors`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile
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
    prior = profile.kinds.get(ANY) or shipped().kinds[ANY]
    measured = {name: each for name, each in profile.kinds.items() if name != ANY}
    known = measured.get(kind) or replace(prior, arms={})
    arms = dict(known.arms)
    for facts in models:
        levels = {fixed} if fixed is not None else set(facts.levels)
        if not any(arm.model == facts.name and not arm.strategy and _level(arm) in levels for arm in known.arms):
            arms |= _arms_of(facts, prior, levels)
    return Profile(kinds={**measured, kind: replace(known, arms=arms)})


def _level(arm: Arm) -> Effort:
    return Effort(arm.effort or "none")


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
