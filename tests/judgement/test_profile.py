"""Profiles as data and as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import FIX, LARGE, PROGRAM, STEPS, measured, two_models
from rheostat.errors import BadInput
from rheostat.judgement import shipped as shipping
from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile

counts = st.integers(0, 40).flatmap(lambda tried: st.tuples(st.integers(0, tried), st.just(tried)))
profiles = st.builds(
    Profile,
    kinds=st.dictionaries(
        st.sampled_from(["maths", "code", "chat"]),
        st.builds(
            KindProfile,
            arms=st.dictionaries(
                st.sampled_from([STEPS, PROGRAM, FIX, LARGE]),
                counts.map(lambda each: Measured(right=each[0], tried=each[1], output_tokens=10, date="2026-11-29")),
                min_size=1,
            ),
            spread=st.sampled_from([0.5, 1.5]),
            tasks=st.integers(1, 50),
        ),
    ),
)


@given(profiles)
def test_a_profile_is_the_same_after_a_round_trip(made: Profile) -> None:
    assert Profile.from_text(made.to_text()) == made


@given(profiles, profiles)
def test_merging_adds_up_counts_whatever_the_order(one: Profile, two: Profile) -> None:
    left, right = one.merged(two), two.merged(one)
    for kind in {*one.kinds, *two.kinds}:
        assert left.kinds[kind].arms.keys() == right.kinds[kind].arms.keys()
        for arm, both in left.kinds[kind].arms.items():
            listed = [
                each.kinds[kind].arms[arm] for each in (one, two) if arm in each.kinds.get(kind, KindProfile()).arms
            ]
            assert (both.right, both.tried) == (sum(e.right for e in listed), sum(e.tried for e in listed))
            assert right.kinds[kind].arms[arm].right == both.right


def test_a_measurement_replaces_a_prior() -> None:
    prior, real = Measured(right=9, tried=10, prior=True), Measured(right=1, tried=4)
    assert prior.merged(real) == real == real.merged(prior)


@given(profiles)
def test_rates_are_probabilities_for_every_arm_and_kind(made: Profile) -> None:
    for kind in ("maths", "code", "unheard of"):
        for arm in (STEPS, PROGRAM, LARGE, Arm(model="new")):
            assert 0 < made.rate(kind, arm) < 1


def test_a_few_lucky_tasks_of_one_kind_are_drawn_towards_the_arms_rate_elsewhere() -> None:
    many = {STEPS: measured(0.9, 100), PROGRAM: measured(0.5, 100)}
    few = {STEPS: measured(0.67, 100, tried=3), PROGRAM: measured(1.0, 100, tried=3)}
    made = Profile(kinds={"maths": KindProfile(arms=many), "code": KindProfile(arms=few)})
    assert made.rate("code", STEPS) > made.rate("code", PROGRAM)
    assert made.rate("maths", STEPS) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no", "not JSON"),
        ("[]", "is no profile"),
        ('{"format": "other"}', "'other'"),
        ('{"format": "rheostat-profile-1", "kinds": []}', '"kinds" is an object'),
        ('{"format": "rheostat-profile-1", "kinds": {"maths": {"arms": [{"right": 1}]}}}', "arm 1"),
        (
            '{"format": "rheostat-profile-1", "kinds": {"maths": {"arms": [{"model": "m", "right": 2, "tried": 1}]}}}',
            "right (2) is more than tried (1)",
        ),
        (
            '{"format": "rheostat-profile-1", "kinds": {"m": {"arms": [{"model": "m", "right": 1, "x": 1}]}}}',
            "unknown x",
        ),
        ('{"format": "rheostat-profile-1", "kinds": {"maths": {"alike": 2, "arms": []}}}', "alike is a probability"),
        ('{"format": "rheostat-profile-1", "kinds": {"maths": {"spread": "a", "arms": []}}}', "spread is a number"),
    ],
)
def test_a_bad_file_says_where_and_what(text: str, said: str) -> None:
    with pytest.raises(BadInput, match="mine") as caught:
        Profile.from_text(text, "mine")
    assert said in str(caught.value)


def test_the_shipped_profile_knows_both_embedded_models() -> None:
    made = shipping.shipped()
    assert {arm.model for arm in made.arms("maths")} == {"qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"}
    assert all(each.source and each.date for kind in made.kinds.values() for each in kind.arms.values())


def test_ones_own_profile_is_laid_over_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.json"
    path.write_text(two_models().to_text())
    monkeypatch.setenv(shipping.OWN, str(path))
    made = shipping.default_profile()
    assert STEPS in made.kinds["maths"].arms
    assert shipping.shipped().kinds["maths"].arms.items() <= made.kinds["maths"].arms.items()
    monkeypatch.setenv(shipping.OWN, "none")
    assert shipping.default_profile() == Profile()
