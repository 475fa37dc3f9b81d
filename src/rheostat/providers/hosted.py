"""What the two hosted dials share: one request a sample, levels by name, thinking inside the length cap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from rheostat.effort import Effort, ThinkingPlan
from rheostat.flow import Effect
from rheostat.policy import ModelFacts
from rheostat.pricing import LIST, Terms
from rheostat.providers.dial import Messages, Phase, Reply, Settings, byte_bound, reply_from

__all__ = ["ROOM_TO_THINK", "HostedDial", "profile_levels"]

ROOM_TO_THINK = {
    Effort.none: 0,
    Effort.minimal: 1024,
    Effort.low: 2048,
    Effort.medium: 8192,
    Effort.high: 16384,
    Effort.xhigh: 32768,
    Effort.max: 65536,
}
"""How many tokens of the length cap a level leaves to thought, where the provider has levels but no token budget.
Ours: providers don't publish what a level uses. A thought that hits it shows as starvation, and the policy reacts."""


def profile_levels(chat: BaseChatModel, fallback: tuple[Effort, ...]) -> dict[Effort, int]:
    """The levels that LangChain's model profile lists, else our own."""
    listed = (chat.profile or {}).get("reasoning_effort_levels") or ()
    known = [Effort(level) for level in listed if level in Effort.__members__]
    return {level: ROOM_TO_THINK[level] for level in (known or fallback)}


class HostedDial:
    """Base of the hosted dials: subclasses say how the thinking is set."""

    input_overhead = 64
    """Tokens that the provider adds and that are not in our text."""

    def __init__(self, name: str, levels: dict[Effort, int]) -> None:
        self.facts = ModelFacts(name=name, levels=levels, evidence_effort=min(levels, key=lambda level: level.rank))

    def thinking_kwargs(self, plan: ThinkingPlan) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The provider's own arguments for this much thinking, and notes on what was changed."""
        raise NotImplementedError

    def terms(self, kwargs: dict[str, Any]) -> Terms:
        """The dearest terms on which the request can be billed; may settle them by an argument of its own."""
        return LIST

    length_argument = "max_tokens"

    @property
    def example(self) -> Callable[[str, str], str] | None:
        return None

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        return ("whole",)

    def encode(self, plan: ThinkingPlan, phase: Phase, *, temperature: float | None, schema: Any | None) -> Settings:
        kwargs, notes = self.thinking_kwargs(plan)
        if temperature is not None:
            notes = (*notes, "temperature not sent: reasoning models reject it or fix it")
        kwargs[self.length_argument] = plan.max_output_tokens
        terms = self.terms(kwargs)
        return Settings(kwargs, plan.max_output_tokens, plan.max_output_tokens, terms, notes)

    def decode(self, message: AIMessage, settings: Settings, phase: Phase) -> Reply:
        thought = "".join(
            str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning"
        )
        return reply_from(message, settings, thought=thought)

    def bound_input(self, messages: Messages) -> int:
        return byte_bound(messages, overhead=self.input_overhead)

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        return None
