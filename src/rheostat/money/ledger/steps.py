"""Step records: the decision for each call and its cost, for reports, learning and replay. They contain no text.

Beside its calls, the solver records each candidate (node `candidate`) and each decision (node `decision`), so that a
run can be shown again: see `rheostat show`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["CANDIDATE", "DECISION", "StepRecord"]

CANDIDATE, DECISION = "candidate", "decision"
"""The nodes of records that aren't of calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One planned call and its outcome; or one candidate, or one decision, of the solver."""

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
    candidate: dict[str, Any] = field(default_factory=dict)
    """For a call of the solver: the `id`, `parent` and `way` of the sample that it was made for. In the record of a
    candidate also its verdict, scores and cost; in the record of a decision, what was decided. Else empty."""

    @property
    def of_call(self) -> bool:
        """Whether this records a call: requests that left, and not a candidate or a decision."""
        return self.node not in (CANDIDATE, DECISION)

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


_NAMES = tuple(each.name for each in fields(StepRecord))
