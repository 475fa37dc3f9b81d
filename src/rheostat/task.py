"""The dial: levels of effort, what a difficulty is, and the plan that comes out of both."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput

__all__ = ["PRESETS", "AskedEffort", "Difficulty", "Effort", "Kind", "ThinkingPlan", "parse_effort", "plan_of"]

Kind: TypeAlias = Literal["maths", "code", "science", "facts", "creative", "chat"]
"""What sort of task it is."""


class Effort(StrEnum):
    """How much thinking, from none to max. Ordered: `Effort.low < Effort.high`."""

    none = "none"
    minimal = "minimal"
    low = "low"
    medium = "medium"
    high = "high"
    xhigh = "xhigh"
    max = "max"

    @property
    def rank(self) -> int:
        """0 for none … 6 for max."""
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
"""What the user asks for: a preset, or a fixed level that switches adaptation off."""


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
    return {
        each.name: getattr(plain, each.name) for each in fields(plain)
    }  # asdict() copies deeply, and takes its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """How hard a task looks, and why."""

    score: float
    """0 (a child knows) … 1 (an expert thinks for long)."""
    kind: Kind
    """What sort of task it is."""
    reasons: tuple[str, ...]
    """What the score was read from, for people."""
    source: str = "heuristic"
    """The estimator that said so."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for state."""
        return {**_shallow(self), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Difficulty:
        """The inverse of `to_dict`."""
        return cls(**{**data, "reasons": tuple(data["reasons"])})


Decider: TypeAlias = Literal["user", "operator", "model", "policy", "budget"]
"""Whose voice set the plan: the user's effort, the operator's cap, the model's own limits, our policy, or the room that
the budget has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPlan:
    """How one round will think."""

    effort: Effort
    """The level."""
    thinking_tokens: int
    """The most tokens of thought a sample may have."""
    answer_tokens: int
    """The most tokens that the answer may have after the thought."""
    samples: int = 1
    """How many independent answers to draw in this round."""
    model: str = ""
    """The name of the model that is asked."""
    purpose: Literal["solve", "correct", "step", "last word"] = "solve"
    """A fresh answer, a correction on evidence, a step of an agent, or the final answer that the reserve pays for."""
    decided_by: Decider = "policy"
    """Whose voice was the strictest."""
    reasons: tuple[str, ...] = field(default=())
    """Why it is so, for people."""
    switch_usd_nanos: int = 0
    """What the change of effort costs by itself: the provider's prompt cache is kept by effort, and the conversation
    is read again at its full price."""
    inline: bool = False
    """The thought is written in the reply, before the answer: the way of a model that has no other."""
    widened: bool = False
    """Its length cap is twice the usual one: the last reply ran out of it."""

    @property
    def written_tokens(self) -> int:
        """The most tokens of thought that stand in the reply itself. (Without effort they are the reply.)"""
        return self.thinking_tokens if self.inline and self.effort > Effort.none else 0

    @property
    def max_output_tokens(self) -> int:
        """Thought and answer together: what the provider's cap is set to."""
        return self.thinking_tokens + self.answer_tokens

    def because(self, reason: str, *, by: Decider | None = None, **changes: Any) -> ThinkingPlan:
        """A changed plan that remembers why, and whose voice changed it."""
        return replace(self, reasons=(*self.reasons, reason), decided_by=by or self.decided_by, **changes)

    def sized(self, thinking_tokens: int, answer_tokens: int) -> ThinkingPlan:
        """The same with other lengths."""
        return replace(self, thinking_tokens=thinking_tokens, answer_tokens=answer_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for state."""
        return {**_shallow(self), "effort": self.effort.value, "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ThinkingPlan:
        """The inverse of `to_dict`."""
        return cls(**{**data, "effort": Effort(data["effort"]), "reasons": tuple(data["reasons"])})


def plan_of(plan: ThinkingPlan) -> dict[str, Any]:
    """A plan as fields of a step's record."""
    return {
        "effort_planned": plan.effort.value, "thinking_tokens": plan.thinking_tokens,
        "answer_tokens": plan.answer_tokens, "decided_by": plan.decided_by, "reasons": list(plan.reasons),
        "purpose": plan.purpose,
    }  # fmt: skip
