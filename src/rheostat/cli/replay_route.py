"""`rheostat replay route`: which of two models, by the text of a task."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from rheostat.cli.progress import stepping
from rheostat.cli.safe_text import one_line
from rheostat.cli.screen import Screen, tell_json
from rheostat.errors import BadInput
from rheostat.replay.route import GAPS, read_route, replay_route

__all__ = ["route"]


def route(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tasks with both models' outcomes: JSON Lines or CSV.")],
    fit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Learn from this file. Without it each fifth is ordered by the other four."),
    ] = None,
    columns: Annotated[str, typer.Option(help="Where fields are: prompt=question,weak=small,strong=large")] = "",
    limit: Annotated[int | None, typer.Option(min=30, help="Only the first tasks.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same folds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Which of two models, by the text of a task, before anything is asked.

    APGR: the mean part of the gap between both models that is recovered, over all shares of tasks sent to the strong
    one; 0.5 is chance. Controls: random, length, keyword rules like LiteLLM's, our difficulty score, and the oracle.

    Needs the extra `learn`. Examples:

        rheostat replay route outcomes.jsonl

        rheostat replay route judge.jsonl --fit learn.jsonl --columns weak=small,strong=large
    """
    where = _columns(columns)
    rows = read_route(file, where)[:limit]
    known = None if fit is None else read_route(fit, where)
    with stepping("learning") as on_step:
        lines = replay_route(rows, known, seed=seed, on_step=on_step)
    if as_json:
        tell_json({"file": str(file), "tasks": len(rows), "lines": [asdict(each) for each in lines]})
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("tasks ordered by")
    table.add_column("APGR", justify="right")
    for part in GAPS:
        table.add_column(f"{part:.0%} of the gap", justify="right")
    for line in lines:
        reached = [f"{line.shares[part]:.0%}" if line.costs is None else f"${line.costs[part]:.5g}" for part in GAPS]
        table.add_row(one_line(line.name), f"{line.apgr:.3f} [{line.low:.3f}, {line.high:.3f}]", *reached)
    console = Screen()
    console.print(table)
    weak, strong = (sum(getattr(row, name) for row in rows) / len(rows) for name in ("weak", "strong"))
    how = "by the other four fifths" if fit is None else f"from {fit.name}"
    what = "the share of tasks sent to the strong model" if lines[0].costs is None else "dollars a task"
    for text in (
        f"tasks: {len(rows):,}; weak {100 * weak:.2f} % right, strong {100 * strong:.2f} %; learned {how}",
        f"columns of the gap: {what} at which this part of it is recovered; [95 % of a bootstrap over tasks]",
    ):
        console.print(text, style="dim")


def _columns(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    names = ("prompt", "weak", "strong", "weak_usd", "strong_usd")
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, column = part.partition("=")
        if not equals or name not in names or not column:
            raise BadInput(f"--columns is FIELD=COLUMN,…; fields: {', '.join(names)}; not {part!r}")
        found[name] = (column,)
    return found
