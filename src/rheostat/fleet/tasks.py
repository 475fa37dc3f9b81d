"""The tasks of a fleet: one JSON object a line, checked before anything is queued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.money.usage import usd, usd_nanos

__all__ = ["MOST_PRIORITY", "FleetTask", "as_tasks", "read_tasks"]

MOST_PRIORITY: Final = 50
_MOST_BYTES: Final = 256 << 20
_MOST_ID: Final = 200
_MOST_ESCAPED: Final = 50
"""Of the characters that are three in an account's name, which can't have more than 500."""
_MOST_WORTH: Final = 10**9
_INPUTS: Final = ("input", "question", "messages")


@dataclass(frozen=True, kw_only=True)
class FleetTask:
    """One task of a fleet.

    Raises:
        BadInput: A field has the wrong type or is out of range.
    """

    id: str
    """Names the task within its fleet: the same id is the same task, however often it is submitted."""
    input: dict[str, Any]
    """The input of the graph, as plain data."""
    worth: str | None = None
    """The value of a correct answer in dollars; `None`: as much as any other task."""
    deadline: datetime | None = None
    """No work begins after it, and work that is going on then is cut off."""
    priority: int = 0
    """Tasks of a higher priority, -50 to 50, go before all tasks of a lower one."""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not 1 <= len(self.id) <= _MOST_ID or not self.id.isprintable():
            raise BadInput(f"a task's id is a text of 1 to {_MOST_ID} printable characters, not {self.id!r}")
        if sum(map(self.id.count, "/%")) > _MOST_ESCAPED:
            raise BadInput(f"task {self.id}: an id has at most {_MOST_ESCAPED} of '/' and '%'")
        if not isinstance(self.input, dict) or not self.input:
            raise BadInput(f"task {self.id}: the input is an object such as {{'question': …}}, not {self.input!r}")
        number = isinstance(self.priority, int) and not isinstance(self.priority, bool)
        if not number or abs(self.priority) > MOST_PRIORITY:
            raise BadInput(
                f"task {self.id}: priority is a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}, "
                f"not {self.priority!r}"
            )
        if self.worth is not None:
            try:
                worth = usd_nanos(self.worth)
            except (ValueError, ArithmeticError) as error:
                raise BadInput(f"task {self.id}: worth is in dollars, such as '0.05': {error}") from None
            if worth <= 0:
                raise BadInput(f"task {self.id}: worth is above zero, not {usd(worth)}; leave it out if it isn't known")
            if worth > usd_nanos(_MOST_WORTH):
                raise BadInput(f"task {self.id}: worth is at most {_MOST_WORTH:,} dollars")

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON data."""
        return {
            "id": self.id,
            "input": self.input,
            "worth": self.worth,
            "deadline": None if self.deadline is None else self.deadline.isoformat(),
            "priority": self.priority,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> FleetTask:
        """A task from a row: `{"id", "question" | "messages" | "input", "worth", "deadline", "priority"}`.

        Only the input is required; without an `id` it is made from the input. Other keys are ignored, so that a data
        set with gold answers can be submitted as it is.

        Raises:
            BadInput: The row has no input, or a field can't be used.
        """
        if not isinstance(row, Mapping):
            raise BadInput(f"a task is an object, not {row!r}")
        given = next((name for name in _INPUTS if row.get(name) is not None), None)
        if given is None:
            raise BadInput(
                f"a task needs one of {', '.join(_INPUTS)}; this one has {', '.join(map(str, row)) or 'no keys'}"
            )
        asked = row[given]
        data = asked if given == "input" else {given: asked}
        name = row.get("id")
        try:
            text = json.dumps(data, sort_keys=True, allow_nan=False)
            json.dumps(data, ensure_ascii=False).encode()  # half of a surrogate pair can't be stored
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput(f"task {name!r}: the input must be plain JSON data: {error}") from None
        worth = row.get("worth")
        return cls(
            id=str(name) if isinstance(name, str | int) else hashlib.sha256(text.encode()).hexdigest()[:16],
            input=data,
            worth=str(worth) if isinstance(worth, int | float | Decimal) else worth,
            deadline=_deadline(row.get("deadline"), name),
            priority=row.get("priority") or 0,
        )


def _deadline(given: Any, name: Any) -> datetime | None:
    if given is None:
        return None
    try:
        when = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise BadInput(f"task {name!r}: deadline is a time such as '2026-12-01T07:00:00Z', not {given!r}") from None
    if when.tzinfo is None:
        raise BadInput(f"task {name!r}: the deadline {given!r} has no time zone: write it with 'Z' or '+01:00'")
    try:
        return when.astimezone(UTC)
    except OverflowError:
        raise BadInput(f"task {name!r}: there is no deadline {given!r} in UTC") from None


def as_tasks(rows: Iterable[FleetTask | Mapping[str, Any] | str]) -> list[FleetTask]:
    """Tasks from rows, questions or tasks.

    Raises:
        BadInput: One of them isn't a task; two different tasks have the same id. The message has its number.
    """
    made: dict[str, FleetTask] = {}
    for number, row in enumerate(rows, 1):
        try:
            task = (
                row
                if isinstance(row, FleetTask)
                else FleetTask.from_dict({"question": row} if isinstance(row, str) else row)
            )
        except BadInput as error:
            raise BadInput(f"task {number}: {error}") from None
        before = made.setdefault(task.id, task)
        if before != task:
            raise BadInput(f"task {number}: another task before it has the id {task.id!r} too; the same id is one task")
    return list(made.values())


def read_tasks(path: Path) -> list[FleetTask]:
    """The tasks of a JSONL file.

    Raises:
        BadInput: The file can't be read, or a line isn't a task; the message has its number.
    """
    rows = []
    for number, line in enumerate(read_text(path, "tasks", most_bytes=_MOST_BYTES, may_be_packed=True).split("\n"), 1):
        if line.strip():
            try:
                rows.append(FleetTask.from_dict(json.loads(line)))
            except (BadInput, ValueError, RecursionError) as error:
                raise BadInput(f"{path}, line {number}: {error}") from None
    return as_tasks(rows)
