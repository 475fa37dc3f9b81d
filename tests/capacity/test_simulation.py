"""The simulation against queues with known answers, against itself step by step, and against laws that always hold."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rheostat.capacity import Limits, StepTable, assumed, closed_form, simulate
from rheostat.capacity.replica import Replica, Requests
from rheostat.errors import BadInput
from small_tables import demand, flat, naive, table

LIMITS = Limits(ttft_seconds=1, tpot_seconds=0.05)


def served(steps: StepTable, requests: list[tuple[float, int, int]]) -> tuple[list[tuple[float, float, int]], Replica]:
    """One replica through its own interface: (first token, end, preemptions) of each (arrival, input, output)."""
    log = Requests()
    replica = Replica(steps, log, {}, steps.prefill_times())
    events: list[tuple[float, int, int]] = []
    for number, (arrived, *_) in enumerate(requests):
        heappush(events, (arrived, 1, number))
    numbers: dict[int, int] = {}
    while events:
        now, kind, number = heappop(events)
        if kind == 1:
            _, tokens, output = requests[number]
            numbers[number] = log.add(number, now, tokens, output)
            changed = replica.arrive(numbers[number], now)
        elif replica.due == now:
            replica.go_on()
            changed = replica.due != math.inf
        else:
            continue
        if changed:
            heappush(events, (replica.due, 2, 0))
    return [(log.first[each], log.end[each], log.preempted[each]) for _, each in sorted(numbers.items())], replica


@st.composite
def loads(draw: st.DrawFn) -> tuple[StepTable, list[tuple[float, int, int]]]:
    steps = table(
        kv_tokens=draw(st.integers(300, 1500)),
        max_context_tokens=300,
        max_sequences=draw(st.integers(1, 6)),
        max_batched_tokens=draw(st.sampled_from([16, 64, 512])),
    )
    came = draw(st.lists(st.integers(0, 3000), min_size=1, max_size=12, unique=True))
    tokens = st.integers(1, 150)
    return steps, [(each * 1e-3 + 1.7e-4, draw(tokens), draw(tokens)) for each in came]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(loads())
def test_leaps_are_the_same_as_steps_one_by_one(load: tuple[StepTable, list[tuple[float, int, int]]]) -> None:
    steps, requests = load
    found, replica = served(steps, requests)
    for ours, theirs in zip(found, naive(steps, requests), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert replica.kv_most <= steps.kv_tokens
    assert replica.load == 0


def test_a_prompt_is_read_in_pieces() -> None:
    """2,500 tokens at 1,024 a step: three steps, of which each pays the weights; then 9 tokens alone."""
    steps = table()
    (first, end, _), *_ = served(steps, [(0.0, 2500, 10)])[0]
    assert first == pytest.approx(2 * steps.step_seconds + steps.prefill_step(2500))
    assert end - first == pytest.approx(steps.curve(1).during(2501, 9))


def test_a_full_cache_preempts_the_last_one_and_reads_it_again() -> None:
    steps = table(kv_tokens=1000, max_context_tokens=900)
    found, replica = served(steps, [(0.0, 300, 500), (0.001, 300, 500)])
    assert [each[2] for each in found] == [0, 1]
    assert found[1][1] > found[0][1]
    assert replica.kv_most <= 1000


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_request_at_a_time_is_an_m_d_1_queue(load: float) -> None:
    steps = flat(0.01, max_sequences=1)
    service = 50 * 0.01
    found = simulate(demand(), steps, LIMITS, tasks_per_second=load / service, replicas=1, tasks=25_000)
    expected = service + load * service / 2 / (1 - load)  # Pollaczek-Khinchine
    assert found.mean_request_seconds == pytest.approx(expected, rel=0.06)


def test_random_routing_splits_the_arrivals() -> None:
    steps, service = flat(0.01, max_sequences=1), 0.5
    given_ = {"replicas": 4, "tasks": 20_000, "tasks_per_second": 4 * 0.6 / service}
    chance = simulate(demand(), steps, LIMITS, routing="random", **given_)
    assert chance.mean_request_seconds == pytest.approx(service + 0.6 * service / 2 / 0.4, rel=0.08)
    assert simulate(demand(), steps, LIMITS, **given_).mean_request_seconds < chance.mean_request_seconds


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_littles_law(rate: float) -> None:
    """The mean number in service is the rate times the mean time in service, whatever the lengths."""
    lengths = assumed("mixed", mean_tokens=300, p99_tokens=1500, input_tokens=200, tasks=2000)
    found = simulate(lengths, table(), LIMITS, tasks_per_second=rate, replicas=1, tasks=4000)
    times = np.asarray(found.log.end) - np.asarray(found.log.arrived)
    waits = 0.5 * 0.02 * len(times)  # an arrival waits for the end of a step, which the batch doesn't count
    assert found.batch * found.seconds == pytest.approx(times.sum(), rel=0.02, abs=2 * waits)


def test_every_request_ends_once_and_is_whole() -> None:
    lengths = assumed("wide", mean_tokens=500, p99_tokens=5000, input_tokens=300, tasks=1000)
    steps = table(kv_tokens=12_000)
    found = simulate(lengths, steps, LIMITS, tasks_per_second=6, replicas=2, tasks=3000)
    arrived, first, end = (np.asarray(getattr(found.log, name)) for name in ("arrived", "first", "end"))
    assert len(end) == 3000
    assert (first > arrived).all()
    assert (end >= first).all()
    assert found.preempted > 0
    assert found.kv_most <= steps.kv_tokens


def test_the_closed_form_is_right_where_little_happens() -> None:
    """Equal lengths, and steps that don't take longer for more requests: the means are all there is."""
    steps, even = table(decode_seconds=((0.010, 0.011, 0.020),) * 4), demand([(0, 0, 200, 400)])
    closed = closed_form(even, steps, LIMITS, tasks_per_second=0.25, replicas=1)
    found = simulate(even, steps, LIMITS, tasks_per_second=0.25, replicas=1, tasks=4000)
    assert found.batch == pytest.approx(closed.batch, rel=0.04)
    assert found.mean_request_seconds == pytest.approx(closed.request_seconds, rel=0.02)


