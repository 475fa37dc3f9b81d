"""Plain data of a task: levels of effort, its difficulty, and the thinking plan."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput

__all__ = [
    "PRESETS", "AskedEffort", "Difficulty", "Effort", "Kind", "Purpose", "Task", "ThinkingPlan", "parse_effort",
    "plan_of",
]  # fmt: skip

Kind: TypeAlias = Literal["maths", "code", "science", "facts", "creative", "chat"]
"""The kind of a task."""

Purpose: TypeAlias = Literal["solve", "correct", "prolong", "begin", "continue", "step", "last word"]
"""The purpose of a call: a fresh answer, a correction on evidence, more thought on the same answer, the first or the
next step of an answer that is searched step by step, a step of an agent, or the final answer that the reserve pays
for."""


class Effort(StrEnum):
    """The level of effort, from none to max. Levels are ordered: `Effort.low < Effort.high`."""

    none = "none"
    minimal = "minimal"
    low = "low"
    medium = "medium"
    high = "high"
    xhigh = "xhigh"
    max = "max"

    @property
    def rank(self) -> int:
        """The level's rank, from 0 for none to 6 for max."""
        return _RANKS[self]

    def __lt__(self, other: str) -> bool:
        return self.rank < Effort(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Effort(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Effort(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Effort(other).rank

    def step(self, by: int) -> Effort:
        """The level `by` steps higher (or lower), clamped to the ends."""
        levels = list(_RANKS)
        return levels[min(max(self.rank + by, 0), len(levels) - 1)]


_RANKS = {level: rank for rank, level in enumerate(Effort)}
PRESETS = ("fast", "balanced", "thorough")

AskedEffort: TypeAlias = Literal["fast", "balanced", "thorough"] | Effort
"""The effort that the user asks for: a preset, or a fixed level that switches adaptation off."""


def parse_effort(text: str) -> AskedEffort:
    """Read an effort as a user asks for it. `auto` means balanced.

    Raises:
        BadInput: no such effort.
    """
    if text == "auto":
        return "balanced"
    if text in PRESETS:
        return text  # type: ignore[return-value]  # one of PRESETS
    try:
        return Effort(text)
    except ValueError:
        levels = ", ".join(level.value for level in Effort)
        raise BadInput(f"no effort named {text!r}; choose auto, {', '.join(PRESETS)}, or a level: {levels}") from None


def _shallow(plain: Difficulty | ThinkingPlan) -> dict[str, Any]:
    return {each.name: getattr(plain, each.name) for each in fields(plain)}  # asdict() copies deeply, which is slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """How hard a task looks, and why."""

    score: float
    """From 0 (a child knows the answer) to 1 (an expert needs to think for long)."""
    kind: Kind
    """The kind of task."""
    reasons: tuple[str, ...]
    """The evidence for the score, for people."""
    source: str = "heuristic"
    """The estimator that gave the score."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for state."""
        return {**_shallow(self), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Difficulty:
        """The inverse of `to_dict`."""
        return cls(**{**data, "reasons": tuple(data["reasons"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A question, and what is known of it before it is put to a model."""

    question: str
    difficulty: Difficulty
    form: str = "text"
    """The form in which the answer is asked for: `number`, `code`, `json` …"""

    @property
    def kind(self) -> Kind:
        """The kind of task."""
        return self.difficulty.kind


Decider: TypeAlias = Literal["user", "operator", "model", "policy", "budget"]
"""What decided the plan: the user's effort, the operator's cap, the model's own limits, our policy, or the budget's
room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPlan:
    """The plan of one round or step: effort, tokens and samples."""

    effort: Effort
    """The level."""
    thinking_tokens: int
    """The most thinking tokens of one sample."""
    answer_tokens: int
    """The most tokens of the answer that follows the thought."""
    samples: int = 1
    """The number of independent samples to draw in this round."""
    model: str = ""
    """The name of the model that is asked."""
    purpose: Purpose = "solve"
    decided_by: Decider = "policy"
    """What set the strictest limit."""
    reasons: tuple[str, ...] = field(default=())
    """Why the plan is as it is, for people."""
    switch_usd_nanos: int = 0
    """The cost of the change of effort itself: the provider caches prompts by effort, so the conversation is read again
    at full price."""
    inline: bool = False
    """The thought is written in the reply before the answer, for a model without another way to think."""
    widened: bool = False
    """The length cap is twice the usual one, because the last reply ran out of it."""

    @property
    def written_tokens(self) -> int:
        """The most thinking tokens in the reply itself; 0 without effort, where they count as the reply."""
        return self.thinking_tokens if self.inline and self.effort > Effort.none else 0

    @property
    def max_output_tokens(self) -> int:
        """The most tokens of thought and answer together: the length cap that is sent."""
        return self.thinking_tokens + self.answer_tokens

    def because(self, reason: str, *, by: Decider | None = None, **changes: Any) -> ThinkingPlan:
        """A changed plan that records the reason, and what decided the change."""
        return replace(self, reasons=(*self.reasons, reason), decided_by=by or self.decided_by, **changes)

    def sized(self, thinking_tokens: int, answer_tokens: int) -> ThinkingPlan:
        """The same plan with other lengths."""
        return replace(self, thinking_tokens=thinking_tokens, answer_tokens=answer_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for state."""
        return {**_shallow(self), "effort": self.effort.value, "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ThinkingPlan:
        """The inverse of `to_dict`."""
        return cls(**{**data, "effort": Effort(data["effort"]), "reasons": tuple(data["reasons"])})


def plan_of(plan: ThinkingPlan) -> dict[str, Any]:
    """A plan as fields of a step record."""
    return {
        "effort_planned": plan.effort.value, "thinking_tokens": plan.thinking_tokens,
        "answer_tokens": plan.answer_tokens, "decided_by": plan.decided_by, "reasons": list(plan.reasons),
        "purpose": plan.purpose,
    }  # fmt: skip
