"""`rheostat bench`: adaptive against every fixed thinking budget, same model, same problems, one run."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rheostat.bench import report
from rheostat.bench.problems import Problem, demo_problems, live_problems
from rheostat.bench.run import Outcome, Setting, fixed_settings, read, run
from rheostat.bench.truth import server_tokens
from rheostat.cli.fetch import ensure_model
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json, say
from rheostat.cli.screen import Screen, tell
from rheostat.errors import BadInput
from rheostat.local import DEFAULT_MODEL
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.pricing import Price

app = typer.Typer(
    add_completion=False, help="Measure accuracy, tokens and cost of adaptive and fixed thinking.", no_args_is_help=True
)

_PRICE = Price(input_per_million=Decimal("0.05"), output_per_million=Decimal("0.20"))
"""Declared, to give the cost per correct answer in money: about the price of hosted models of this class."""

Model = Annotated[str, typer.Option(help="A local model, a GGUF file, or another model as in `solve`.")]
Workers = Annotated[int, typer.Option(help="Problems to run at the same time.")]


@app.command()
def demo(
    model: Model = DEFAULT_MODEL,
    seconds: Annotated[float, typer.Option(help="Start no new problem after this many seconds.")] = 235.0,
    out: Annotated[Path, typer.Option(help="Folder for the plot and the record.")] = Path("demo-out"),
    workers: Workers = 4,
    as_json: Json = False,
) -> None:
    """Run 20 problems (word problems of five levels, small functions with tests); ends within five minutes."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / "demo.jsonl"
    record.unlink(missing_ok=True)
    settings = [*fixed_settings(), Setting("adaptive", effort="balanced")]
    outcomes = _measure(model, settings, demo_problems(), record, workers, seconds, answer_tokens=256, as_json=as_json)
    title = f"{model}: 20 demo problems"
    _finish(outcomes, settings, len(demo_problems()), out / "demo.png", title, as_json=as_json)


