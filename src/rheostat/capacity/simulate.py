"""A discrete-event simulation of replicas that serve a demand: the chance, queues and preemption that means hide."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, Literal, TypeAlias

import numpy as np

from rheostat.capacity.demand import Demand, Reals
from rheostat.capacity.limits import Limits
from rheostat.capacity.replica import Replica, Requests
from rheostat.capacity.table import Curve, StepTable
from rheostat.errors import BadInput

__all__ = ["MOST_REPLICAS", "Outcome", "Routing", "replay", "simulate"]

Routing: TypeAlias = Literal["least", "random"]
"""`least`: to the replica with the fewest requests, in turn where several have as few; `random`."""
MOST_REPLICAS: Final = 8
"""The most replicas that are simulated; with more, so many of them with their share of the load."""
LONGEST: Final = 10
"""How many times the longest request is simulated: two to warm up, seven that count, one to go out."""
_WARM, _OUT = 0.2, 0.1
_LEAST_TASKS: Final = 2_000
_PROGRESS: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the simulated users saw. Percentiles are over the requests that count, after the warm-up."""

    replicas: int
    """As asked for; `simulated` of them were simulated."""
    simulated: int
    requests: int
    """Those that count."""
    seconds: float
    """The simulated time, all of it."""
    ttft_seconds: dict[int, float]
    """By percentile: 50, 95, 99."""
    tpot_seconds: dict[int, float]
    request_seconds: dict[int, float]
    """From arrival to the last token."""
    task_seconds: dict[int, float]
    """From the first call of a task to the end of its last one."""
    mean_request_seconds: float
    goodput: float
    """The share of requests within both limits."""
    preempted: float
    """The share of requests that were preempted at least once."""
    batch: float
    """The mean number of requests in service at a replica."""
    kv_share: float
    """The mean use of the KV cache."""
    kv_most: int
    """The most KV tokens of any replica at any time."""
    outside: float
    """The share of the time beyond the step table's grid, where steps are extrapolated."""
    log: Requests = field(repr=False, compare=False)
    """Every request of the simulation."""

    def meets(self, limits: Limits) -> bool:
        """Whether the 95th percentiles keep to the limits."""
        return self.ttft_seconds[95] <= limits.ttft_seconds and self.tpot_seconds[95] <= limits.tpot_seconds


