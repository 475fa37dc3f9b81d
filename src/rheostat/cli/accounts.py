"""`rheostat ledger open` and `accounts`: accounts, their limits and what is left of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table

from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Csv, Json, put, say
from rheostat.cli.screen import Screen, tell
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Rate, Reading, Window, open_ledger
from rheostat.money.ledger.durable import DurableLedger
from rheostat.money.usage import usd

__all__ = ["Where", "accounts", "amend", "open_", "opened_ledger"]

Where = Annotated[str, typer.Argument(metavar="LEDGER", help="An SQLite file, or postgresql://USER@HOST/DATABASE.")]


@contextlib.contextmanager
def opened_ledger(address: str) -> Iterator[DurableLedger]:
    """An existing ledger, closed at the end."""
    ledger = open_ledger(address, must_exist=True)
    try:
        yield ledger
    finally:
        ledger.close()


def open_(
    ledger: Annotated[str, typer.Argument(metavar="LEDGER", help="An SQLite file (created if missing), or Postgres.")],
    account: Annotated[str, typer.Argument(help="The account's id, such as team or user-7.")],
    usd_limit: Annotated[str | None, typer.Option("--usd", help="Limit in US dollars.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Limit in tokens, input and output together.")] = None,
    calls: Annotated[int | None, typer.Option(help="Limit in calls.")] = None,
    parent: Annotated[str | None, typer.Option(help="The account above it; its limits also bind.")] = None,
    each: Annotated[str | None, typer.Option(help="day or month: when the limits start anew.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone of the day or month.")] = "UTC",
    rpm: Annotated[int | None, typer.Option(help="Requests that may leave in a minute; more wait.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens in a minute, input and output together.")] = None,
    input_tpm: Annotated[int | None, typer.Option(help="Input tokens in a minute.")] = None,
    output_tpm: Annotated[int | None, typer.Option(help="Output tokens in a minute.")] = None,
    counts_max_tokens: Annotated[
        bool,
        typer.Option(
            "--counts-max-tokens", help="The provider counts max_tokens when a request arrives (OpenAI and others)."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Open an account, or give an open account new limits."""
    paced = (rpm, tpm, input_tpm, output_tpm) != (None,) * 4 or counts_max_tokens
    rate = Rate(rpm, tpm, input_tpm, output_tpm, counts_max_tokens) if paced else None
    limited = rate is None or (usd_limit, tokens, calls) != (None,) * 3
    budget = Budget(usd=usd_limit, tokens=tokens, calls=calls) if limited else None
    window = Window(each, zone) if each is not None else None  # type: ignore[arg-type]  # Window says what it may be
    opened = open_ledger(ledger)
    try:
        known = {one.id: one for one, _ in opened.accounts()}
        if account in known:
            opened.amend(account, budget, rate=rate)
        else:
            opened.open(Account(account, budget, parent, window, rate))
    finally:
        opened.close()
    limits = " · ".join(str(each) for each in (budget, rate) if each is not None)
    text = f"{account}: {limits}" + (" (already open: new limits)" if account in known else "")
    said = {"account": account, "budget": budget and budget.to_dict(), "was_open": account in known}
    say(said | ({"rate": rate.to_dict()} if rate is not None else {}), text, as_json=as_json)


