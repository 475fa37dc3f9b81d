"""Pieces of a streamed reply: how long it may take, what of a chunk goes on, what its chunks are together."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk

from rheostat.budget import Room
from rheostat.errors import BadInput
from rheostat.request import longest
from rheostat.thinker import Ready

__all__ = ["as_chunk", "in_time", "most_seconds", "shown", "told", "whole", "with_first"]

_CALL_BLOCKS = {"tool_use", "input_json_delta", "function_call", "custom_tool_call", "tool_call", "tool_call_chunk"}


def with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    """A stream whose first chunk was taken off already; `None`: there was none."""
    if first is not None:
        yield first
        yield from rest


def told(chunk: Any, run_manager: CallbackManagerForLLMRun | None) -> ChatGenerationChunk:
    """The chunk for who asked, and for the callbacks of this run."""
    generation = ChatGenerationChunk(message=chunk)
    if run_manager is not None:
        run_manager.on_llm_new_token(str(chunk.text), chunk=generation)
    return generation


def most_seconds(ready: Ready, room: Room) -> float | None:
    """How long a stream may take: what the account has left, and what a price by time allows."""
    limits = (room.seconds, longest(ready.endpoint.price) or None)
    return min((seconds for seconds in limits if seconds is not None), default=None)


def whole(full: AIMessageChunk | None, ready: Ready) -> AIMessage:
    """All chunks together.

    Raises:
        BadInput: there were none, or they are no answer.
    """
    message = message_chunk_to_message(full) if full is not None else None
    if not isinstance(message, AIMessage):
        raise BadInput(f"{ready.endpoint.name} streamed {type(message).__name__}, not an answer")
    return message


def shown(chunk: AIMessageChunk, ready: Ready) -> AIMessageChunk:
    """What of a chunk goes on: the last word calls no tools, whatever the model does."""
    if not ready.last_word or not (chunk.tool_call_chunks or isinstance(chunk.content, list)):
        return chunk
    content = chunk.content
    if isinstance(content, list):
        content = [b for b in content if not (isinstance(b, dict) and str(b.get("type")) in _CALL_BLOCKS)]
    return AIMessageChunk(**{**dict(chunk), "content": content, "tool_call_chunks": [], "tool_calls": [],
                             "invalid_tool_calls": []})  # fmt: skip


def as_chunk(message: AIMessage, last: AIMessageChunk) -> AIMessageChunk:
    """A reply that wasn't streamed as the last chunk of one that was."""
    calls: list[Any] = [
        {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": number,
         "type": "tool_call_chunk"} for number, call in enumerate(message.tool_calls)
    ]  # fmt: skip
    return AIMessageChunk(
        content=message.content, tool_call_chunks=calls, usage_metadata=message.usage_metadata, id=last.id,
        chunk_position="last",
    )  # fmt: skip


def in_time(started: float, seconds: float | None) -> None:
    """Cut a stream that is late.

    Raises:
        TimeoutError: its deadline has passed.
    """
    if seconds is not None and time.monotonic() - started > seconds:
        raise TimeoutError(f"the stream was cut at its deadline, after {seconds:.1f} s")
