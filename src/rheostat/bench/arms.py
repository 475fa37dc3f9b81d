"""`make bench-arms`: the policy by worth beside every fixed arm, live on the embedded models.

All settings answer a task before the next task begins, so that any part of the record is a fair comparison; a task of a
setting that is in the record isn't run again. Gold answers are for scoring only; a task with tests gives them to the
policy as its verifier, as users do, and the fixed arms, one answer each, don't see them. With one model costs are
output tokens, with several the declared prices (1 : 3) of `bench-strategies`.

    python -m rheostat.bench.arms --record arms.jsonl --set multiarith
    python -m rheostat.bench.arms --record arms.jsonl --set mine --tasks tasks.jsonl --models qwen2.5-coder-0.5b
    python -m rheostat.bench.arms --record arms.jsonl --table
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rheostat.bench.problems import ask_problems
from rheostat.bench.record import append, read_record
from rheostat.bench.strategies import LARGE, PRICES, SMALL
from rheostat.evidence.verifiers import PythonTests
from rheostat.graph.state import read
from rheostat.judgement.policy import Caps
from rheostat.judgement.profile import Arm
from rheostat.judgement.shipped import default_profile
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.providers import Endpoint
from rheostat.replay.arms import Point, frontier, mixed
from rheostat.replay.intervals import intervals
from rheostat.solver.build import build_solver
from rheostat.solver.calibrate import CalibrationTask, OneArm, read_tasks
from rheostat.strategies import Strategy

__all__ = ["main", "table"]

_WORKERS: Final = 2
_PRESETS: Final = ("fast", "balanced", "thorough")
_BUDGET: Final = Budget(tokens=16_000, seconds=600)
_CAPS: Final = Caps(answer_tokens=320)
Row = dict[str, Any]


def _tasks(name: str, path: Path | None) -> list[CalibrationTask]:
    if path is not None:
        return read_tasks(path)
    return [
        CalibrationTask(id=each.id, question=each.question, gold=each.gold, tests=each.tests, form=each.form)
        for each in ask_problems(name)
    ]


def _settings(models: Sequence[str], kind: str) -> dict[str, Strategy | str]:
    """Every fresh arm of these models that the profile knows for this kind of task, and the policy at each preset.

    A model of which it knows none is asked in the ways that it knows of the others.
    """
    known = default_profile().kinds[kind].arms
    arms = [arm for arm in sorted(known) if arm.model in models and not arm.strategy]
    unknown = [model for model in models if not any(arm.model == model for arm in arms)]
    arms = sorted({*arms, *(replace(arm, model=model) for arm in arms for model in unknown)})
    return {**{str(arm): OneArm(arm) for arm in arms}, **{f"policy, {name}": name for name in _PRESETS}}


def _answer(task: CalibrationTask, setting: Strategy | str, endpoints: Mapping[str, Endpoint]) -> Row:
    of: Arm | None = getattr(setting, "arm", None)
    chosen = list(endpoints.values()) if of is None else [endpoints[of.model]]
    form: Any = "code" if task.tests else task.form or "number"
    graph = build_solver(
        chosen[0],
        escalate_to=chosen[1:],
        budget=_BUDGET,
        form=form,
        effort="balanced" if of is not None else setting,  # type: ignore[arg-type]  # a preset
        strategy="auto" if isinstance(setting, str) else setting,
        verifier=PythonTests(task.tests) if task.tests and of is None else None,
        caps=_CAPS,
    ).compile()
    began = time.monotonic()
    result = graph.invoke({"question": task.question})
    spend = read(result)["run"]
    return {
        "right": task.right(result["answer"]),
        "stopped": result["stopped"],
        "ways": [f"{each['model']} {each['way']}" for each in result["candidates"]],
        "input_tokens": spend["input_tokens"] + spend["unknown_input_tokens"],
        "output_tokens": spend["output_tokens"] + spend["unknown_output_tokens"],
        "usd_nanos": spend["usd_nanos"] + spend["unknown_usd_nanos"],
        "seconds": round(time.monotonic() - began, 2),
    }


def _todo(
    name: str,
    tasks: Sequence[CalibrationTask],
    settings: Mapping[str, Strategy | str],
    models: str,
    rows: Sequence[Row],
) -> Iterator[tuple[CalibrationTask, list[str]]]:
    done = {(row["set"], row["models"], row["task"], row["setting"]) for row in rows}
    for task in tasks:
        left = [each for each in settings if (name, models, task.id, each) not in done]
        if left:
            yield task, left


def _run(given: argparse.Namespace) -> None:
    names = given.models.split(",")
    endpoints = {name: resolve(name, price=PRICES[name] if len(names) > 1 else None) for name in names}
    tasks = _tasks(given.set, given.tasks)[given.skip : given.skip + given.most]
    settings = _settings(names, "code" if tasks[0].tests else "maths")
    todo = list(_todo(given.set, tasks, settings, given.models, read_record(given.record)))
    end = time.monotonic() + given.seconds
    with ThreadPoolExecutor(_WORKERS) as pool:
        for number, (task, left) in enumerate(todo, 1):
            if time.monotonic() > end:
                return
            answers = [pool.submit(_answer, task, settings[name], endpoints) for name in left]
            for name, answer in zip(left, answers, strict=True):
                about = {"set": given.set, "models": given.models, "task": task.id, "setting": name}
                append(given.record, {**about, **answer.result()})
            sys.stderr.write(f"{given.set} {number}/{len(todo)} {task.id}\n")


def table(rows: Sequence[Row]) -> str:
    """The record as tables, one for each set of tasks and of models."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["set"], row["models"]].append(row)
    return "\n\n".join(_table(*key, each) for key, each in groups.items())


