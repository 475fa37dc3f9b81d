"""What a fleet can be given, and the order in which it works."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat import BadInput
from rheostat.fleet import FleetTask, read_tasks
from rheostat.fleet.order import place, value
from rheostat.fleet.tasks import as_tasks
from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile


def test_a_row_is_a_task() -> None:
    row = {"id": 7, "question": "q", "worth": 0.5, "deadline": "2026-12-01T07:00:00+01:00", "priority": 2, "gold": "4"}
    task = FleetTask.from_dict(row)
    assert task.input == {"question": "q"}
    assert (task.id, task.worth, task.priority) == ("7", "0.5", 2)
    assert task.deadline == datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert FleetTask.from_dict(task.to_dict()) == task


def test_the_same_question_without_an_id_is_the_same_task() -> None:
    first, second, other = as_tasks(["a?", {"question": "b?"}, "c?"])
    assert len({first.id, second.id, other.id}) == 3
    assert as_tasks(["a?", "a?"]) == [first]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "needs one of input, question, messages"),
        ({"question": "q", "id": ""}, "1 to 200 printable"),
        ({"question": "q", "id": "a\x1b[31m"}, "printable"),
        ({"question": "q", "id": "/" * 200}, "at most 50 of"),
        ({"question": "q", "id": "i", "priority": 51}, "-50 to 50"),
        ({"question": "q", "id": "i", "priority": 1.5}, "-50 to 50"),
        ({"question": "q", "id": "i", "worth": "much"}, "worth is in dollars"),
        ({"question": "q", "id": "i", "worth": -1}, "above zero"),
        ({"question": "q", "id": "i", "worth": []}, "worth is in dollars"),
        ({"question": "q", "id": "i", "worth": "1e400"}, "worth is at most"),
        ({"question": "q", "id": "i", "worth": "1e999999"}, "worth is in dollars"),
        ({"question": "half a pair: \ud83d", "id": "i"}, "plain JSON"),
        ({"question": "q", "id": "i", "deadline": "0001-01-01T00:00:00+14:00"}, "no deadline"),
        ({"question": "q", "id": "i", "deadline": "tomorrow"}, "deadline is a time such as"),
        ({"question": "q", "id": "i", "deadline": "2026-12-01T07:00:00"}, "no time zone"),
        ({"input": {"x": float("nan")}, "id": "i"}, "plain JSON"),
        ({"input": [1], "id": "i"}, "the input is an object"),
    ],
)
def test_what_is_no_task_is_refused_before_anything_is_queued(row: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=f"task 1.*{said}"):
        as_tasks([row])


def test_one_id_for_two_tasks_is_refused() -> None:
    with pytest.raises(BadInput, match="task 2: another task before it has the id 'a'"):
        as_tasks([{"id": "a", "question": "x"}, {"id": "a", "question": "y"}])


def test_a_line_that_is_no_task_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"question": "a"}\n\n{"question": }\n')
    with pytest.raises(BadInput, match=r"tasks.jsonl, line 3"):
        read_tasks(file)


ratios = st.floats(1e-12, 1e12)
levels = st.integers(-50, 50)


@given(levels, ratios, levels, ratios)
def test_places_are_by_priority_then_by_value(one: int, much: float, two: int, more: float) -> None:
    first, second = place(one, much), place(two, more)
    assert 1 <= first < 2**31
    if one != two:
        assert (first < second) == (one > two)
    elif more >= 1.001 * much:
        assert second < first


PROFILE = Profile(
    kinds={
        "maths": KindProfile(arms={
            Arm(model="m", way="steps"): Measured(right=90, tried=100, output_tokens=100),
            Arm(model="m", way="plain"): Measured(right=50, tried=100, output_tokens=20),
        }),
        "code": KindProfile(arms={Arm(model="m", way="steps"): Measured(right=10, tried=100, output_tokens=400)}),
    }
)  # fmt: skip


def test_a_dollar_goes_where_it_buys_most() -> None:
    maths, code, dear = as_tasks([
        {"id": "m", "question": "How many apples are 3 + 4 apples?"},
        {"id": "c", "question": "Write a Python function that sorts a list."},
        {"id": "d", "question": "Write a Python function that adds.", "worth": "1000"},
    ])  # fmt: skip
    values = {task.id: value(task, PROFILE, "m") for task in (maths, code, dear)}
    assert values["m"] == pytest.approx(50.5 / 101 / 20, rel=0.2)
    assert values["m"] > values["c"]
    assert values["d"] == pytest.approx(1000 * values["c"])
    assert value(code, PROFILE, None) == value(maths, PROFILE, None) == 1.0
