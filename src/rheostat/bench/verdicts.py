"""The time of a verdict: `python -m rheostat.bench.verdicts examples/bugs docs/benchmarks/ask.jsonl`.

For each repository in the first argument: its tests under plain pytest (the control) and under `test_runner`, with the
bug (red) and with its solution applied (green). For each recorded reply to MBPP in the second: the time of the embedded
interpreter alone, and of `PythonTests`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from rheostat.bench.problems import ask_problems
from rheostat.bench.ways import answer_of_row
from rheostat.evidence.verifiers import PythonTests
from rheostat.sandbox.embedded import run_embedded
from rheostat_tools import test_runner

__all__ = ["main"]

_ARGUMENTS = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")


def _bugs(root: Path) -> list[tuple[str, float, float, str]]:
    """(state, seconds of the control, seconds of the verdict, its first line) for each repository and state."""
    rows = []
    for bug in sorted(path.parent for path in root.glob("*/task.txt")):
        with tempfile.TemporaryDirectory() as place:
            tree = Path(place, bug.name)
            shutil.copytree(bug, tree, ignore=shutil.ignore_patterns("__pycache__"))
            tool = test_runner(tree, command=("python", *_ARGUMENTS))
            for state in ("red", "green"):
                if state == "green":
                    subprocess.run(["git", "apply", "solution.patch"], cwd=tree, check=True)  # noqa: S607
                bare = [sys.executable, *_ARGUMENTS, "--disable-plugin-autoload"]
                began = time.perf_counter()
                subprocess.run(bare, cwd=tree, check=False, capture_output=True)  # noqa: S603 - our own words
                control = time.perf_counter() - began
                began = time.perf_counter()
                said = str(tool.invoke({})).splitlines()[0]
                rows.append((state, control, time.perf_counter() - began, said))
    return rows


def _replies(record: Path) -> list[tuple[float, float, bool | None]]:
    """(seconds of the embedded interpreter alone, seconds of the verdict, the verdict) for each distinct answer."""
    problems = {problem.id: problem for problem in ask_problems("mbpp")}
    rows, seen = [], set()
    for line in record.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        problem = problems.get(row["id"])
        answer = answer_of_row(row, problem) if problem is not None else None
        if problem is None or answer is None or (answer, problem.id) in seen:
            continue
        seen.add((answer, problem.id))
        began = time.perf_counter()
        run_embedded((f"{answer}\nNone\n", f"{problem.tests}\nNone\n"))
        alone = time.perf_counter() - began
        verifier = PythonTests(problem.tests)
        began = time.perf_counter()
        verdict = verifier.check(answer)
        rows.append((alone, time.perf_counter() - began, verdict.passed))
    return rows


def main(bugs: Path, record: Path) -> None:
    """Print medians, and their ratio to the control of the same run."""
    rows = _bugs(bugs)
    for state in ("red", "green"):
        control = statistics.median(row[1] for row in rows if row[0] == state)
        verdict = statistics.median(row[2] for row in rows if row[0] == state)
        said = Counter(row[3].split(":")[0] for row in rows if row[0] == state)
        typer.echo(f"{state}: {control:.3f} s bare, {verdict:.3f} s judged, {verdict / control:.2f} x; {dict(said)}")
    replies = _replies(record)
    alone, judged = [row[0] * 1e3 for row in replies], [row[1] * 1e3 for row in replies]
    typer.echo(
        f"{len(replies)} replies, median: {statistics.median(alone):.1f} ms embedded, "
        f"{statistics.median(judged):.1f} ms judged"
    )
    typer.echo(f"mean: {statistics.mean(alone):.1f} ms embedded, {statistics.mean(judged):.1f} ms judged")
    said_of = Counter({True: "right", False: "wrong", None: "can't tell"}[row[2]] for row in replies)
    typer.echo(f"judged: {dict(said_of)}")


if __name__ == "__main__":
    typer.run(main)
