"""`rheostat show`: the candidates of a run as a tree, from the records in the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from rheostat.cli.candidates import Row, Totals, tree
from rheostat.cli.safe_text import one_line
from rheostat.cli.screen import Screen, labelled, tell_json
from rheostat.cli.view import spend_line
from rheostat.errors import BadInput, LedgerError
from rheostat.money.ledger import Reading, StepRecord, open_ledger
from rheostat.money.ledger.durable import DurableLedger
from rheostat.money.ledger.meant import meant, parents_of
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.money.usage import usd

__all__ = ["show"]


def show(
    ledger: Annotated[
        str, typer.Argument(metavar="LEDGER", help="An SQLite file, or postgresql://USER@HOST/DATABASE.")
    ],
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run's account; a thread or an account above it, for all of its runs; or the beginning of one.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what happened in a run of the solver: every candidate, what it came from, its verdict, score and price.

    The ledger keeps no text: in the column "answer", equal answers have equal numbers. For the calls of a run and
    their plans, see rheostat explain.

    Examples:

        rheostat show spend.db thread/42

        rheostat show spend.db run/5f0c --json
    """
    opened = open_ledger(ledger, must_exist=True)
    try:
        runs = _runs(ledger, opened.steps(), what, parents_of(account for account, _ in opened.accounts()))
        for run in runs:
            run.reading = _reading(opened, run.account)
    finally:
        opened.close()
    if as_json:
        tell_json({"runs": [run.to_dict() for run in runs]})
        return
    console = Screen()
    for number, run in enumerate(runs):
        if number:
            console.print()
        run.print(console)


@dataclass(slots=True)
class _Run:
    account: str
    candidates: list[StepRecord] = field(default_factory=list)
    decisions: list[StepRecord] = field(default_factory=list)
    reading: Reading = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [Row.of(_plain(step)) for step in self.candidates]

    @property
    def ended(self) -> bool:
        return any(step.candidate.get("action") in ("accept", "stop") for step in self.decisions)

    @property
    def chosen(self) -> str | None:
        return next((step.candidate["id"] for step in self.candidates if step.candidate.get("chosen")), None)

    def told(self, name: str) -> str | None:
        """What the last decision says under this name."""
        return next((step.candidate.get(name) for step in reversed(self.decisions)), None)

    def to_dict(self) -> dict[str, Any]:
        [first, *_] = [*self.candidates, *self.decisions]
        return {
            "account": self.account,
            "strategy": self.told("strategy"),
            "scorer": self.told("scorer"),
            "kind": first.kind,
            "difficulty": first.difficulty,
            "ended": self.ended,
            "chosen": self.chosen,
            "candidates": [_plain(step) for step in self.candidates],
            "decisions": [
                {**{name: step.candidate.get(name) for name in ("round", "action")}, "why": "; ".join(step.reasons)}
                for step in self.decisions
            ],
            "totals": Totals.of(self.rows).to_dict(),
            "spend": self.reading or None,
        }

    def print(self, console: Screen) -> None:
        totals = Totals.of(self.rows)
        whole = totals.cost + totals.scoring
        first = (self.candidates or self.decisions)[0]
        looked = f"{first.kind} {first.difficulty:.2f}" if first.kind and first.difficulty is not None else ""
        head = [self.told("strategy") or "", looked, self.told("scorer") and f"scored by {self.told('scorer')}"]
        console.print(one_line(self.account), style="bold", soft_wrap=True)
        console.print(one_line(" · ".join(each for each in head if each)), style="dim")
        if self.candidates:
            console.print(tree(self.rows, chosen=self.chosen, ended=self.ended))
        for step in self.decisions:
            said = f"after round {step.candidate.get('round', '?')}: {step.candidate.get('action', '?')}"
            console.print(labelled(said, "; ".join(step.reasons)))
        counted = (
            f"{totals.counted(self.told('scorer') or 'scoring')} · {whole.tokens:,} tokens · {usd(whole.usd_nanos)}"
        )
        console.print(labelled("total", counted))
        if self.reading:
            console.print(labelled("spend of the run", spend_line(self.reading)))


def _plain(step: StepRecord) -> dict[str, Any]:
    return {**step.candidate, "model": step.model, "effort": step.effort_planned, "error": step.error or None}


def _runs(ledger: str, steps: Sequence[StepRecord], what: str, parents: Mapping[str, str | None]) -> list[_Run]:
    """The runs that are meant, the oldest first."""
    accounts = dict.fromkeys(step.account for step in steps)
    those = meant(what, accounts, parents, ledger=ledger)
    runs = {name: _Run(name) for name in accounts if name in those}
    for step in steps:
        if step.account in runs and step.node == CANDIDATE:
            runs[step.account].candidates.append(step)
        elif step.account in runs and step.node == DECISION:
            runs[step.account].decisions.append(step)
    found = [run for run in runs.values() if run.candidates or run.decisions]
    if not found:
        raise BadInput(
            f"{min(those)} has no candidates: it is an agent's run, or one of an older Rheostat. "
            f"Its calls: rheostat explain {ledger} {what}"
        )
    for run in found:
        run.candidates.sort(key=lambda step: (step.candidate.get("number", 0), step.id))
        run.decisions.sort(key=lambda step: (step.candidate.get("round", 0), step.id))
    return found


def _reading(opened: DurableLedger, account: str) -> Reading:
    with contextlib.suppress(LedgerError):
        return opened.reading(account)
    return {}