def amend(
    ledger: Where,
    account: Annotated[str, typer.Argument(help="The id of an open account.")],
    usd_limit: Annotated[str | None, typer.Option("--usd", help="Limit in US dollars.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Limit in tokens, input and output together.")] = None,
    calls: Annotated[int | None, typer.Option(help="Limit in calls.")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests that may leave in a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens in a minute, input and output together.")] = None,
    as_json: Json = False,
) -> None:
    """Give an open account new limits, higher or lower, from its next call on."""
    rate = None if rpm is None and tpm is None else Rate(rpm, tpm)
    limited = rate is None or (usd_limit, tokens, calls) != (None,) * 3
    budget = Budget(usd=usd_limit, tokens=tokens, calls=calls) if limited else None
    with opened_ledger(ledger) as opened:
        opened.amend(account, budget, rate=rate)
    limits = " · ".join(str(each) for each in (budget, rate) if each is not None)
    said = {"account": account, "budget": budget and budget.to_dict(), "rate": rate and rate.to_dict()}
    say(said, f"{account}: {limits}", as_json=as_json)


def accounts(
    ledger: Where,
    every: Annotated[bool, typer.Option("--all", help="Include the threads and runs that solvers opened.")] = False,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List accounts: the tree with limits, spend and what is left.

    in flight: held for calls that have not come back. unknown: cut or killed; their cost is unknown, so they
    stay charged at the hold or an estimate. Amounts are money / tokens.
    """
    with opened_ledger(ledger) as opened:
        found = opened.accounts()
        left = {account.id: opened.room(account.id) for account, _ in found}
    rows = [
        {"account": account.id, "parent": account.parent, "budget": account.budget and str(account.budget),
         "window": account.window and f"{account.window.every} {account.window.zone}",
         "rate": account.rate and str(account.rate), **_paced(reading)}
        | {key: value for key, value in reading.items()
           if not isinstance(value, dict) and key not in ("account", "parent")}
        for account, reading in found
    ]  # fmt: skip
    if put(rows, as_json=as_json, as_csv=as_csv):
        return
    made = [account.id for account, _ in found if account.id.startswith(("thread/", "run/"))]
    if not every and len(made) < len(found):
        found = [(account, reading) for account, reading in found if account.id not in set(made)]
    else:
        made = []
    table = Table("account", "limits", "calls", "settled", "in flight", "unknown", "left")
    table.columns[0].overflow = "fold"  # a name that is cut names nobody
    for account, reading in _tree(found):
        depth = _depth(account, dict((a.id, a) for a, _ in found))
        limits = str(account.budget) if account.budget else "-"
        limits += f" a {account.window.every} ({account.window.zone})" if account.window else ""
        limits = " · ".join(each for each in (limits.removeprefix("-"), str(account.rate or "")) if each) or "-"
        room = left[account.id]
        parts = [usd(room.usd_nanos)] if room.usd_nanos is not None else []
        parts += [f"{getattr(room, name):,} {name.replace('_', ' ')}"
                  for name in ("tokens", "output_tokens", "thinking_tokens", "calls")
                  if getattr(room, name) is not None]  # fmt: skip
        parts += [f"{max(0.0, room.seconds):.0f} s"] if room.seconds is not None else []
        if account.rate is not None:
            parts += _left_now(reading, account.rate)
        table.add_row(
            "  " * depth + one_line(account.id),
            limits,
            f"{reading['calls']:,}",
            _sum(reading, ""),
            _sum(reading, "held_"),
            _sum(reading, "unknown_"),
            " · ".join(parts) or "-",
        )
    Screen().print(table)
    if made:
        tell(f"and {len(made)} threads and runs beneath them: --all shows them")


def _paced(reading: Reading) -> dict[str, Any]:
    """What counts of a rate now, in the same columns for every account."""
    rate = reading.get("rate", {})
    return {
        f"rate_{kind}_{part}": rate.get(kind, {}).get(part)
        for kind in ("requests", "tokens", "input_tokens", "output_tokens")
        for part in ("limit", "in_flight", "used")
    } | {"rate_stopped_seconds": rate.get("stopped_seconds")}


def _left_now(reading: Reading, rate: Rate) -> list[str]:
    """What is left of a rate now."""
    kinds = {kind: each for kind, each in reading["rate"].items() if isinstance(each, dict)}
    found = [
        f"{max(0, each['limit'] - each['in_flight'] - each['used']):,} {kind.replace('_', ' ')} {rate.every}"
        for kind, each in kinds.items()
    ]
    stopped = reading["rate"]["stopped_seconds"]
    return [*found, f"stopped by the provider for {stopped:.0f} s"] if stopped else found


def _sum(reading: Reading, part: str) -> str:
    calls = reading[f"{part}calls"]
    tokens = reading[f"{part}input_tokens"] + reading[f"{part}output_tokens"]
    return f"{usd(reading[f'{part}usd_nanos'])} / {tokens:,}" if calls else "-"


def _depth(account: Account, by_id: dict[str, Account]) -> int:
    return 0 if account.parent is None else 1 + _depth(by_id[account.parent], by_id)


def _tree(found: list[tuple[Account, Reading]], parent: str | None = None) -> Iterator[tuple[Account, Reading]]:
    for account, reading in found:
        if account.parent == parent:
            yield account, reading
            yield from _tree(found, account.id)
