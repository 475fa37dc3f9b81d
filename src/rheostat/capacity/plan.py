"""The plan: for each policy the fewest replicas that keep the promised latency, their cost, and where the cliff is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rheostat.capacity.closed_form import ClosedForm, closed_form
from rheostat.capacity.demand import Demand
from rheostat.capacity.limits import Limits
from rheostat.capacity.simulate import Outcome, Routing, simulate
from rheostat.capacity.table import StepTable
from rheostat.capacity.traffic import Traffic
from rheostat.errors import BadInput

__all__ = ["SAFETY", "Plan", "PolicyPlan", "make_plan"]

SAFETY: Final = 1.15
"""All times of the step table are multiplied by it: against a real llama.cpp the simulation was 9 to 12 % too quick."""
_CLIFF: Final = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Shares of the planned replicas at which the cliff is looked at."""
_FAR: Final = 16
"""Beyond so many times the closed form, more replicas don't help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPlan:
    """One policy, level or setting on the table."""

    demand: Demand
    closed: ClosedForm
    outcome: Outcome
    """At the planned replicas."""
    at_closed: Outcome
    """At the replicas of the closed form."""
    cliff: tuple[Outcome, ...]
    """From few replicas to many."""
    gpus: int
    usd_per_hour: float | None
    """`None`: no price of a GPU was given."""
    usd_per_task: float | None
    usd_per_right: float | None
    """The cost of a correct answer; `None`: without a price, or P(right) isn't known, or is 0."""

    @property
    def replicas(self) -> int:
        """The fewest that keep the promised latency."""
        return self.outcome.replicas

    @property
    def why(self) -> str:
        """Why the simulation differs from the closed form."""
        ratio, before = self.replicas / self.closed.replicas, self.at_closed
        if self.replicas == self.closed.replicas:
            return "the simulation agrees with the closed form"
        if ratio < 1:
            return (
                f"the simulation needs {1 - ratio:.0%} fewer: at {self.closed.replicas} the mean batch is "
                f"{before.batch:.1f}, the closed form says {self.closed.batch:.1f}"
            )
        parts = []
        if before.preempted >= 0.01:
            parts.append(f"{before.preempted:.0%} of the requests lose their place in a full cache and are read again")
        if before.tpot_seconds[95] > self.closed.tpot_seconds:
            parts.append(
                f"batches vary: TPOT is {before.tpot_seconds[95] * 1000:.1f} ms at p95, "
                f"{self.closed.tpot_seconds * 1000:.1f} ms in the closed form's mean"
            )
        if before.ttft_seconds[95] > 10 * self.closed.ttft_seconds:
            parts.append(f"requests wait for a place: TTFT is {before.ttft_seconds[95]:.2f} s at p95")
        return f"the simulation needs {ratio - 1:.0%} more: at {self.closed.replicas}, " + "; ".join(
            parts or ["bursts"]
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "policy": self.demand.label,
            "replicas": self.replicas,
            "gpus": self.gpus,
            "binds": self.closed.binds,
            "needed_by_limit": self.closed.needed,
            "calls_per_task": self.demand.moments.calls,
            "mean_input_tokens": self.demand.moments.input_tokens,
            "mean_output_tokens": self.demand.moments.output_tokens,
            "p_right": self.demand.p_right,
            "usd_per_hour": self.usd_per_hour,
            "usd_per_task": self.usd_per_task,
            "usd_per_right": self.usd_per_right,
            "closed_form": {
                name: getattr(self.closed, name)
                for name in (
                    "replicas", "batch", "context_tokens", "kv_tokens", "step_seconds", "tpot_seconds", "ttft_seconds",
                    "request_seconds", "prefill_share",
                )
            },
            "simulated": _plain(self.outcome),
            "simulated_at_closed_form": _plain(self.at_closed),
            "why": self.why,
            "cliff": [_plain(each) for each in self.cliff],
            "notes": list(self.demand.notes),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The policies beside each other, and what was assumed."""

    table: StepTable
    """As measured, without the safety margin."""
    limits: Limits
    traffic: Traffic
    safety: float
    gpu_usd: float | None
    """US dollars for a GPU an hour."""
    policies: tuple[PolicyPlan, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed."""
        table = self.table
        peak = f"peak {self.traffic.peak_per_second:.4g} tasks/s, {self.traffic.peak_share:.2f} × the day's mean"
        made = [
            f"{table.name or table.model}: {table.model} on {table.gpus} × {table.gpu or 'GPU'}, {table.engine}, "
            f"KV {table.kv_dtype}, {table.kv_tokens:,} tokens; {table.source} ({table.date})",
            f"{self.traffic.users:g} users × {self.traffic.per_hour:g} tasks an hour × {self.traffic.growth:g}: {peak}",
            f"step times × {self.safety:g} for safety; no prefix cache; lengths and verdicts as recorded or assumed, "
            "whatever model they come from",
        ]
        if self.gpu_usd is not None:
            made.append(f"${self.gpu_usd:g} a GPU-hour; $/task: the peak's GPUs all day, over the day's tasks")
        if any(each.outcome.outside > 0.01 for each in self.policies):
            most = max(each.outcome.outside for each in self.policies)
            made.append(f"up to {most:.0%} of the time lies beyond the table's grid: extrapolated")
        return tuple(made)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "table": self.table.name,
            "model": self.table.model,
            "kv_dtype": self.table.kv_dtype,
            "safety": self.safety,
            "ttft_p95_seconds": self.limits.ttft_seconds,
            "tpot_p95_seconds": self.limits.tpot_seconds,
            "peak_tasks_per_second": self.traffic.peak_per_second,
            "mean_tasks_per_second": self.traffic.mean_per_second,
            "gpu_usd": self.gpu_usd,
            "policies": [each.to_dict() for each in self.policies],
            "notes": list(self.notes),
        }


