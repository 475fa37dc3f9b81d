"""Demand from real runs in a ledger, from profiles, from a benchmark's record, and from assumed lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reported import call
from rheostat import Account, Budget, MemoryLedger, Policy, SQLiteLedger, build_solver, resolve
from rheostat.capacity import (
    Traffic,
    assumed,
    from_bench,
    from_ledger,
    from_profile,
    from_text,
    mixed,
)
from rheostat.errors import BadInput
from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile
from rheostat.money.ledger import StepRecord
from rheostat.money.usage import Spend
from rheostat.testing import Said, ScriptedModel
from small_tables import demand

QUESTION = "How many apples are 3 and 4 apples? Calculate."


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SQLiteLedger]:
    """Four runs: right at once, wrong throughout, right with a longer answer, and cut at the cap without an answer."""
    kept = SQLiteLedger(tmp_path / "spend.db")
    for answer, tokens in (("7", 50), ("8", 100), ("7", 150), ("7", 300)):
        script = [Said(text=f"Answer: {answer}", input_tokens=40, output_tokens=tokens)] * 20
        at = resolve(ScriptedModel(script=script, model="mine"))
        at.dial.facts = replace(at.dial.facts, name="mine")
        build_solver(
            at, budget=Budget(tokens=5000), ledger=kept, policy=Policy(), verifier=lambda given: given == "7"
        ).compile().invoke({"question": QUESTION})
    yield kept
    kept.close()


def test_runs_of_the_solver_are_tasks_with_verdicts(ledger: SQLiteLedger) -> None:
    found = from_ledger(ledger)["as recorded"]
    assert found.tasks == 4
    assert sorted(found.right) == [0, 0, 1, 1]
    spent = sum(reading["output_tokens"] for account, reading in ledger.accounts() if account.parent is None)
    assert found.output_tokens.sum() == spent
    assert set(found.input_tokens) == {40}
    assert (found.clamp_tokens > 0).all(), "the cap that was sent"
    assert found.p_right == 0.5
    assert from_ledger(ledger, model="mine")["as recorded"].tasks == 4
    with pytest.raises(BadInput, match="no finished call of a model other"):
        from_ledger(ledger, model="other")


def spend(tokens: int) -> Spend:
    return Spend(usd_nanos=8_000, input_tokens=30, output_tokens=tokens, calls=1)


def test_calls_that_overlapped_are_one_stage_and_pauses_are_kept() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("run/1", Budget(tokens=50_000)))
    for at_ms, took, tokens in ((0, 900, 10), (100, 2000, 20), (5100, 500, 30)):
        call(ledger, "run/1", actual=spend(tokens), at_ms=1_700_000_000_000 + at_ms, milliseconds=took)
    found = from_ledger(ledger)["as recorded"]
    assert found.stage.tolist() == [0, 0, 1]
    assert found.output_tokens.tolist() == [10, 20, 30]
    assert found.gap_seconds.tolist() == [0, 0, 3]
    assert found.usd.tolist() == [pytest.approx(24e-6)]
    assert np.isnan(found.right).all()
    assert found.p_right is None


def test_levels_become_policies_and_what_is_left_out_is_said() -> None:
    ledger = MemoryLedger()
    for number in range(50):
        ledger.open(Account(f"run/{number}", Budget(tokens=50_000)))
        level = "high" if number % 2 else "low"
        call(ledger, f"run/{number}", actual=spend(900 if number % 2 else 90), effort_seen=level, effort_planned=level)
    call(ledger, "run/0", end="unknown")
    call(ledger, "run/1", model="other")
    call(ledger, "run/2", end="void")
    found = from_ledger(ledger, model="small")
    assert list(found) == ["as recorded", "high alone", "low alone"]
    assert found["high alone"].moments.output_tokens == 900
    assert found["low alone"].tasks == 25
    assert any("1 calls of other models are left out" in note for note in found["as recorded"].notes)
    assert any("1 calls without a known usage" in note for note in found["as recorded"].notes)
    assert "not the same tasks" in found["high alone"].notes[0]


def test_a_record_that_is_absurd_is_refused_with_its_numbers() -> None:
    ledger = MemoryLedger()
    sent = {"reservation": "", "request_id": "", "model": "m", "spend": spend(10**15).to_dict()}
    ledger.record(StepRecord(id="1", account="run/1", model="m", requests=(sent,)))
    with pytest.raises(BadInput, match="output_tokens are from 1 to 100,000,000"):
        from_ledger(ledger)


@pytest.mark.parametrize(("mean", "p99"), [(300, 1500), (8000, 60_000), (100, 101), (2000, 29_900)])
def test_lognormal_lengths_have_their_mean_and_percentile(mean: float, p99: float) -> None:
    found = assumed("x", mean_tokens=mean, p99_tokens=p99, tasks=200_000, right=0.8)
    assert found.output_tokens.mean() == pytest.approx(mean, rel=0.05)
    assert np.percentile(found.output_tokens, 99) == pytest.approx(p99, rel=0.05)
    assert found.p_right == 0.8


def test_lengths_out_of_a_line() -> None:
    found = from_text("mine=0.6*300:1500+0.4*8000:60000@0.8", input_tokens=500)
    assert found.label == "mine"
    assert found.moments.output_tokens == pytest.approx(0.6 * 300 + 0.4 * 8000, rel=0.05)
    assert found.p_right == pytest.approx(0.8)
    assert "a mix: 60% 300:1500, 40% 8000:60000" in found.notes
    assert from_text("x=300:1500").p_right is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("300:1500", "LABEL=MEAN:P99"),
        ("x=", "LABEL=MEAN:P99"),
        ("x=300", "LABEL=MEAN:P99"),
        ("x=300:1500@-1", "LABEL=MEAN:P99"),
        ("x=300:1500@2", r"P\(right\) is from 0 to 1, not 2"),
        ("x=300:200", "that lies between 300 and 4,4"),
        ("x=300:9000", "no lognormal has the mean 300 and the 99th percentile 9,000"),
        ("x=0*300:1500+1*20:50", "shares of a mix are numbers above 0"),
    ],
)
def test_lines_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        from_text(text)


def test_arms_of_a_profile() -> None:
    arms = {
        Arm(model="m", effort="low"): Measured(right=60, tried=100, output_tokens=200, input_tokens=50),
        Arm(model="m", effort="high"): Measured(right=80, tried=100, output_tokens=4000, input_tokens=50),
        Arm(model="m", effort="high", strategy="correct"): Measured(right=5, tried=10, output_tokens=400),
        Arm(model="n"): Measured(right=5, tried=10),
    }
    profile = Profile(kinds={"maths": KindProfile(arms=arms)})
    found = from_profile(profile, "maths")
    assert list(found) == ["m · high", "m · low"]
    assert found["m · high"].moments.output_tokens == pytest.approx(4000, rel=0.05)
    assert found["m · high"].p_right == pytest.approx(0.8, abs=0.01)
    with pytest.raises(BadInput, match="no kind 'law' in this profile; there are maths"):
        from_profile(profile, "law")
    with pytest.raises(BadInput, match="no fresh arm of 'maths'"):
        from_profile(profile, "maths", model="n")


def row(setting: str, task: str, output: int, ways: int, **changes: Any) -> dict[str, Any]:
    return {
        "set": "s", "models": "m", "task": task, "setting": setting, "right": True, "ways": ["x"] * ways,
        "input_tokens": 90, "output_tokens": output, "usd_nanos": 10**9, **changes,
    }  # fmt: skip


def test_settings_of_a_record_on_the_tasks_that_all_answered() -> None:
    rows = [row("fixed", "1", 100, 1), row("fixed", "2", 100, 1, right=False), row("policy", "1", 90, 3)]
    found = from_bench(rows)
    assert found["policy"].output_tokens.tolist() == [30, 30, 30]
    assert found["policy"].stage.tolist() == [0, 1, 2]
    assert (found["fixed"].tasks, found["fixed"].p_right, found["fixed"].usd.tolist()) == (1, 1.0, [1.0])
    with pytest.raises(BadInput, match="no set 'other' of 'any model' in this record; there are 's' of"):
        from_bench(rows, of="other")
    with pytest.raises(BadInput, match="share no task"):
        from_bench([row("fixed", "2", 100, 1), row("policy", "1", 90, 3)])
    with pytest.raises(BadInput, match=r"isn't one of rheostat\.bench\.arms"):
        from_bench([{**row("fixed", "1", 100, 1), "ways": None}])


def test_rows_of_other_models_are_not_mixed_in() -> None:
    """A policy that had two models isn't the one that had one of them, whatever both are called in the record."""
    alone = [{**each, "models": "a"} for each in (row("fixed", "1", 100, 1), row("policy", "1", 90, 3))]
    both = [{**each, "models": "a,b"} for each in (row("fixed", "1", 10, 1), row("policy", "1", 20, 1))]
    assert from_bench([*alone, *both])["policy"].output_tokens.tolist() == [30, 30, 30]
    assert from_bench([*both, *alone], model="a")["policy"].output_tokens.tolist() == [30, 30, 30]
    assert from_bench([*alone, *both], model="a,b")["policy"].output_tokens.tolist() == [20]
    with pytest.raises(BadInput, match="there are 's' of 'a', 's' of 'a,b'"):
        from_bench([*alone, *both], model="b")


