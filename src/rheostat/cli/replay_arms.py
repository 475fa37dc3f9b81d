"""`rheostat replay arms`: the policy over recorded trials of arms, beside every fixed arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from rheostat.cli.progress import stepping
from rheostat.cli.safe_text import one_line
from rheostat.cli.screen import Screen, tell, tell_json
from rheostat.errors import BadInput
from rheostat.judgement.worth import amount
from rheostat.money.pricing import Price
from rheostat.money.usage import usd_nanos
from rheostat.replay.arms import ArmsReplay, Point, replay_arms
from rheostat.replay.choice import Choice
from rheostat.replay.plot import plot_arms
from rheostat.replay.trials import Trials, parse_columns, read_trials

__all__ = ["arms"]

_SHOWN = 8


def arms(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Recorded trials: JSON Lines or CSV, one draw a line (or packed).")
    ],
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fit the profile on this file. Without it each fifth of the tasks is judged by a profile of the rest.",
        ),
    ] = None,
    verifier: Annotated[
        bool,
        typer.Option(
            "--verifier/--no-verifier",
            help="Whether a verifier tells right from wrong, so that a refused answer can be tried by another arm.",
        ),
    ] = True,
    columns: Annotated[
        str, typer.Option(help="Where fields are: task=instance,arm=agent+model,correct=resolved,usd=cost,kind=…")
    ] = "",
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=IN/OUT",
            help="Dollars per million tokens of models whose names begin so; for trials with tokens and no dollars.",
        ),
    ] = None,
    kinds: Annotated[str, typer.Option(help="Only tasks of these kinds, comma-separated.")] = "",
    models: Annotated[
        str, typer.Option(help="Only arms of these models, comma-separated: a name, a glob or a part.")
    ] = "",
    ways: Annotated[str, typer.Option(help="Of recorded samples: only these ways, in the same way.")] = "",
    complete: Annotated[bool, typer.Option("--complete", help="Only arms that were tried on every task.")] = False,
    one_kind: Annotated[bool, typer.Option("--one-kind", help="Treat all tasks as one kind.")] = False,
    worth: Annotated[
        str, typer.Option(help="What a right answer is worth, comma-separated; without it: a ladder of worths.")
    ] = "",
    orders: Annotated[int, typer.Option(min=1, help="Random orders of an arm's repeated trials.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same folds and orders.")] = 0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Write a plot: accuracy against cost.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Which arm next, and when to stop: the policy's accuracy and cost at several worths.

    Controls: every fixed arm, the best random mix of fixed arms at the same cost (chosen in hindsight), the fixed arm
    with the best sum on the tasks of the profile, and the oracle (the cheapest arm that is right).

    Examples:

        rheostat replay arms trials.jsonl

        rheostat replay arms runs.csv --columns task=instance,arm=model,correct=resolved,usd=cost --complete

        rheostat replay arms judge.csv --fit fit.csv --no-verifier --price gpt-5=1.25/10 --plot frontier.png
    """
    choice = Choice(models=_parts(models) or ("*",), ways=_parts(ways) or ("*",))

    def read(path: Path) -> Trials:
        return read_trials(
            path, columns=parse_columns(columns), prices=_prices(price or []), choice=choice,
            kinds=_parts(kinds), complete=complete, one_kind=one_kind, models=_parts(models),
        )  # fmt: skip

    trials, other = read(file), None if fit is None else read(fit)
    unit = 1e9 if trials.unit == "usd" else 1.0
    with stepping("replaying") as on_step:
        made = replay_arms(
            trials, other, verified=verifier, worths=_worths(worth, trials.unit, unit), orders=orders, seed=seed,
            on_step=on_step,
        )  # fmt: skip
    if plot is not None:
        plot_arms(made, plot, f"{file.name}: {made.tasks} tasks, {'a' if verifier else 'no'} verifier")
    if as_json:
        tell_json(_plain(made, trials, unit, file, verifier))
        return
    console = Screen()
    console.print(_table(made))
    how = "by the other four fifths of the tasks" if fit is None else f"on {fit.name}"
    for line in (
        f"tasks: {made.tasks:,}; profile fitted {how}; {'a' if verifier else 'no'} verifier; means per task",
        "− mix: points above the best random mix of fixed arms at the same cost, which was chosen in hindsight",
        "− fixed: points of worth above the fixed arm that is best for the profile at this worth; ±: half the width of",
        "95 % of a bootstrap over tasks. Oracle: the cheapest arm that is right",
        *_summary(made),
        *trials.notes,
    ):
        console.print(one_line(line), style="dim")
    if plot is not None:
        tell(one_line(f"plot: {plot}"))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _prices(given: list[str]) -> dict[str, Price]:
    found: dict[str, Price] = {}
    for text in given:
        model, equals, rates = text.partition("=")
        parts = rates.split("/")
        if not equals or len(parts) != 2 or not model:
            raise BadInput(
                f"--price is MODEL=IN/OUT in dollars per million tokens, such as gpt-5=1.25/10; not {text!r}"
            )
        found[model] = Price(input_per_million=parts[0], output_per_million=parts[1])  # type: ignore[arg-type]  # exact
    return found


