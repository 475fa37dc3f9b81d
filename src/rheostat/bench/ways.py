"""Read and score recorded replies, to find the best way of asking by model and kind of task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rheostat.bench.problems import Problem, ask_problems
from rheostat.evidence.asking import WAYS
from rheostat.evidence.expected import Expected
from rheostat.evidence.running import worked_out
from rheostat.task import Kind

__all__ = ["Cell", "answer_of_row", "cells", "chosen", "table"]

_KINDS: dict[str, Kind] = {"multiarith": "maths", "gsm8k": "maths", "mbpp": "code", "chat": "chat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The results of one way of asking, on all tasks of a set or on one half of them."""

    tasks: int
    right: int
    none: int
    """Replies without an answer."""
    untold: int
    """Answers that the tests couldn't judge; not among the right ones."""
    output_tokens: float
    """Mean per task."""

    @property
    def accuracy(self) -> float:
        """Right ÷ tasks."""
        return self.right / self.tasks if self.tasks else 0.0


def answer_of_row(row: dict[str, Any], problem: Problem) -> str | None:
    """The answer of a recorded reply, as the solver would read it."""
    way = WAYS[row["way"]]
    expected = Expected.of(problem.question, _KINDS[problem.level], None)
    if way.runs:
        text, _ = worked_out(row["text"], way.runs)
        answer = expected.whole(text) if text is not None else None
    else:
        answer = expected.read(row["text"], cut=row["cut"])
    return answer.text if answer is not None else None


def cells(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str, float, str], Cell]:
    """Cells by (model, set, way, temperature, half), where half is `all`, `even` or `odd` tasks."""
    problems = {problem.id: (number, problem) for name in _KINDS for number, problem in enumerate(ask_problems(name))}
    scored = defaultdict(list)
    for row in rows:
        number, problem = problems[row["id"]]
        answer = answer_of_row(row, problem)
        judged = (problem.correct(answer), answer is None, row["output_tokens"])
        for half in ("all", "odd" if number % 2 else "even"):
            scored[row["model"], problem.level, row["way"], float(row["temperature"]), half].append(judged)
    return {
        key: Cell(
            tasks=len(own),
            right=sum(right is True for right, _, _ in own),
            untold=sum(right is None for right, _, _ in own),
            none=sum(none for _, none, _ in own),
            output_tokens=sum(tokens for _, _, tokens in own) / len(own),
        )
        for key, own in scored.items()
    }


def chosen(made: dict[tuple[str, str, str, float, str], Cell], model: str, level: str) -> list[tuple[str, float]]:
    """(way, temperature) from best to worst on the even tasks; among equals, fewer tokens come first."""
    own = [(key, cell) for key, cell in made.items() if key[:2] == (model, level) and key[4] == "even"]
    return [key[2:4] for key, cell in sorted(own, key=lambda item: (-item[1].accuracy, item[1].output_tokens))]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown tables of accuracy @ mean output tokens by way; the even tasks choose a way, the odd ones judge it."""
    made = cells(rows)
    lines = []
    for model, level in dict.fromkeys(key[:2] for key in made):
        order = chosen(made, model, level)
        lines += [
            f"\n**{model}, {level}**\n",
            "| way | all | even (chooses) | odd (judges) | no answer | can't tell |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for number, (way, temperature) in enumerate(order):
            whole, even, odd = (made.get((model, level, way, temperature, half)) for half in ("all", "even", "odd"))
            name = f"{way}, T = {temperature:g}" if temperature else way
            shown = [
                f"{cell.accuracy:.0%} @ {cell.output_tokens:.0f} ({cell.tasks})" if cell else "–"
                for cell in (whole, even, odd)
            ]
            mark = "**" if number == 0 else ""
            counts = f"{whole.none} | {whole.untold}" if whole else "0 | 0"
            lines.append(f"| {mark}{name}{mark} | {' | '.join(shown)} | {counts} |")
    return "\n".join(lines)
