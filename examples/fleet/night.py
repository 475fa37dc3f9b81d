"""Five hundred tasks over night under one cap, on as many processes as you like.

    python examples/fleet/night.py                                    simulated model, needs no key
    python examples/fleet/night.py --model qwen2.5-coder-0.5b --tasks 40 --at-once 2
    python examples/fleet/night.py --model openai:gpt-6-sol --usd 5 --db postgresql://me@host/fleets --rpm 500

Kill it, or any of its workers, at any moment, and start it again: each task ends once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rheostat import Budget, Rate
from rheostat.bench.problems import Problem, ask_problems
from rheostat.fleet import Counts, Fleet
from rheostat.testing.server import Turn, provider_server

GRAPH = f"{Path(__file__).with_name('fleet_graph.py')}:graph"


def problems(count: int) -> dict[str, Problem]:
    """GSM8K's word problems and MBPP's programs, as often as it takes."""
    known = [*ask_problems("gsm8k"), *ask_problems("mbpp")]
    return {f"{known[n % len(known)].id} {n // len(known)}": known[n % len(known)] for n in range(count)}


@contextmanager
def simulated(model: str, known: dict[str, Problem]) -> Iterator[None]:
    """A simulated model that answers three word problems of four rightly, unless another model is named."""
    if model:
        os.environ["FLEET_MODEL"] = model
        yield
        return
    gold = {problem.question: problem.gold for problem in known.values()}

    def turn(number: int, body: dict[str, Any]) -> Turn:
        asked = str(body["messages"])
        right = next((answer for question, answer in gold.items() if question[:60] in asked), "")
        return Turn(text=f"The answer is {right or 0 if len(asked) % 4 else 1}.")

    with provider_server(planned=turn) as server:
        os.environ["FLEET_SERVER"] = server.openai_url
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=5_000_000, help="the cap of the night")
    parser.add_argument("--usd", help="the cap of the night, for a model with a price")
    parser.add_argument("--db", default="night.db")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--rpm", type=int, help="requests a minute that the provider allows")
    asked = parser.parse_args()
    known = problems(asked.tasks)
    with (
        simulated(asked.model, known),
        Fleet(
            "night",
            GRAPH,
            budget=Budget(usd=asked.usd) if asked.usd else Budget(tokens=asked.tokens),
            each=Budget(tokens=20_000),
            db=asked.db,
            rate=Rate(rpm=asked.rpm) if asked.rpm else None,
            workers=asked.workers,
            at_once=asked.at_once,
        ) as fleet,
    ):
        fleet.submit(
            {"id": name, "input": {"question": one.question, **({"tests": one.tests} if one.tests else {})}}
            for name, one in known.items()
        )

        def tell(counts: Counts) -> None:
            print(f"\r{counts.done} done, {counts.failed} failed, {counts.queued} queued", end="", file=sys.stderr)

        fleet.work(tell=tell)
        results = [each for each in fleet.results() if each.state == "done"]
        right = sum(known[each.id].correct(each.answer) is True for each in results)
        spent = fleet.reading()
        tokens = spent["input_tokens"] + spent["output_tokens"]
        print(
            f"\n{right} of {len(results)} right, {tokens:,} tokens, {spent['calls']} calls; {fleet.paused() or 'done'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
