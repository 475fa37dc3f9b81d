"""The live view of a run: difficulty, plan, their reasons, samples, verdicts, spend."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rheostat.cli.safe_text import escape
from rheostat.money.budget import Budget
from rheostat.money.ledger import Reading
from rheostat.money.usage import usd

__all__ = ["SolveView", "bars", "spend_line"]

_ROWS = 12


def spend_line(reading: Reading) -> str:
    """A reading in one line."""
    parts = [
        f"{reading['calls']} calls",
        f"{reading['input_tokens']:,} in ({reading['cached_input_tokens']:,} cached)",
        f"{reading['output_tokens']:,} out",
        f"{reading['thinking_tokens'] or 0:,} of these thinking",
        usd(reading["usd_nanos"]),
    ]
    if reading["unknown_calls"]:
        parts.append(
            f"{reading['unknown_calls']} call(s) unknown, charged in full: {usd(reading['unknown_usd_nanos'])}"
            f" / {reading['unknown_input_tokens'] + reading['unknown_output_tokens']:,} tokens"
        )
    return " · ".join(parts)


class SolveView:
    """Takes events; renders at any time."""

    def __init__(self, question: str, model: str, budget: Budget) -> None:
        self._question, self._model, self._budget = question, model, budget
        self._difficulty = ""
        self._plan = ""
        self._rows: list[list[str]] = []
        self._decision = ""
        self._reading: Reading = {}
        self.doing = "estimating"

    def feed(self, event: dict[str, Any]) -> None:
        """Take one event of the graph's custom stream."""
        if "run" in event:
            self._reading = event["run"]
        match event["type"]:
            case "difficulty":
                reasons = "; ".join(event["reasons"])
                self._difficulty = f"[bold]{event['score']:.2f}[/] {event['kind']} [dim]({escape(reasons)})[/]"
                self.doing = "planning"
            case "plan":
                self._plan = (
                    f"[bold]{event['effort']}[/]: {event['thinking_tokens']} thinking tokens × {event['samples']}, "
                    f"decided by {event['decided_by']} [dim]({escape('; '.join(event['reasons']))})[/]"
                )
                self.doing = f"round {event['round']}: thinking"
            case "sample":
                said = event["answer"] if event["error"] is None else event["error"]
                if said is None and event["notes"]:  # such as a program that failed
                    said = event["notes"][-1]
                short = " ".join(str(said).split())
                self._rows.append(
                    [
                        event["id"],
                        event["way"],
                        f"{event.get('thinking_tokens', 0)}",
                        f"{event.get('output_tokens', 0)}",
                        escape(short[:60]),
                        "" if event["error"] is None else "[red]error[/]",
                    ]
                )
            case "verdict":
                mark = {True: "[green]passed[/]", False: "[red]refused[/]", None: "[dim]abstains[/]"}[event["passed"]]
                reason = " ".join(event["reason"].split())
                for row in self._rows:
                    if row[0] == event["id"]:
                        row[5] = f"{mark} [dim]{escape(reason[:50])}[/]"
            case "decision":
                self._decision = f"[bold]{event['action']}[/]: {escape(event['why'])}"
                self.doing = "deciding"

    def __rich__(self) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        head.add_row("[dim]question[/]", escape(" ".join(self._question.split())[:200]))
        head.add_row("[dim]model[/]", f"{escape(self._model)}  [dim]budget[/] {self._budget}")
        if self._difficulty:
            head.add_row("[dim]difficulty[/]", self._difficulty)
        if self._plan:
            head.add_row("[dim]plan[/]", self._plan)
        parts: list[RenderableType] = [head]
        if self._rows:
            table = Table("sample", "way", "thinking", "output", "answer", "verdict", box=None, padding=(0, 1))
            for row in self._rows[-_ROWS:]:
                table.add_row(*row)
            parts.append(table)
        if self._decision:
            parts.append(Text.from_markup(f"[dim]decision[/] {self._decision}"))
        parts += bars(self._reading, self._budget)
        parts.append(Spinner("dots", text=self.doing))
        return Panel(Group(*parts), title="rheostat", border_style="cyan")


def bars(reading: Reading, budget: Budget) -> list[RenderableType]:
    """The used part of each limit, as bars."""
    if not reading:
        return []
    grid = Table.grid(padding=(0, 1))
    totals = {
        "tokens": sum(reading[f"{part}{kind}_tokens"] or 0
                      for part in ("", "held_", "unknown_") for kind in ("input", "output")),
        **{name: sum(reading[part + name] or 0 for part in ("", "held_", "unknown_"))
           for name in ("usd_nanos", "output_tokens", "thinking_tokens", "calls")},
    }  # fmt: skip
    for name, cap in budget.limits.items():
        used = totals[name]
        shown = f"{usd(used)} of {usd(cap)}" if name == "usd_nanos" else f"{used:,} of {cap:,}"
        bar = ProgressBar(total=cap, completed=used, width=30)
        grid.add_row(f"[dim]{name.replace('_', ' ')}[/]", bar, shown)
    return [grid, Text(spend_line(reading), style="dim")]
