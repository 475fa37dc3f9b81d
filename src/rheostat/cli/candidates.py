"""The candidates of a run as a tree, for the live view and for `rheostat show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from rheostat.cli.safe_text import visible
from rheostat.money.usage import Spend, usd

__all__ = ["Row", "Totals", "tree", "verdict"]

_SAID_CHARS, _REASON_CHARS = 60, 50
_DEEPEST_CHARS = 24
_COLUMNS = ("sample", "model", "way", "effort", "thinking", "output", "price", "score", "scoring")
_NUMBERS = ("thinking", "output", "price", "score", "scoring")
_USUAL = ("", "solve", "correct")
"""Purposes that the tree shows by itself."""


@dataclass(slots=True, kw_only=True)
class Row:
    """One candidate as it is shown. No text in it was made safe yet."""

    id: str
    number: int = 0
    parent: str | None = None
    way: str = ""
    purpose: str = ""
    model: str = ""
    effort: str = ""
    status: str = "done"
    passed: bool | None = None
    judged: bool = False
    score: float | None = None
    reason: str = ""
    error: str = ""
    said: str | None = None
    """The answer, or a text that stands for it; `None`: there is none."""
    answered: bool = False
    cost: Spend = field(default_factory=Spend)
    scoring: Spend = field(default_factory=Spend)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Row:
        """From a `sample` event, from a candidate in the result, or from a record."""
        names = ("id", "number", "parent", "way", "purpose", "model", "effort", "status", "passed", "score")
        return cls(
            **{name: data[name] for name in names if name in data},
            error=str(data.get("error") or ""),
            said=_said(data),
            answered=data.get("answer") is not None or data.get("group") is not None,
            cost=Spend.from_dict(data.get("cost") or data.get("spend") or {}),
            scoring=Spend.from_dict(data.get("scoring") or {}),
        )

    @property
    def rank(self) -> tuple[bool, bool, bool, float, int]:
        """Larger is better, by what is known of it."""
        return (
            self.passed is True, self.answered, self.passed is not False,
            -1.0 if self.score is None else self.score, -self.number,
        )  # fmt: skip


def _said(data: Mapping[str, Any]) -> str | None:
    if "group" in data:  # a record holds no text: equal answers have equal numbers
        return None if data["group"] is None else f"#{data['group']}"
    if data.get("error") is not None:
        return str(data["error"])
    if data.get("answer") is None and data.get("notes"):  # such as a program that failed
        return str(data["notes"][-1])
    return None if data.get("answer") is None else str(data["answer"])


@dataclass(frozen=True, slots=True)
class Totals:
    """What candidates come to together."""

    candidates: int
    cancelled: int
    failed: int
    cost: Spend
    scoring: Spend

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Totals:
        """The totals of these rows."""
        rows = list(rows)
        return cls(
            candidates=len(rows),
            cancelled=sum(each.status == "cancelled" for each in rows),
            failed=sum(each.status == "failed" for each in rows),
            cost=sum((each.cost for each in rows), Spend()),
            scoring=sum((each.scoring for each in rows), Spend()),
        )

    @property
    def scoring_share(self) -> float | None:
        """The scorers' share of the cost: in money where all of it has a price, else in tokens; `None`: nothing."""
        whole = self.cost + self.scoring
        if whole.usd_nanos and self.scoring.usd_nanos is not None:
            return self.scoring.usd_nanos / whole.usd_nanos
        return self.scoring.tokens / whole.tokens if whole.tokens else None

    def to_dict(self) -> dict[str, Any]:
        """The totals as plain data; the scorers' cost is counted in."""
        whole = self.cost + self.scoring
        return {
            "candidates": self.candidates, "cancelled": self.cancelled, "failed": self.failed, "tokens": whole.tokens,
            "usd_nanos": whole.usd_nanos, "scoring_tokens": self.scoring.tokens,
            "scoring_usd_nanos": self.scoring.usd_nanos, "scoring_share": self.scoring_share,
        }  # fmt: skip

    def counted(self, scorer: str = "scoring") -> str:
        """The counts and the scorers' share in one line."""
        parts = [f"{self.candidates} candidate{'' if self.candidates == 1 else 's'}"]
        parts += [
            f"{count} {name}" for name, count in (("cancelled", self.cancelled), ("failed", self.failed)) if count
        ]
        if self.scoring.calls and self.scoring_share is not None:
            parts.append(f"{scorer}: {self.scoring_share:.0%} of the cost")
        return " · ".join(parts)


