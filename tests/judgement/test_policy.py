"""Plans and decisions are pure: properties over what may come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat import BadInput, Caps, Difficulty, Effort, Policy, Room, Spend, ThinkingPlan, heuristic
from rheostat.evidence.votes import boundary, first_draw
from rheostat.task import parse_effort
from rheostat.thinking.difficulty import Agreement
from rheostat.thinking.model_facts import ModelFacts

LEVELS = {Effort.none: 0, Effort.minimal: 16, Effort.low: 64, Effort.medium: 128, Effort.high: 512}
MODEL = ModelFacts(name="m", levels=LEVELS, least_useful_thinking_tokens=32)
efforts, asked_efforts = st.sampled_from(list(Effort)), st.sampled_from(["fast", "balanced", "thorough", *Effort])
scores = st.floats(0, 1)


def difficulty(score: float, kind: Any = "maths") -> Difficulty:
    return Difficulty(score=score, kind=kind, reasons=())


def bound(plan: ThinkingPlan) -> Spend:
    count = plan.samples
    return Spend(input_tokens=20 * count, output_tokens=plan.max_output_tokens * count, calls=count)


@given(scores, asked_efforts, efforts, st.booleans())
def test_the_operators_caps_bind_every_user(score: float, asked: Any, cap: Effort, verified: bool) -> None:
    caps = Caps(max_effort=cap, max_samples=2)
    plan = Policy().first(difficulty(score), asked, caps, MODEL, verified=verified)
    lowest = min(LEVELS, key=lambda level: level.rank)
    assert plan.effort <= cap or plan.effort == lowest
    assert plan.samples <= 2
    assert plan.thinking_tokens == LEVELS[plan.effort]
    assert plan.reasons
    if isinstance(asked, Effort) and asked > cap:
        assert plan.decided_by in ("operator", "model")


@given(st.lists(scores, min_size=2, max_size=2), st.sampled_from(["fast", "balanced", "thorough"]))
def test_harder_never_gets_less_thought(pair: list[float], asked: Any) -> None:
    easy, hard = (Policy().first(difficulty(score), asked, Caps(), MODEL, verified=False) for score in sorted(pair))
    assert easy.effort <= hard.effort
    assert easy.samples <= hard.samples


@given(scores, asked_efforts, st.integers(0, 5000))
def test_what_fits_really_fits_and_is_never_more_than_was_wanted(score: float, asked: Any, tokens: int) -> None:
    wanted = Policy().first(difficulty(score), asked, Caps(), MODEL, verified=False)
    room = Room(tokens=tokens)
    plan = Policy().fit(wanted, room, MODEL, bound)
    if plan is None:
        none = wanted.because("", effort=Effort.none, thinking_tokens=0, samples=1)
        assert not room.fits(bound(none))
    else:
        assert room.fits(bound(plan))
        assert plan.effort <= wanted.effort
        assert plan.samples <= wanted.samples
        if plan != wanted:
            assert plan.decided_by == "budget"
            # a scratchpad that is too short to be of use is never chosen to fill a small room
            assert plan.thinking_tokens == 0 or plan.thinking_tokens >= 32


@given(st.floats(1, 5))
def test_the_first_draw_is_the_fewest_votes_that_could_be_enough(base: float) -> None:
    votes = first_draw(base)
    assert votes >= boundary(votes, base)
    assert all(fewer < boundary(fewer, base) for fewer in range(1, votes))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Tom has 8 apples and buys 5 more. How many apples does he have?", "maths"),
        ("Write a Python function that reverses a list.", "code"),
        ("Write a short poem about the sea.", "creative"),
        ("What is the capital of France?", "facts"),
        ("Why does pressure rise with temperature in a closed gas?", "science"),
        ("Hello there!", "chat"),
    ],
)
def test_the_kind_of_task_is_seen(question: str, kind: str) -> None:
    assert heuristic(question).kind == kind


def test_the_heuristic_orders_tasks_and_says_why() -> None:
    hello = heuristic("Hi!")
    one = heuristic("A pen costs 3 dollars. How many dollars do 6 pens cost?")
    many = heuristic(
        "A baker makes 5 trays of 24 rolls each day. She sells 70 rolls in the morning at 2 dollars and then half of "
        "the rest after lunch for 1 dollar each. How many dollars does she earn in 7 days if every third day is half?"
    )
    proof = heuristic("Prove the theorem that at most 5 such points exist, without using the lemma of exactly 3 steps.")
    assert hello.score < one.score < many.score
    assert proof.score > one.score
    assert any("quantities" in reason for reason in many.reasons)


@given(st.text(max_size=3000))
def test_any_text_has_a_difficulty(text: str) -> None:
    assert 0 <= heuristic(text).score <= 1


def test_agreement_moves_the_score_both_ways() -> None:
    prior = difficulty(0.5)
    probe = Agreement(samples=3)
    assert probe.read(prior, 1.0).score < 0.5 < probe.read(prior, 1 / 3).score
    assert probe.read(prior, None) == prior
    with pytest.raises(BadInput):
        Agreement(samples=1)


def test_efforts_are_read_or_refused_with_the_choices() -> None:
    assert parse_effort("auto") == "balanced"
    assert parse_effort("high") is Effort.high
    with pytest.raises(BadInput, match="thorough"):
        parse_effort("enormous")


def test_levels_are_ordered() -> None:
    assert sorted(Effort) == list(Effort)
    assert Effort.none.step(-1) is Effort.none
    assert Effort.max.step(1) is Effort.max
