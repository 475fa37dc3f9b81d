"""Models that nothing was measured of: the weak prior stands in, and gives way to measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiles import two_models
from rheostat.judgement.priors import ANY, with_priors
from rheostat.judgement.profile import CORRECT, Arm, KindProfile, Measured, Profile
from rheostat.judgement.shipped import shipped
from rheostat.task import Effort
from rheostat.thinking.model_facts import ModelFacts

LEVELS = {Effort.none: 0, Effort.low: 1000, Effort.high: 20_000}
NEW = ModelFacts(name="new", levels=LEVELS)


def test_an_unknown_model_gets_the_priors_arms_at_its_own_levels() -> None:
    made = with_priors(Profile(), "maths", [NEW]).kinds["maths"].arms
    assert {(arm.model, arm.effort) for arm in made} == {("new", "none"), ("new", "low"), ("new", "high")}
    assert all(each.prior for each in made.values())
    assert {arm.strategy for arm in made} == {"", CORRECT}


def test_a_thought_is_no_longer_than_the_level_allows() -> None:
    made = with_priors(Profile(), "maths", [NEW, replace(NEW, name="terse", levels={**LEVELS, Effort.low: 10})])
    arms = made.kinds["maths"].arms
    low, terse, none = (
        arms[Arm(model=name, effort=effort)].output_tokens
        for name, effort in (("new", "low"), ("terse", "low"), ("new", "none"))
    )
    assert terse == none + 10 < low < none + 1001


@pytest.mark.parametrize("level", [Effort.minimal, Effort.xhigh, Effort.max])
def test_levels_that_the_prior_lacks_take_the_nearest_ones_numbers(level: Effort) -> None:
    only = ModelFacts(name="only", levels={level: 500})
    made = with_priors(Profile(), "maths", [only]).kinds["maths"].arms
    assert {arm.effort for arm in made} == {level.value}
    fixed = with_priors(Profile(), "maths", [replace(NEW, levels={**LEVELS, level: 500})], {"new": level})
    assert {arm.effort for arm in fixed.kinds["maths"].arms} == {level.value}


def test_a_measured_model_keeps_its_own_arms() -> None:
    facts = [ModelFacts(name=name, levels={Effort.none: 0, Effort.low: 9}) for name in ("small", "large")]
    before = two_models()
    assert with_priors(before, "maths", facts) == before
    beside = with_priors(before, "maths", [*facts, NEW]).kinds["maths"]
    assert {arm for arm in beside.arms if arm.model != "new"} == set(before.kinds["maths"].arms)
    assert beside.spread == before.kinds["maths"].spread


def test_your_own_prior_comes_before_the_shipped_one() -> None:
    mine = Measured(right=9, tried=10, output_tokens=50, prior=True)
    own = Profile(kinds={ANY: KindProfile(arms={Arm(model=ANY, effort="none"): mine})})
    made = with_priors(own, "maths", [NEW]).kinds["maths"].arms
    assert [each.right for each in made.values()] == [9]


def test_small_talk_isnt_thought_about() -> None:
    rates = {each.right / each.tried for each in with_priors(Profile(), "chat", [NEW]).kinds["chat"].arms.values()}
    assert len(rates) == 1
    assert len({each.right for arm, each in shipped().kinds[ANY].arms.items() if not arm.strategy}) > 1


def best(arms: dict[Arm, Measured], model: str) -> float:
    return max(each.rate for arm, each in arms.items() if arm.model == model and not arm.strategy)


def test_an_unknown_model_is_taken_for_stronger_than_measured_ones_before_it_only() -> None:
    """Or it would never be played beside a model that is known to do better than the prior promises."""
    facts = [ModelFacts(name="large", levels={Effort.none: 0, Effort.low: 9}), NEW]
    after = with_priors(two_models(), "maths", facts).kinds["maths"].arms
    assert best(after, "new") > best(after, "large")
    before = with_priors(two_models(), "maths", [NEW, facts[0]]).kinds["maths"].arms
    assert best(before, "new") < best(after, "new")
