"""OpenAI's dial: `reasoning_effort`, with the thought inside `max_completion_tokens`.

Source: openai 3.54's docstrings (November 2026). The parameter is named differently on the Responses API, and both
together raise: the chat model's own route decides which is sent.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel

from rheostat.effort import Effort, ThinkingPlan
from rheostat.pricing import Terms
from rheostat.providers.hosted import HostedDial, profile_levels

__all__ = ["OpenAIDial"]

_FALLBACK = (Effort.low, Effort.medium, Effort.high)


class OpenAIDial(HostedDial):
    """GPT and o-series reasoning models."""

    length_argument = "max_completion_tokens"

    def __init__(self, name: str, chat: BaseChatModel) -> None:
        super().__init__(name, profile_levels(chat, _FALLBACK))
        self._service_tier = str(getattr(chat, "service_tier", None) or "")
        self._responses = bool(getattr(chat, "use_responses_api", False) or getattr(chat, "reasoning", None))

    def thinking_kwargs(self, plan: ThinkingPlan) -> tuple[dict[str, Any], tuple[str, ...]]:
        if self._responses:
            return {"reasoning": {"effort": plan.effort.value}}, ()
        return {"reasoning_effort": plan.effort.value}, ()

    def terms(self, kwargs: dict[str, Any]) -> Terms:
        if not self._service_tier:  # left out, the tier is what the project's settings say: nobody here knows its price
            kwargs["service_tier"] = "default"
        tier = {"fast": "priority"}.get(self._service_tier, self._service_tier)
        return Terms(service_tier=tier or "default")