@app.command()
def live(
    record: Annotated[Path, typer.Option(help="File of outcomes, one per line; recorded problems aren't run again.")],
    model: Model = DEFAULT_MODEL,
    efforts: Annotated[
        str, typer.Option("--efforts", "--wishes", help="Adaptive settings to run, comma-separated.")
    ] = "balanced",
    png: Annotated[Path | None, typer.Option(help="Where to write the plot.")] = None,
    fixed: Annotated[bool, typer.Option(help="Run the fixed budgets too.")] = True,
    limit: Annotated[int, typer.Option(help="At most this many problems; 0: all.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="Start no new problem after this many seconds.")] = None,
    workers: Workers = 4,
    as_json: Json = False,
) -> None:
    """Run the first 100 problems of GSM8K's test set and 50 of MBPP; takes long, resumable at any time."""
    adaptive = [Setting(f"adaptive {effort}", effort=effort) for effort in efforts.split(",") if effort]
    settings = [*(fixed_settings() if fixed else []), *adaptive]
    problems = live_problems()[: limit or None]
    outcomes = _measure(model, settings, problems, record, workers, seconds, answer_tokens=320, as_json=as_json)
    _finish(outcomes, settings, len(problems), png, f"{model}: GSM8K (100) and MBPP (50)", as_json=as_json)


@app.command(name="report")
def report_(
    record: Annotated[Path, typer.Argument(help="A record of `bench live` or `bench demo`.")],
    png: Annotated[Path | None, typer.Option(help="Where to write the plot.")] = None,
    as_json: Json = False,
) -> None:
    """Print tables and paired bootstrap intervals of a record, as Markdown."""
    outcomes = read(record)
    if not outcomes:
        raise BadInput(f"{record} holds no outcome")
    names = list(dict.fromkeys(o.setting for o in outcomes))
    fixed = [s for s in fixed_settings() if s.name in names]
    settings = [*fixed, *(Setting(n, effort="balanced") for n in names if n not in {s.name for s in fixed})]
    if as_json:
        told = [asdict(row) for row in report.rows(outcomes, settings)]
        say({"record": str(record), "settings": told}, "", as_json=True)
        return
    for level in (None, *sorted({o.level for o in outcomes})):
        tell(f"\n### {one_line(level or 'all')}\n\n{report.markdown(report.rows(outcomes, settings, level=level))}\n")
        for ours in (s for s in settings if s.adaptive):
            for other in fixed:
                mean, low, high = report.difference(outcomes, ours.name, other.name, level=level)
                tell(one_line(f"- {ours.name} - {other.name}: {mean:+.1%} [{low:+.1%}, {high:+.1%}]"))
    if png is not None:
        report.plot_png(report.rows(outcomes, settings), png, record.stem)


def _measure(
    model: str,
    settings: list[Setting],
    problems: list[Problem],
    record: Path,
    workers: int,
    seconds: float | None,
    *,
    answer_tokens: int,
    as_json: bool,
) -> list[Outcome]:
    ensure_model(model, quiet=as_json)
    endpoint = resolve(model, price=_PRICE)
    recorded = {(o.setting, o.problem) for o in read(record)}
    before = server_tokens(endpoint)
    outcomes: list[Outcome] = []
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )
    task = bar.add_task(f"{len(problems)} problems × {len(settings)} settings", total=len(problems) * len(settings))
    console = Screen(err=as_json)
    with Live(bar, console=console, refresh_per_second=4, transient=console.is_terminal) as shown:

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            bar.advance(task)
            if console.is_terminal:
                shown.update(Group(bar, _table(report.rows(outcomes, settings))))
            elif len(outcomes) % 20 == 0:
                console.print(f"{len(outcomes)} of {len(problems) * len(settings)} done")

        everything = run(
            endpoint,
            settings,
            problems,
            budget=Budget(tokens=20_000, seconds=600),
            answer_tokens=answer_tokens,
            record=record,
            workers=workers,
            seconds=seconds,
            done=done,
        )
    after = server_tokens(endpoint)
    if before is not None and after is not None:
        new = [o for o in everything if (o.setting, o.problem) not in recorded]
        ours = (sum(o.input_tokens - o.cached_input_tokens for o in new), sum(o.output_tokens for o in new))
        theirs = (after[0] - before[0], after[1] - before[1])
        cut = sum(o.unknown_calls for o in new)
        more = (theirs[0] - ours[0], theirs[1] - ours[1])
        verdict = "equal" if not any(more) else "NOT EQUAL"
        if cut and min(more) >= 0:
            verdict = f"the difference ({more[0]:,}, {more[1]:,}) is from {cut} cut call(s), charged in full as unknown"
        console.print(
            f"server's own count in this run: {theirs[0]:,} prompt tokens processed, {theirs[1]:,} generated; "
            f"ledger: {ours[0]:,} and {ours[1]:,}: {verdict}"
        )
    return everything


def _table(made: list[report.Row]) -> Table:
    table = Table("setting", "n", "accuracy", "tokens", "thinking", "calls", "tokens/ok", "$/1000 ok", box=box.SIMPLE)
    best = report.frontier(made)
    for row in made:
        table.add_row(
            Text(one_line(row.setting), "bold cyan" if row.adaptive else ""),
            str(row.problems),
            f"{row.accuracy:.0%}" + (" ◆" if row.setting in best else ""),
            f"{row.output_tokens:.0f}",
            f"{row.thinking_tokens:.0f}",
            f"{row.calls:.2f}",
            f"{row.tokens_per_correct:.0f}" if row.tokens_per_correct is not None else "–",
            f"{1000 * row.usd_per_correct:.4f}" if row.usd_per_correct is not None else "–",
        )
    return table


def _finish(
    outcomes: list[Outcome], settings: list[Setting], asked: int, png: Path | None, title: str, *, as_json: bool
) -> None:
    console = Screen(quiet=as_json)
    made = report.rows(outcomes, settings)
    if as_json:
        say({"title": title, "problems": asked, "settings": [asdict(row) for row in made]}, "", as_json=True)
    console.print(_table(made))
    for line in (
        "n: problems; tokens: generated per problem, thinking included; ok: correct answer",
        f"declared price: ${_PRICE.input_per_million} in, ${_PRICE.output_per_million} out, per million tokens",
        "◆ on the frontier: no other setting is as accurate for fewer tokens",
    ):
        console.print(Text(line, "dim"))
    counts = {row.problems for row in made}
    if len(counts) > 1 or max(counts, default=0) < len({o.problem for o in outcomes}):
        console.print("not every problem ran under every setting", style="yellow")
    elif counts and max(counts) < asked:
        said = f"time ran out after {max(counts)} of {asked} problems (slow machine; see --seconds)"
        console.print(said, style="yellow")
    console.print(Text(report.plot_text(made)))
    for ours in (s for s in settings if s.adaptive):
        for other in (s for s in settings if not s.adaptive):
            mean, low, high = report.difference(outcomes, ours.name, other.name)
            gap = f"{mean:+.0%} [{low:+.0%}, {high:+.0%}] (95 %, paired bootstrap)"
            console.print(one_line(f"{ours.name} - {other.name}: {gap}"))
    if png is not None:
        report.plot_png(made, png, title)
        console.print(one_line(f"plot: {png}"))
