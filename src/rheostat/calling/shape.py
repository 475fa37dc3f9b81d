"""Shape a step so that it can be sent: within the context, with its changes of effort, and shortened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Phase
from rheostat.task import Effort, ThinkingPlan

__all__ = ["closed", "malformed", "read_before", "shortened", "shorter", "steered", "within"]

_MEDIA = {"image", "image_url", "audio", "video", "file", "document", "input_image", "input_file", "search_result"}
"""Blocks that aren't text, and can't be cut."""
_NEVER_RUN = "NOT RUN: this call was never answered: the run ended before."
_NOT_CALLED = "The result of a tool call that isn't in this conversation any more:\n{text}"


def steered(
    endpoint: Endpoint, messages: Sequence[BaseMessage], plan: ThinkingPlan, phases: list[tuple[Phase, Settings]]
) -> tuple[Sequence[BaseMessage], list[tuple[Phase, Settings]]]:
    """Put the change of effort into the conversation, where the provider allows that without losing its cache."""
    if endpoint.dial.steer is None:
        return messages, phases
    steered, base = endpoint.dial.steer(messages, plan.effort)
    sent: list[tuple[Phase, Settings]] = []
    for phase, settings in phases:
        reasoning = {**settings.kwargs.get("reasoning", {}), "effort": base.value}
        sent.append((phase, replace(settings, kwargs={**settings.kwargs, "reasoning": reasoning})))
    return steered, sent


def read_before(messages: Sequence[BaseMessage]) -> int:
    """The input tokens of the last reply, which a cache may hold."""
    for message in reversed(messages):
        if isinstance(message, AIMessage) and message.usage_metadata:
            return message.usage_metadata["input_tokens"]
    return 0


def within(plan: ThinkingPlan, inputs: int, endpoint: Endpoint) -> ThinkingPlan | None:
    """The plan made to fit the model's context; `None`: the conversation alone fills it."""
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


def malformed(message: AIMessage) -> list[ToolMessage]:
    """Failed results for tool calls whose arguments are no JSON object: they can't run, and need an answer."""
    told = []
    for call in message.invalid_tool_calls:
        name = call.get("name") or "a tool"
        why = str(call.get("error") or "").splitlines()
        lines = [
            f"FAILED: {name} was called with arguments that are not a JSON object: {str(call.get('args') or '')[:200]}",
            *(why[0][:200] for _ in why[:1]),
            "Hint: call it again, with all its arguments as one JSON object.",
        ]
        if call.get("id"):
            id_ = str(call["id"])
            told.append(ToolMessage("\n".join(lines), name=name, tool_call_id=id_, status="error"))
    return told


def closed(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """The conversation with a result for every tool call, and a call for every result.

    Providers refuse a request with an unanswered call, which an interrupt or an abandoned run leaves behind, and one
    with a result that answers no call, which trimming leaves behind: the result becomes the user's text. Only what is
    sent is changed.
    """
    whole: list[BaseMessage] = []
    open_: list[ToolMessage] = []
    orphans = False
    for message in messages:
        if isinstance(message, ToolMessage):
            waiting = [each for each in open_ if each.tool_call_id != message.tool_call_id]
            if len(waiting) == len(open_):  # after the results of the calls that are there, so that these stay together
                orphans = True
                whole += open_
                open_ = []
                whole.append(HumanMessage(_NOT_CALLED.format(text=message.text)))
                continue
            open_ = waiting
        else:
            whole += open_
            open_ = []
        whole.append(message)
        if isinstance(message, AIMessage):
            never = [call for call in message.tool_calls if call.get("id")]
            open_ = [
                ToolMessage(_NEVER_RUN, name=call["name"], tool_call_id=str(call["id"]), status="error")
                for call in never
            ] + malformed(message)
    whole += open_
    return whole if orphans or len(whole) > len(messages) else messages


def shortened(messages: Sequence[BaseMessage], chars: int | None) -> list[BaseMessage]:
    """The messages with long tool results cut, so that the last word fits."""
    if chars is None:
        return list(messages)
    return [shorter(message, chars) if isinstance(message, ToolMessage) else message for message in messages]


def shorter(message: ToolMessage, most_chars: int) -> ToolMessage:
    """A tool result with the middle of its text left out. Its artifact stays: no model reads it."""
    if isinstance(message.content, str):
        cut = _middle_left_out(message.content, most_chars)
        return message if cut == message.content else message.model_copy(update={"content": cut})
    left, kept = most_chars, []
    for block in message.content:
        text = block if isinstance(block, str) else block.get("text")
        if not isinstance(text, str):
            plain = isinstance(block, dict) and block.get("type") not in _MEDIA
            written = json.dumps(block, ensure_ascii=False, default=str) if plain else ""
            short = len(written) <= max(left, 0)
            left -= len(written)
            kept.append(block if short else {"type": "text", "text": _middle_left_out(written, max(left, 200))})
            continue
        cut = _middle_left_out(text, max(left, 0))
        left -= len(text)
        kept.append(cut if isinstance(block, str) else {**block, "text": cut})
    return message.model_copy(update={"content": kept}) if kept != message.content else message


def _middle_left_out(text: str, most_chars: int) -> str:
    if len(text) <= most_chars:
        return text
    head, tail = text[: most_chars * 2 // 3], text[len(text) - most_chars // 3 :]
    return f"{head}\n… ({len(text) - len(head) - len(tail):,} characters left out) …\n{tail}"
