"""`replay arms`: the policy over recorded trials."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rheostat.errors import BadInput
from rheostat.judgement.profile import Arm
from rheostat.money.pricing import Price
from rheostat.replay.arms import replay_arms
from rheostat.replay.trials import parse_columns, read_trials


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ladder(tasks: int = 120, seed: int = 0, **more: Any) -> list[dict[str, Any]]:
    """A weak and a strong arm: the strong one solves what the weak one does, and more."""
    dice = random.Random(seed)
    rows = []
    for task in range(tasks):
        ease = dice.random()
        for arm, rate, usd in (("weak", 0.6, 0.01), ("strong", 0.9, 0.2)):
            row = {"task": f"t{task}", "arm": arm, "correct": int(ease < rate), "usd": usd, **more}
            rows.append(row)
    return rows


def test_with_a_verifier_it_is_as_accurate_as_the_best_arm_for_a_part_of_its_cost(tmp_path: Path) -> None:
    made = replay_arms(read_trials(write(tmp_path / "r.jsonl", ladder())))
    assert made.best.name == "strong"
    equal = made.as_good_as_best
    assert equal is not None
    assert equal.cost < 0.6 * made.best.cost
    gains = [point.against_mix[0] for point in made.policy if point.against_mix is not None]
    assert max(gains) > 0.05


def test_without_a_verifier_nothing_is_better_than_an_arm_chosen_by_the_worth(tmp_path: Path) -> None:
    made = replay_arms(read_trials(write(tmp_path / "r.jsonl", ladder())), verified=False)
    assert all(point.draws == 1 for point in made.policy)
    assert made.policy[0].accuracy == pytest.approx(made.fixed[1].accuracy)
    assert made.policy[-1].accuracy == pytest.approx(made.best.accuracy)
    for point in made.policy:
        assert point.against_fixed is not None
        assert point.against_fixed[0] >= -0.02


def test_the_policy_never_sees_what_is_right(tmp_path: Path) -> None:
    """Without a verifier, other truths with the same profile give the same draws."""
    rows = ladder(answer="a")
    fit = read_trials(write(tmp_path / "fit.jsonl", rows))
    flipped = [{**row, "correct": 1 - row["correct"]} for row in rows]
    one = replay_arms(fit, fit, verified=False)
    two = replay_arms(read_trials(write(tmp_path / "flipped.jsonl", flipped)), fit, verified=False)
    assert [point.cost for point in one.policy] == [point.cost for point in two.policy]
    assert one.policy[-1].accuracy == pytest.approx(1 - two.policy[-1].accuracy)


def test_answers_that_agree_end_the_draws_without_a_verifier(tmp_path: Path) -> None:
    dice = random.Random(3)
    rows = [
        {"task": str(task), "arm": f"way {way}", "gold": "7", "answer": "7" if dice.random() < 0.7 else str(100 + way),
         "tokens": 50 + way}
        for task in range(150)
        for way in range(3)
    ]  # fmt: skip
    made = replay_arms(read_trials(write(tmp_path / "r.jsonl", rows)), verified=False)
    assert made.unit == "tokens"
    assert made.policy[-1].accuracy > made.best.accuracy + 0.05
    assert 2 < made.policy[-1].draws < 3


def test_each_task_is_judged_by_a_profile_of_other_tasks(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="other tasks"):
        replay_arms(read_trials(write(tmp_path / "r.jsonl", ladder(tasks=1))))


def test_csv_with_columns_and_prices(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("inst,agent,model,resolved,input,output\na,x,m-high,1,1000,100\na,y,m-high,0,2000,0\n")
    columns = parse_columns("task=inst,arm=agent+model,correct=resolved")
    price = Price(input_per_million="1", output_per_million="10")  # type: ignore[arg-type]
    trials = read_trials(path, columns=columns, prices={"x/m": price, "y/m": price}).trials
    assert [(each.arm, each.right, each.usd) for each in trials] == [
        (Arm(model="x/m-high"), True, pytest.approx(0.002)),
        (Arm(model="y/m-high"), False, pytest.approx(0.002)),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "line 1: expected"),
        ('{"arm": "a", "correct": 1, "usd": 1}\n', "no task"),
        ('{"task": "a", "arm": "a", "usd": 1}\n', 'neither "correct" nor "gold"'),
        ('{"task": "a", "arm": "a", "correct": 2, "usd": 1}\n', "expected 1 or 0"),
        ('{"task": "a", "arm": "a", "correct": 1, "usd": "x"}\n', "usd is a number"),
        ('{"task": "a", "arm": "a", "correct": 1}\n', "neither dollars nor tokens"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_file_says_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_trials(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["task", "task=", "what=x"])
def test_bad_columns(text: str) -> None:
    with pytest.raises(BadInput, match="--columns is"):
        parse_columns(text)
