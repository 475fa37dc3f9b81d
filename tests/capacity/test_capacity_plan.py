"""The plan: the fewest replicas that keep what was promised, what they cost, and that the cliff is where it says."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rheostat.capacity import Demand, Limits, Plan, Traffic, assumed, make_plan, simulate
from rheostat.capacity.plan import SAFETY
from rheostat.errors import BadInput
from small_tables import demand, table

LIMITS = Limits(ttft_seconds=1, tpot_seconds=0.05)
THINKING = assumed("thinking", mean_tokens=1000, p99_tokens=6000, input_tokens=200, right=0.8, tasks=2000)
SHORT = assumed("short", mean_tokens=100, p99_tokens=400, input_tokens=200, right=0.5, tasks=2000)
STEPS = table(kv_tokens=30_000)


def planned(*demands: Demand, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "table": STEPS, "traffic": Traffic(users=100, per_hour=90), "limits": LIMITS, "gpu_usd": 4.0, **changes
    }  # fmt: skip
    return make_plan({each.label: each for each in demands}, **given)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(THINKING, SHORT)


def test_the_plan_keeps_the_promise_and_one_replica_less_does_not(plan: Plan) -> None:
    for each in plan.policies:
        assert each.outcome.meets(LIMITS)
        if each.replicas > 1:
            fewer = simulate(
                each.demand, STEPS.slower(SAFETY), LIMITS, tasks_per_second=2.5, replicas=each.replicas - 1
            )
            assert not fewer.meets(LIMITS)


def test_thinking_needs_more_and_is_bound_by_the_cache(plan: Plan) -> None:
    thinking, short = plan.policies
    assert thinking.closed.binds == "KV"
    assert short.closed.binds != "KV"
    assert thinking.replicas > 5 * short.replicas
    assert thinking.replicas >= thinking.closed.replicas


def test_the_cost_of_a_right_answer(plan: Plan) -> None:
    for each in plan.policies:
        assert each.usd_per_hour == 4 * each.replicas
        assert each.usd_per_task == pytest.approx(each.usd_per_hour / 9000)
        assert each.usd_per_right == pytest.approx(each.usd_per_task / (each.demand.p_right or 0))
    unpriced = planned(assumed("x", mean_tokens=100, p99_tokens=400, tasks=500), gpu_usd=None).policies[0]
    assert (unpriced.usd_per_hour, unpriced.usd_per_right) == (None, None)


def test_the_cliff_rises_and_ends_above_the_plan(plan: Plan) -> None:
    for each in plan.policies:
        counts = [one.replicas for one in each.cliff]
        assert counts == sorted(counts)
        assert counts[0] <= each.replicas < counts[-1]
        for one, two in pairwise(each.cliff):
            assert two.goodput >= one.goodput - 0.02
    thinking = plan.policies[0]
    assert thinking.cliff[0].goodput < 0.5 < thinking.outcome.goodput


def test_the_difference_is_explained(plan: Plan) -> None:
    thinking = plan.policies[0]
    assert f"more: at {thinking.closed.replicas}, " in thinking.why
    assert "full cache" in thinking.why or "batches vary" in thinking.why
    even = demand([(0, 0, 200, 100)])
    assert planned(even).policies[0].why == "the simulation agrees with the closed form"


def test_peaks_are_planned_for_and_paid_all_day() -> None:
    shape = (1.0,) * 12 + (3.0,) * 12
    flat, peaky = (
        planned(SHORT, traffic=Traffic(users=400, per_hour=90, **given)).policies[0] for given in ({}, {"shape": shape})
    )
    assert peaky.closed.calls_per_second == pytest.approx(1.5 * flat.closed.calls_per_second)
    assert peaky.usd_per_task == pytest.approx((peaky.usd_per_hour or 0) / 36_000)


def test_what_was_assumed_is_said_and_the_plan_is_plain_data(plan: Plan) -> None:
    said = "\n".join(plan.notes)
    for part in ("KV float16, 30,000 tokens", "× 1.15 for safety", "no prefix cache", "100 users × 90 tasks"):
        assert part in said
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["policies"][0]["replicas"] == plan.policies[0].replicas
    assert data["policies"][0]["simulated"]["ttft_seconds"]["95"] <= 1


def test_promises_that_no_number_of_replicas_keeps() -> None:
    long = demand([(0, 0, 9_000, 10)])
    with pytest.raises(BadInput, match=r"reading a long prompt takes 1\.05 s on an idle replica; the limit is 1 s"):
        planned(long)
    tight = Limits(ttft_seconds=1, tpot_seconds=0.0148)
    with pytest.raises(BadInput, match=r"more replicas don't help: with \d+, p95 is .* and 14\.\d ms a token"):
        planned(THINKING, limits=tight)


def test_a_plot(plan: Plan, tmp_path: Path) -> None:
    from rheostat.capacity.plot import plot_plan

    plot_plan(plan, tmp_path / "plan.svg")
    text = (tmp_path / "plan.svg").read_text()
    assert "thinking" in text
    assert "requests within both limits" in text
    with pytest.raises(BadInput, match="can't write the plot"):
        plot_plan(plan, tmp_path / "nowhere" / "plan.svg")
    with pytest.raises(BadInput, match="can't write the plot"):
        plot_plan(plan, tmp_path / "plan.xyz")
