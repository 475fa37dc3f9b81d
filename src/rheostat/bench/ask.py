"""`make bench-ask`: how well each way of asking works, by model and kind of task.

Replies are recorded unread; the answers are read when the table is made, so that a better reader needs no new run. The
best way of a cell is chosen on one half of the tasks and judged on the other half.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rheostat.bench.problems import Problem, ask_problems
from rheostat.bench.ways import table
from rheostat.calling.sample import shaped
from rheostat.evidence.asking import WAYS, WayName, ask, finish
from rheostat.evidence.confidence import logprobs_of, lowest_window
from rheostat.models import resolve
from rheostat.providers import Endpoint
from rheostat.task import Effort, ThinkingPlan

__all__ = ["main"]

_THINKING_TOKENS, _ANSWER_TOKENS = 320, 320
_CELLS: dict[str, tuple[tuple[WayName, float], ...]] = {
    "multiarith": (
        ("function", 0), ("variables", 0), ("program", 0), ("steps", 0), ("bare", 0), ("few-shot", 0), ("marked", 0),
        ("steps", 0.7),
    ),
    "gsm8k": (
        ("function", 0), ("variables", 0), ("program", 0), ("steps", 0), ("bare", 0), ("few-shot", 0), ("marked", 0),
    ),
    "mbpp": (("bare", 0), ("steps", 0), ("few-shot", 0), ("marked", 0)),
    "chat": (("bare", 0), ("steps", 0)),
}  # fmt: skip
"""(way, temperature) by set of tasks."""


def _say(endpoint: Endpoint, problem: Problem, way_name: WayName, temperature: float) -> dict[str, Any]:
    """Ask one question and return a row of the record; a thought that runs out of tokens gets a second, answer call."""
    way, dial = WAYS[way_name], endpoint.dial
    thought = _THINKING_TOKENS if way.thought != "none" else 0
    effort = Effort.medium if thought else Effort.none
    plan = shaped(ThinkingPlan(effort=effort, thinking_tokens=thought, answer_tokens=_ANSWER_TOKENS), way, problem.form)
    messages = ask(problem.question, problem.form, way, marks=dial.example)
    row: dict[str, Any] = {"text": "", "output_tokens": 0, "input_tokens": 0, "cut": False}
    began = time.monotonic()
    for phase in dial.phases(plan, schema=False):
        if phase == "answer":
            if row["text"] and not row["cut"]:
                break
            thought_text = row["text"] or "…"
            messages = [
                *messages,
                {"role": "assistant", "content": thought_text},
                {"role": "user", "content": finish(problem.form)},
            ]
        settings = dial.encode(plan, phase, temperature=temperature, schema=None)
        if (stops := way.stops(problem.form)) and phase != "think":
            settings.kwargs["stop"] = stops
        if dial.facts.gives_logprobs:
            settings.kwargs["logprobs"] = True
        message = endpoint.chat.invoke(messages, **settings.kwargs)
        if dial.facts.gives_logprobs:
            row["low_logprob"] = lowest_window(logprobs_of(message))
        reply = dial.decode(message, settings, phase)
        row["text"] = reply.text or reply.thought
        row["cut"] = reply.cut
        row["output_tokens"] += reply.spend.output_tokens if reply.spend else 0
        row["input_tokens"] += reply.spend.input_tokens if reply.spend else 0
    return {**row, "seconds": round(time.monotonic() - began, 2)}


def _todo(
    models: list[str], sets: list[str], ways: list[str], most: int, known: set[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    for set_name in sets:
        problems = ask_problems(set_name)[:most]
        for model in models:
            for way, temperature in (cell for cell in _CELLS[set_name] if not ways or cell[0] in ways):
                for problem in problems:
                    if (model, problem.id, way, temperature) not in known:
                        yield model, problem, way, temperature


def main(arguments: list[str] | None = None) -> None:
    """Run what isn't in the record yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, required=True, help="one reply a line; recorded ones aren't run again")
    parser.add_argument("--model", action="append", help="may be repeated; default: both embedded models")
    parser.add_argument("--set", action="append", choices=list(_CELLS), help="only these; may be repeated")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="only these; may be repeated")
    parser.add_argument("--most", type=int, default=60, help="at most this many tasks of a set")
    parser.add_argument("--seconds", type=float, help="start no further task after this many seconds")
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args(arguments)
    models = given.model or ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
    rows = [json.loads(line) for line in given.record.read_text().splitlines()] if given.record.exists() else []
    known = {(row["model"], row["id"], row["way"], row["temperature"]) for row in rows}
    todo = list(_todo(models, given.set or list(_CELLS), given.way or [], given.most, known))
    until = time.monotonic() + given.seconds if given.seconds else float("inf")
    with given.record.open("a", encoding="utf-8") as record, ThreadPoolExecutor(given.workers) as pool:

        def work(item: tuple[str, Problem, WayName, float]) -> dict[str, Any] | None:
            model, problem, way, temperature = item
            if time.monotonic() > until:
                return None
            said = _say(resolve(model), problem, way, temperature)
            return {"model": model, "id": problem.id, "way": way, "temperature": temperature, **said}

        for number, row in enumerate(pool.map(work, todo), 1):
            if row is None:
                continue
            record.write(json.dumps(row, ensure_ascii=False) + "\n")
            record.flush()
            rows.append(row)
            if number % 10 == 0:
                sys.stderr.write(f"{number} of {len(todo)}: {row['model']} {row['id']} {row['way']}\n")
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
