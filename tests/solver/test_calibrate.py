"""Calibration: arms measured on tasks with known answers, under a hard cap."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rheostat import Budget, MemoryLedger, Price, SQLiteLedger, cli, resolve
from rheostat.errors import BadInput
from rheostat.judgement.profile import Profile
from rheostat.solver.calibrate import CalibrationTask, calibrate, read_tasks
from rheostat.testing import Said, ScriptedModel

TASKS = [CalibrationTask(id=str(n), question=f"How much is {n} + {n}? Calculate.", gold=str(2 * n)) for n in range(20)]
PRICE = Price(input_per_million=Decimal(1), output_per_million=Decimal(10))


def adds(name: str, wrong_of: int) -> Any:
    """A model that adds, but is wrong on each task whose number is a multiple of this."""

    def script(messages: Any, _: Any) -> str:
        number = int(re.search(r"How much is (\d+)", str(messages))[1])  # type: ignore[index]  # it is there
        return f"The steps are plain.\nAnswer: {2 * number + (number % wrong_of == 0)}"

    return resolve(ScriptedModel(script=script, model=name), price=PRICE)


def test_what_it_measures_is_what_the_models_do_and_costs_what_the_ledger_says(tmp_path: Path) -> None:
    ledger = SQLiteLedger(str(tmp_path / "spend.db"))
    models = [adds("weak", 2), adds("strong", 10)]
    profile, rows, why = calibrate(TASKS, models, Budget(usd="1"), ways=["steps"], efforts=["none"], ledger=ledger)
    assert "every arm" in why
    arms = profile.kinds["maths"].arms
    assert {arm.model: each.right / each.tried for arm, each in arms.items()} == pytest.approx(
        {"weak": 0.5, "strong": 0.9}
    )
    [reading] = [reading for account, reading in ledger.accounts() if account.id.startswith("calibrate-")]
    billed = sum(model.chat.billed.output_tokens for model in models)
    assert sum(row["output_tokens"] for row in rows) == billed
    assert reading["usd_nanos"] == round(sum(row["usd"] for row in rows) * 1e9)


def test_the_cap_is_hard_and_a_second_run_pays_only_for_what_is_missing() -> None:
    model, ledger = adds("weak", 2), MemoryLedger()
    _, rows, why = calibrate(TASKS, [model], Budget(calls=7), ways=["steps"], efforts=["none"], ledger=ledger)
    assert "the budget is used up" in why
    assert len(model.chat.calls) <= 7
    assert 0 < len(rows) < len(TASKS)
    again = adds("weak", 2)
    _, more, why = calibrate(TASKS, [again], Budget(usd="1"), ways=["steps"], efforts=["none"], recorded=rows)
    assert "every arm" in why
    assert len(more) == len(TASKS)
    assert len(again.chat.calls) == len(TASKS) - len(rows)


def test_a_request_that_fails_is_no_wrong_answer() -> None:
    broken = resolve(ScriptedModel(script=[Said(error=ValueError("down"))], model="broken"), price=PRICE)
    _, rows, _ = calibrate(TASKS[:2], [broken, adds("weak", 2)], Budget(usd="1"), ways=["steps"], efforts=["none"])
    assert {row["model"] for row in rows} == {"weak"}


def test_arms_that_are_best_at_no_worth_are_dropped_early() -> None:
    models = [adds(f"m{n}", wrong) for n, wrong in enumerate((1, 2, 3, 5, 10, 20))]
    _, rows, _ = calibrate(TASKS, models, Budget(usd="1"), ways=["steps"], efforts=["none"])
    tried = {f"m{n}": sum(row["model"] == f"m{n}" for row in rows) for n in range(6)}
    assert tried["m0"] < 20
    assert tried["m5"] == 20
    assert len(rows) < 6 * 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no", "not JSON"),
        ('{"gold": "1"}', "no question"),
        ('{"question": "a"}', 'neither "gold" nor "tests"'),
        ('{"id": 1, "question": "a", "gold": 1}\n{"id": 1, "question": "b", "gold": 1}', "same id"),
    ],
)
def test_bad_tasks(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_tasks(path)
    assert said in str(caught.value)


def test_a_level_that_a_model_lacks_is_named() -> None:
    with pytest.raises(BadInput, match="it has"):
        calibrate(TASKS, [adds("weak", 2)], Budget(usd="1"), efforts=["huge"])


@pytest.mark.usefixtures("local")
def test_on_the_command_line_with_the_real_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tasks, out, record = (tmp_path / name for name in ("tasks.jsonl", "profile.json", "record.jsonl"))
    tasks.write_text("".join(f'{{"question": "How many is 3 + {n}?", "gold": "{3 + n}"}}\n' for n in (4, 5)))
    arguments = [
        "rheostat", "calibrate", str(tasks), "--models", "qwen2.5-coder-0.5b", "--ways", "function",
        "--budget-tokens", "2000", "--out", str(out), "--record", str(record), "--plot", str(tmp_path / "p.png"),
    ]  # fmt: skip
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert not ended.value.code, capfd.readouterr().err
    [arm] = Profile.read(out).kinds["maths"].arms.values()
    assert arm.tried == 2
    assert arm.output_tokens > 0
    assert len(record.read_text().splitlines()) == 2
    assert (tmp_path / "p.png").stat().st_size > 1_000


def test_a_judge_says_what_is_right_where_nothing_else_is_known(tmp_path: Path) -> None:
    def points(messages: Any, _: Any) -> str:
        number = int(re.search(r"How much is (\d+)", str(messages))[1])  # type: ignore[index]  # it is there
        if number == 6:
            return "I can't tell."
        return json.dumps({"reason": "as it is", "points": 9 if number % 2 else 2})

    judge = resolve(ScriptedModel(script=points, model="judge"), price=PRICE)
    tasks = [CalibrationTask(id=each.id, question=each.question) for each in TASKS]
    model, ledger = adds("weak", 2), SQLiteLedger(str(tmp_path / "spend.db"))
    profile, rows, _ = calibrate(
        tasks, [model], Budget(usd="1"), ways=["steps"], efforts=["none"], ledger=ledger, judge=judge
    )
    [measured] = profile.kinds["maths"].arms.values()
    assert (measured.right, measured.tried) == (10, 19), "what the judge can't tell says nothing"
    assert all(row["judged"] for row in rows)
    assert sum(row["output_tokens"] for row in rows) < model.chat.billed.output_tokens + 1
    [reading] = [reading for account, reading in ledger.accounts() if account.id.startswith("calibrate-")]
    assert reading["output_tokens"] == model.chat.billed.output_tokens + judge.chat.billed.output_tokens


def test_tasks_without_an_answer_need_a_judge(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"question": "Write a limerick about rheostats."}\n')
    with pytest.raises(BadInput, match="or name a judge"):
        read_tasks(path)
    assert read_tasks(path, judged=True)[0].gold is None
