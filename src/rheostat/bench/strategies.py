"""`make bench-strategies`: what each strategy brings beside one greedy answer, live on the embedded models.

The cells of a set run task by task, so that any part of the record is a fair comparison. A task of a cell that is in
the record isn't run again. Gold answers are for scoring only; on MBPP and the game of 24 the verifier is the scorer.
Each task's ledger is compared with the model servers' own counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rheostat.bench.game24 import EXPRESSION, Puzzle, puzzles
from rheostat.bench.problems import Problem, ask_problems
from rheostat.bench.record import append, read_record
from rheostat.bench.strategies_table import table, violations
from rheostat.bench.truth import server_tokens, wait_until_idle
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.evidence.scorers import Confidence, Judge, Scorer
from rheostat.evidence.verifiers import PythonTests, Verifier, as_verifier
from rheostat.graph.state import read as readings
from rheostat.judgement.policy import Caps
from rheostat.local import CATALOGUE, require_model, start_server
from rheostat.models import served_endpoint
from rheostat.money.budget import Budget
from rheostat.money.pricing import Price
from rheostat.providers import Endpoint
from rheostat.solver.build import build_solver
from rheostat.strategies import BestOfN, Direct, Refine, Strategy, TreeSearch, Vote

__all__ = ["CELLS", "Cell", "main", "solve", "todo"]

SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"
PRICES = {
    SMALL: Price(input_per_million="0.05", output_per_million="0.20"),  # type: ignore[arg-type]  # made exact by Price
    LARGE: Price(input_per_million="0.15", output_per_million="0.60"),  # type: ignore[arg-type]  # as above
}
"""Declared: local models cost nothing by the token. They only make the judge and the judged comparable."""
BUDGET = Budget(tokens=16_000, seconds=900)
"""Of each task; wide, so that strategies end by their own rules. A task where it binds is marked."""
_CAPS = Caps(answer_tokens=320)
_SETS = ("multiarith", "mbpp", "game24", "game24-1.5b", "gsm8k")
_OWN_CHARS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One way to solve the tasks of a set."""

    name: str
    strategy: Strategy | str = field(default_factory=Direct)
    scorer: Literal["", "confidence", "judge"] = ""
    verified: bool = False
    """The task's own check judges the answers while they are drawn."""
    effort: str = "none"
    """`none`: the cells differ in their strategy alone."""
    model: str = SMALL


_CONTROL = Cell(name="control")
_WORDS = (
    _CONTROL,
    Cell(name="vote", strategy=Vote(most_samples=6)),
    Cell(name="best-of-4, confidence", strategy=BestOfN(samples=4), scorer="confidence"),
    Cell(name="best-of-4, judge", strategy=BestOfN(samples=4), scorer="judge"),
    Cell(name="refine, judge", strategy=Refine(), scorer="judge"),
    Cell(name="auto", strategy="auto", effort="balanced"),
)


def _puzzle_cells(model: str) -> tuple[Cell, ...]:
    return (
        Cell(name="control", model=model),
        Cell(name="best-of-8, checker", strategy=BestOfN(samples=8), verified=True, model=model),
        Cell(name="tree of 8, checker", strategy=TreeSearch(samples=8), verified=True, model=model),
    )


CELLS: dict[str, tuple[Cell, ...]] = {
    "multiarith": _WORDS,
    "mbpp": (
        _CONTROL,
        Cell(name="refine, tests", strategy=Refine(), verified=True),
        Cell(name="best-of-4, tests", strategy=BestOfN(samples=4), verified=True),
        Cell(name="tree of 8, tests", strategy=TreeSearch(samples=8), verified=True),
    ),
    "game24": _puzzle_cells(SMALL),
    "game24-1.5b": _puzzle_cells(LARGE),
    "gsm8k": _WORDS,
}
"""The cells by set, the control first. `game24-1.5b` runs if the 0.5B solves no puzzle."""


def _problems(set_name: str, most: int) -> Sequence[Problem]:
    return puzzles(most) if set_name.startswith("game24") else ask_problems(set_name)[:most]


def _verifier(problem: Problem) -> Verifier | None:
    return as_verifier(problem.check) if isinstance(problem, Puzzle) else PythonTests(problem.tests)


