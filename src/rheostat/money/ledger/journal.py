"""The journal of a durable ledger: its lines, their totals, and their reconciliation with a provider's bill."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.money.ledger.entry import OPEN, Status
from rheostat.money.usage import Spend, usd_nanos

__all__ = ["Billed", "By", "Line", "Match", "Reconciliation", "read_export", "reconcile", "totals"]

_MOST_BYTES = 256 << 20
By: TypeAlias = Literal["account", "model", "node", "day", "status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One reservation and its state. Times are in milliseconds since the epoch."""

    id: str
    account: str
    status: Status
    model: str
    node: str
    request_id: str
    """The provider's id of the request; empty if unknown."""
    held_at_ms: int
    begun_at_ms: int | None
    closed_at_ms: int | None
    amount: Spend
    """The hold."""
    actual: Spend | None
    """The actual cost, or the estimate of an unknown one; `None` if there is neither."""

    @property
    def charge(self) -> Spend:
        """The amount that counts against the limits."""
        if self.status == "void":
            return Spend()
        return self.amount if self.actual is None else self.actual

    @property
    def day(self) -> str:
        """The day of the hold in UTC, as YYYY-MM-DD."""
        return datetime.fromtimestamp(self.held_at_ms / 1000, UTC).date().isoformat()


def totals(journal: Iterable[Line], by: By) -> dict[str, dict[str, Spend]]:
    """The settled, held and unknown totals by account, model, node, day or status, without voided lines."""
    found: dict[str, dict[str, Spend]] = {}
    for line in journal:
        if line.status == "void":
            continue
        part = {"settled": "settled", "unknown": "unknown"}.get(line.status, "held")
        row = found.setdefault(str(getattr(line, by)) or "-", {"settled": Spend(), "held": Spend(), "unknown": Spend()})
        row[part] = row[part] + line.charge
    return dict(sorted(found.items()))


# --- reconciliation with a provider's export --------------------------------------------------------

_COLUMNS = {
    "request_id": ("request_id", "id", "request", "response_id"),
    "at": ("time", "timestamp", "created_at", "date", "usage_date_utc"),
    "model": ("model", "model_version", "snapshot"),
    "input_tokens": ("input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "cached_input_tokens": ("cached_input_tokens", "input_cached_tokens", "cache_read_input_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "n_generated_tokens_total"),
    "thinking_tokens": ("thinking_tokens", "reasoning_tokens"),
    "usd": ("usd", "cost_usd", "cost", "amount_usd"),
}
"""Our name of each column, and the names that exports use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """One row of a provider's export."""

    row: int
    """Its row in the file; the header is row 1."""
    request_id: str
    at_ms: int | None
    model: str
    spend: Spend


@dataclass(frozen=True, slots=True)
class Match:
    """A row of an export and the reservation that it bills."""

    line: Line
    billed: Billed
    how: Literal["request id", "time"]

    @property
    def difference(self) -> str:
        """The differences between the two; empty if there are none."""
        if self.line.actual is None or self.line.status == "unknown":
            return "unknown so far"
        pairs = [("input_tokens", "tokens in"), ("output_tokens", "tokens out"), ("usd_nanos", "nano-dollars")]
        wrong = [
            f"{label}: ledger {getattr(self.line.actual, name):,}, provider {getattr(self.billed.spend, name):,}"
            for name, label in pairs
            if None not in (getattr(self.line.actual, name), getattr(self.billed.spend, name))
            and getattr(self.line.actual, name) != getattr(self.billed.spend, name)
        ]
        return "; ".join(wrong)


@dataclass(slots=True)
class Reconciliation:
    """A comparison of a provider's bill with the ledger."""

    matched: list[Match] = field(default_factory=list)
    billed_only: list[Billed] = field(default_factory=list)
    """Billed but not in the ledger: unplanned calls, or calls in another ledger."""
    ledger_only: list[Line] = field(default_factory=list)
    """Charged here (settled, sent, unknown or standing) but not in the export."""

    @property
    def news(self) -> list[Match]:
        """Matches of open reservations, which can be settled now."""
        return [match for match in self.matched if match.line.status in OPEN]

    @property
    def wrong(self) -> list[Match]:
        """Matches of settled reservations on which the ledger and the provider disagree."""
        return [match for match in self.matched if match.line.status == "settled" and match.difference]


