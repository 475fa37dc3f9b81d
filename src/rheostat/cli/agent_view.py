"""The live view of a running agent: steps, difficulty, effort, tokens, money and time."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rheostat.cli.safe_text import one_line
from rheostat.cli.view import bars, spend_line
from rheostat.money.budget import Budget
from rheostat.money.ledger import Reading

__all__ = ["AgentView"]

_ROWS = 14


class AgentView:
    """Takes events; renders at any time."""

    def __init__(self, task: str, model: str, budget: Budget) -> None:
        self._task, self._model, self._budget = task, model, budget
        self._rows: list[list[str | Text]] = []
        self._reading: Reading = {}
        self._started = time.monotonic()
        self._steps = 0
        self.doing = "starting"

    def feed(self, event: dict[str, Any]) -> None:
        """Take one event of the graph's custom stream."""
        match event["type"]:
            case "estimate":
                self._steps += 1
                self._rows.append([str(self._steps), f"{event['score']:.2f}", "", "", "", ""])
                self.doing = f"step {self._steps}: planning"
            case "plan" if self._rows:
                last = " last word" if event.get("last_word") else ""
                self._rows[-1][2] = Text.assemble(one_line(event["effort"]), (last, "yellow"))
                self.doing = f"step {self._steps}: thinking ({'; '.join(event['reasons'])[:80]})"
            case "settle" if self._rows:
                self._rows[-1][3] = f"{event['thinking_tokens'] or 0:,}"
                self._rows[-1][4] = f"{event['output_tokens']:,}"
            case "tool" | "correction":
                bad = event["type"] == "correction"
                text = " ".join(event["text"].split())[:70]
                name = (one_line(event["name"]), "red" if bad else "green")
                shown = Text.assemble(name, " ", (one_line(text), "dim"))
                if self._rows and not self._rows[-1][5]:
                    self._rows[-1][5] = shown
                else:
                    self._rows.append(["", "", "", "", "", shown])
            case "step":
                what = event.get("step") or ", ".join(event.get("steps") or []) or event.get("name", "")
                self._note("cyan", f"{event['name']}: {what}")
            case "wind_down":
                self._note("yellow", str(event.get("why", event.get("stage"))))
            case "spend":
                self._reading = event["run"]

    def _note(self, colour: str, text: str) -> None:
        self._rows.append(["", "", "", "", "", Text(one_line(" ".join(text.split())[:90]), colour)])

    def __rich__(self) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        head.add_row(Text("task", "dim"), one_line(" ".join(self._task.split())[:200]))
        head.add_row(
            Text("model", "dim"), Text.assemble(one_line(self._model), ("  budget ", "dim"), str(self._budget))
        )
        parts: list[RenderableType] = [head]
        if self._rows:
            table = Table("step", "difficulty", "effort", "thinking", "output", "result", box=None)
            for row in self._rows[-_ROWS:]:
                table.add_row(*row)
            parts.append(table)
        parts += bars(self._reading, self._budget)
        seconds = time.monotonic() - self._started
        of = f" of {self._budget.seconds:g}" if self._budget.seconds else ""
        parts.append(Spinner("dots", text=Text(one_line(f"{self.doing}  [{seconds:.0f}{of} s]"))))
        return Panel(Group(*parts), title="rheostat", border_style="cyan")

    def line(self) -> Text:
        """The spend so far, in one line."""
        return Text(spend_line(self._reading) if self._reading else "nothing spent", style="dim")
