"""The sum that decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.judgement.belief import Belief, Chances, Play
from rheostat.judgement.worth import Option, Weigher, reference

arms = st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(1, 1000)), min_size=1, max_size=5)


def weigher(costs: list[float], worth: float, **changes: bool) -> Weigher:
    return Weigher(tuple(Option(number, cost, again=False) for number, cost in enumerate(costs)), worth, **changes)


@given(arms, st.floats(10, 1e5), st.floats(0, 3), st.booleans())
def test_its_value_is_never_below_that_of_the_best_single_arm(
    listed: list[tuple[float, float]], worth: float, spread: float, verified: bool
) -> None:
    rates, costs = [rate for rate, _ in listed], [cost for _, cost in listed]
    choice = weigher(costs, worth, verified=verified).choose(Belief.of(Chances(rates=tuple(rates), spread=spread)))
    best = max(rate * worth - cost for rate, cost in listed)
    assert choice.arm is not None
    assert choice.value >= best - 0.02 * worth  # curves are computed to a hundredth


@given(arms, st.floats(10, 1e5))
def test_with_a_verifier_and_independent_arms_it_follows_weitzman(
    listed: list[tuple[float, float]], worth: float
) -> None:
    """The smallest cost for each unit of probability first; it stops where that is more than the worth."""
    rates, costs = [rate for rate, _ in listed], [cost for _, cost in listed]
    made, belief, played = weigher(costs, worth, verified=True), Belief.of(Chances(rates=tuple(rates), spread=0.0)), []
    while (choice := made.choose(belief)).arm is not None:
        played.append(choice.arm)
        belief = belief.after(Play(choice.arm, len(played) - 1, passed=False))
    prices = [cost / rate for rate, cost in listed]
    worthwhile = sorted(price for price in prices if price < 0.98 * worth)
    assert len(played) >= max(len(worthwhile), 1)
    assert [prices[arm] for arm in played[: len(worthwhile)]] == pytest.approx(worthwhile, rel=0.05)


@pytest.mark.parametrize("verified", [False, True])
def test_the_more_a_right_answer_is_worth_the_more_is_drawn(verified: bool) -> None:
    chances = Chances(rates=(0.6, 0.7, 0.75), spread=1.0)
    drawn = []
    for worth in (100.0, 1_000.0, 10_000.0, 100_000.0):
        made, belief = weigher([50, 100, 900], worth, verified=verified), Belief.of(chances)
        while (choice := made.choose(belief)).arm is not None:
            belief = belief.after(Play(choice.arm, len(belief.plays), passed=False if verified else None))
        drawn.append(len(belief.plays))
    assert drawn == sorted(drawn)
    assert drawn[0] < drawn[-1] == 3


def test_a_first_draw_is_made_even_where_nothing_is_worth_its_price() -> None:
    choice = weigher([500, 900], 10.0).choose(Belief.of(Chances(rates=(0.2, 0.9))))
    assert choice.arm == 0
    assert choice.value < 0


def test_without_a_verifier_and_without_comparable_answers_one_draw_is_all() -> None:
    made = weigher([10, 500], 10_000.0, comparable=False)
    belief = Belief.of(Chances(rates=(0.5, 0.9)))
    first = made.choose(belief)
    assert first.arm == 1
    assert made.choose(belief.after(Play(1, 0))).arm is None


def test_a_second_opinion_is_bought_where_it_can_change_the_answer() -> None:
    chances = Chances(rates=(0.6, 0.6, 0.6), spread=1.0, alike=0.05)
    made = weigher([10, 10, 10], 1_000.0)
    belief = Belief.of(chances).after(Play(0, 0))
    assert made.choose(belief).arm in (1, 2)
    assert made.choose(belief.after(Play(1, 0))).arm is None  # they agree


def test_an_arm_that_cannot_be_played_now_is_left_out() -> None:
    made = weigher([10, 10], 1_000.0)
    assert made.choose(Belief.of(Chances(rates=(0.9, 0.5))), can=lambda arm: arm == 1).arm == 1


def test_the_sum_is_printed_in_dollars_and_tokens() -> None:
    belief = Belief.of(Chances(rates=(0.62,), spread=0.0))
    dollars = Weigher((Option(0, 4_000_000.0),), 50_000_000.0).choose(belief)
    assert dollars.sum == "P 0.62 · $0.05 − $0.004 = $0.027"
    tokens = Weigher((Option(0, 120.0),), 2_000.0, unit="tokens").choose(belief)
    assert tokens.sum == "P 0.62 · 2,000 tokens − 120 tokens = 1,120 tokens"


def test_the_reference_is_the_price_of_a_right_answer_from_the_most_economical_arm() -> None:
    assert reference([0.5, 0.9], [100, 900]) == pytest.approx(200)
    assert reference([], []) == 0
