"""The base of the hosted dials: one request per sample, levels by name, thinking within the length cap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from rheostat.flow import Effect
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import Messages, Phase, Reply, Settings, Steer, reply_from
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["ROOM_TO_THINK", "HostedDial", "profile_levels", "takes_effort", "with_margin"]

ROOM_TO_THINK = {
    Effort.none: 0,
    Effort.minimal: 1024,
    Effort.low: 2048,
    Effort.medium: 8192,
    Effort.high: 16384,
    Effort.xhigh: 32768,
    Effort.max: 65536,
}
"""The tokens of the length cap that a level leaves for thinking, if the provider has levels but no token budget.

They are our estimates, because providers don't publish the use of a level. A thought that reaches the cap is seen as
starved, and the policy reacts.
"""


_LEAST_ANSWER_TOKENS = 1024


def profile_levels(
    chat: BaseChatModel, unlisted: tuple[Effort, ...], own: tuple[Effort, ...] | None = None
) -> dict[Effort, int]:
    """The effort levels of a model, each with its room for thinking within the model's output.

    Args:
        unlisted: The levels if LangChain's model profile lists none.
        own: Levels that take precedence over the profile's.
    """
    profile = chat.profile or {}
    listed = [Effort(level) for level in profile.get("reasoning_effort_levels") or () if level in Effort.__members__]
    most = (profile.get("max_output_tokens") or 128_000) - _LEAST_ANSWER_TOKENS
    return {level: min(ROOM_TO_THINK[level], most) for level in sorted(own or listed or unlisted, key=lambda e: e.rank)}


def takes_effort(chat: BaseChatModel) -> bool:
    """Whether a model is a reasoning model by its profile; some profiles list levels without the flag."""
    profile = chat.profile or {}
    return bool(profile.get("reasoning_output") or profile.get("reasoning_effort_levels"))


def with_margin(counted_tokens: int) -> int:
    """A provider's count plus a margin, because it is only an estimate."""
    return counted_tokens + counted_tokens // 50 + 32


class HostedDial:
    """The base class of the hosted dials; subclasses define how the thinking is set."""

    overhead: Overhead
    counts_at_once = False
    steer: Steer | None = None
    _most_output_tokens: int | None

    def __init__(self, name: str, levels: dict[Effort, int], *, strict: bool, clamped: bool = True) -> None:
        self.facts = ModelFacts(name=name, levels=levels, strict=strict, clamped=clamped)

    @property
    def example(self) -> Callable[[str, str], str] | None:
        return None

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        return ("whole",)

    @staticmethod
    def schema_kwargs(schema: Any | None) -> dict[str, Any]:
        """The arguments for an answer in this JSON Schema, which the integrations translate for their provider."""
        if schema is None:
            return {}
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}

    def clamp(self, thinking_tokens: int, answer_tokens: int, notes: list[str]) -> int:
        """The length cap of a request: thought and answer, within the model's longest output."""
        wanted = thinking_tokens + answer_tokens
        if self._most_output_tokens is None or wanted <= self._most_output_tokens:
            return wanted
        notes.append(f"{wanted:,} tokens of output are above the model's {self._most_output_tokens:,}: cut to that")
        return self._most_output_tokens

    def decode(self, message: AIMessage, settings: Settings, phase: str, sent: Messages = ()) -> Reply:
        thought = "".join(
            str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning"
        )
        return reply_from(message, settings, thought=thought)

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        return None
