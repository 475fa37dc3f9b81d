"""Bound the input tokens of a request by its content.

Byte-level BPE never makes more tokens than bytes. Tokens that aren't in our bytes are added: template tokens around
each message, the hidden prompt that comes with tools, thoughts that the provider keeps and reads again. An image has a
known maximum; a file may unpack to anything, up to the model's whole context.
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
    """Generous estimates of the tokens that a provider adds to our text."""

    request: int = 224
    message: int = 48
    """The template of a message and the JSON syntax around it, since a body is measured in bytes."""
    tools: int = 256
    """The hidden prompt that comes with tools (Anthropic documents up to 700)."""
    image: int | None = None
    """The most tokens of one image; `None`: unknown, so that the whole context is assumed."""


@dataclass(frozen=True, slots=True)
class InputBound:
    """The most input tokens of a request."""

    tokens: int | None
    """The most tokens; `None`: up to the model's whole context."""
    rounds: int
    """The number of times that the provider may read the input, with the results of its own tools added."""


_TEXT = {
    "text", "input_text", "output_text", "tool_use", "tool_result", "tool_call", "function_call", "reasoning",
    "thinking", "redacted_thinking", "configuration_update", "web_search_call", "server_tool_use",
    "web_search_tool_result", "refusal", "non_standard",
}  # fmt: skip
_IMAGES = {"image", "image_url", "input_image"}
CLIENT_TOOLS = re.compile(
    r"^(function|custom|bash_|text_editor_|memory_|computer_|computer_use|local_shell|apply_patch)"
)
"""Types of tools that run on our side, whose results are sent as messages."""
_SCHEMA = ("properties", "title")
"""Keys of a plain JSON schema, which isn't one of the provider's tools, whatever its `type`."""


def _bytes(data: Any) -> int:
    """The length of data in the body of a request, in bytes."""
    try:
        return len(orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, orjson.JSONEncodeError):  # such as a number of more than 64 bits, or a text that isn't Unicode
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
        else:  # a file, sound, video, or an unknown type
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
    # arguments are sent as JSON in a JSON string
    calls = sum(_bytes(json.dumps(c["args"], ensure_ascii=False, default=str)) for c in message.tool_calls)
    calls += sum(len(c["name"]) + len(c["id"] or "") + _CALL_BYTES for c in message.tool_calls)
    # a thought may come back shortened, omitted or encrypted, and is read again at its full length
    usage: Mapping[str, Any] = message.usage_metadata or {}
    details = usage.get("output_token_details") or {}
    kept = sum(max(0, n) for name, n in details.items() if "reasoning" in name and isinstance(n, int))
    return None if tokens is None else tokens + calls + kept


_CALL_BYTES, _RESULT_BYTES = 64, 40
"""The JSON around a call, and around its result, beyond that of a message."""

_known: dict[int, tuple[weakref.ref[BaseMessage], Any, Any, Overhead, Size]] = {}


def _remembered(message: Mapping[str, Any] | BaseMessage, overhead: Overhead) -> Size:
    """The bound of a message, cached as long as its content is the same object.

    A conversation of a thousand steps is bounded again at every step. A change *inside* a block isn't noticed here, but
    the gate measures the body itself.
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
        kwargs: The other arguments of the chat model; `tools` and schemas are input too.
        overhead: The tokens that this provider adds.

    Raises:
        BadInput: A tool runs on the provider's side without a limit, and its results are input too.
    """
    tokens = added_bound(messages, overhead)
    tokens = None if tokens is None else tokens + overhead.request
    tools = kwargs.get("tools") or []
    more = _bytes(tools) + overhead.tools if tools else 0
    for name in ("response_format", "text", "output_config"):
        more += 2 * _bytes(kwargs[name]) if kwargs.get(name) else 0  # in the request, and again as a prompt
    rounds = 1 + searches(kwargs)
    return InputBound(tokens + more if tokens is not None and rounds == 1 else None, rounds)


def added_bound(messages: Sequence[Mapping[str, Any] | BaseMessage], overhead: Overhead) -> int | None:
    """The most input tokens that these messages add to a request; `None`: no bound."""
    tokens = 0
    for message in messages:
        size = _remembered(message, overhead)
        if size is None:
            return None
        tokens += size + overhead.message
    return tokens


def thinks(settings: Mapping[str, Any]) -> bool:
    """Whether the settings of a request ask for thinking, at any level."""
    thinking, reasoning = settings.get("thinking"), settings.get("reasoning")
    if isinstance(thinking, Mapping) and thinking.get("type") not in (None, "disabled"):
        return True
    effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else settings.get("reasoning_effort")
    return effort not in (None, "none")


def searches(kwargs: Mapping[str, Any]) -> int:
    """The number of times that tools on the provider's own side may run.

    Raises:
        BadInput: A tool has no limit.
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
