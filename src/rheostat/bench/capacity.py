"""How far capacity plans can be believed: against published figures, a recorded policy and a real llama.cpp.

python -m rheostat.bench.capacity speed     # how long the simulation takes for a million requests
python -m rheostat.bench.capacity rows      # three published rows, in closed form and simulated
python -m rheostat.bench.capacity arms      # the record of `make bench-arms`: GPUs and cost of a right answer
python -m rheostat.bench.capacity llama     # the embedded model with four slots: measured, and predicted (minutes)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from rheostat.bench.record import read_record
from rheostat.capacity import (
    Demand,
    Limits,
    StepTable,
    Traffic,
    acalibrate,
    assumed,
    closed_form,
    from_bench,
    make_plan,
    mixed,
    replay,
    simulate,
)
from rheostat.capacity.streams import Stream, Streams, client_of
from rheostat.local import CATALOGUE, DEFAULT_MODEL, LocalServer, require_model

__all__ = ["main"]

_LIMITS: Final = Limits(ttft_seconds=2.0, tpot_seconds=0.05)
_NO_LIMITS: Final = Limits(ttft_seconds=1e6, tpot_seconds=1e3)
_PUBLISHED: Final = (
    ("h200-qwen3-32b-fp8-kv-fp8", {"chat": "3", "high": "106 → 126", "adaptive": "24"}),
    ("h100-qwen3-32b-fp8-kv-fp8", {"chat": "3", "high": "154 → 208", "adaptive": "32"}),
    ("h200-qwen3-30b-a3b", {"chat": "1", "high": "52 → 67", "adaptive": "10"}),
)
"""A prototype's GPUs at 10 requests a second: in closed form → simulated. It took the 32B model's KV cache as FP8."""
_SLOTS: Final = 4
_CONTEXT: Final = 2048
_SHARES: Final = (0.5, 0.3, 0.7)
"""Loads as shares of the most that the closed form allows: the first one sets the factor for the other two."""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def demands() -> dict[str, Demand]:
    """The demands of the published rows. Their inputs weren't published: 500 tokens in the mean fit best."""
    chat, middle, high = (
        assumed(name, mean_tokens=mean, p99_tokens=p99, input_tokens=500)
        for name, mean, p99 in (("chat", 300, 1_500), ("middle", 2_000, 15_000), ("high", 8_000, 60_000))
    )
    return {"chat": chat, "high": high, "adaptive": mixed("adaptive", [(0.6, chat), (0.25, middle), (0.15, high)])}


def _speed(given: argparse.Namespace) -> None:
    table = StepTable.read("h200-qwen3-32b-fp8-kv-fp8").slower(1.15)
    for name, each in demands().items():
        replicas = closed_form(each.within(table.max_context_tokens), table, _LIMITS, tasks_per_second=10).replicas
        began = time.process_time()
        found = simulate(each, table, _LIMITS, tasks_per_second=10, replicas=replicas, tasks=given.requests)
        took = time.process_time() - began
        _say(
            f"{name}: {given.requests:,} requests: {took:.1f} s of a core, {1e6 * took / given.requests:.1f} µs each; "
            f"{found.seconds / 3600:,.1f} h simulated, preempted {found.preempted:.0%}"
        )


def _rows(_: argparse.Namespace) -> None:
    _say("| table | demand | published | closed form | least loaded | at random | × 1.15, least loaded |")
    _say("|---|---|--:|--:|--:|--:|--:|")
    for name, published in _PUBLISHED:
        table = StepTable.read(name)
        for label, demand in demands().items():
            found: list[int] = []
            for safety, routing in ((1.0, "least"), (1.0, "random"), (1.15, "least")):
                plan = make_plan(
                    {label: demand}, table, Traffic(users=36_000, per_hour=1), _LIMITS, safety=safety, routing=routing,  # type: ignore[arg-type]  # one of two texts
                )  # fmt: skip
                found += [plan.policies[0].closed.replicas] if not found else []
                found.append(plan.policies[0].replicas)
            _say(f"| {name} | {label} | {published[label]} | {' | '.join(map(str, found))} |")


