"""What was decided for each call, beside what it cost: for reports, learning and replay. No text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["StepRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One planned call and what became of it."""

    id: str
    """The plan, its events and its reservations are known by it."""
    account: str
    """The run that paid."""
    node: str = ""
    model: str = ""
    kind: str = ""
    """Of task: `maths`, `code` …, as it was estimated."""
    difficulty: float | None = None
    """As it was estimated, 0 to 1."""
    effort_asked: str = ""
    """By the user: a level, or `balanced` and the like."""
    effort_planned: str = ""
    effort_seen: str = ""
    """In the body that left; empty: the API has no name for it, or the model has no wire."""
    thinking_tokens: int = 0
    """The most that was planned to be thought."""
    answer_tokens: int = 0
    most_output_tokens: int | None = None
    """The length cap in the body that left."""
    decided_by: str = ""
    reasons: tuple[str, ...] = ()
    purpose: str = ""
    last_word: bool = False
    stop: str = ""
    """Why the reply ended."""
    starved: bool = False
    """The length cap came before it said or did anything."""
    error: str = ""
    """The kind of error that it ended with."""
    requests: tuple[dict[str, Any], ...] = ()
    """Of each request that left: `reservation`, `request_id`, `model`, `spend` (`None`: unknown)."""
    at_ms: int = 0
    """When it was planned, in milliseconds since the epoch."""
    milliseconds: int = 0
    """From the first request to the reply."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "reasons": list(self.reasons), "requests": list(self.requests)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StepRecord:
        """The inverse; keys of newer versions are ignored."""
        known = {name: data[name] for name in _NAMES if name in data}
        return cls(
            **{**known, "reasons": tuple(known.get("reasons", ())), "requests": tuple(known.get("requests", ()))}
        )


_NAMES = tuple(field.name for field in fields(StepRecord))
