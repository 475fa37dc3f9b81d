"""`rheostat explain`: the plan of a run, a call or a request, and its outcome."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.table import Table

from rheostat.cli.safe_text import one_line
from rheostat.cli.screen import Screen, tell_json
from rheostat.errors import BadInput
from rheostat.money.ledger import StepRecord, open_ledger
from rheostat.money.usage import usd

__all__ = ["explain"]


def explain(
    ledger: Annotated[
        str, typer.Argument(metavar="LEDGER", help="An SQLite file, or postgresql://USER@HOST/DATABASE.")
    ],
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|REQUEST",
            help="A run's account, or the id of a call, request or reservation; a prefix is enough.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")] = False,
) -> None:
    """Show the plan of each call of a run, its reasons and its outcome. The candidates of a run: rheostat show.

    rheostat explain spend.db thread/42
    rheostat explain spend.db req_011CT
    """
    opened = open_ledger(ledger, must_exist=True)
    try:
        steps = [step for step in opened.steps() if step.of_call and _meant(step, what)]
    finally:
        opened.close()
    if not steps:
        raise BadInput(
            f"nothing in this ledger begins with {what!r}: rheostat ledger accounts {ledger} --all lists the runs"
        )
    if as_json:
        tell_json([step.to_dict() for step in steps])
        return
    console = Screen()
    for step in steps:
        console.print(_table(step))


def _meant(step: StepRecord, what: str) -> bool:
    names = [step.id, step.account, *(str(r[key]) for r in step.requests for key in ("reservation", "request_id"))]
    return any(name.startswith(what) for name in names if name)


def _sample(candidate: dict[str, Any]) -> str:
    """The sample that a call of the solver was made for."""
    parent = f", from {candidate['parent']}" if candidate.get("parent") else ""
    return f"{candidate.get('id', '?')}{parent}, asked by {candidate.get('way') or '-'}"


def _table(step: StepRecord) -> Table:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(step.at_ms / 1000))
    table = Table(title=one_line(f"{at}  {step.model}  {step.id[:12]}"), show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    effort = f"asked {step.effort_asked or '-'}, planned {step.effort_planned or '-'}, sent {step.effort_seen or '-'}"
    looked = f"{step.kind or '-'}" + (f", {step.difficulty:.2f}" if step.difficulty is not None else "")
    ended = step.error or step.stop or "-"
    rows = {
        "run": step.account, "node": step.node, "task": looked, "effort": f"{effort} (by {step.decided_by or '-'})",
        "thinking": f"at most {step.thinking_tokens:,} tokens", "answer": f"at most {step.answer_tokens:,} tokens",
        "cap sent": f"{step.most_output_tokens:,} tokens" if step.most_output_tokens is not None else "-",
        "why": "; ".join(step.reasons) or "-",
        "ended": ended + (", starved" if step.starved else "") + (", the last word" if step.last_word else ""),
    }  # fmt: skip
    if step.candidate:
        rows["candidate"] = _sample(step.candidate)
    for number, request in enumerate(step.requests, 1):
        spend = request["spend"]
        cost = "unknown, or nothing was sent"
        if spend is not None:
            thought = "?" if spend["thinking_tokens"] is None else f"{spend['thinking_tokens']:,}"
            tokens = f"{spend['input_tokens']:,} in, {spend['output_tokens']:,} out ({thought} thinking)"
            cost = f"{tokens}, {usd(spend['usd_nanos'])}"
        rows[f"request {number}"] = (
            f"{request['model']}  {request['request_id'] or request['reservation'][:12]}  {cost}"
        )
    rows["took"] = f"{step.milliseconds / 1000:.1f} s"
    for name, value in rows.items():
        table.add_row(name, one_line(value))
    return table