def _arms(given: argparse.Namespace) -> None:
    table = StepTable.read(given.table)
    traffic = Traffic(users=given.users, per_hour=given.per_hour)
    for of in given.sets.split(","):
        demands_ = from_bench(read_record(given.record), of=of, model=DEFAULT_MODEL)
        plan = make_plan(demands_, table, traffic, _LIMITS, gpu_usd=given.gpu_usd)
        _say(f"\n**{of}, {traffic.peak_per_second:g} tasks/s**\n")
        _say("| setting | right | output tokens a task | calls | GPUs | batch | $ / 1,000 tasks | $ / 1,000 right |")
        _say("|---|--:|--:|--:|--:|--:|--:|--:|")
        for each in sorted(plan.policies, key=lambda one: one.usd_per_right or 0):
            means = each.demand.moments
            _say(
                f"| {each.demand.label} | {each.demand.p_right or 0:.0%} | {means.calls * means.output_tokens:,.0f} | "
                f"{means.calls:.2f} | {each.gpus} | {each.outcome.batch:.0f} | {1000 * (each.usd_per_task or 0):.3f} | "
                f"{1000 * (each.usd_per_right or 0):.3f} |"
            )
        for note in plan.notes:
            _say(f"- {note}")


def _llama(given: argparse.Namespace) -> None:
    server = LocalServer(require_model(CATALOGUE[DEFAULT_MODEL]), slots=_SLOTS, context_tokens=_CONTEXT)
    try:
        asyncio.run(_measure(server, given))
    finally:
        server.stop()


async def _measure(server: LocalServer, given: argparse.Namespace) -> None:
    began = time.monotonic()
    table = await acalibrate(
        server.url, key=server.key, kv_dtype="f16", kv_tokens=_SLOTS * _CONTEXT, max_context_tokens=_CONTEXT,
        concurrency=tuple(range(1, _SLOTS + 1)), contexts=(64, 256, 768), output_tokens=48, max_batched_tokens=_CONTEXT,
    )  # fmt: skip
    _say(f"calibrated in {time.monotonic() - began:.0f} s; ms a step by batch, at {table.context_tokens} tokens:")
    for batch, row in zip(table.batch, table.decode_seconds, strict=True):
        _say(f"  {batch}: " + ", ".join(f"{1000 * each:.1f}" for each in row))
    prompts = zip(table.prefill_tokens, table.prefill_seconds, strict=True)
    _say("  prefill: " + ", ".join(f"{tokens} tokens {1000 * each:.0f} ms" for tokens, each in prompts))
    lengths = assumed("load", mean_tokens=80, p99_tokens=300, input_tokens=150, tasks=given.requests, seed=1)
    most = closed_form(lengths.within(_CONTEXT), table, _NO_LIMITS, tasks_per_second=1).most_per_replica
    factor = 1.0
    _say("\n| load | requests/s | | mean, s | p95, s | TTFT mean, s | TPOT p95, ms |\n|---|--:|---|--:|--:|--:|--:|")
    async with client_of(server.url, server.key) as client:
        streams = Streams(client, table.model, server.url)
        a_word = await streams.warm_up()
        for number, share in enumerate(_SHARES):
            arrivals = np.cumsum(np.random.default_rng(number).exponential(1 / (share * most), given.requests))
            found = await _drive(streams, lengths, arrivals, a_word)
            measured = _figures(
                [each.asked for each in found], [each.times[0] for each in found], [each.times[-1] for each in found],
                [each.output_tokens for each in found],
            )  # fmt: skip
            _row(f"{share:.0%}", share * most, "measured", measured, measured)
            asked = np.array([each.asked for each in found])
            order = np.argsort(asked)
            sent = _sent([found[each] for each in order])
            _row("", share * most, "predicted", _predicted(sent, table, asked[order]), measured)
            if number:
                slower = _predicted(sent, table.slower(factor), asked[order])
                _row("", share * most, f"× {factor:.2f}, by the first load", slower, measured)
            else:
                factor = _factor(sent, table, asked[order], measured[0])


