"""The strategies' benchmark: the game of 24, the record, the order of the cells, and the check against the servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rheostat import resolve
from rheostat.bench.game24 import check, puzzles, read_expression, solvable
from rheostat.bench.problems import Problem
from rheostat.bench.record import append, read_record
from rheostat.bench.strategies import CELLS, LARGE, PRICES, SMALL, Cell, solve, todo
from rheostat.bench.strategies_table import table, violations
from rheostat.strategies import BestOfN
from rheostat.testing import ScriptedModel


@pytest.mark.parametrize(
    ("numbers", "expression", "reason"),
    [
        ((1, 2, 3, 5), "(1 + 2) * (3 + 5)", ""),
        ((3, 3, 8, 8), "8 / (3 - 8 / 3)", ""),
        ((1, 2, 3, 5), "1 + 2 + 3 + 5", "it gives 11, not 24"),
        ((3, 3, 8, 8), "8 / 3 - 8 / 3", "it gives 0, not 24"),
        ((1, 2, 3, 5), "1 * 2 * 3 * 5 * 5", "uses 5 twice, not once"),
        ((4, 4, 6, 1), "4 * 6 * 1", "uses 4 once, not twice"),
        ((1, 2, 3, 5), "(1 + 2) * 8", "uses 8, which isn't given and doesn't use 3 and doesn't use 5"),
        ((1, 1, 3, 5), "3 * 5 / (1 - 1)", "divides by zero"),
        ((1, 2, 3, 5), "2 ** 3 * (5 - 1)", "only numbers"),
        ((1, 2, 3, 5), "-1 + 2 * 3 * 5", "only numbers"),
        ((1, 2, 3, 5), "True + 2 + 3 + 5", "only numbers"),
        ((1, 2, 3, 5), "__import__('os').getpid()", "only numbers"),
        ((1, 2, 3, 5), "1 +", "is not an arithmetic expression"),
        ((1, 2, 3, 5), "(" * 150 + "1" + ")" * 150, "longer than 200 characters"),
        ((1, 2, 3, 5), "24", "doesn't use 1"),
    ],
)
def test_an_expression_is_judged_exactly_and_told_what_is_wrong(
    numbers: tuple[int, ...], expression: str, reason: str
) -> None:
    verdict = check(numbers, expression)
    assert verdict.passed is not bool(reason)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("reply", "expression"),
    [
        ("Answer: (1 + 2) × (3 + 5) = 24", "(1 + 2) * (3 + 5)"),
        ("First 1 + 2 = 3, then 3 + 5 = 8.\nAnswer: `(1+2)*(3+5)`.", "(1+2)*(3+5)"),
        ("(1 + 2) * (3 + 5)", "(1 + 2) * (3 + 5)"),
        ("24", None),
        ("I can't.", None),
    ],
)
def test_an_expression_is_read_from_a_reply(reply: str, expression: str | None) -> None:
    assert read_expression(reply) == expression


def test_puzzles_are_solvable_different_and_the_same_each_time() -> None:
    made = puzzles(30)
    assert [each.numbers for each in made] == [each.numbers for each in puzzles(30)]
    assert puzzles(3) == made[:3]
    assert len({each.numbers for each in made}) == 30
    assert all(solvable(each.numbers) for each in made)
    assert not solvable((1, 1, 1, 1))
    assert solvable((3, 3, 8, 8))


def test_a_record_outlives_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    record = tmp_path / "rows.jsonl"
    append(record, {"id": 1})
    with record.open("a") as file:
        file.write('{"id": 2, "cu')
    assert read_record(record) == [{"id": 1}]
    append(record, {"id": 3})
    assert read_record(record) == [{"id": 1}, {"id": 3}]


def test_the_cells_of_a_set_take_turns_and_recorded_ones_are_left_out() -> None:
    rows: list[dict[str, Any]] = []
    every = [(problem.id, cell.name) for _, problem, cell in todo(["mbpp"], 2, rows)]
    names = [cell.name for cell in CELLS["mbpp"]]
    assert [name for _, name in every] == names * 2
    assert len({id_ for id_, _ in every[:4]}) == 1
    rows = [{"set": "mbpp", "id": every[0][0], "cell": names[0], "right": True}]
    assert [(problem.id, cell.name) for _, problem, cell in todo(["mbpp"], 2, rows)] == every[1:]
    solved = [{"set": "game24", "id": "game24-0", "cell": "control", "right": True}]
    assert list(todo(["game24-1.5b"], 2, solved)) == []
    assert len(list(todo(["game24-1.5b"], 2, []))) == 6


class Scripted:
    """Two scripted models instead of servers, which bill as they say."""

    def __init__(self) -> None:
        self.models = {
            SMALL: ScriptedModel(script=["The answer is 4.", "The answer is 5.", "The answer is 4."], model=SMALL),
            LARGE: ScriptedModel(script=['{"reason": "fine", "points": 7}'], model=LARGE),
        }

    def __getitem__(self, name: str) -> Any:
        return resolve(self.models[name], price=PRICES[name])

    def counts(self) -> dict[str, tuple[int, int]]:
        return {
            name: (model.billed.input_tokens, model.billed.output_tokens)
            for name, model in self.models.items()
        }  # fmt: skip


def test_a_task_is_scored_and_its_ledger_compared_with_the_servers() -> None:
    problem = Problem(id="two", level="multiarith", question="What is 2 + 2?", gold="4")
    cell = Cell(name="best", strategy=BestOfN(samples=3), scorer="judge")
    names = {"set": "multiarith", "id": "two", "cell": "best", "model": SMALL}
    row = {**names, **solve(Scripted(), cell, problem)}  # type: ignore[arg-type]  # a stand-in
    assert row["samples"] == 3
    assert row["confidence"] == 0.7
    assert sum(each["right"] for each in row["drawn"]) == 2
    assert row["judge_tokens"] > 0
    assert row["server"][SMALL][1] == sum(each["output_tokens"] for each in row["drawn"])
    assert violations([row]) == []
    assert "1/1 = 100%" in table([row], {"multiarith": ["best"]})
    wrong = {**row, "server": {**row["server"], SMALL: [row["server"][SMALL][0], row["server"][SMALL][1] + 1]}}
    assert len(violations([wrong])) == 1
    cut = {**wrong, "unknown": {"calls": 1, "input": 0, "output": 1}}
    assert violations([cut]) == []
    assert len(violations([{**row, "bound": True}])) == 1
