"""The closed form: its own equations, which limit binds, and the published rows on the shipped tables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.capacity import Demand, Limits, StepTable, assumed, closed_form, mixed
from rheostat.errors import BadInput
from small_tables import demand, table

LIMITS = Limits(ttft_seconds=2, tpot_seconds=0.05)


def thinking() -> dict[str, Demand]:
    """The rows of the published prototype: 10 requests a second; its inputs weren't published, 500 tokens fit best."""
    chat, middle, high = (
        assumed(name, mean_tokens=mean, p99_tokens=p99, input_tokens=500)
        for name, mean, p99 in (("chat", 300, 1_500), ("middle", 2_000, 15_000), ("high", 8_000, 60_000))
    )
    return {"chat": chat, "high": high, "adaptive": mixed("adaptive", [(0.6, chat), (0.25, middle), (0.15, high)])}


@pytest.mark.parametrize(
    ("name", "published"),
    [("h200-qwen3-32b-fp8-kv-fp8", 106), ("h100-qwen3-32b-fp8-kv-fp8", 154), ("h200-qwen3-30b-a3b", 52)],
)
def test_the_published_rows(name: str, published: int) -> None:
    steps = StepTable.read(name)
    found = {
        label: closed_form(each.within(steps.max_context_tokens), steps, LIMITS, tasks_per_second=10)
        for label, each in thinking().items()
    }
    assert found["high"].replicas == pytest.approx(published, rel=0.03)
    assert found["chat"].replicas <= 3
    assert found["adaptive"].replicas < found["high"].replicas / 4
    assert found["high"].prefill_share < 0.01 < found["chat"].prefill_share


def test_the_second_moment_rules() -> None:
    """Against chat, thinking has 26 times the tokens and hundreds of times the KV tokens, summed over time."""
    chat, high = (each.moments for name, each in thinking().items() if name != "adaptive")
    assert high.output_tokens / chat.output_tokens == pytest.approx(26, rel=0.05)
    assert 250 < high.token_steps / chat.token_steps < 1000


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 30), st.integers(20, 3000), st.integers(10, 4000))
def test_littles_law_and_the_limits_hold(rate: float, tokens: int, output: int) -> None:
    steps = table(kv_tokens=60_000)
    found = closed_form(demand([(0, 0, tokens, output)]), steps, LIMITS, tasks_per_second=rate)
    own = rate / found.replicas
    assert own <= found.most_per_replica * (1 + 1e-6)
    assert found.batch == pytest.approx(own * found.tpot_seconds * output, rel=1e-6)
    assert found.kv_tokens == pytest.approx(found.batch * found.context_tokens, rel=1e-6)
    assert found.context_tokens == pytest.approx(tokens + output / 2, rel=1e-6)
    assert found.tpot_seconds <= LIMITS.tpot_seconds
    assert found.kv_tokens <= steps.kv_tokens
    assert found.load <= 1 + 1e-6
    more = closed_form(demand([(0, 0, tokens, output)]), steps, LIMITS, tasks_per_second=2 * rate)
    assert found.replicas <= more.replicas <= 2 * found.replicas


@pytest.mark.parametrize(
    ("changes", "calls", "binds"),
    [
        ({"kv_tokens": 10_000}, (0, 0, 500, 4000), "KV"),
        ({"max_sequences": 4}, (0, 0, 100, 200), "sequences"),
        ({}, (0, 0, 100, 200), "TPOT"),
        ({}, (0, 0, 9_000, 2), "prefill"),
    ],
)
def test_what_binds(changes: dict[str, int], calls: tuple[int, int, int, int], binds: str) -> None:
    found = closed_form(demand([calls]), table(**changes), LIMITS, tasks_per_second=20)
    assert found.binds == binds
    assert found.needed["TPOT" if binds == "prefill" else found.binds] == max(found.needed.values())


def test_limits_that_no_number_of_replicas_keeps() -> None:
    with pytest.raises(BadInput, match=r"12\.0 ms even for one request alone on small; the limit is 5\.0 ms"):
        closed_form(demand([(0, 0, 900, 200)]), table(), Limits(tpot_seconds=0.005), tasks_per_second=1)
    with pytest.raises(BadInput, match="rate is a number of tasks a second above 0"):
        closed_form(demand(), table(), LIMITS, tasks_per_second=float("nan"))
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="tpot is a time above 0 seconds"):
            Limits(tpot_seconds=wrong)