def test_the_committed_record_can_be_planned_for() -> None:
    path = Path(__file__).parents[2] / "docs/benchmarks/arms.jsonl"
    found = from_bench([json.loads(line) for line in path.read_text().splitlines()], of="mbpp")
    assert found["policy, thorough"].p_right is not None
    assert found["policy, thorough"].chained


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=20))
def test_drawn_tasks_keep_their_calls(numbers: list[int]) -> None:
    calls = [(0, 0, 1, 10), (1, 0, 2, 20), (1, 0, 3, 30), (1, 1, 4, 40), (2, 0, 5, 50), (2, 1, 6, 60)]
    found = demand(calls, right=np.array([0.0, 0.5, 1.0])).drawn(np.array(numbers))
    expected = [each for number in numbers for each in calls if each[0] == number]
    assert found.output_tokens.tolist() == [each[3] for each in expected]
    assert found.stage.tolist() == [each[1] for each in expected]
    assert found.right.tolist() == [number / 2 for number in numbers]


def test_a_mix_has_its_shares() -> None:
    one, two = demand([(0, 0, 1, 10)]), demand([(0, 0, 1, 1000), (0, 1, 1, 1000)])
    found = mixed("x", [(3, one), (1, two)], tasks=400)
    assert found.tasks == 400
    assert (found.output_tokens == 10).sum() == 300
    assert len(found.task) == 500


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([(1, 0, 1, 1)], "tasks are numbered"),
        ([(0, 0, 1, 1), (2, 0, 1, 1)], "tasks are numbered"),
        ([(0, 1, 1, 1)], "stages of a task are numbered from 0"),
        ([(0, 0, 1, 1), (0, 2, 1, 1)], "stages of a task are numbered from 0"),
        ([(0, 0, 1, 0)], "output_tokens are from 1"),
        ([(0, 0, -1, 1)], "input_tokens are from 0"),
    ],
)
def test_arrays_that_are_no_demand(calls: list[tuple[int, int, int, int]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        demand(calls)


def test_a_day_has_a_busiest_hour() -> None:
    office = Traffic(users=500, per_hour=6, growth=1.5, shape=Traffic.shaped("office"))
    assert office.mean_per_second == pytest.approx(500 * 1.5 * 6 / 3600)
    assert office.peak_per_second == pytest.approx(office.mean_per_second * 10 * 24 / sum(office.shape))
    assert office.hours(10) == sum(office.shape)
    assert Traffic(users=1, per_hour=1).hours(3) == 72
    for wrong in ("lunch", "1,2,3", ",".join(["0"] * 24), ",".join(["-1"] * 24)):
        with pytest.raises(BadInput, match="day's shape"):
            Traffic(users=1, per_hour=1, shape=Traffic.shaped(wrong))
    with pytest.raises(BadInput, match="per hour is a number above 0"):
        Traffic(users=1, per_hour=0)