def _worths(text: str, name: str, unit: float) -> tuple[float, ...]:
    found = []
    for part in _parts(text):
        try:
            value = usd_nanos(part) if name == "usd" else float(part)
        except ValueError:
            value = 0
        if value <= 0:
            raise BadInput(f"--worth is {'dollars' if name == 'usd' else 'tokens'} above zero, not {part!r}")
        found.append(float(value))
    return tuple(sorted(found))


def _table(made: ArmsReplay) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("policy at a worth of", min_width=20, overflow="fold")
    money = "$" if made.unit == "usd" else "tokens"
    for column in ("acc., %", money, "draws", "− mix", "− fixed"):
        table.add_column(column, justify="right", no_wrap=True)
    for point in made.policy:
        name = Text(amount(point.worth or 0, made.unit), "bold cyan")
        table.add_row(name, *_cells(point, made), end_section=point is made.policy[-1])
    shown = list(made.fixed[:_SHOWN])
    for point in shown:
        table.add_row(one_line(point.name), *_cells(point, made), end_section=point is shown[-1])
    table.add_row("oracle", *_cells(made.oracle, made))
    return table


def _cells(point: Point, made: ArmsReplay) -> list[str]:
    cost = f"{point.cost / 1e9:.5g}" if made.unit == "usd" else f"{point.cost:,.0f}"
    return [
        f"{100 * point.accuracy:.2f}",
        cost,
        f"{point.draws:.2f}",
        *map(_gap, (point.against_mix, point.against_fixed)),
    ]


def _gap(given: tuple[float, float, float] | None) -> str:
    if given is None:
        return "–"
    middle, low, high = (100 * each for each in given)
    return f"{middle:+.1f} ±{(high - low) / 2:.1f}"


def _summary(made: ArmsReplay) -> list[str]:
    best, equal = made.best, made.as_good_as_best
    if equal is None:
        return [f"no worth of this ladder reaches the best fixed arm, {best.name} ({100 * best.accuracy:.2f} %)"]
    share = equal.cost / best.cost if best.cost else 1.0
    return [
        f"as accurate as the best fixed arm, {best.name} ({100 * best.accuracy:.2f} %), for {share:.1%} of its cost",
        *([] if len(made.fixed) <= _SHOWN else [f"{len(made.fixed) - _SHOWN} less accurate arms aren't shown"]),
    ]


def _plain(made: ArmsReplay, trials: Trials, unit: float, file: Path, verifier: bool) -> dict[str, object]:
    def shown(point: Point) -> dict[str, object]:
        plain = point.to_dict()
        return {**plain, **{name: plain[name] / unit for name in ("cost", "worth") if name in plain}}

    equal = made.as_good_as_best
    return {
        "file": str(file), "unit": made.unit, "tasks": made.tasks, "verifier": verifier,
        "policy": [shown(each) for each in made.policy],
        "fixed": [shown(each) for each in made.fixed],
        "best_fixed": shown(made.best),
        "oracle": shown(made.oracle),
        "cost_share_at_best_accuracy": None if equal is None or not made.best.cost else equal.cost / made.best.cost,
        "notes": list(trials.notes),
    }  # fmt: skip
