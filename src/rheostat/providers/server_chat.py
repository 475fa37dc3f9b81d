"""The chat models of OpenAI-compatible servers: `ChatOpenAI` with what it drops.

Apart from their dials, because the classes can't be made without langchain-openai and its SDK, which take a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import openai
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from rheostat.providers.schema_calls import as_messages, as_schema, read_calls

__all__ = ["AsyncDirect", "ChatLlamaCpp", "ChatServer", "Direct"]


class Direct(openai.DefaultHttpxClient):
    """An HTTP client that is closed when it is forgotten, as the SDK's own is."""

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class AsyncDirect(openai.DefaultAsyncHttpxClient):
    """The same for event loops."""

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            asyncio.get_running_loop().create_task(self.aclose())


class ChatServer(ChatOpenAI):
    """A `ChatOpenAI` that keeps the thought (`reasoning_content` or `reasoning`), which the base class drops."""

    def _create_chat_result(
        self, response: dict[str, Any] | openai.BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        result = super()._create_chat_result(response, generation_info)
        raw = response if isinstance(response, dict) else response.model_dump(warnings=False)
        for generation, choice in zip(result.generations, raw["choices"], strict=True):
            _keep(generation.message.additional_kwargs, choice["message"])
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choices = chunk.get("choices") or []
        if converted is not None and choices and isinstance(converted.message, AIMessageChunk):
            _keep(converted.message.additional_kwargs, choices[0].get("delta") or {})
        return converted


def _keep(kept: dict[str, Any], said: dict[str, Any]) -> None:
    thought = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(thought, str) and thought:
        kept["reasoning_content"] = thought


class ChatLlamaCpp(ChatServer):
    """A chat model on a llama.cpp server."""

    calls_by_schema: bool = False
    """Constrain tool calls by a grammar, for models or chat templates without tool calls."""

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        if not self.calls_by_schema or "messages" not in payload:
            return payload
        tools, choice = payload.pop("tools", None) or [], payload.pop("tool_choice", None)
        payload.pop("parallel_tool_calls", None)
        schema = as_schema(tools, choice) if tools else None
        payload["messages"] = as_messages(payload["messages"], tools if schema else [])
        if schema and "response_format" not in payload:
            # in the body, because with the parameter the client parses the reply and raises if it is cut, though billed
            told = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
            payload["extra_body"] = {**(payload.get("extra_body") or {}), "response_format": told}
        return payload

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        result = super()._create_chat_result(response, generation_info)
        for generation in result.generations if self.calls_by_schema else ():
            message = generation.message
            if isinstance(message, AIMessage) and isinstance(message.content, str) and message.content[:1] == "{":
                message.content, calls = read_calls(message.content)
                message.tool_calls = calls  # type: ignore[assignment] # a TypedDict, made from plain data
        return result

    def _should_stream(self, **kwargs: Any) -> bool:
        return not (self.calls_by_schema and kwargs.get("tools")) and super()._should_stream(**kwargs)
