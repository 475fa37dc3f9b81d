"""`rheostat worth`: what right answers cost, beside fixed arms."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from rheostat.cli.accounts import Where, opened_ledger
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Csv, Json, put
from rheostat.cli.screen import Screen, tell
from rheostat.errors import BadInput
from rheostat.judgement.baselines import Compared, compared
from rheostat.judgement.worth import amount

__all__ = ["worth"]


def worth(
    ledger: Where,
    by: Annotated[str, typer.Option(help="Sum up by kind (of task), account (the thread) or model.")] = "",
    account: Annotated[str, typer.Option(help="Only runs of accounts that begin so.")] = "",
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show what right answers cost, and what fixed arms would have cost on the same tasks.

    best fixed: the one arm that brings most beyond its price. strong always: the arm that is right most often. Both are
    expectations by the profile at the time of the run; what was spent is counted. A right answer is one that a
    verifier passed.

    Example:

        rheostat worth spend.db --by kind
    """
    if by not in ("", "kind", "account", "model"):
        raise BadInput(f"--by {by}: choose kind, account or model")
    with opened_ledger(ledger) as opened:
        found = compared((step for step in opened.steps() if step.account.startswith(account)), by)
    rows = [row for name, each in found.items() for row in _worth_rows(name, each)]
    if put(rows, as_json=as_json, as_csv=as_csv):
        return
    if not rows:
        tell("no finished run of a solver is recorded here")
        return
    table = Table(by or "runs", "", "right", "spent", "a right answer", "saved", box=None)
    for row in rows:
        cells = [row["name"], row["beside"], row["right"], row["spent"], row["a_right_answer"], row["saved"]]
        table.add_row(*(one_line(str(each)) for each in cells))
    Screen().print(table)


def _worth_rows(name: str, each: Compared) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "beside": f"{one.runs} runs", "right": f"{one.right} of {one.of} judged",
            "spent": amount(one.spent, one.unit),
            "a_right_answer": "-" if one.per_right is None else amount(one.per_right, one.unit), "saved": "",
        }
        if one.saved is None
        else {
            "name": "", "beside": one.name, "right": f"{one.right:.1f} of {one.of} expected",
            "spent": amount(one.spent, one.unit), "a_right_answer": amount(one.per_right or 0, one.unit),
            "saved": f"{amount(one.saved, one.unit)} ({one.saved_share:+.0%})",
        }
        for one in each.beside()
    ]  # fmt: skip
