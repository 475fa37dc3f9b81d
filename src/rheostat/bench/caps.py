"""Check that no run passes its token cap by the server's own count: many runs under random caps, sync and async.

`python -m rheostat.bench.caps [RUNS]` runs a real local model under caps of 50 to 5,000 tokens and compares each run
with the llama.cpp server's own counters. It exits with 1 if a run passed its cap or a count differed.
"""

from __future__ import annotations

import asyncio
import random
import sys

from rheostat.bench.truth import server_tokens
from rheostat.errors import BudgetExceeded
from rheostat.graph.state import read
from rheostat.judgement.policy import Caps
from rheostat.local import DEFAULT_MODEL
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.solver.build import build_solver
from rheostat.solver.state import SolverInput

__all__ = ["main"]

_QUESTIONS = (
    "A box holds 12 eggs. Mia buys 4 boxes and uses 9 eggs. How many eggs are left?",
    "Lea earns 15 dollars an hour. She works 6 hours on Monday and half as long on Tuesday. What does she earn?",
    "What is the capital of France?",
    "Write a Python function double(n).",
)


def main(runs: int = 200) -> int:
    """Run, print, and return the number of runs that passed their cap or whose count differed."""
    endpoint = resolve(DEFAULT_MODEL)
    dice = random.Random(20261122)  # noqa: S311 - repeatable
    broken = refused = spent = billed = 0
    with asyncio.Runner() as loop:
        for number in range(runs):
            cap = dice.randint(50, 5000)
            question = dice.choice(_QUESTIONS)
            effort = dice.choice(("fast", "balanced", "thorough", "low"))
            graph = build_solver(
                endpoint, budget=Budget(tokens=cap), effort=effort, caps=Caps(answer_tokens=96)
            ).compile()
            before = server_tokens(endpoint)
            ours = (0, 0)
            total = 0
            try:
                inputs = SolverInput(question=question)
                result = loop.run(graph.ainvoke(inputs)) if number % 2 else graph.invoke(inputs)
                spend = read(result)["spend"]
                ours = (spend["input_tokens"] - spend["cached_input_tokens"], spend["output_tokens"])
                total = spend["input_tokens"] + spend["output_tokens"]
            except BudgetExceeded:
                refused += 1
            after = server_tokens(endpoint)
            if before is None or after is None:
                raise SystemExit("the server keeps no counts")
            theirs = (after[0] - before[0], after[1] - before[1])
            spent, billed = spent + sum(ours), billed + sum(theirs)
            if theirs != ours or sum(theirs) > cap or total > cap:
                broken += 1
                sys.stdout.write(f"run {number}: cap {cap}, server {theirs}, ledger {ours}, total {total}\n")
            if number % 20 == 19:
                sys.stdout.write(f"{number + 1} runs: {refused} refused before a call, {broken} broken\n")
                sys.stdout.flush()
    sys.stdout.write(
        f"{runs} runs, caps 50 to 5,000 tokens, half of them async: {broken} passed their cap or differed; "
        f"{refused} were refused before a call; server processed {billed:,} tokens, ledger says {spent:,}\n"
    )
    return broken


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 200) else 0)
