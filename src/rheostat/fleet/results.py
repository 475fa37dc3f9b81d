"""What became of a fleet's tasks: by task, and in numbers."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias

__all__ = ["ENDED", "STATES", "Counts", "State", "TaskResult", "result_of"]

State: TypeAlias = Literal["queued", "running", "done", "failed"]
STATES: Final[dict[str, State]] = {
    "ENQUEUED": "queued", "DELAYED": "queued", "CANCELLED": "queued", "PENDING": "running", "SUCCESS": "done",
    "ERROR": "failed", "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}  # fmt: skip
ENDED: Final = ("SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What became of one task."""

    id: str
    state: State
    answer: Any = None
    """As the graph gave it; `None`: there is none."""
    verdict: bool | None = None
    """What the graph's verifier said of the answer; `None`: nothing could tell."""
    by: str = ""
    """What ended it: `answer`, `budget`, `deadline`, `error` … (see `rheostat.graph.ending`)."""
    why: str = ""
    """The same in words; of a failed task its last error."""
    usd: str | None = None
    """Dollars spent on it, all attempts together; `None`: part of it had no price."""
    tokens: int = 0
    """Input and output tokens, all attempts together."""
    calls: int = 0
    attempts: int = 0
    """The times that it was begun."""
    seconds: float = 0.0
    """From its last beginning to its end."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The tasks of a fleet by state, and how long those that ended have taken together."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    foreign: int = 0
    """Of the queued ones, those that another version of Rheostat queued in a form that this one doesn't know."""
    first_ms: int | None = None
    """When the first task began, in milliseconds since the epoch."""
    last_ms: int | None = None
    """When the latest ended."""
    recent: int = 0
    """Tasks that ended in the last five minutes."""

    @property
    def ended(self) -> int:
        """The tasks that need no further work."""
        return self.done + self.failed

    @property
    def total(self) -> int:
        """All tasks."""
        return self.queued + self.running + self.ended


def result_of(task: str, status: Any) -> TaskResult:
    """The result of a task from DBOS's record of it."""
    state = STATES[status.status]
    if state == "done" and isinstance(status.output, dict):
        return _known(status.output, id=task, state=state)
    began, ended = status.dequeued_at, status.completed_at
    known = TaskResult(
        id=task,
        state=state,
        attempts=status.recovery_attempts or 0,
        seconds=(ended - began) / 1000 if began and ended else 0.0,
    )
    if state == "done":
        return replace(known, by="error", why="its record in the database can't be read")
    if state != "failed":
        return known
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        return _known(json.loads(str(status.error)), id=task, state="failed")
    return replace(known, by="error", why=str(status.error))


def _known(row: dict[str, Any], **more: Any) -> TaskResult:
    """A result from a row, which a newer version or anybody may have written: what has another type is left out."""
    made = {**row, **more}
    return TaskResult(**{name: made[name] for name, fits in _FITS.items() if name in made and fits(made[name])})


_AMOUNT: Final = re.compile(r"\d{1,20}(\.\d{1,20})?")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    "id": _is_text, "state": _is_text, "answer": lambda value: True, "by": _is_text, "why": _is_text,
    "verdict": lambda value: value is None or isinstance(value, bool),
    "usd": lambda value: value is None or (_is_text(value) and _AMOUNT.fullmatch(value) is not None),
    "tokens": _is_count, "calls": _is_count, "attempts": _is_count,
    "seconds": lambda value: isinstance(value, int | float) and math.isfinite(value),
}  # fmt: skip
