"""`rheostat calibrate`: measure arms on your own tasks."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rheostat.bench.record import append, read_record
from rheostat.cli.fetch import ensure_model
from rheostat.cli.progress import stepping
from rheostat.cli.said import Json, say
from rheostat.cli.screen import Screen, tell
from rheostat.errors import BadInput
from rheostat.judgement.shipped import own_path
from rheostat.money.budget import Budget
from rheostat.money.ledger.address import open_ledger
from rheostat.solver.calibrate import calibrate as measure
from rheostat.solver.calibrate import read_tasks

__all__ = ["calibrate"]

_LEAST_TO_PLOT = 2


def calibrate(
    tasks: Annotated[
        Path,
        typer.Argument(
            metavar="TASKS.jsonl",
            help='Tasks with known answers, one a line: {"question": "…", "gold": "39"}, or "tests": "assert …".',
        ),
    ],
    models: Annotated[str, typer.Option(help="Models, comma-separated.")],
    budget_usd: Annotated[str, typer.Option(help="The hard cap in dollars of everything together.")] = "",
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="The hard cap in tokens, for free models.")] = None,
    efforts: Annotated[str, typer.Option(help="Only these levels, comma-separated.")] = "",
    ways: Annotated[str, typer.Option(help="Only these ways of asking, comma-separated, such as steps,program.")] = "",
    record: Annotated[
        Path | None, typer.Option(help="Keep each trial here; a second run goes on where the first ended.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the profile; without it it is printed.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the frontier of the arms.")] = None,
    judge: Annotated[
        str, typer.Option(metavar="MODEL", help="Judges answers to tasks without gold or tests, from the same budget.")
    ] = "",
    ledger: Annotated[str, typer.Option(help="Count the spend in this ledger too (a file or URL).")] = "",
    as_json: Json = False,
) -> None:
    """Measure arms on your own tasks under a hard cap, and write a profile.

    Arms (model × effort × way of asking) are sampled by successive halving: all on a few tasks, the better half on
    twice as many, and so on. The profile can be merged into your own: `rheostat profile merge FILE`.

    Examples:

        rheostat calibrate tasks.jsonl --models qwen2.5-coder-0.5b --budget-tokens 50000 --out measured.json

        rheostat calibrate tasks.jsonl --models openai:gpt-5-mini,openai:gpt-5 --budget-usd 2 --record trials.jsonl
    """
    if not budget_usd and budget_tokens is None:
        raise BadInput("give a hard cap: --budget-usd 2, or --budget-tokens 50000 for models without a price")
    listed = read_tasks(tasks, judged=bool(judge))
    if plot is not None and len(listed) < _LEAST_TO_PLOT:
        raise BadInput(f"{tasks} has one task: a frontier needs more (leave out --plot)")
    names = [each.strip() for each in models.split(",") if each.strip()]
    for name in [*names, *([judge] if judge else [])]:
        ensure_model(name)
    budget = Budget(usd=budget_usd or None, tokens=budget_tokens)
    with stepping("measuring") as on_step:

        def on_trial(row: dict[str, Any], done: int, all_: int) -> None:
            if record is not None:
                append(record, row)
            on_step(done, all_)

        profile, rows, why = measure(
            listed,
            list(names),
            budget,
            efforts=[each for each in efforts.split(",") if each],
            ways=[each for each in ways.split(",") if each],
            recorded=read_record(record) if record is not None else [],
            on_trial=on_trial,
            judge=judge or None,
            ledger=open_ledger(ledger) if ledger else None,
            date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        )
    if out is not None:
        out.write_text(profile.to_text(), encoding="utf-8")
    if as_json:
        told = {"trials": len(rows), "why": why, "path": None if out is None else str(out)}
        say({**told, "profile": json.loads(profile.to_text())}, "", as_json=True)
    elif out is None:
        tell(profile.to_text(), end="")
    if plot is not None:
        _plot(rows, plot, tasks.name)
    console = Screen(err=True)
    console.print(f"{len(rows)} trials; {why}")
    if out is not None:
        console.print(f"written to {out}; to use it: rheostat profile merge {out}  ({own_path()})")


def _plot(rows: list[dict[str, Any]], path: Path, name: str) -> None:
    from rheostat.replay.arms import replay_arms
    from rheostat.replay.plot import plot_arms
    from rheostat.replay.trials import trials_of

    made = trials_of(list(enumerate(({**row, "arm": row["model"]} for row in rows), 1)), path)
    plot_arms(replay_arms(made, verified=False), path, f"{name}: what was measured")