def simulate(
    demand: Demand,
    table: StepTable,
    limits: Limits,
    *,
    tasks_per_second: float,
    replicas: int,
    tasks: int | None = None,
    most_tasks: int = 200_000,
    routing: Routing = "least",
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Serve tasks that arrive at random (Poisson), drawn from a demand with replacement.

    Args:
        demand: Cut to what the server takes (`Demand.within`).
        table: With its safety margin (`StepTable.slower`).
        tasks_per_second: Over all replicas.
        tasks: How many arrive; without it, as many as come in ten times the longest request.
        most_tasks: The most of those.
        on_step: Called now and then with (done, all).

    Raises:
        BadInput: A number isn't above 0, or a request doesn't fit into the table's contexts.
    """
    if replicas < 1 or not math.isfinite(tasks_per_second) or tasks_per_second <= 0:
        raise BadInput(f"replicas and tasks a second are above 0, not {replicas} and {tasks_per_second}")
    demand = demand.within(table.max_context_tokens)
    few = min(replicas, MOST_REPLICAS)
    rate = tasks_per_second * few / replicas
    count = tasks or min(max(math.ceil(rate * LONGEST * _longest(demand, table)), _LEAST_TASKS), most_tasks)
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / rate, count))
    drawn = draw.integers(0, demand.tasks, count)
    run = _Run(demand, table, few, routing, draw)
    ended = run.serve(arrivals, drawn, on_step)
    return _outcome(run, arrivals, limits, replicas, ended)


def replay(demand: Demand, table: StepTable, limits: Limits, arrivals: Reals, *, replicas: int = 1) -> Outcome:
    """Serve the tasks of a demand once, in their order, at these times: to compare with what was measured.

    Args:
        arrivals: Seconds, ascending, one for each task.

    Raises:
        BadInput: A request doesn't fit into the table's contexts, or the times aren't one a task.
    """
    if len(arrivals) != demand.tasks or (np.diff(arrivals) < 0).any():
        raise BadInput(f"{demand.label}: expected {demand.tasks} times in order, one a task, not {len(arrivals)}")
    run = _Run(demand.within(table.max_context_tokens), table, replicas, "least", np.random.default_rng(0))
    ended = run.serve(arrivals, np.arange(demand.tasks), None)
    return _outcome(run, arrivals, limits, replicas, ended)


def _longest(demand: Demand, table: StepTable) -> float:
    """About how long the longest request takes, in seconds."""
    most = float(demand.output_tokens.max())
    busy = min(table.kv_tokens / demand.moments.context_tokens, table.max_sequences)
    return most * table.decode_step(busy, demand.moments.context_tokens)


class _Run:
    """The events of all replicas, in the order of time."""

    def __init__(self, demand: Demand, table: StepTable, few: int, routing: Routing, draw: np.random.Generator) -> None:
        curves: dict[int, Curve] = {}
        times = table.prefill_times()
        self.demand, self.table, self.requests = demand, table, Requests()
        self.replicas = [Replica(table, self.requests, curves, times) for _ in range(few)]
        self.finished: dict[int, float] = {}
        """When each task with several calls ended, in seconds."""
        self._random = draw if routing == "random" else None
        self._turn = 0
        self._events: list[tuple[float, int]] = []
        self._later: list[tuple[float, int, int, int]] = []
        """Calls that follow: (time, running number of the task, its number in the demand, stage)."""
        self._open: dict[int, list[int]] = {}
        """By running number of a task under way: [its number in the demand, stage, calls of the stage to come]."""

    def serve(self, arrivals: Reals, drawn: np.ndarray, on_step: Callable[[int, int], None] | None) -> float:
        """Serve all tasks to the end; returns the time of the last event."""
        times, numbers = [*arrivals.tolist(), math.inf], [*drawn.tolist(), -1]
        given, made = self.demand.input_tokens.tolist(), self.demand.output_tokens.tolist()
        offsets, chained = self.demand.offsets.tolist(), self.demand.chained
        events, replicas, later, add = self._events, self.replicas, self._later, self.requests.add
        task, end, count, now = 0, times[0], len(arrivals), 0.0
        while task < count or events or later:
            first = events[0][0] if events else math.inf
            follow = later[0][0] if later else math.inf
            if end <= first and end <= follow:
                now = end
                if chained:
                    self._start(now, task, numbers[task], 0)
                else:
                    call = offsets[numbers[task]]
                    self._send(add(task, now, given[call], made[call]), now)
                task += 1
                end = times[task]
                if on_step is not None and task % _PROGRESS == 0:
                    on_step(task, count)
            elif follow <= first:
                now, number, of, stage = heappop(later)
                self._start(now, number, of, stage)
            else:
                now, place = heappop(events)
                replica = replicas[place]
                if replica.due != now:
                    continue  # its plan has changed since
                done = replica.go_on()
                if replica.due != math.inf:
                    heappush(events, (replica.due, place))
                if chained:
                    for request in done:
                        self._follow(request, now)
        return now

    def _send(self, request: int, now: float) -> None:
        replicas = self.replicas
        if self._random is not None:
            place = int(self._random.integers(len(replicas)))
        else:
            loads = [each.load for each in replicas]
            least = min(loads)
            place = self._turn = (self._turn + 1) % len(loads)
            if loads[place] != least:
                place = loads.index(least)
        if replicas[place].arrive(request, now):
            heappush(self._events, (replicas[place].due, place))

    def _start(self, now: float, number: int, of: int, stage: int) -> None:
        """Send the calls of a stage."""
        demand = self.demand
        first, last = int(demand.offsets[of]), int(demand.offsets[of + 1])
        calls = [each for each in range(first, last) if demand.stage[each] == stage]
        self._open[number] = [of, stage, len(calls)]
        for each in calls:
            given, made = int(demand.input_tokens[each]), int(demand.output_tokens[each])
            self._send(self.requests.add(number, now, given, made), now)

    def _follow(self, request: int, now: float) -> None:
        """After a call has ended: the next stage of its task, once all of this stage are done."""
        number = self.requests.task[request]
        state = self._open[number]
        state[2] -= 1
        if state[2]:
            return
        of, stage = state[0], state[1] + 1
        last = int(self.demand.offsets[of + 1])
        if self.demand.stage[last - 1] < stage:
            del self._open[number]
            self.finished[number] = now
            return
        first = int(self.demand.offsets[of])
        following = int(np.searchsorted(self.demand.stage[first:last], stage)) + first
        heappush(self._later, (now + float(self.demand.gap_seconds[following]), number, of, stage))


_PERCENTILES: Final = (50, 95, 99)


def _outcome(run: _Run, arrivals: Reals, limits: Limits, replicas: int, ended: float) -> Outcome:
    log, simulated = run.requests, len(run.replicas)
    arrived, first, end = (np.asarray(each) for each in (log.arrived, log.first, log.end))
    began, over = arrivals[0] + _WARM * np.ptp(arrivals), arrivals[-1] - _OUT * np.ptp(arrivals)
    counts = (arrived >= began) & (arrived <= over)
    if not counts.any():  # a handful of tasks
        counts = np.ones(len(arrived), bool)
    output = np.asarray(log.output)[counts]
    ttft, whole = (first - arrived)[counts], (end - arrived)[counts]
    several = output > 1
    tpot = np.where(several, (end - first)[counts] / np.maximum(output - 1, 1), 0.0)
    good = (ttft <= limits.ttft_seconds) & (tpot <= limits.tpot_seconds)
    busy = sum(each.busy_seconds for each in run.replicas)
    taken = whole
    if run.demand.chained:
        numbers = np.fromiter(run.finished, int)
        starts = arrivals[numbers]
        kept = (starts >= began) & (starts <= over)
        taken = (np.fromiter(run.finished.values(), float) - starts)[kept if kept.any() else slice(None)]
    return Outcome(
        replicas=replicas,
        simulated=simulated,
        requests=int(counts.sum()),
        seconds=ended,
        ttft_seconds=_percentiles(ttft),
        tpot_seconds=_percentiles(tpot[several] if several.any() else tpot),
        request_seconds=_percentiles(whole),
        task_seconds=_percentiles(taken),
        mean_request_seconds=float(whole.mean()),
        goodput=float(good.mean()),
        preempted=float((np.asarray(log.preempted)[counts] > 0).mean()),
        batch=sum(each.batch_seconds for each in run.replicas) / (ended * simulated),
        kv_share=sum(each.kv_seconds for each in run.replicas) / (ended * simulated * run.table.kv_tokens),
        kv_most=max(each.kv_most for each in run.replicas),
        outside=sum(each.outside_seconds for each in run.replicas) / max(busy, 1e-9),
        log=log,
    )


def _percentiles(values: Reals) -> dict[int, float]:
    return dict(zip(_PERCENTILES, map(float, np.percentile(values, _PERCENTILES)), strict=True))