async def _drive(streams: Streams, lengths: Demand, arrivals: Any, a_word: float) -> list[Stream]:
    """Send the requests at their times, whether earlier ones have ended or not."""
    began = time.perf_counter()

    async def one(number: int) -> Stream:
        await asyncio.sleep(max(began + float(arrivals[number]) - time.perf_counter(), 0))
        words = max(round(int(lengths.input_tokens[number]) / a_word), 1)
        return await streams.stream(words, int(lengths.output_tokens[number]))

    return list(await asyncio.gather(*(one(number) for number in range(len(arrivals)))))


def _sent(found: Sequence[Stream]) -> Demand:
    """The requests as they were: a task each, with the tokens that the server counted."""
    count = len(found)
    zeros, unknown = np.zeros(count, dtype=np.int64), np.full(count, np.nan)
    return Demand(
        label="sent",
        task=np.arange(count),
        stage=zeros,
        input_tokens=np.array([each.input_tokens for each in found]),
        output_tokens=np.array([max(each.output_tokens, 1) for each in found]),
        gap_seconds=np.zeros(count),
        clamp_tokens=zeros,
        right=unknown,
        usd=unknown,
    )


Figures = tuple[float, float, float, float]


def _figures(asked: Sequence[float], first: Sequence[float], end: Sequence[float], output: Sequence[int]) -> Figures:
    """(mean seconds of a request, its p95, mean TTFT, p95 of TPOT)."""
    start, begun, over = (np.asarray(each) for each in (asked, first, end))
    tokens = np.asarray(output)
    tpot = ((over - begun) / np.maximum(tokens - 1, 1))[tokens > 1]
    whole = over - start
    return (
        float(whole.mean()), float(np.percentile(whole, 95)), float((begun - start).mean()),
        float(np.percentile(tpot, 95)),
    )  # fmt: skip


def _predicted(sent: Demand, table: StepTable, asked: Any) -> Figures:
    log = replay(sent, table, _NO_LIMITS, asked - asked[0] + 1.0).log
    return _figures(log.arrived, log.first, log.end, log.output)


def _factor(sent: Demand, table: StepTable, asked: Any, mean: float) -> float:
    """The factor on step times with which the simulation has this mean."""
    low, high = 0.5, 3.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _predicted(sent, table.slower(middle), asked)[0] < mean else (low, middle)
    return (low + high) / 2


def _row(load: str, rate: float, what: str, figures: Figures, measured: Figures) -> None:
    def cell(place: int, form: str, scale: float = 1.0) -> str:
        said = form.format(scale * figures[place])
        return said if figures is measured else f"{said} ({figures[place] / measured[place] - 1:+.0%})"

    cells = (cell(0, "{:.2f}"), cell(1, "{:.2f}"), cell(2, "{:.2f}"), cell(3, "{:.1f}", 1000.0))
    _say(f"| {load} | {rate:.2f} | {what} | {' | '.join(cells)} |")


def main(arguments: list[str] | None = None) -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "rows", "arms", "llama"])
    parser.add_argument("--requests", type=int, help="speed: 1,000,000; llama: 120 a load")
    parser.add_argument("--record", type=Path, default=Path("docs/benchmarks/arms.jsonl"))
    parser.add_argument("--sets", default="multiarith 61-,mbpp", help="arms: sets of the record, with commas")
    parser.add_argument("--table", default="h100-qwen3-30b-a3b", help="arms: the step table")
    parser.add_argument("--users", type=float, default=30_000, help="arms")
    parser.add_argument("--per-hour", type=float, default=60, help="arms")
    parser.add_argument("--gpu-usd", type=float, default=4.0, help="arms")
    given = parser.parse_args(arguments)
    given.requests = given.requests or (1_000_000 if given.what == "speed" else 120)
    {"speed": _speed, "rows": _rows, "arms": _arms, "llama": _llama}[given.what](given)


if __name__ == "__main__":
    main()