def tree(
    rows: Sequence[Row],
    *,
    chosen: str | None = None,
    ended: bool = False,
    most: int | None = None,
    answer: str = "answer",
) -> Table:
    """Candidates as a table whose first column is a tree: under each, those that were made from it.

    Args:
        chosen: The id of the best candidate so far; of the one that was chosen, once the run has `ended`.
        most: The most rows. The best and the latest are kept; the last line counts the others.
        answer: The heading of the answers' column.
    """
    kept = _kept(rows, chosen, most)
    priced = any(each.cost.usd_nanos for each in rows)
    paid = any(each.scoring.usd_nanos for each in rows)
    shown = {
        "model": len({each.model for each in rows}) > 1,
        "price": priced,
        "score": any(each.score is not None for each in rows),
        "scoring": paid,
    }
    names = [name for name in (*_COLUMNS, answer, "verdict") if shown.get(name, True)]
    table = Table(box=None, padding=(0, 1))
    for name in names:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=name not in (answer, "verdict"))
    for guide, row in _walk(kept, rows):
        mark = ("chosen" if ended else "best so far") if row.id == chosen else ""
        cells = _cells(row, guide, mark, answer)
        table.add_row(*(cells[name] for name in names))
    if len(kept) < len(rows):
        table.add_row(Text(f"… {len(rows) - len(kept)} more", style="dim"))
    return table


def _cells(row: Row, guide: str, mark: str, answer: str) -> dict[str, Text]:
    thinking = row.cost.thinking_tokens
    cells = {
        "sample": Text.assemble((guide, "dim"), _line(row.id, 40)),
        "model": Text(_line(row.model, 30)),
        "way": Text(_line(row.way, 20) + ("" if row.purpose in _USUAL else f", {_line(row.purpose, 20)}")),
        "effort": Text(_line(row.effort, 10)),
        "thinking": Text("?" if thinking is None else f"{thinking:,}"),
        "output": Text(f"{row.cost.output_tokens:,}"),
        "price": Text(usd(row.cost.usd_nanos)),
        "score": Text("" if row.score is None else f"{row.score:.2f}"),
        "scoring": Text(usd(row.scoring.usd_nanos) if row.scoring.calls else ""),
        answer: Text("-" if row.said is None else _line(row.said, _SAID_CHARS), no_wrap=True, overflow="ellipsis"),
        "verdict": verdict(row, mark),
    }
    if row.status == "cancelled":
        for cell in cells.values():
            cell.stylize("dim")
    return cells


def verdict(row: Row, mark: str = "") -> Text:
    """What became of a candidate, and why."""
    said = Text(no_wrap=True, overflow="ellipsis")
    parts: list[tuple[str, str]] = [(mark, "bold green")] if mark else []
    if row.status in ("cancelled", "pending"):
        parts.append((row.status, "dim"))
    elif row.status == "failed" or row.error:
        parts.append(("failed", "red"))
    elif row.passed is not None:
        parts.append(("passed", "green") if row.passed else ("refused", "red"))
    elif row.judged:
        parts.append(("abstains", "dim"))
    if row.reason:
        parts.append((_line(row.reason, _REASON_CHARS), "dim"))
    for number, (text, style) in enumerate(parts):
        said.append(" " if number else "").append(text, style)
    return said


def _line(text: object, most: int) -> str:
    """Foreign text on one line, harmless. It becomes a `Text`, so that nothing in it is read as markup."""
    short = " ".join(str(text).split())
    return visible(short[:most])


def _kept(rows: Sequence[Row], chosen: str | None, most: int | None) -> list[Row]:
    """The rows that are drawn: the chosen one, then the best and the latest in turn, each with what it came from."""
    by_id = {each.id: each for each in rows}
    if most is None or len(by_id) <= most:
        return list(by_id.values())
    best = sorted(by_id.values(), key=lambda each: each.rank, reverse=True)
    latest = sorted(by_id.values(), key=lambda each: each.number, reverse=True)
    order = [by_id[chosen]] if chosen in by_id else []
    order += [each for pair in zip(best, latest, strict=True) for each in pair]
    kept: dict[str, Row] = {}
    for row in order:
        for each in (row, *_above(row, by_id)):
            if len(kept) >= most:
                break
            kept[each.id] = each
    return list(kept.values())


def _above(row: Row, by_id: Mapping[str, Row]) -> Iterator[Row]:
    """The candidates that this one came from, the nearest first."""
    seen = {row.id}
    while (above := by_id.get(row.parent or "")) is not None and above.id not in seen:
        row = above
        seen.add(row.id)
        yield row


def _walk(kept: Sequence[Row], rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """Each kept row with the guide before its id, depth first, in the order of draws."""
    by_id, drawn = {each.id: each for each in rows}, {each.id for each in kept}
    beneath: dict[str | None, list[Row]] = {}
    for row in sorted(kept, key=lambda each: each.number):
        above = list(_above(row, by_id))
        looped = any(each.parent == row.id for each in above)  # only in a record that was tampered with
        nearest = next((each.id for each in above if each.id in drawn), None)
        beneath.setdefault(None if looped else nearest, []).append(row)
    stack = [("", "", each) for each in reversed(beneath.get(None, []))]
    while stack:
        guide, margin, row = stack.pop()
        folded = "… " if row.parent in by_id and row.parent not in drawn else ""
        yield (guide if len(guide) <= _DEEPEST_CHARS else "…" + guide[-_DEEPEST_CHARS:]) + folded, row
        children = beneath.get(row.id, [])
        for place, child in reversed(list(enumerate(children, 1))):
            last = place == len(children)
            stack.append((margin + ("└ " if last else "├ "), margin + ("  " if last else "│ "), child))
