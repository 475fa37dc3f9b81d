"""The live view of a run: difficulty, plan, their reasons, the tree of candidates with verdicts and scores, spend."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rheostat.cli.candidates import Row, Totals, tree
from rheostat.cli.safe_text import one_line
from rheostat.money.budget import Budget
from rheostat.money.ledger import Reading
from rheostat.money.usage import Spend, usd

__all__ = ["SolveView", "bars", "spend_line"]

_ROWS = 14


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
        self._difficulty = Text()
        self._plan = Text()
        self._rows: dict[str, Row] = {}
        self._chosen: str | None = None
        self._ended = False
        self._decision = Text()
        self._reading: Reading = {}
        self.doing = "estimating"

    def feed(self, event: dict[str, Any]) -> None:
        """Take one event of the graph's custom stream."""
        if "run" in event:
            self._reading = event["run"]
        match event["type"]:
            case "difficulty":
                reasons = "; ".join(event["reasons"])
                score = (f"{event['score']:.2f}", "bold")
                self._difficulty = Text.assemble(
                    score, f" {one_line(event['kind'])} ", (f"({one_line(reasons)})", "dim")
                )
                self.doing = "planning"
            case "plan":
                self._plan = Text.assemble(
                    (one_line(event["effort"]), "bold"),
                    f": {event['thinking_tokens']} thinking tokens × {event['samples']}, ",
                    f"decided by {one_line(event['decided_by'])} ",
                    (f"({one_line('; '.join(event['reasons']))})", "dim"),
                )
                self.doing = f"round {event['round']}: thinking"
            case "sample":
                self._rows[event["id"]] = Row.of(event)
            case "verdict" if row := self._rows.get(event["id"]):
                row.judged, row.passed, row.reason = True, event["passed"], event["reason"]
                row.score = event.get("score", row.score)
            case "score" if row := self._rows.get(event["id"]):
                row.score, row.reason = event["score"], event["reason"]
                row.scoring += Spend.from_dict(event.get("cost") or {})
            case "decision":
                self._decision = Text.assemble((one_line(event["action"]), "bold"), ": ", one_line(event["why"]))
                self._chosen = event.get("chosen", event.get("id"))
                self._ended = event["action"] in ("accept", "stop")
                self.doing = "deciding"

    @property
    def totals(self) -> Totals:
        """What the candidates so far come to."""
        return Totals.of(self._rows.values())

    def tree(self) -> Table:
        """The candidates so far, under those that they were made from."""
        return tree(list(self._rows.values()), chosen=self._chosen, ended=self._ended, most=_ROWS)

    def __rich__(self) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        head.add_row(Text("question", "dim"), one_line(" ".join(self._question.split())[:200]))
        head.add_row(
            Text("model", "dim"), Text.assemble(one_line(self._model), ("  budget ", "dim"), str(self._budget))
        )
        if self._difficulty:
            head.add_row(Text("difficulty", "dim"), self._difficulty)
        if self._plan:
            head.add_row(Text("plan", "dim"), self._plan)
        parts: list[RenderableType] = [head]
        if self._rows:
            parts.append(self.tree())
        if self._decision:
            parts.append(Text.assemble(("decision ", "dim"), self._decision))
        parts += bars(self._reading, self._budget)
        parts.append(Spinner("dots", text=Text(one_line(self.doing))))
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
        grid.add_row(Text(name.replace("_", " "), "dim"), bar, shown)
    return [grid, Text(spend_line(reading), style="dim")]
