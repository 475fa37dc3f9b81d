"""The most input tokens that a request can have, from what is in it.

Byte-level BPE never makes more tokens than bytes. What isn't in our bytes is added: template tokens around each
message, the hidden prompt that comes with tools, thoughts that the provider keeps and reads again. An image has a known
most; a file may unpack to anything, up to the model's whole context.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from rheostat.errors import BadInput

__all__ = ["CLIENT_TOOLS", "InputBound", "Overhead", "added_bound", "input_bound", "searches", "thinks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Tokens that a provider adds and that are not in our text, generously."""

    request: int = 224
    message: int = 48
    """Its template; and the signs of JSON around it, since a body is measured in bytes."""
    tools: int = 256
    """The hidden prompt that comes with any tools (Anthropic documents up to 700)."""
    image: int | None = None
    """The most that one image can take; `None`: unknown, so that the whole context is assumed."""


@dataclass(frozen=True, slots=True)
class InputBound:
    """The most input tokens of a request."""

    tokens: int | None
    """`None`: as many as the model's context holds."""
    rounds: int
    """How often the provider may read it, with what its own tools brought in between."""


_TEXT = {
    "text", "input_text", "output_text", "tool_use", "tool_result", "tool_call", "function_call", "reasoning",
    "thinking", "redacted_thinking", "configuration_update", "web_search_call", "server_tool_use",
    "web_search_tool_result", "refusal", "non_standard",
}  # fmt: skip
_IMAGES = {"image", "image_url", "input_image"}
CLIENT_TOOLS = re.compile(
    r"^(function|custom|bash_|text_editor_|memory_|computer_|computer_use|local_shell|apply_patch)"
)
"""Types of tools that run on this side: their results come back as messages."""
_SCHEMA = ("properties", "title")
"""A plain JSON schema among the tools is no tool of the provider's, whatever its `type`."""


def _bytes(data: Any) -> int:
    """As long as it is in the body of a request."""
    try:
        return len(orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, orjson.JSONEncodeError):  # a number of more than 64 bits, a text that isn't Unicode
        return len(json.dumps(data, default=str))


Size: TypeAlias = int | None
"""The most tokens; `None`: no bound."""


def _content(content: Any, overhead: Overhead) -> Size:
    if content is None or isinstance(content, str):
        return _bytes(content or "")
    tokens: int | None = 0
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else "text"
        if kind in _IMAGES:
            tokens = None if tokens is None or overhead.image is None else tokens + overhead.image
        elif kind in _TEXT and not _holds_media(block):
            tokens = None if tokens is None else tokens + _bytes(block)
        else:  # a file, sound, video, or something new
            tokens = None
    return tokens


def _holds_media(block: Any) -> bool:
    inner = block.get("content") if isinstance(block, dict) else None
    return isinstance(inner, list) and any(isinstance(part, dict) and part.get("type") not in _TEXT for part in inner)


def _message(message: Mapping[str, Any] | BaseMessage, overhead: Overhead) -> Size:
    if not isinstance(message, BaseMessage):
        return _content(message["content"], overhead)
    tokens = _content(message.content, overhead)
    if isinstance(message, ToolMessage):
        return None if tokens is None else tokens + _bytes(message.tool_call_id) + _RESULT_BYTES
    if not isinstance(message, AIMessage):
        return tokens
    # arguments go as JSON in a string of JSON
    calls = sum(_bytes(json.dumps(c["args"], ensure_ascii=False, default=str)) for c in message.tool_calls)
    calls += sum(len(c["name"]) + len(c["id"] or "") + _CALL_BYTES for c in message.tool_calls)
    # a thought may come back shortened, omitted or encrypted, and is read again at its full length
    usage: Mapping[str, Any] = message.usage_metadata or {}
    details = usage.get("output_token_details") or {}
    kept = sum(max(0, n) for name, n in details.items() if "reasoning" in name and isinstance(n, int))
    return None if tokens is None else tokens + calls + kept


_CALL_BYTES, _RESULT_BYTES = 64, 40
"""JSON around a call, and around its result, beyond that of a message."""

_known: dict[int, tuple[weakref.ref[BaseMessage], Any, Any, Overhead, Size]] = {}


def _remembered(message: Mapping[str, Any] | BaseMessage, overhead: Overhead) -> Size:
    """The bound of a message that was bounded before, as long as its content is the same: a conversation of a
    thousand steps is bounded again at every step. (A block that is changed *inside* isn't noticed here; the gate
    measures the body itself.)
    """
    if not isinstance(message, BaseMessage):
        return _message(message, overhead)
    key, content, calls = id(message), message.content, message.tool_calls if isinstance(message, AIMessage) else None
    known = _known.get(key)
    if known is not None:
        reference, before, calls_before, told, size = known
        if reference() is message and before is content and calls_before is calls and told is overhead:
            return size
    size = _message(message, overhead)
    _known[key] = (weakref.ref(message, lambda _: _known.pop(key, None)), content, calls, overhead, size)
    return size


def input_bound(
    messages: Sequence[Mapping[str, Any] | BaseMessage], kwargs: Mapping[str, Any], overhead: Overhead
) -> InputBound:
    """Bound the input of a request.

    Args:
        messages: Plain dicts or LangChain messages.
        kwargs: What goes to the chat model with them: `tools` and schemas are input too.
        overhead: What this provider adds.

    Raises:
        BadInput: a tool on the provider's own side without a most: its results are input too, without an end.
    """
    tokens = added_bound(messages, overhead)
    tokens = None if tokens is None else tokens + overhead.request
    tools = kwargs.get("tools") or []
    more = _bytes(tools) + overhead.tools if tools else 0
    for name in ("response_format", "text", "output_config"):
        more += 2 * _bytes(kwargs[name]) if kwargs.get(name) else 0  # said once in the request, once as a prompt
    rounds = 1 + searches(kwargs)
    return InputBound(tokens + more if tokens is not None and rounds == 1 else None, rounds)


def added_bound(messages: Sequence[Mapping[str, Any] | BaseMessage], overhead: Overhead) -> int | None:
    """What these messages add to the input of a request, at the most; `None`: no bound."""
    tokens = 0
    for message in messages:
        size = _remembered(message, overhead)
        if size is None:
            return None
        tokens += size + overhead.message
    return tokens


def thinks(settings: Mapping[str, Any]) -> bool:
    """Whether a request asks for thought, as far as its settings say; at which level makes no difference here."""
    thinking, reasoning = settings.get("thinking"), settings.get("reasoning")
    if isinstance(thinking, Mapping) and thinking.get("type") not in (None, "disabled"):
        return True
    effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else settings.get("reasoning_effort")
    return effort not in (None, "none")


def searches(kwargs: Mapping[str, Any]) -> int:
    """How often tools on the provider's own side may run.

    Raises:
        BadInput: it isn't said how often.
    """
    most = 0
    for tool in kwargs.get("tools") or []:
        kind = str(tool.get("type") or "") if isinstance(tool, dict) else ""
        if not kind or CLIENT_TOOLS.match(kind) or any(name in tool for name in _SCHEMA):
            continue
        uses = tool.get("max_uses") or kwargs.get("max_tool_calls")
        if not isinstance(uses, int):
            raise BadInput(
                f"the tool {kind!r} runs on the provider's side as often as it likes, and what it finds is billed as "
                "input: give it max_uses (Anthropic) or the request max_tool_calls (OpenAI), so that it has an end"
            )
        most += uses
    return most