def test_more_replicas_are_never_worse() -> None:
    lengths = assumed("wide", mean_tokens=800, p99_tokens=6000, input_tokens=300, tasks=2000)
    counts = (2, 3, 4, 6, 8)
    found = [
        simulate(lengths, table(kv_tokens=20_000), LIMITS, tasks_per_second=3, replicas=each, tasks=3000)
        for each in counts
    ]
    for one, two in pairwise(found):
        assert two.goodput >= one.goodput - 0.02
        assert two.mean_request_seconds <= one.mean_request_seconds * 1.03


def test_beyond_the_cliff_everything_is_preempted_and_late() -> None:
    lengths = assumed("thinking", mean_tokens=1500, p99_tokens=8000, input_tokens=200, tasks=2000)
    steps = table(kv_tokens=20_000)
    rate = closed_form(lengths.within(10_000), steps, LIMITS, tasks_per_second=1).most_per_replica
    before, beyond = (
        simulate(lengths, steps, LIMITS, tasks_per_second=share * rate, replicas=1, tasks=2500) for share in (0.5, 1.4)
    )
    assert before.goodput > 0.9
    assert beyond.goodput < 0.3
    assert beyond.preempted > 0.3 > before.preempted


def test_many_replicas_are_simulated_by_a_few() -> None:
    lengths = assumed("x", mean_tokens=300, p99_tokens=1500, input_tokens=200, tasks=2000)
    few, many = (
        simulate(lengths, table(), LIMITS, tasks_per_second=2.0 * count, replicas=count, tasks=3000)
        for count in (8, 80)
    )
    assert (many.replicas, many.simulated) == (80, 8)
    assert many.tpot_seconds == few.tpot_seconds


def test_the_same_seed_gives_the_same_outcome() -> None:
    lengths = assumed("x", mean_tokens=300, p99_tokens=1500, tasks=500)

    def run(seed: int) -> Any:
        return simulate(
            lengths, table(), LIMITS, tasks_per_second=3, replicas=2, tasks=800, seed=seed, routing="random"
        )

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_calls_of_a_task_follow_each_other() -> None:
    """Two calls side by side, a pause of 3 s, a third one: the task takes both stages and the pause."""
    calls = demand([(0, 0, 100, 50), (0, 0, 100, 80), (0, 1, 100, 20)], gap_seconds=np.array([0.0, 0.0, 3.0]))
    found = simulate(calls, flat(0.01), LIMITS, tasks_per_second=0.01, replicas=1, tasks=50)
    assert len(found.log.task) == 150
    assert found.task_seconds[50] == pytest.approx(0.8 + 3 + 0.2, abs=0.02)


def test_arrivals_beside_prefills_are_counted_as_reading() -> None:
    found = simulate(demand([(0, 0, 5000, 2)]), table(), LIMITS, tasks_per_second=1, replicas=1, tasks=300)
    assert found.ttft_seconds[50] > 5 * 0.01 + 0.4


def test_what_does_not_fit_is_said_before_anything_runs() -> None:
    with pytest.raises(BadInput, match=r"12,000 input tokens; the server takes 10,000"):
        simulate(demand([(0, 0, 12_000, 5)]), table(), LIMITS, tasks_per_second=1, replicas=1)
    with pytest.raises(BadInput, match="above 0"):
        simulate(demand(), table(), LIMITS, tasks_per_second=0, replicas=1)
    cut = simulate(demand([(0, 0, 9_000, 5_000)]), table(), LIMITS, tasks_per_second=0.01, replicas=1, tasks=30)
    assert set(cut.log.output) == {1_000}
