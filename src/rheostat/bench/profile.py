"""`make profile`: the shipped profile of the embedded models, from the committed records.

Maths from `docs/benchmarks/ask.jsonl` (MultiArith and GSM8K, at temperature 0), code from the record of strategies
(MBPP: first answers, further samples, corrections on what the tests say), and for models that aren't in it from the
fixed arms of `bench-arms` on the same tasks; its other tasks are held back.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rheostat.bench.problems import Problem, ask_problems
from rheostat.bench.ways import answer_of_row
from rheostat.judgement.fitting import Trial, fitted
from rheostat.judgement.profile import CORRECT, SAMPLE, Arm, Profile
from rheostat.replay.keys import key_of
from rheostat.thinking.difficulty import heuristic

__all__ = ["main", "profile_of"]

_MATHS = ("multiarith", "gsm8k")
_WAYS = ("function", "program", "steps", "variables")


def profile_of(asked: list[dict[str, Any]], strategies: list[dict[str, Any]], arms: list[dict[str, Any]]) -> Profile:
    """The profile of the records."""
    code = list(_code(strategies))
    return fitted([*_maths(asked), *code, *_fixed(arms, code)], date="2026-11-29", source="docs/benchmarks.md")


def _fixed(rows: list[dict[str, Any]], known: list[Trial]) -> Iterator[Trial]:
    """One answer each of models that the record of strategies lacks, on the tasks that it has."""
    tasks, models = {each.task: each.difficulty for each in known}, {each.arm.model for each in known}
    seen = set()
    for row in rows:
        model, _, rest = row["setting"].partition(" · ")
        if row["set"] != "mbpp" or rest != "none · bare" or model in models or row["task"] not in tasks:
            continue
        if (model, row["task"]) not in seen:
            seen.add((model, row["task"]))
            yield Trial(
                task=row["task"],
                arm=Arm(model=model, effort="none", way="bare"),
                right=bool(row["right"]),
                kind="code",
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
                difficulty=tasks[row["task"]],
            )


def _maths(rows: list[dict[str, Any]]) -> Iterator[Trial]:
    problems = {each.id: each for name in _MATHS for each in ask_problems(name)}
    for row in rows:
        if row["id"] in problems and row["way"] in _WAYS and not row["temperature"]:
            problem = problems[row["id"]]
            answer = answer_of_row(row, problem)
            yield Trial(
                task=row["id"],
                arm=Arm(model=row["model"], effort="none", way=row["way"]),
                right=problem.correct(answer) is True,
                kind="maths",
                answer=key_of(answer),
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
                score=row.get("low_logprob"),
                difficulty=heuristic(problem.question).score,
            )


def _code(rows: list[dict[str, Any]]) -> Iterator[Trial]:
    problems: dict[str, Problem] = {each.id: each for each in ask_problems("mbpp")}
    for row in rows:
        if row["set"] != "mbpp" or row["cell"] == "control":
            continue
        first = True
        for each in row["drawn"]:
            if each["status"] != "done":
                continue
            strategy = CORRECT if each["parent"] else "" if first else SAMPLE
            if strategy or row["cell"].startswith("refine"):  # every cell begins with the same first answer
                yield Trial(
                    task=row["id"],
                    arm=Arm(model=row["model"], effort="none", way="bare", strategy=strategy),
                    right=bool(each["passed"]),
                    kind="code",
                    input_tokens=each["input_tokens"],
                    output_tokens=each["output_tokens"],
                    difficulty=heuristic(problems[row["id"]].question).score if row["id"] in problems else None,
                )
            first = False


def main(arguments: list[str] | None = None) -> None:
    """Write the profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asked", type=Path, default=Path("docs/benchmarks/ask.jsonl"))
    parser.add_argument("--strategies", type=Path, default=Path("docs/benchmarks/strategies.jsonl"))
    parser.add_argument("--arms", type=Path, default=Path("docs/benchmarks/arms.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("src/rheostat/judgement/profiles/embedded.json"))
    given = parser.parse_args(arguments)
    rows = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (given.asked, given.strategies, given.arms)
    ]
    made = profile_of(*rows)
    given.out.write_text(made.to_text(), encoding="utf-8")
    sys.stdout.write(made.to_text())


if __name__ == "__main__":
    main()