class Models:
    """The models' servers, started when they are first needed; ours alone, so that their counts are ours."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}

    def __getitem__(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            server = start_server(require_model(CATALOGUE[name]))
            self._endpoints[name] = served_endpoint(
                server.url, server.key, name=name, price=PRICES[name], server=server, own_template=True
            )
        return self._endpoints[name]

    def counts(self) -> dict[str, tuple[int, int]]:
        """(prompt tokens processed, tokens generated) by model, once all servers are idle.

        Raises:
            SystemExit: a server keeps no counts, or doesn't come to rest.
        """
        found = {}
        for name, endpoint in self._endpoints.items():
            tokens = server_tokens(endpoint) if wait_until_idle(endpoint) else None
            if tokens is None:
                raise SystemExit(f"the server of {name} is not idle, or keeps no counts")
            found[name] = tokens
        return found


def solve(models: Models, cell: Cell, problem: Problem) -> dict[str, Any]:
    """Solve one task, score it, and compare the ledger with the servers; the row of the record without its names."""
    endpoint = models[cell.model]
    scorer: Scorer | None = {"": lambda: None, "confidence": Confidence, "judge": lambda: Judge(model=models[LARGE])}[
        cell.scorer
    ]()  # type: ignore[operator]  # a function of nothing
    graph = build_solver(
        endpoint,
        budget=BUDGET,
        verifier=_verifier(problem) if cell.verified else None,
        form=EXPRESSION if isinstance(problem, Puzzle) else problem.form,
        effort=cell.effort,
        strategy=cell.strategy,
        scorer=scorer,
        caps=_CAPS,
    ).compile()
    before, began = models.counts(), time.monotonic()
    result: dict[str, Any] = {}
    wound_down = False
    streamed: Iterator[Any] = graph.stream({"question": problem.question}, stream_mode=["updates", "values"])
    for mode, said in streamed:
        if mode == "values":
            result = said
        else:
            wound_down |= any(update.get("wind_down") for update in said.values() if isinstance(update, dict))
    seconds = round(time.monotonic() - began, 2)
    after = models.counts()
    spend = readings(result)["run"]
    judged = spend["by_node"].get("judge", {})
    drawn = in_order(Candidate.from_dict(each) for each in result["candidates"])
    correct = problem.correct(result["answer"])
    refused = [each.error for each in drawn if each.error and each.error.startswith("budget: ")]
    return {
        "right": correct is True,
        "untold": correct is None,
        "status": result["status"],
        "stopped": result["stopped"],
        "confidence": result["confidence"],
        "answer": result["answer"][:_OWN_CHARS] if result["answer"] else None,
        "chosen": result["chosen"],
        "samples": len(drawn),
        "cancelled": sum(each.status == "cancelled" for each in drawn),
        "failed": sum(each.status == "failed" for each in drawn),
        "bound": bool(wound_down or refused or result["stopped"].startswith("budget")),
        "input_tokens": spend["input_tokens"] + spend["unknown_input_tokens"],
        "cached_input_tokens": spend["cached_input_tokens"],
        "output_tokens": spend["output_tokens"] + spend["unknown_output_tokens"],
        "judge_tokens": judged.get("input_tokens", 0) + judged.get("output_tokens", 0),
        "judge_usd_nanos": judged.get("usd_nanos", 0),
        "usd_nanos": spend["usd_nanos"] + spend["unknown_usd_nanos"],
        "seconds": seconds,
        "unknown": {
            "calls": spend["unknown_calls"],
            "input": spend["unknown_input_tokens"],
            "output": spend["unknown_output_tokens"],
        },
        "settled": {
            name: [by["input_tokens"] - by["cached_input_tokens"], by["output_tokens"]]
            for name, by in spend["by_model"].items()
        },
        "server": {name: [after[name][0] - before[name][0], after[name][1] - before[name][1]] for name in after},
        "drawn": [_shown(problem, each) for each in drawn],
    }


def _shown(problem: Problem, each: Candidate) -> dict[str, Any]:
    """A candidate in the record. Whether it is right is for scoring only: what would a perfect choice reach?"""
    return {
        "id": each.id,
        "parent": each.parent,
        "way": each.way,
        "status": each.status,
        "answer": None if each.answer is None or problem.tests else each.answer[:100],
        "right": problem.correct(each.answer) is True,
        "passed": each.passed,
        "score": each.score,
        "reason": each.reason[:200],
        "input_tokens": each.spend.input_tokens,
        "output_tokens": each.spend.output_tokens,
    }


def todo(sets: Sequence[str], most: int, rows: list[dict[str, Any]]) -> Iterator[tuple[str, Problem, Cell]]:
    """What isn't recorded yet, task by task; `rows` grows while this runs."""
    for set_name in sets:
        if set_name == "game24-1.5b" and any(row["right"] for row in rows if row["set"] == "game24"):
            continue
        for problem in _problems(set_name, most):
            for cell in CELLS[set_name]:
                if not any((row["set"], row["id"], row["cell"]) == (set_name, problem.id, cell.name) for row in rows):
                    yield set_name, problem, cell


def main(arguments: list[str] | None = None) -> int:
    """Run what isn't in the record yet, and print the tables; the number of tasks where the ledger was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, required=True, help="one task a line; recorded ones aren't run again")
    parser.add_argument("--set", action="append", choices=_SETS, help="only these; may be repeated")
    parser.add_argument("--most", type=int, default=30, help="at most this many tasks of a set")
    parser.add_argument("--seconds", type=float, help="start no further task after this many seconds")
    parser.add_argument("--table", action="store_true", help="only print the tables of the record")
    given = parser.parse_args(arguments)
    rows, models = read_record(given.record), Models()
    until = time.monotonic() + given.seconds if given.seconds else float("inf")
    for set_name, problem, cell in () if given.table else todo(given.set or _SETS, given.most, rows):
        if time.monotonic() > until:
            break
        row = {"set": set_name, "cell": cell.name, "id": problem.id, "model": cell.model}
        row |= solve(models, cell, problem)
        append(given.record, row)
        rows.append(row)
        sys.stderr.write(
            f"{set_name} {problem.id} {cell.name}: {'right' if row['right'] else 'wrong'}, {row['samples']} samples, "
            f"{row['output_tokens']} tokens, {row['seconds']:.0f} s\n"
        )
        sys.stderr.writelines(f"VIOLATION: {each}\n" for each in violations([row]))
    broken = violations(rows)
    sys.stdout.write(table(rows, {name: [cell.name for cell in cells] for name, cells in CELLS.items()}) + "\n")
    sys.stdout.write("".join(f"VIOLATION: {each}\n" for each in broken))
    return len(broken)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
