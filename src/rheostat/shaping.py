"""A step brought into the shape in which it can be sent: within a context, with its changes of effort, shortened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from rheostat.effort import Effort, ThinkingPlan
from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Phase

__all__ = ["read_before", "shortened", "steered", "within"]

_LEFT_OUT = " … (left out: no room)"


def steered(
    endpoint: Endpoint, messages: Sequence[BaseMessage], plan: ThinkingPlan, phases: list[tuple[Phase, Settings]]
) -> tuple[Sequence[BaseMessage], list[tuple[Phase, Settings]]]:
    """The change of effort put into the conversation, where the provider has a way that keeps its cache."""
    if endpoint.dial.steer is None:
        return messages, phases
    steered, base = endpoint.dial.steer(messages, plan.effort)
    sent: list[tuple[Phase, Settings]] = []
    for phase, settings in phases:
        reasoning = {**settings.kwargs.get("reasoning", {}), "effort": base.value}
        sent.append((phase, replace(settings, kwargs={**settings.kwargs, "reasoning": reasoning})))
    return steered, sent


def read_before(messages: Sequence[BaseMessage]) -> int:
    """Tokens of the conversation that the last reply was given on: what a cache may hold."""
    for message in reversed(messages):
        if isinstance(message, AIMessage) and message.usage_metadata:
            return message.usage_metadata["input_tokens"]
    return 0


def within(plan: ThinkingPlan, inputs: int, endpoint: Endpoint) -> ThinkingPlan | None:
    """The plan inside the model's context; `None`: the conversation alone fills it."""
    if endpoint.context_tokens is None:
        return plan
    left = endpoint.context_tokens - inputs - 128
    if plan.max_output_tokens * (2 if plan.thinking_tokens else 1) <= left:
        return plan
    levels = endpoint.dial.facts.levels
    lower = [level for level, tokens in levels.items() if level <= plan.effort and 2 * tokens <= left // 2]
    effort = max(lower or [endpoint.dial.facts.nearest(Effort.none)], key=lambda level: level.rank)
    answer = min(plan.answer_tokens, left - 2 * levels[effort])
    if answer < 16:
        return None
    if effort == plan.effort and answer == plan.answer_tokens:
        return plan
    why = f"the context has room for {left:,} tokens: {effort.value}, an answer of {answer:,}"
    return plan.because(why, by="model", effort=effort, thinking_tokens=levels[effort], answer_tokens=answer)


def shortened(messages: Sequence[BaseMessage], chars: int | None) -> list[BaseMessage]:
    """Long results of tools cut short, so that the last word fits."""
    if chars is None:
        return list(messages)
    return [
        message.model_copy(update={"content": message.text[:chars] + _LEFT_OUT})
        if isinstance(message, ToolMessage) and len(message.text) > chars
        else message
        for message in messages
    ]
