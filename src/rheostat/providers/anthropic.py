"""Anthropic's dial: effort with adaptive thinking on newer models, `budget_tokens` on older ones.

Source: docstrings of anthropic 2.12 and langchain-anthropic 1.7 (November 2026): `budget_tokens` is at least 1024
and below `max_tokens`; newer models refuse it and take `output_config.effort` with adaptive thinking.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel

from rheostat.effort import Effort, ThinkingPlan
from rheostat.providers.hosted import HostedDial, profile_levels

__all__ = ["AnthropicDial"]

_LEAST_BUDGET_TOKENS = 1024
_BUDGETED = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")
"""Models that take a number of tokens rather than a level, and have no adaptive thinking."""
_FALLBACK = (Effort.low, Effort.medium, Effort.high)


class AnthropicDial(HostedDial):
    """Claude."""

    input_overhead = 512

    def __init__(self, name: str, chat: BaseChatModel) -> None:
        model = str(getattr(chat, "model", name))
        self._budgeted = model.startswith(_BUDGETED)
        if self._budgeted:
            levels = {Effort.none: 0, Effort.low: 1024, Effort.medium: 4096, Effort.high: 16384}
        else:
            levels = profile_levels(chat, _FALLBACK)
        super().__init__(name, levels)

    def thinking_kwargs(self, plan: ThinkingPlan) -> tuple[dict[str, Any], tuple[str, ...]]:
        if not self._budgeted:
            return {"thinking": {"type": "adaptive"}, "output_config": {"effort": plan.effort.value}}, ()
        if plan.thinking_tokens == 0:
            return {"thinking": {"type": "disabled"}}, ()
        if plan.thinking_tokens < _LEAST_BUDGET_TOKENS:
            note = f"{plan.thinking_tokens} thinking tokens are below Anthropic's least ({_LEAST_BUDGET_TOKENS}): off"
            return {"thinking": {"type": "disabled"}}, (note,)
        return {"thinking": {"type": "enabled", "budget_tokens": plan.thinking_tokens}}, ()