def make_plan(
    demands: Mapping[str, Demand],
    table: StepTable,
    traffic: Traffic,
    limits: Limits,
    *,
    safety: float = SAFETY,
    gpu_usd: float | None = None,
    routing: Routing = "least",
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Plan:
    """Plan every policy for the busiest hour.

    Args:
        demands: By policy.
        gpu_usd: US dollars for a GPU an hour.
        on_step: Called after each simulation with (done, all, roughly).

    Raises:
        BadInput: A limit can't be kept by any number of replicas, a request doesn't fit, or a number is out of range.
    """
    slower = table.slower(safety)
    made: list[PolicyPlan] = []
    for number, demand in enumerate(demands.values()):
        tick = _ticks(on_step, number, len(demands))
        made.append(_policy(demand, slower, traffic, limits, gpu_usd, routing, seed, tick))
    return Plan(
        table=table, limits=limits, traffic=traffic, safety=safety, gpu_usd=gpu_usd, policies=tuple(made)
    )  # fmt: skip


_ROUNDS: Final = 16
"""About so many simulations a policy."""


def _ticks(on_step: Callable[[int, int], None] | None, number: int, of: int) -> Callable[[int], None]:
    def tick(done: int) -> None:
        if on_step is not None:
            on_step(number * _ROUNDS + min(done, _ROUNDS), of * _ROUNDS)

    return tick


def _policy(
    demand: Demand,
    table: StepTable,
    traffic: Traffic,
    limits: Limits,
    gpu_usd: float | None,
    routing: Routing,
    seed: int,
    tick: Callable[[int], None],
) -> PolicyPlan:
    demand = demand.within(table.max_context_tokens)
    rate = traffic.peak_per_second
    alone = table.prefill_step(float(np.percentile(demand.input_tokens, 95)))
    if alone > limits.ttft_seconds:
        raise BadInput(
            f"{demand.label}: reading a long prompt takes {alone:.2f} s on an idle replica; the limit is "
            f"{limits.ttft_seconds:g} s: raise --ttft-p95, or take a quicker server"
        )
    closed = closed_form(demand, table, limits, tasks_per_second=rate)
    seen: dict[int, Outcome] = {}

    def at(replicas: int) -> Outcome:
        if replicas not in seen:
            seen[replicas] = simulate(
                demand, table, limits, tasks_per_second=rate, replicas=replicas, routing=routing, seed=seed
            )
            tick(len(seen))
        return seen[replicas]

    fewest = _fewest(lambda replicas: at(replicas).meets(limits), closed.replicas)
    if fewest is None:
        last = at(closed.replicas * _FAR)
        raise BadInput(
            f"{demand.label}: more replicas don't help: with {last.replicas}, p95 is {last.ttft_seconds[95]:.2f} s to "
            f"the first token and {last.tpot_seconds[95] * 1000:.1f} ms a token. Raise --ttft-p95 or --tpot-p95"
        )
    around = sorted({max(round(share * fewest), 1) for share in _CLIFF} | {fewest, fewest + 1})
    gpus = fewest * table.gpus
    hourly = None if gpu_usd is None else gpus * gpu_usd
    task = None if hourly is None else hourly / (traffic.mean_per_second * 3600)
    right = demand.p_right
    return PolicyPlan(
        demand=demand,
        closed=closed,
        outcome=at(fewest),
        at_closed=at(closed.replicas),
        cliff=tuple(at(each) for each in around),
        gpus=gpus,
        usd_per_hour=hourly,
        usd_per_task=task,
        usd_per_right=None if task is None or not right else task / right,
    )


def _fewest(good: Callable[[int], bool], start: int) -> int | None:
    """The fewest replicas that are good enough, near a start; `None`: not even many more are."""
    low, high = 0, start
    if good(start):
        while high > 1 and good(step := max(int(high * 0.8), 1)):
            high = step
            if step == 1:
                return 1
        low = max(int(high * 0.8), 1) if high > 1 else 0
    else:
        while not good(high):
            if high >= start * _FAR:
                return None
            low, high = high, min(max(int(high * 1.25), high + 1), start * _FAR)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


def _plain(outcome: Outcome) -> dict[str, Any]:
    names = (
        "replicas", "simulated", "requests", "ttft_seconds", "tpot_seconds", "request_seconds", "task_seconds",
        "goodput", "preempted", "batch", "kv_share", "outside",
    )  # fmt: skip
    return {name: getattr(outcome, name) for name in names}
