"""`rheostat ledger`: inspect a ledger, and settle unknown calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rheostat.cli.accounts import Where, accounts, amend, open_, opened_ledger
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Csv, Json, put, say
from rheostat.cli.screen import Screen, tell, tell_json
from rheostat.errors import BadInput
from rheostat.money.ledger import Line
from rheostat.money.ledger.durable import DurableLedger
from rheostat.money.ledger.journal import By, as_row, read_export, totals
from rheostat.money.ledger.journal import reconcile as match
from rheostat.money.usage import Spend, usd

app = typer.Typer(
    help="Inspect a ledger, and settle unknown calls.\n\n"
    "LEDGER is the path of an SQLite file or postgresql://USER@HOST/DATABASE.",
    no_args_is_help=True,
    add_completion=False,
)


def _beneath(ledger: DurableLedger, account: str | None) -> list[Line]:
    """The journal of an account and all beneath it; without an account, the whole journal."""
    journal = ledger.journal()
    if account is None:
        return journal
    parents = {each.id: each.parent for each, _ in ledger.accounts()}
    if account not in parents:
        raise BadInput(f"no account {account!r} in this ledger: `rheostat ledger accounts` lists them")

    def within(name: str | None) -> bool:
        while name is not None and name != account:
            name = parents[name]
        return name is not None

    return [line for line in journal if within(line.account)]


def _tokens(spend: Spend) -> str:
    return f"{spend.tokens:,}" if spend.calls else "-"


@app.command()
def show(
    ledger: Where,
    by: Annotated[str, typer.Option(help="Group by account, model, node, day or status; default: model and day.")] = "",
    account: Annotated[str | None, typer.Option(help="This account, and all beneath it, only.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show the spend: totals by account, model, node, day or status.

    in flight: held for calls that have not come back. unknown: cut or killed; their cost is unknown, so they
    stay charged at the hold or an estimate. Amounts are money / tokens.
    """
    kinds: tuple[By, ...] = ("account", "model", "node", "day", "status")
    if by and by not in kinds:
        raise BadInput(f"--by {by}: choose {', '.join(kinds)}")
    with opened_ledger(ledger) as opened:
        journal = _beneath(opened, account)
    asked = [kind for kind in kinds if kind == by] or ["model", "day"]
    rows = [
        {"by": kind, "name": name}
        | {f"{part}_{key}": value for part, spend in parts.items() for key, value in spend.to_dict().items()}
        for kind in asked
        for name, parts in totals(journal, kind).items()
    ]
    if put(rows, as_json=as_json, as_csv=as_csv):
        return
    console = Screen()
    for kind in asked:
        table = Table(kind, "calls", "tokens", "thinking", "settled", "in flight", "unknown")
        table.columns[0].overflow = "fold"
        found = totals(journal, kind)
        for name, parts in found.items():
            table.add_row(one_line(name), *_cells(parts))
        table.add_section()
        every = {
            part: sum((parts[part] for parts in found.values()), Spend()) for part in ("settled", "held", "unknown")
        }
        table.add_row("all", *_cells(every))
        console.print(table)


def _cells(parts: dict[str, Spend]) -> list[str]:
    settled, held, unknown = parts["settled"], parts["held"], parts["unknown"]
    return [
        f"{settled.calls:,}", f"{settled.tokens:,}", f"{settled.thinking_tokens or 0:,}", usd(settled.usd_nanos),
        f"{usd(held.usd_nanos)} / {_tokens(held)}" if held.calls else "-",
        f"{usd(unknown.usd_nanos)} / {_tokens(unknown)}" if unknown.calls else "-",
    ]  # fmt: skip


app.command(name="open")(open_)
app.command()(amend)
app.command()(accounts)


def _table(lines: list[Line]) -> Table:
    table = Table("reservation", "status", "account", "model", "held at (UTC)", "age", "charged")
    table.columns[0].overflow = table.columns[2].overflow = "fold"
    now = time.time()
    for line in lines:
        at = line.held_at_ms / 1000
        table.add_row(
            one_line(line.id),
            one_line(line.status),
            one_line(line.account),
            one_line(line.model or "-"),
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)),
            f"{max(0, now - at):,.0f} s",
            f"{usd(line.charge.usd_nanos)} / {line.charge.tokens:,} tokens",
        )
    return table


