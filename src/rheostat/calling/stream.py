"""Streamed replies: open a stream, filter its chunks, and join them to one message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk

from rheostat.calling.chunks import call_chunks
from rheostat.calling.payer import Payer, under
from rheostat.calling.ready import ReadyStep
from rheostat.errors import BadInput
from rheostat.flow import Effect

__all__ = ["as_chunk", "opening", "shown", "told", "whole"]

_CALL_BLOCKS = {"tool_use", "input_json_delta", "function_call", "custom_tool_call", "tool_call", "tool_call_chunk"}


def opening(chat: BaseChatModel, sent: list[BaseMessage], kwargs: dict[str, Any], payer: Payer) -> Effect:
    """Open a stream and take its first chunk (`None`: there is none), which sends the request."""

    def do() -> tuple[Iterator[Any], Any]:
        chunks = chat.stream(sent, {"callbacks": []}, **kwargs)
        return chunks, next(chunks, None)

    async def ado() -> tuple[AsyncIterator[Any], Any]:
        chunks = chat.astream(sent, {"callbacks": []}, **kwargs)
        return chunks, await anext(chunks, None)

    return under(payer, Effect(do, ado))


def told(chunk: Any, run_manager: CallbackManagerForLLMRun | None) -> ChatGenerationChunk:
    """Wrap a chunk for the caller, and pass it to the callbacks of this run."""
    generation = ChatGenerationChunk(message=chunk)
    if run_manager is not None:
        run_manager.on_llm_new_token(str(chunk.text), chunk=generation)
    return generation


def whole(full: AIMessageChunk | None, ready: ReadyStep) -> AIMessage:
    """The whole message.

    Raises:
        BadInput: there were no chunks, or they make no answer.
    """
    message = message_chunk_to_message(full) if full is not None else None
    if not isinstance(message, AIMessage):
        raise BadInput(f"{ready.endpoint.name} streamed {type(message).__name__}, not an answer")
    return message


def shown(chunk: AIMessageChunk, ready: ReadyStep) -> AIMessageChunk:
    """The part of a chunk that goes on: tool calls are removed from the last word."""
    if not ready.last_word or not (chunk.tool_call_chunks or isinstance(chunk.content, list)):
        return chunk
    content = chunk.content
    if isinstance(content, list):
        content = [b for b in content if not (isinstance(b, dict) and str(b.get("type")) in _CALL_BLOCKS)]
    return AIMessageChunk(
        **{**dict(chunk), "content": content, "tool_call_chunks": [], "tool_calls": [], "invalid_tool_calls": []}
    )


def as_chunk(message: AIMessage, last: AIMessageChunk) -> AIMessageChunk:
    """A reply that wasn't streamed, as the last chunk of a stream."""
    return AIMessageChunk(
        content=message.content,
        tool_call_chunks=call_chunks(message),
        usage_metadata=message.usage_metadata,
        id=last.id,
        chunk_position="last",
    )
