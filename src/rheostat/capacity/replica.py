"""One server of the simulation: continuous batching with chunked prefill, a KV cache, admission and preemption.

A virtual clock counts steps: in each, every running request gets one token, so that one with L tokens to come ends L
steps later. Between two events (an arrival, an end, a full cache) nothing but the contexts grows, so that all steps
between them are one leap, whose time is the integral of the table's curve. The rules are vLLM's: first come, first
served; a prompt is admitted if it fits below the watermark; prefills share steps with decodes, up to the token budget;
when the cache is full, the request that was admitted last gives its tokens back and is computed again later.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from typing import Final

from rheostat.capacity.closed_form import WATERMARK
from rheostat.capacity.table import Curve, StepTable

__all__ = ["Replica", "Requests"]

_IDLE, _LEAP, _STEP = 0, 1, 2
_WAITING, _READING, _RUNNING, _DONE = 0, 1, 2, 3
_SLACK: Final = 1e-9
_KEEP: Final = 64


class Requests:
    """The requests of a simulation, as columns."""

    __slots__ = ("arrived", "end", "ends_at", "first", "generated", "input", "output", "preempted", "state", "task")

    def __init__(self) -> None:
        self.task: list[int] = []
        """The running number of its task."""
        self.arrived: list[float] = []
        """Seconds."""
        self.input: list[int] = []
        self.output: list[int] = []
        self.first: list[float] = []
        """The time of its first token; 0: not yet."""
        self.end: list[float] = []
        self.preempted: list[int] = []
        """How often it lost its place."""
        self.generated: list[int] = []
        """The tokens that it had when it was preempted last."""
        self.state: list[int] = []
        self.ends_at: list[int] = []
        """The step of its replica at which it ends."""

    def add(self, task: int, arrived: float, given: int, output: int) -> int:
        """Add one; returns its number."""
        number = len(self.task)
        self.task.append(task)
        self.arrived.append(arrived)
        self.input.append(max(given, 1))
        self.output.append(output)
        self.first.append(0.0)
        self.end.append(0.0)
        self.preempted.append(0)
        self.generated.append(0)
        self.state.append(_WAITING)
        self.ends_at.append(0)
        return number


class Replica:
    """A server and its requests. `due` is the time of its next event, `math.inf` if it is idle."""

    __slots__ = (
        "_began", "_curves", "_ends", "_kv", "_mode", "_order", "_planned", "_reading", "_requests", "_reserved",
        "_running", "_step", "_table", "_times", "_waiting", "batch_seconds", "busy_seconds", "due", "kv_most",
        "kv_seconds", "load", "outside_seconds", "reading_seconds",
    )  # fmt: skip

    def __init__(self, table: StepTable, requests: Requests, curves: dict[int, Curve], times: list[float]) -> None:
        self._table, self._requests = table, requests
        self._curves = curves
        """By batch; shared by all replicas."""
        self._times = times
        """`StepTable.prefill_times`; shared by all replicas."""
        self._waiting: deque[int] = deque()
        self._reading: deque[list[int]] = deque()
        """Prompts in prefill: [request, tokens read, tokens in all]."""
        self._ends: list[tuple[int, int]] = []
        """A heap of (step of the end, request); those that were preempted since are stale."""
        self._order: list[int] = []
        """Requests in the order of admission; finished ones are dropped when they come to the top."""
        self._running = self._kv = self._reserved = self._step = 0
        self._mode, self._began, self._planned = _IDLE, 0.0, 0
        self.due = math.inf
        self.load = 0
        """The requests that it has, waiting ones too."""
        self.busy_seconds = self.batch_seconds = self.kv_seconds = self.reading_seconds = self.outside_seconds = 0.0
        """Integrals over time: busy; requests being served; KV tokens; steps with a prefill; steps beyond the table."""
        self.kv_most = 0

    def arrive(self, request: int, now: float) -> bool:
        """Take a request; whether `due` has changed."""
        self.load += 1
        self._waiting.append(request)
        if self._mode == _IDLE:
            self._plan(now)
            return True
        if self._mode == _LEAP and len(self._waiting) == 1 and self._running < self._table.max_sequences:
            return self._shorten(now)
        return False

    def go_on(self) -> list[int]:
        """The event at `due`: end the steps that were planned, and plan the next ones. Returns finished requests."""
        now, requests = self.due, self._requests
        leap = self._planned
        running, kv = self._running, self._kv
        took = now - self._began
        self.busy_seconds += took
        self.batch_seconds += took * (running + len(self._reading))
        self.kv_seconds += took * (kv + self._reserved + running * leap / 2)
        self._step += leap
        self._kv = kv + running * leap
        self.kv_most = max(self.kv_most, self._kv + self._reserved)
        done = self._ended(now)
        if self._mode == _STEP:
            self.reading_seconds += took
            while self._reading and self._reading[0][1] == self._reading[0][2]:
                request, _, tokens = self._reading.popleft()
                self._reserved -= tokens + 1
                if not requests.first[request]:
                    requests.first[request] = now
                left = requests.output[request] - requests.generated[request] - 1
                if left <= 0:
                    self._close(request, now, done)
                    continue
                requests.state[request] = _RUNNING
                requests.ends_at[request] = self._step + left
                heappush(self._ends, (self._step + left, request))
                self._running += 1
                self._kv += tokens + 1
        self._plan(now)
        return done

    def _ended(self, now: float) -> list[int]:
        ends, requests, step = self._ends, self._requests, self._step
        done: list[int] = []
        while ends and ends[0][0] <= step:
            at, request = heappop(ends)
            if requests.state[request] == _RUNNING and requests.ends_at[request] == at:
                self._running -= 1
                self._kv -= requests.input[request] + requests.output[request]
                self._close(request, now, done)
        return done

    def _close(self, request: int, now: float, done: list[int]) -> None:
        self._requests.state[request] = _DONE
        self._requests.end[request] = now
        self.load -= 1
        done.append(request)

    def _plan(self, now: float) -> None:
        """What happens from this step boundary on."""
        self._began = now
        table, running = self._table, self._running
        if self._kv + self._reserved + running > table.kv_tokens:
            self._make_room()
        elif self._waiting:
            self._admit()
        running = self._running
        if self._reading:
            seconds = self._read(table.max_batched_tokens - running)
            if running:
                seconds += self._curve(running).at(self._kv / running)
            else:
                seconds += table.step_seconds
            self._mode, self._planned = _STEP, 1
            self.due = now + seconds
        elif running:
            steps = min(self._next_end() - self._step, (table.kv_tokens - self._kv) // running)
            self._mode, self._planned = _LEAP, steps
            seconds = self._curve(running).during(self._kv / running, steps)
            self.due = now + seconds
            if running > table.batch[-1] or self._kv / running > table.context_tokens[-1]:
                self.outside_seconds += seconds
        else:
            self._mode, self.due = _IDLE, math.inf

    def _shorten(self, now: float) -> bool:
        """End the leap at the first step boundary after an arrival."""
        curve, context = self._curve(self._running), self._kv / self._running
        steps = max(math.ceil(curve.steps_in(context, now - self._began) - _SLACK), 1)
        if steps >= self._planned:
            return False
        self._planned = steps
        self.due = max(self._began + curve.during(context, steps), now)
        return True

    def _curve(self, batch: int) -> Curve:
        curve = self._curves.get(batch)
        if curve is None:
            curve = self._curves[batch] = self._table.curve(batch)
        return curve

    def _next_end(self) -> int:
        ends, requests = self._ends, self._requests
        while requests.state[ends[0][1]] != _RUNNING or requests.ends_at[ends[0][1]] != ends[0][0]:
            heappop(ends)
        return ends[0][0]

    def _admit(self) -> None:
        table, requests, waiting = self._table, self._requests, self._waiting
        room = int(table.kv_tokens * (1 - WATERMARK)) - self._kv - self._reserved - self._running
        while waiting and self._running + len(self._reading) < table.max_sequences:
            request = waiting[0]
            tokens = requests.input[request] + requests.generated[request]
            alone = not self._running and not self._reading  # then it has the whole cache, without a watermark
            if tokens >= room and not alone:
                break
            waiting.popleft()
            room -= tokens + 1
            self._reserved += tokens + 1
            requests.state[request] = _READING
            self._order.append(request)
            self._reading.append([request, 0, tokens])
        if len(self._order) > _KEEP + 4 * self.load:
            self._order = [each for each in self._order if requests.state[each] != _DONE]

    def _read(self, budget: int) -> float:
        """Read from the first prompts what fits into a step; returns the seconds that it adds."""
        times, seconds, left = self._times, 0.0, max(budget, 1)
        beside = self._running
        for prompt in self._reading:
            start = prompt[1]
            end = min(prompt[2], start + left)
            if start:
                seconds += times[end] - times[start]
            else:
                seconds += times[beside + end] - times[beside]
                beside += end
            prompt[1] = end
            left -= end - start
            if not left:
                break
        return seconds

    def _make_room(self) -> None:
        """Preempt those that were admitted last until the next step fits."""
        requests = self._requests
        while self._kv + self._reserved + self._running > self._table.kv_tokens:
            request = self._order.pop()
            if requests.state[request] == _DONE:
                continue
            if requests.state[request] == _READING:
                self._reserved -= self._reading.pop()[2] + 1
            else:
                generated = requests.output[request] - (requests.ends_at[request] - self._step)
                requests.generated[request] = generated
                self._running -= 1
                self._kv -= requests.input[request] + generated
            requests.state[request] = _WAITING
            requests.preempted[request] += 1
            self._waiting.appendleft(request)
