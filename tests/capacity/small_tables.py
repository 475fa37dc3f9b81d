"""Small step tables and demands, whose answers can be told by hand; and the simulation once more, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rheostat.capacity import Demand, StepTable
from rheostat.capacity.closed_form import WATERMARK

__all__ = ["demand", "flat", "naive", "table"]


def table(**changes: Any) -> StepTable:
    """A step takes 10 ms and 1 ms for each request and each 1,000 tokens of context; a prompt token 0.1 ms."""
    batch, contexts = (1, 2, 8, 64), (100, 1000, 10_000)
    facts: dict[str, Any] = {
        "name": "small",
        "model": "small",
        "kv_dtype": "float16",
        "kv_tokens": 100_000,
        "max_sequences": 64,
        "max_batched_tokens": 1024,
        "max_context_tokens": 10_000,
        "batch": batch,
        "context_tokens": contexts,
        "decode_seconds": tuple(tuple(0.010 + each * 1e-3 + at * 1e-6 for at in contexts) for each in batch),
        "prefill_tokens": (1, 10_000),
        "prefill_seconds": (0.01, 0.01 + 9999e-4),
    }
    return StepTable(**{**facts, **changes})


def flat(seconds: float = 0.01, **changes: Any) -> StepTable:
    """Every step takes as long, and prompts take nothing more: queues whose means are in textbooks."""
    same = {"batch": (1,), "context_tokens": (1,), "decode_seconds": ((seconds,),)}
    return table(**{**same, "prefill_tokens": (1,), "prefill_seconds": (seconds,), **changes})


def demand(calls: Sequence[tuple[int, int, int, int]] = ((0, 0, 100, 50),), **changes: Any) -> Demand:
    """Calls as (task, stage, input tokens, output tokens)."""
    rows = np.array(calls, dtype=np.int64)
    tasks = int(rows[-1, 0]) + 1
    facts: dict[str, Any] = {
        "label": "small",
        "task": rows[:, 0],
        "stage": rows[:, 1],
        "input_tokens": rows[:, 2],
        "output_tokens": rows[:, 3],
        "gap_seconds": np.zeros(len(rows)),
        "clamp_tokens": np.zeros(len(rows), dtype=np.int64),
        "right": np.full(tasks, np.nan),
        "usd": np.full(tasks, np.nan),
    }
    return Demand(**{**facts, **changes})


def naive(  # noqa: PLR0912 - in one piece, so that it can be read against vLLM's scheduler
    steps: StepTable, requests: Sequence[tuple[float, int, int]]
) -> list[tuple[float, float, int]]:
    """(first token, end, preemptions) of each (arrival, input, output) at one replica, one step at a time."""
    times = steps.prefill_times()
    came = sorted(range(len(requests)), key=lambda each: requests[each][0])
    made = [0] * len(requests)
    first, end, preempted = ([0.0] * len(requests) for _ in range(3))
    waiting: list[int] = []
    reading: list[list[int]] = []
    running: list[int] = []  # in the order of admission
    order: list[int] = []
    now, limit = 0.0, int(steps.kv_tokens * (1 - WATERMARK))
    while came or waiting or reading or running:
        if not (waiting or reading or running):
            now = max(now, requests[came[0]][0])
        while came and requests[came[0]][0] <= now + 1e-12:
            waiting.append(came.pop(0))
        kv = sum(requests[each][1] + made[each] for each in running)
        held = sum(each[2] + 1 for each in reading)
        if kv + held + len(running) > steps.kv_tokens:
            while kv + held + len(running) > steps.kv_tokens:
                last = order.pop()
                if last in running:
                    running.remove(last)
                    kv -= requests[last][1] + made[last]
                else:
                    held -= reading.pop()[2] + 1
                preempted[last] += 1
                waiting.insert(0, last)
        else:
            room = limit - kv - held - len(running)
            while waiting and len(running) + len(reading) < steps.max_sequences:
                tokens = requests[waiting[0]][1] + made[waiting[0]]
                if tokens >= room and (running or reading):
                    break
                room -= tokens + 1
                order.append(waiting[0])
                reading.append([waiting.pop(0), 0, tokens])
        mean = kv / len(running) if running else 0.0
        curve = steps.curve(max(len(running), 1))
        if reading:
            left = max(steps.max_batched_tokens - len(running), 1)
            seconds = curve.at(mean) if running else times[0]
            beside = len(running)
            for each in reading:
                stop = min(each[2], each[1] + left)
                if each[1]:
                    seconds += times[stop] - times[each[1]]
                else:
                    seconds += times[beside + stop] - times[beside]
                    beside += stop
                left -= stop - each[1]
                each[1] = stop
                if not left:
                    break
        else:
            seconds = curve.during(mean, 1)
        now += seconds
        for each in running:
            made[each] += 1
        ready = [each[0] for each in reading if each[1] == each[2]]
        reading = [each for each in reading if each[1] < each[2]]
        for each in ready:
            first[each] = first[each] or now
            made[each] += 1
            running.append(each)
        for each in [each for each in running if made[each] >= requests[each][2]]:
            running.remove(each)
            order.remove(each)
            end[each] = now
    return [(first[each], end[each], int(preempted[each])) for each in range(len(requests))]