def read_export(path: Path) -> list[Billed]:
    """Read a usage export (CSV with a header; `_COLUMNS` has the names that are understood).

    Raises:
        BadInput: It can't be read, a column is missing, or a value isn't a number or a time; the message names the row.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, "export", most_bytes=_MOST_BYTES), newline=""))
        names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        column = {
            ours: next((names[each] for each in theirs if each in names), None) for ours, theirs in _COLUMNS.items()
        }
        if column["request_id"] is None and column["at"] is None:
            raise BadInput(f"{path} has neither a request_id nor a time column, but {', '.join(names) or 'nothing'}")
        return [_billed(path, number, row, column) for number, row in enumerate(reader, 2)]
    except csv.Error as error:
        raise BadInput(f"{path} is no CSV file: {error}") from None


def _billed(path: Path, number: int, row: dict[str, str], column: dict[str, str | None]) -> Billed:
    def cell(ours: str) -> str:
        name = column[ours]
        return (row.get(name) or "").strip() if name is not None else ""

    try:
        return Billed(
            row=number,
            request_id=cell("request_id"),
            at_ms=_time_ms(cell("at")),
            model=cell("model"),
            spend=Spend(
                usd_nanos=usd_nanos(cell("usd").lstrip("$")) if cell("usd") else None,
                input_tokens=int(cell("input_tokens") or 0),
                cached_input_tokens=int(cell("cached_input_tokens") or 0),
                output_tokens=int(cell("output_tokens") or 0),
                thinking_tokens=int(cell("thinking_tokens")) if cell("thinking_tokens") else None,
                calls=1,
            ),
        )
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{path}, line {number}: {error}") from None


def _time_ms(text: str) -> int | None:
    if not text:
        return None
    if text.replace(".", "", 1).isdigit():
        seconds = float(text)
        return int(seconds if seconds > 1e11 else seconds * 1000)  # some exports have milliseconds
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def reconcile(journal: Sequence[Line], export: Sequence[Billed], *, within_seconds: float = 120.0) -> Reconciliation:
    """Match rows to reservations: by request id; open reservations also by time, if the match is unambiguous.

    A row fits an open reservation by time if the models don't contradict each other, its amounts aren't above the hold,
    and its time is at most `within_seconds` after the request left. Ambiguous rows stay unmatched, because a guess
    about money would be worse than none.
    """
    result = Reconciliation()
    charged = [line for line in journal if line.status not in ("void", "held")]
    by_id = {line.request_id: line for line in charged if line.request_id}
    taken: set[str] = set()
    late: list[Billed] = []
    for billed in export:
        line = by_id.get(billed.request_id) if billed.request_id else None
        if line is None or line.id in taken:
            late.append(billed)
        else:
            taken.add(line.id)
            result.matched.append(Match(line, billed, "request id"))

    def fits(line: Line) -> Callable[[Billed], bool]:
        return lambda billed: _fits(line, billed, within_seconds)

    waiting = [line for line in charged if line.status in OPEN and line.id not in taken]
    for billed in late:
        lines = [line for line in waiting if fits(line)(billed)]
        if len(lines) == 1 and sum(map(fits(lines[0]), late)) == 1:
            taken.add(lines[0].id)
            result.matched.append(Match(lines[0], billed, "time"))
        else:
            result.billed_only.append(billed)
    result.ledger_only = [line for line in charged if line.id not in taken]
    return result


def _fits(line: Line, billed: Billed, within_seconds: float) -> bool:
    if billed.at_ms is None or line.begun_at_ms is None:
        return False
    soon = 0 <= billed.at_ms - line.begun_at_ms <= within_seconds * 1000
    same = not (billed.model and line.model) or billed.model in line.model or line.model in billed.model
    spend, hold = billed.spend, line.amount
    return soon and same and spend.tokens <= hold.tokens and (spend.usd_nanos or 0) <= (hold.usd_nanos or 10**18)


def as_row(line: Line) -> dict[str, Any]:
    """A journal line as flat plain data, for CSV and JSON."""
    row: dict[str, Any] = {
        name: getattr(line, name)
        for name in (
            "id",
            "account",
            "status",
            "model",
            "node",
            "request_id",
            "held_at_ms",
            "begun_at_ms",
            "closed_at_ms",
        )
    }
    row |= {f"hold_{name}": value for name, value in line.amount.to_dict().items()}
    actual = line.actual.to_dict() if line.actual else dict.fromkeys(line.amount.to_dict())
    return row | actual
