"""A step that is planned and held: the requests that it sends, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from rheostat.flow import Flow
from rheostat.money.ledger import Reservation
from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Phase
from rheostat.task import ThinkingPlan, plan_of
from rheostat.thinking.difficulty import Trajectory

__all__ = ["ReadyStep"]

_THINK_FIRST = "Think about what to do next, in a few short sentences. Don't do it yet."
_NOW_ACT = "Now do it: call a tool, or give the answer."


@dataclass(slots=True, kw_only=True)
class ReadyStep:
    """A step that is planned and held, ready to be sent request by request."""

    endpoint: Endpoint
    plan: ThinkingPlan
    at: Trajectory
    messages: list[BaseMessage]
    phases: list[tuple[Phase, Settings]]
    held: list[Reservation]
    note: dict[str, str]
    last_word: bool
    last_word_why: str
    gave_up: bool
    """It is the last word because tools kept failing, not because of the budget."""
    effort_asked: str
    id: str
    """The plan's id, carried by its events, step record, span and message."""
    again: Callable[[], Flow[ReadyStep]] | None = None
    """Plans the same step with twice the length cap; `None`: there is nothing to widen."""
    thought: str = ""

    def about(self, phase: Phase) -> dict[str, Any]:
        """The decisions, for the step record of one request."""
        plan, at = self.plan, self.at
        return {
            "id": self.id if phase == self.phases[0][0] else f"{self.id}.{phase}",
            "kind": at.difficulty.kind, "difficulty": at.difficulty.score, "effort_asked": self.effort_asked,
            "last_word": self.last_word, **plan_of(plan),
        }  # fmt: skip

    def reread(self, phase: Phase) -> tuple[str, int] | None:
        """The thought that this request sends back, and the most tokens that it can have; `None`: it sends none."""
        return (self.thought, self.plan.thinking_tokens) if phase == "answer" and self.thought else None

    def sent(self, phase: Phase) -> list[BaseMessage]:
        """The messages of one request."""
        if phase == "think":
            return [*self.messages, HumanMessage(_THINK_FIRST)]
        if phase == "answer" and self.thought:
            return [*self.messages, AIMessage(self.thought), HumanMessage(_NOW_ACT)]
        return self.messages