def _table(name: str, models: str, rows: Sequence[Row]) -> str:
    by: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by[row["setting"]][row["task"]] = row
    shared = sorted(set.intersection(*(set(each) for each in by.values())))
    unit = "usd_nanos" if "," in models else "output_tokens"
    points = {setting: _point(setting, [each[task] for task in shared], unit) for setting, each in by.items()}
    fixed = [each for each in points.values() if not each.name.startswith("policy")]
    hull = frontier(fixed)
    best = max(fixed, key=lambda each: (each.accuracy, -each.cost))
    cost_name = "$ / 1,000 tasks" if unit == "usd_nanos" else "output tokens"
    lines = [
        f"**{name}, {models.replace(',', ' + ')}, {len(shared)} tasks**", "",
        f"| setting | right | {cost_name} | draws | above the mix | above the best fixed arm |",
        "|---|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for setting, point in sorted(points.items(), key=lambda each: (each[1].name.startswith("policy"), each[1].cost)):
        cost = f"{point.cost * 1000 / 1e9:.3f}" if unit == "usd_nanos" else f"{point.cost:,.0f}"
        right = sum(by[setting][task]["right"] for task in shared)
        beside = "– | –"
        if point.name.startswith("policy"):
            ours, theirs = ([by[each][task] for task in shared] for each in (setting, best.name))
            above = [row["right"] - mixed(hull, point.cost) for row in ours]
            pairs = [float(one["right"]) - float(two["right"]) for one, two in zip(ours, theirs, strict=True)]
            spans = intervals([above, pairs])
            beside = " | ".join(
                f"{100 * sum(each) / len(shared):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
                for each, (low, high) in zip((above, pairs), spans, strict=True)
            )
        lines.append(f"| {setting} | {right} = {100 * point.accuracy:.0f}% | {cost} | {point.draws:.1f} | {beside} |")
    return "\n".join(lines)


def _point(name: str, rows: Sequence[Row], unit: str) -> Point:
    count = max(len(rows), 1)
    return Point(
        name=name,
        accuracy=sum(row["right"] for row in rows) / count,
        cost=sum(row[unit] for row in rows) / count,
        draws=sum(len(row["ways"]) for row in rows) / count,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the tasks that aren't in the record, and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, required=True, help="one task a line; recorded ones aren't run again")
    parser.add_argument("--set", default="multiarith", help="multiarith, gsm8k or mbpp; with --tasks any name")
    parser.add_argument("--tasks", type=Path, help='JSONL: {"question", "gold"} or {"question", "tests"}')
    parser.add_argument("--models", default=SMALL, help=f"comma-separated, the cheapest first: {SMALL},{LARGE}")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many tasks from the beginning")
    parser.add_argument("--most", type=int, default=10**6, help="at most this many tasks")
    parser.add_argument("--seconds", type=float, default=10**9, help="start no further task after this many seconds")
    parser.add_argument("--table", action="store_true", help="only print the tables of the record")
    given = parser.parse_args(arguments)
    if not given.table:
        _run(given)
    sys.stdout.write(table(read_record(given.record)) + "\n")


if __name__ == "__main__":
    main()