@app.command()
def usage(
    ledger: Where,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show how many output tokens replies use, by model, effort and purpose.

    A step's length cap, and with it its hold, is 1.5 times the 99th percentile once 200 calls are counted.
    """
    with opened_ledger(ledger) as opened:
        rows = [
            {"model": name, "effort": effort, "purpose": purpose, **use.to_dict()}
            for (name, effort, purpose), use in opened.uses(model).items()
        ]
    if put(rows, as_json=as_json, as_csv=as_csv):
        return
    table = Table(*(rows[0] if rows else ("no reply was counted yet",)), box=None)
    for row in rows:
        table.add_row(*(f"{each:,}" if isinstance(each, int) else one_line(str(each)) for each in row.values()))
    Screen().print(table)


@app.command()
def unknown(
    ledger: Where,
    expire: Annotated[
        float | None,
        typer.Option(
            help="First expire calls older than this many seconds: calls that were sent become unknown, "
            "the others are given back."
        ),
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List calls that are in flight, and calls charged at a hold or an estimate because their cost is unknown."""
    with opened_ledger(ledger) as opened:
        if expire is not None:
            if expire < 0:
                raise BadInput(f"--expire {expire}: give seconds, zero or more")
            tell(f"{opened.expire(expire)} expired", err=True)
        lines = opened.journal(open_only=True)
    if put([as_row(line) for line in lines], as_json=as_json, as_csv=as_csv):
        return
    if not lines:
        tell("nothing is unknown or in flight")
        return
    Screen().print(_table(lines))
    tell("to compare them with the provider's usage export: rheostat ledger reconcile")


@app.command()
def reconcile(
    ledger: Where,
    export_file: Annotated[Path, typer.Argument(metavar="EXPORT", help="The provider's usage export, a CSV file.")],
    within: Annotated[
        float, typer.Option(help="A call without a request id matches a row up to this many seconds later.")
    ] = 120.0,
    apply: Annotated[
        bool, typer.Option("--apply", help="Settle unknown calls; without this option nothing changes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the ledger with the provider's usage export, by request id and time; settle unknown calls.

    Known columns: request_id, time, model, input_tokens, cached_input_tokens, output_tokens, thinking_tokens,
    usd; and the names that OpenAI and Anthropic use for them.
    """
    if not export_file.is_file():
        raise BadInput(f"no file {export_file}")
    export_rows = read_export(export_file)
    with opened_ledger(ledger) as opened:
        found = match(opened.journal(), export_rows, within_seconds=within)
        if apply:
            for one in found.news:
                opened.settle(one.line.id, one.billed.spend, one.billed.request_id)
    if as_json:
        tell_json({
            "matched": len(found.matched),
            "settled" if apply else "could_be_settled": [m.line.id for m in found.news],
            "wrong": [{"reservation": m.line.id, "row": m.billed.row, "why": m.difference} for m in found.wrong],
            "billed_only": [billed.row for billed in found.billed_only],
            "ledger_only": [line.id for line in found.ledger_only],
        })  # fmt: skip
        return
    console = Screen()
    console.print(f"{len(found.matched)} of {len(export_rows)} rows match a call in the ledger")
    for one in found.news:
        done = "settled" if apply else "could be settled (--apply)"
        console.print(
            f"  {one_line(one.line.id)} ({one.how}, line {one.billed.row}): {done}: "
            f"{usd(one.billed.spend.usd_nanos)} / {one.billed.spend.tokens:,} tokens instead of "
            f"{usd(one.line.amount.usd_nanos)} / {one.line.amount.tokens:,}"
        )
    for one in found.wrong:
        console.print(f"  {one_line(one.line.id)}, line {one.billed.row}: {one.difference}", style="yellow")
    if found.billed_only:
        rows = ", ".join(str(billed.row) for billed in found.billed_only[:20])
        console.print(f"{len(found.billed_only)} billed, but not in this ledger (lines {rows} …)", style="red")
    if found.ledger_only:
        console.print(f"{len(found.ledger_only)} in this ledger, but not in the export", style="yellow")
        console.print(_table(found.ledger_only[:20]))


@app.command()
def void(
    ledger: Where,
    reservation: Annotated[str, typer.Argument(help="The reservation's id, as `unknown` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Give a charge back; only if you know that the provider never got the request."""
    with opened_ledger(ledger) as opened:
        lines = [line for line in opened.journal(open_only=True) if line.id == reservation]
        if not lines:
            raise BadInput(f"no reservation {reservation!r} is held, sent or unknown: rheostat ledger unknown {ledger}")
        Screen(err=True).print(_table(lines))
        if not yes:
            typer.confirm("Are you sure that the request never reached the provider?", abort=True, err=True)
        opened.void(reservation)
    say({"reservation": reservation, "state": "void"}, f"{reservation} given back", as_json=as_json)


@app.command()
def prune(
    ledger: Where,
    days: Annotated[float, typer.Option(help="Keep the lines of this many days.", min=0)] = 90.0,
    as_json: Json = False,
) -> None:
    """Delete old journal lines that are settled or given back. Accounts and totals stay unchanged."""
    with opened_ledger(ledger) as opened:
        deleted = opened.prune(days * 86_400)
    say({"deleted": deleted}, f"{deleted:,} lines deleted", as_json=as_json)


@app.command()
def export(
    ledger: Where,
    account: Annotated[str | None, typer.Option(help="This account, and all beneath it, only.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Print the whole journal, one line per reservation: CSV, or JSON with --json."""
    with opened_ledger(ledger) as opened:
        lines = _beneath(opened, account)
    put([as_row(line) for line in lines], as_json=as_json, as_csv=as_csv or not as_json)
