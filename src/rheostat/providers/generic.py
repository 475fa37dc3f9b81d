"""Two-phase thinking: the dial for a model or server without thinking settings.

First a scratchpad of at most N tokens, then the answer in a second request. It works with any chat model that accepts
`max_tokens`. The cap on thinking is the first request's length cap, so that it holds everywhere, to the token.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from rheostat.flow import Effect
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Messages, Phase, Reply, Settings, Steer, Step, reply_from
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["DIRECT", "LEVELS", "GenericDial", "accepted"]

LEVELS = {
    Effort.none: 0,
    Effort.minimal: 64,
    Effort.low: 128,
    Effort.medium: 256,
    Effort.high: 512,
    Effort.xhigh: 1024,
    Effort.max: 2048,
}
"""The tokens of a scratchpad by level; a few hundred are enough for small models."""
DIRECT = {Effort.none: 0}
"""No scratchpad: one request for each step."""


def accepted(chat: BaseChatModel, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The settings of a call that this model accepts; stand-ins in tests often accept none."""
    known = _taken(type(chat))
    return kwargs if known is None else {name: value for name, value in kwargs.items() if name in known}


@functools.cache
def _taken(kind: type[BaseChatModel]) -> frozenset[str] | None:
    """The names of the settings that a class accepts; `None`: any."""
    known: frozenset[str] | None = None
    for method in (kind.bind_tools, kind._generate):
        parameters = inspect.signature(method).parameters.values()
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            names = frozenset(each.name for each in parameters)
            known = names if known is None else known & names
    return known


class GenericDial:
    """Two requests for a sample that thinks, one for a sample that doesn't.

    Args:
        length: Returns the call's arguments for a length cap; by default `max_tokens`.
        levels: The effort levels with their thinking tokens.
        profile: LangChain's profile of the model: some refuse a temperature, and those that think by themselves refuse
            stop sequences.
    """

    overhead = Overhead()
    counts_at_once = False
    steer: Steer | None = None

    def __init__(
        self,
        name: str,
        *,
        length: Callable[[int], dict[str, Any]] | None = None,
        levels: dict[Effort, int] = LEVELS,
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        told = profile or {}
        self.facts = ModelFacts(
            name=name,
            levels=levels,
            least_useful_thinking_tokens=32,
            takes_temperature=told.get("temperature") is not False,
            takes_stop=not told.get("reasoning_output"),
            thinks=bool(told.get("reasoning_output")),
        )
        self._length = length or (lambda most: {"max_tokens": most})

    @property
    def example(self) -> Callable[[str, str], str] | None:
        return None

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        if not plan.thinking_tokens:
            return ("whole",)
        return ("whole", "answer") if plan.inline else ("think", "answer")

    def encode(
        self,
        plan: ThinkingPlan,
        phase: Phase,
        *,
        temperature: float | None,
        schema: Any | None,
        step: Step = FRESH,
    ) -> Settings:
        thought = phase == "think" or (plan.inline and phase == "whole")
        most = plan.thinking_tokens if thought else plan.answer_tokens
        kwargs: dict[str, Any] = self._length(most)
        if temperature is not None:
            kwargs.get("options", kwargs)["temperature"] = temperature
        notes = ("two-phase thinking: the model has no dial of its own",) if phase == "think" else ()
        thinking = most if phase == "think" else plan.written_tokens if phase == "whole" else 0
        return Settings(kwargs, most, thinking, notes=notes)

    def decode(self, message: AIMessage, settings: Settings, phase: Phase, sent: Messages = ()) -> Reply:
        if phase != "think":
            return reply_from(message, settings)  # a model that thinks unasked reports it in its usage
        usage = message.usage_metadata
        reply = reply_from(message, settings, thinking_tokens=usage["output_tokens"] if usage else None)
        return replace(reply, text="", thought=reply.text)

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        return None
