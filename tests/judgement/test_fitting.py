"""Trials → profile: what was put in is found again."""

from __future__ import annotations

import pytest

from profiles import trials
from rheostat.judgement.fitting import Trial, fitted
from rheostat.judgement.profile import Arm

RATES = {"small": 0.4, "middle": 0.6, "large": 0.8}


@pytest.mark.parametrize("spread", [0.05, 1.5, 4.0])
def test_rates_and_spread(spread: float) -> None:
    made = fitted(trials(RATES, tasks=600, spread=spread)).kinds["maths"]
    assert {arm.model: each.right / each.tried for arm, each in made.arms.items()} == pytest.approx(RATES, abs=0.06)
    assert made.spread == pytest.approx(spread, abs=1.0)


def test_how_often_wrong_answers_are_alike() -> None:
    seldom, often = (fitted(trials(RATES, tasks=400, spread=1, alike=alike)).kinds["maths"] for alike in (0.05, 0.5))
    assert seldom.alike == pytest.approx(0.05, abs=0.05)
    assert often.alike == pytest.approx(0.5, abs=0.1)


def test_how_often_a_sample_repeats_the_one_before() -> None:
    never, often = (
        fitted(trials(RATES, tasks=300, spread=1, repeat=repeat, samples=4)).kinds["maths"] for repeat in (0.0, 0.6)
    )
    assert never.repeat < 0.15
    assert often.repeat == pytest.approx(0.6, abs=0.15)


def test_a_difficulty_score_that_tells_is_a_clue_and_one_that_does_not_is_none() -> None:
    listed = list(trials(RATES, tasks=400, spread=2))
    tells = fitted(listed).kinds["maths"]
    assert tells.clue > 0.5
    blind = fitted(
        Trial(task=each.task, arm=each.arm, right=each.right, kind="maths", difficulty=hash(each.task) % 7 / 10)
        for each in listed
    ).kinds["maths"]
    assert blind.clue < 0.3


def test_repeated_draws_of_a_task_are_no_new_tasks() -> None:
    arm = Arm(model="m")
    made = fitted(Trial(task="one", arm=arm, right=number < 3, kind="k") for number in range(4)).kinds["k"]
    assert (made.arms[arm].right, made.arms[arm].tried) == (0.75, 1)


def test_scores_are_counted_in_bands() -> None:
    arm = Arm(model="m")
    listed = [
        Trial(task=str(number), arm=arm, right=number % 30 >= 10, kind="k", score=float(number % 30))
        for number in range(60)
    ]
    each = fitted(listed).kinds["k"].arms[arm]
    assert each.cuts == (10.0, 20.0)
    assert each.score_wrong == (20, 0, 0)
    assert each.score_right == (0, 20, 20)
    assert fitted(listed[:10]).kinds["k"].arms[arm].cuts == ()
