"""`rheostat fleet`: many tasks under one hard cap, over night and over machines."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from rheostat.addresses import without_password
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json, say
from rheostat.cli.screen import Screen, json_of, tell
from rheostat.cli.statuses import BUDGET, DONE, INTERRUPTED, UNSOLVED
from rheostat.fleet.fleet import Fleet
from rheostat.fleet.outlook import Outlook, outlook, worst
from rheostat.fleet.results import Counts
from rheostat.fleet.tasks import read_tasks
from rheostat.money.budget import Budget
from rheostat.money.ledger import Rate, Reading
from rheostat.money.usage import usd as dollars

app = typer.Typer(
    help="Run many tasks under one hard cap, over night and over machines; whatever dies, each task ends once.\n\n"
    "The queue, the checkpoints and the ledger are in one database, --db: an SQLite file (fleet.db), or "
    "postgresql://USER@HOST/DATABASE for workers on several machines.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The fleet's name.")]
Db = Annotated[str, typer.Option(help="An SQLite file, or postgresql://USER@HOST/DATABASE.")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes on this machine.")]
_TELL_SECONDS = 10.0


@app.command()
def run(
    tasks: Annotated[
        Path,
        typer.Argument(
            metavar="TASKS.jsonl",
            help='One task a line: {"id": "1", "question": "…"}; optional: "worth" (dollars), "deadline", "priority".',
        ),
    ],
    graph: Annotated[str, typer.Option(help="The LangGraph graph: FILE.py:NAME or package.module:NAME.")],
    usd: Annotated[str | None, typer.Option(help="The hard cap of all tasks together, in dollars.")] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="The hard cap in tokens, for models without a price.")
    ] = None,
    each_usd: Annotated[str | None, typer.Option(help="The limit of one task, in dollars.")] = None,
    each_tokens: Annotated[int | None, typer.Option(min=1, help="The limit of one task, in tokens.")] = None,
    each_seconds: Annotated[float | None, typer.Option(help="The limit of one task, in seconds.")] = None,
    name: Annotated[str, typer.Option(help="The fleet's name; default: the file's.")] = "",
    db: Db = "fleet.db",
    workers: Workers = 1,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Tasks that one worker works on at the same time; at first 8.")
    ] = None,
    attempts: Annotated[
        int | None, typer.Option(min=1, help="The most times that a task is begun; at first 3.")
    ] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests a minute that the provider allows: calls wait.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute, input and output together.")] = None,
    counts_max_tokens: Annotated[
        bool, typer.Option("--counts-max-tokens", help="The provider counts max_tokens, whatever is used (OpenAI).")
    ] = False,
    account: Annotated[str | None, typer.Option(help="An account above, open in the database's ledger.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Order tasks by what this model's profile promises for their price.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Queue the tasks of a file, and work until all have ended or the cap is reached.

    Run it again after a crash, or with more tasks: the same id is the same task. Ctrl-C finishes the calls under way.

    Examples:

        rheostat fleet run tasks.jsonl --graph graphs/solver.py:graph --usd 50 --each-usd 0.20 --workers 4

        rheostat fleet run tasks.jsonl --graph graphs/solver.py:graph --tokens 2000000 --db postgresql://me@db/fleets
    """
    listed = read_tasks(tasks)
    budget = None if usd is None and tokens is None else Budget(usd=usd, tokens=tokens)
    limits = (each_usd, each_tokens, each_seconds)
    each = None if limits == (None, None, None) else Budget(usd=each_usd, tokens=each_tokens, seconds=each_seconds)
    with Fleet(
        name or tasks.name.partition(".")[0],
        graph,
        budget=budget,
        each=each,
        db=db,
        rate=None if rpm is None and tpm is None else Rate(rpm, tpm, counts_max_tokens=counts_max_tokens),
        account=account,
        workers=workers,
        at_once=at_once,
        attempts=attempts,
        model=model,
    ) as fleet:
        new = fleet.submit(listed)
        Screen(err=True).print(f"{new:,} new tasks of {len(listed):,} in fleet {one_line(fleet.name)}")
        _work(fleet, as_json=as_json)


