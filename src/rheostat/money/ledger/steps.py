"""Step records: the decision for each call and its cost, for reports, learning and replay. They contain no text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["StepRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One planned call and its outcome."""

    id: str
    """The id of the plan, its events and its reservations."""
    account: str
    """The account of the run that paid."""
    node: str = ""
    model: str = ""
    kind: str = ""
    """The estimated kind of task: `maths`, `code` …"""
    difficulty: float | None = None
    """The estimated difficulty, 0 to 1."""
    effort_asked: str = ""
    """The effort that the user asked for: a level or a preset."""
    effort_planned: str = ""
    effort_seen: str = ""
    """The effort in the body that was sent; empty: the API has no name for it, or the model's requests aren't seen."""
    thinking_tokens: int = 0
    """The most thinking tokens planned."""
    answer_tokens: int = 0
    most_output_tokens: int | None = None
    """The length cap in the body that was sent."""
    decided_by: str = ""
    reasons: tuple[str, ...] = ()
    purpose: str = ""
    last_word: bool = False
    stop: str = ""
    """Why the reply ended."""
    starved: bool = False
    """The reply reached its length cap before it said or did anything."""
    error: str = ""
    """The kind of error that ended the call; empty: none."""
    requests: tuple[dict[str, Any], ...] = ()
    """For each request that left: `reservation`, `request_id`, `model`, `spend` (`None`: unknown)."""
    at_ms: int = 0
    """The time of planning, in milliseconds since the epoch."""
    milliseconds: int = 0
    """The time from the first request to the reply."""

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data."""
        return {**asdict(self), "reasons": list(self.reasons), "requests": list(self.requests)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StepRecord:
        """The inverse of `to_dict`; unknown keys, such as those of newer versions, are ignored."""
        known = {name: data[name] for name in _NAMES if name in data}
        return cls(
            **{**known, "reasons": tuple(known.get("reasons", ())), "requests": tuple(known.get("requests", ()))}
        )


_NAMES = tuple(field.name for field in fields(StepRecord))
