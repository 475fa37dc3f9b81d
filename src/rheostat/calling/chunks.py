"""The pieces of a streamed reply, and the message that they make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message

__all__ = ["call_chunks", "joined", "piece"]


def call_chunks(message: AIMessage) -> list[Any]:
    """The tool calls of a whole message as chunks."""
    return [
        {
            "name": call["name"],
            "args": json.dumps(call["args"]),
            "id": call["id"],
            "index": number,
            "type": "tool_call_chunk",
        }
        for number, call in enumerate(message.tool_calls)
    ]


def piece(chunk: Any) -> AIMessageChunk:
    """The piece as a chunk: a model that doesn't stream brings its whole reply at once, as a message."""
    if isinstance(chunk, AIMessageChunk):
        return chunk
    message: AIMessage = chunk
    return AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        tool_call_chunks=call_chunks(message),
        id=message.id,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
    )


def joined(pieces: Sequence[AIMessageChunk]) -> AIMessage | None:
    """The message that the pieces make; `None`: there are none."""
    if not pieces:
        return None
    message = message_chunk_to_message(pieces[0] + list(pieces[1:]))
    return message if isinstance(message, AIMessage) else None
