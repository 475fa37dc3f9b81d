"""Step tables: interpolation, the integral of a step's time, files, and what can't be a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.capacity import StepTable, shipped_tables
from rheostat.capacity.table import Curve
from rheostat.errors import BadInput
from small_tables import table


def test_a_step_is_bilinear_and_goes_on_beyond_the_grid() -> None:
    steps = table()
    for batch, context in ((1, 100), (5, 550), (37, 4321), (64, 10_000), (100, 20_000)):
        assert steps.decode_step(batch, context) == pytest.approx(0.010 + batch * 1e-3 + context * 1e-6)
    assert steps.decode_step(1, 0) == steps.decode_step(1, 100)
    assert steps.decode_step(0.5, 100) == steps.decode_step(1, 100)
    assert steps.prefill_step(5000) == pytest.approx(0.01 + 4999e-4)
    times = steps.prefill_times()
    assert (times[0], times[5000]) == (0.01, pytest.approx(steps.prefill_step(5000)))
    assert len(times) > steps.max_context_tokens
    assert steps.slower(2).decode_step(2, 100) == pytest.approx(2 * steps.decode_step(2, 100))


def test_prompts_below_the_tables_first_cost_less_than_it() -> None:
    """A live server is measured at a few lengths; a shorter prompt isn't as dear as the shortest of them."""
    steps = replace(
        table(),
        prefill_tokens=(100, 200),
        prefill_seconds=(0.5, 1.0),
        decode_seconds=tuple((0.03,) * len(r) for r in table().decode_seconds),
    )
    assert steps.prefill_step(0) == pytest.approx(0.03)
    assert steps.prefill_step(50) == pytest.approx(0.265)
    assert replace(steps, prefill_tokens=(100,), prefill_seconds=(0.5,)).prefill_step(50) == pytest.approx(0.265)
    times = steps.prefill_times()
    assert times[101] - times[1] == pytest.approx(0.5, abs=0.03), "a prompt beside another request costs its tokens"


_RISING = st.lists(st.floats(1e-4, 1), min_size=3, max_size=3).map(sorted)


@given(_RISING, st.floats(0, 20_000), st.floats(0.01, 5_000))
def test_steps_and_seconds_are_inverse(seconds: list[float], context: float, steps: float) -> None:
    curve = Curve((100, 1000, 10_000), seconds)
    took = curve.during(context, steps)
    assert curve.steps_in(context, took) == pytest.approx(steps, rel=1e-5, abs=1e-4)
    pieces = sum(curve.during(context + part * steps / 8, steps / 8) for part in range(8))
    assert pieces == pytest.approx(took, rel=1e-6, abs=1e-9)
    sums = sum(curve.at(context + (part + 0.5) * steps / 400) for part in range(400)) * steps / 400
    assert sums == pytest.approx(took, rel=1e-3)


def test_a_table_is_the_same_after_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(table().to_text())
    again = StepTable.read(path)
    assert again.kv_tokens == 100_000
    assert again.decode_step(5, 550) == pytest.approx(table().decode_step(5, 550), rel=1e-4)


def test_the_shipped_tables_say_where_they_come_from() -> None:
    found = shipped_tables()
    assert len(found) == 8
    for name, each in found.items():
        assert each.name == name
        assert "aiconfigurator-core 0.12.0" in each.source
        assert each.licence.startswith("Apache-2.0")
        assert each.kv_dtype == ("fp8" if name.endswith("-kv-fp8") else "bfloat16")
        assert StepTable.read(name) == StepTable.read(f"{name}.json") == each
    half = found["h100-qwen3-32b-fp8"]
    assert found["h100-qwen3-32b-fp8-kv-fp8"].kv_tokens == pytest.approx(2 * half.kv_tokens, rel=0.001)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kv_tokens": 0}, "kv_tokens is a whole number from 1"),
        ({"gpus": True}, "gpus is a whole number"),
        ({"batch": (1, 1, 8, 64)}, "batch is an ascending list"),
        ({"decode_seconds": ((0.01,) * 3,)}, "decode_seconds has 1 rows for 4 batches"),
        ({"decode_seconds": ((0.01, 0.02, -1),) * 4}, "batch 1: a time is a number of seconds above 0, not -1"),
        ({"prefill_seconds": (0.01, float("nan"))}, "prefill_seconds: a time is"),
        ({"max_context_tokens": 200_000}, r"200,000\) doesn't fit into kv_tokens \(100,000\)"),
    ],
)
def test_what_is_no_table(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        table(**changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not 'list'"),
        ('{"format": "other"}', "is no step table"),
        ('{"format": "rheostat-steps-1", "colour": 1}', "unknown colour; known: batch"),
        ('{"format": "rheostat-steps-1", "model": "m", "kv_tokens": 5}', "kv_dtype missing"),
        ('{"format": "rheostat-steps-1", "model": "m", "kv_tokens": 5, "kv_dtype": "f16"}', "required keyword"),
        (json.dumps({**json.loads(table().to_text()), "batch": "x"}), "batch is an ascending list"),
        (json.dumps({**json.loads(table().to_text()), "prefill_seconds": 3}), "prefill_seconds has 3 times"),
    ],
)
def test_what_is_no_file_of_a_table(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        StepTable.from_text(text, "x.json")


def test_an_unknown_name_lists_those_that_are() -> None:
    with pytest.raises(BadInput, match=r"no step table h300: give a file, or one of h100-qwen3-30b-a3b"):
        StepTable.read("h300")
    for factor in (0, -1, float("inf")):
        with pytest.raises(BadInput, match="safety"):
            table().slower(factor)
