"""What one draw says about the others."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.judgement.belief import Belief, Chances, Play

CHANCES = Chances(rates=(0.7, 0.6, 0.5), spread=1.5, alike=0.1, repeat=0.5)

plays = st.lists(
    st.builds(Play, st.integers(0, 2), st.integers(-1, 3), st.just(-1), st.sampled_from([None, None, False])),
    max_size=6,
)


def after(*given: Play, chances: Chances = CHANCES) -> Belief:
    belief = Belief.of(chances)
    for each in given:
        belief = belief.after(each)
    return belief


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), st.floats(0, 4))
def test_before_the_first_draw_an_arm_is_right_as_often_as_was_measured(rates: list[float], spread: float) -> None:
    belief = Belief.of(Chances(rates=tuple(rates), spread=spread))
    assert [belief.chance(arm) for arm in range(len(rates))] == pytest.approx(rates, abs=0.01)


@given(plays)
def test_probabilities_stay_probabilities(made: list[Play]) -> None:
    belief = after(*made)
    probability, _ = belief.leader
    assert 0 <= probability <= 1 + 1e-9
    assert all(0 <= belief.chance(arm) <= 1 + 1e-9 for arm in range(3))
    assert math.isfinite(belief.total)
    assert belief.total > 0


@given(plays)
def test_the_possible_outcomes_of_a_draw_are_all_of_them(made: list[Play]) -> None:
    """What is believed now is the mean of what will be believed after the draw."""
    belief = after(*made)
    outcomes = belief.outcomes(1)
    assert sum(weight for weight, _ in outcomes) == pytest.approx(1)
    for other in (0, 2):
        if not any(each.passed is False and each.arm == other for each in made):
            expected = sum(weight * each.chance(other) for weight, each in outcomes)
            assert expected == pytest.approx(belief.chance(other), abs=0.02)


@given(st.permutations([Play(0, 0), Play(1, 1), Play(2, 0)]))
def test_the_order_of_different_arms_has_no_meaning(made: list[Play]) -> None:
    groups: dict[int, int] = {}
    named = [Play(each.arm, groups.setdefault(each.answer, len(groups))) for each in made]
    assert after(*named).leader[0] == pytest.approx(after(Play(0, 0), Play(1, 1), Play(2, 0)).leader[0])


@given(st.permutations([Play(0, 0), Play(0, 0), Play(0, 1), Play(0, 2)]))
def test_nor_has_the_order_of_samples_of_one_arm(made: list[Play]) -> None:
    groups: dict[int, int] = {}
    belief = after(*(Play(0, groups.setdefault(each.answer, len(groups))) for each in made))
    expected = after(Play(0, 0), Play(0, 0), Play(0, 1), Play(0, 2))
    assert sum(belief.right[groups[0]]) / belief.total == pytest.approx(sum(expected.right[0]) / expected.total)


def test_two_arms_that_agree_are_surer_than_one_and_than_two_that_differ() -> None:
    one, agree, differ = after(Play(0, 0)), after(Play(0, 0), Play(1, 0)), after(Play(0, 0), Play(1, 1))
    assert agree.leader[0] > one.leader[0] > differ.leader[0]


def test_a_repetition_of_the_same_arm_says_less_than_another_arm() -> None:
    again, other = after(Play(0, 0), Play(0, 0)), after(Play(0, 0), Play(1, 0))
    assert after(Play(0, 0)).leader[0] < again.leader[0] < other.leader[0]


def test_where_wrong_answers_are_often_alike_agreement_says_less() -> None:
    seldom, often = Chances(rates=(0.4, 0.4), alike=0.02), Chances(rates=(0.4, 0.4), alike=0.7)
    pair = (Play(0, 0), Play(1, 0))
    assert after(*pair, chances=seldom).leader[0] > after(*pair, chances=often).leader[0] + 0.1


def test_a_refusal_lowers_the_chances_of_all_arms_by_as_much_as_tasks_differ() -> None:
    refused = Play(0, 0, passed=False)
    alike = after(refused, chances=Chances(rates=(0.5, 0.5), spread=0.0))
    varied = after(refused, chances=Chances(rates=(0.5, 0.5), spread=3.0))
    assert alike.chance(1) == pytest.approx(0.5, abs=0.01)
    assert varied.chance(1) < 0.35
    assert varied.leader[0] == 0


def test_an_answer_that_passed_is_right() -> None:
    assert after(Play(0, 0, passed=False), Play(1, 1, passed=True)).leader == (pytest.approx(1), 1)


def test_a_high_score_speaks_for_an_answer_as_it_was_measured() -> None:
    chances = Chances(rates=(0.5,), bands=(((0.2, 0.6), (0.8, 0.4)),))
    low, high = after(Play(0, 0, 0), chances=chances), after(Play(0, 0, 1), chances=chances)
    assert low.leader[0] == pytest.approx(0.25, abs=0.01)
    assert high.leader[0] == pytest.approx(2 / 3, abs=0.01)


def test_a_task_that_looks_easy_is_likelier_to_be_solved() -> None:
    easy, hard = (Belief.of(CHANCES, ease=ease, clue=0.6).chance(0) for ease in (1.5, -1.5))
    assert easy > 0.8
    assert hard < 0.6
    assert Belief.of(CHANCES, ease=1.5, clue=0.0).chance(0) == pytest.approx(0.7, abs=0.01)


def test_a_correction_is_right_as_often_as_was_measured_among_refused_answers() -> None:
    chances = Chances(rates=(0.7, 0.3), spread=2.0, follows=(-1, 0))
    assert after(Play(0, 0, passed=False), chances=chances).chance(1) == pytest.approx(0.3, abs=0.01)