@app.command()
def worker(name: Name, db: Db = "fleet.db", workers: Workers = 1, as_json: Json = False) -> None:
    """Work on a fleet that another machine or process runs, until Ctrl-C.

    Example:

        rheostat fleet worker nightly --db postgresql://me@db/fleets --workers 8
    """
    with Fleet(name, db=db, workers=workers) as fleet:
        _work(fleet, stay=True, as_json=as_json)


@app.command()
def status(
    name: Name,
    db: Db = "fleet.db",
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show the tasks by state, what was spent, a forecast, and the worst tasks."""
    with Fleet(name, db=db) as fleet:
        if as_json:
            say(_told(fleet, fleet.counts()), "", as_json=True)
            return
        console = Screen()
        console.print(_table(fleet, fleet.counts(), bad=True))
        if watch:
            with contextlib.suppress(KeyboardInterrupt), Live(console=console, refresh_per_second=2) as live:
                while True:
                    live.update(_table(fleet, fleet.counts()))
                    time.sleep(2)


@app.command()
def pause(name: Name, db: Db = "fleet.db", as_json: Json = False) -> None:
    """Begin no further task; those that are running go on."""
    with Fleet(name, db=db) as fleet:
        fleet.pause()
        running = fleet.counts().running
    say({"fleet": name, "paused": True, "running": running}, f"paused; {running} tasks go on", as_json=as_json)


@app.command()
def resume(
    name: Name,
    db: Db = "fleet.db",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes on this machine; 0: leave it to others.")] = 1,
    as_json: Json = False,
) -> None:
    """Go on after a pause, or once the cap was raised with `rheostat ledger amend DB fleet/NAME --usd …`."""
    with Fleet(name, db=db, workers=workers or 1) as fleet:
        fleet.resume()
        if workers:
            _work(fleet, as_json=as_json)
    say({"fleet": name, "paused": False}, "resumed: its workers elsewhere go on", as_json=as_json)


@app.command()
def retry(
    name: Name,
    db: Db = "fleet.db",
    failed: Annotated[bool, typer.Option("--failed", help="The failed tasks, which is what there is to retry.")] = True,
    as_json: Json = False,
) -> None:
    """Queue the failed tasks again; then `rheostat fleet resume NAME` works on them."""
    with Fleet(name, db=db) as fleet:
        again = fleet.retry() if failed else 0
    say({"fleet": name, "queued_again": again}, f"{again} tasks are queued again", as_json=as_json)


@app.command()
def results(
    name: Name,
    db: Db = "fleet.db",
    out: Annotated[Path | None, typer.Option(help="Write to this file; default: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Write what became of each task as JSONL: id, state, answer, verdict, by, why, usd, tokens, calls, attempts."""
    with Fleet(name, db=db) as fleet:
        rows = [each.to_dict() for each in fleet.results()]
    text = json_of(rows) + "\n" if as_json else "".join(json_of(row) + "\n" for row in rows)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    else:
        tell(text, end="")


def _work(fleet: Fleet, *, stay: bool = False, as_json: bool = False) -> None:
    """Work, show the progress, and leave with the exit status."""
    told: list[int] = []

    def stop(number: int, frame: Any) -> None:
        told.append(number)
        fleet.stop()
        if len(told) > 1:  # again: at once
            raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _showing(fleet) as show:

            def tell(counts: Counts) -> None:
                if told:
                    fleet.stop()  # the signal came before there was anything to stop
                show(counts)

            counts = fleet.work(stay=stay, tell=tell)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    counts = fleet.counts()
    why = fleet.paused()
    if as_json:
        say(_told(fleet, counts), "", as_json=True)
    else:
        Screen().print(_table(fleet, counts, bad=True))
    if why:
        db = without_password(fleet.db)
        amend = f"rheostat ledger amend {db} {fleet.account} --usd …`, then `" if why.startswith("budget") else ""
        Screen(err=True).print(
            f"{counts.queued:,} tasks are left in the queue ({one_line(why)}). To go on: "
            f"`{one_line(amend)}rheostat fleet resume {one_line(fleet.name)} --db {one_line(db)}`",
            highlight=False,
            soft_wrap=True,
        )
    if told:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(BUDGET if why.startswith("budget") else UNSOLVED if counts.failed or counts.queued else DONE)


@contextlib.contextmanager
def _showing(fleet: Fleet) -> Iterator[Callable[[Counts], None]]:
    """A live table on a terminal, else a line now and then."""
    console = Screen(err=True)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield lambda counts: live.update(_table(fleet, counts))
        return
    said = [time.monotonic()]

    def line(counts: Counts) -> None:
        if time.monotonic() - said[0] > _TELL_SECONDS:
            said[0] = time.monotonic()
            spent = dollars(fleet.reading()["usd_nanos"])
            console.print(
                f"{counts.done:,} done, {counts.failed:,} failed, {counts.running:,} running, "
                f"{counts.queued:,} queued, {spent} spent",
                highlight=False,
            )

    yield line


def _forecast(fleet: Fleet, counts: Counts) -> tuple[Reading, Outlook]:
    reading, budget = fleet.reading(), fleet.budget()
    spent = reading["usd_nanos"]
    if spent is not None and reading["unknown_usd_nanos"] is not None:
        spent += reading["unknown_usd_nanos"]
    cap = None if budget is None else budget.usd_nanos
    return reading, outlook(counts, spent, cap, int(time.time() * 1000))


def _told(fleet: Fleet, counts: Counts) -> dict[str, Any]:
    reading, ahead = _forecast(fleet, counts)
    return {
        "fleet": fleet.name,
        "paused": fleet.paused(),
        "workers": fleet.alive(),
        "tasks": {"total": counts.total, "queued": counts.queued, "running": counts.running, "done": counts.done,
                  "failed": counts.failed, "of_another_version": counts.foreign},
        "spent": reading,
        "forecast": {"tasks_per_second": ahead.tasks_per_second, "seconds_left": ahead.seconds_left,
                     "usd_nanos": ahead.usd_nanos, "not_paid_for": ahead.left_over},
        "worst": [each.to_dict() for each in worst(fleet.results())],
    }  # fmt: skip


def _table(fleet: Fleet, counts: Counts, *, bad: bool = False) -> Table:
    reading, ahead = _forecast(fleet, counts)
    budget = fleet.budget()
    table = Table(title=one_line(f"fleet {fleet.name}"), show_header=False, title_justify="left")
    share = f" ({100 * counts.done / counts.total:.0f} %)" if counts.total else ""
    table.add_row("done", f"{counts.done:,} of {counts.total:,}{share}")
    table.add_row("running", f"{counts.running:,} on {len(fleet.alive())} workers")
    foreign = f", {counts.foreign:,} of them in a form of another version" if counts.foreign else ""
    table.add_row("queued", f"{counts.queued:,}{foreign}")
    table.add_row("failed", f"{counts.failed:,}")
    tokens = reading["input_tokens"] + reading["output_tokens"]
    table.add_row("spent", f"{dollars(reading['usd_nanos'])}, {tokens:,} tokens; the cap is {budget or 'none'}")
    if counts.queued + counts.running and ahead.tasks_per_second:
        end = "" if ahead.seconds_left is None else f"{_spoken(ahead.seconds_left)} left, "
        beyond = f"; {ahead.left_over:,} tasks won't be paid for" if ahead.left_over else ""
        table.add_row("forecast", f"{end}{dollars(ahead.usd_nanos)} at the end{beyond}")
    why = fleet.paused()
    if why:
        table.add_row("paused", one_line(why))
    if bad:
        for each in worst(fleet.results()):
            price = f"${each.usd}" if each.usd is not None else f"{each.tokens:,} tokens"
            table.add_row(one_line(each.id), one_line(f"{each.state}, {price}: {each.why[:200]}"))
    return table


def _spoken(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
