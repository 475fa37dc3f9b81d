"""Streams over every kind of model give what they give without us: streaming on, off, off with tools, none at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool

from conftest import in_loop
from rheostat import AdaptiveThinking, Budget, ThinkingChatModel, endpoint_for
from rheostat.testing import free
from rheostat.testing.server import Turn
from wire import ADAPTIVE, CHAT, RESPONSE, simulated

ASK: Any = {"messages": [HumanMessage("Look at 1, then say what is there.")]}
SETTINGS: dict[str, dict[str, Any]] = {
    "on": {},
    "off": {"disable_streaming": True},
    "off with tools": {"disable_streaming": "tool_calling"},
}


@tool
def look(at: int) -> str:
    """Look at a place."""
    return f"place {at}"


class Whole(BaseChatModel):
    """A chat model that can't stream; it calls a tool, then answers."""

    @property
    def _llm_type(self) -> str:
        return "fake-whole"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "whole"}

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _said(self, messages: list[BaseMessage], tools: Any) -> AIMessage:
        usage: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        calls = (
            [{"name": "look", "args": {"at": 1}, "id": "c"}] if tools and isinstance(messages[-1], HumanMessage) else []
        )
        return AIMessage("" if calls else "It is place 1.", tool_calls=calls, usage_metadata=usage)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._said(messages, kwargs.get("tools")))])


class Pieces(Whole):
    """The same, in pieces."""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        said = self._said(messages, kwargs.get("tools"))
        calls: Any = [
            {"name": c["name"], "args": '{"at": 1}', "id": c["id"], "index": 0, "type": "tool_call_chunk"}
            for c in said.tool_calls
        ]
        words = said.text.split(" ")
        for number, word in enumerate(words):
            last = number == len(words) - 1
            piece = AIMessageChunk(
                word if last else f"{word} ",
                tool_call_chunks=calls if last else [],
                id="r",
                usage_metadata=said.usage_metadata if last else None,
            )
            if run_manager is not None:
                run_manager.on_llm_new_token(piece.text, chunk=ChatGenerationChunk(message=piece))
            yield ChatGenerationChunk(message=piece)

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for chunk in self._stream(messages, stop, None, **kwargs):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def shown(message: Any) -> tuple[str, str, list[str]]:
    return type(message).__name__, message.text, [c["name"] for c in getattr(message, "tool_calls", ()) if c["name"]]


def told(events: list[Any]) -> list[Any]:
    """Pieces that say something: a thought comes only where there is one."""
    return [event for event in events if event[1] or event[2]]


def by_messages(graph: Any) -> list[Any]:
    return told([shown(message) for message, _ in graph.stream(ASK, stream_mode="messages")])


def by_messages_async(graph: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [shown(message) async for message, _ in graph.astream(ASK, stream_mode="messages")]

    return told(in_loop(collect()))


def by_events(graph: Any) -> list[Any]:
    """What a chat window would be told of the model: pieces, and whole replies."""

    async def collect() -> list[Any]:
        return [
            (event["event"], *shown(event["data"].get("chunk") or event["data"]["output"])[1:])
            async for event in graph.astream_events(ASK, version="v2")
            if event["event"] in ("on_chat_model_stream", "on_chat_model_end")
        ]

    return told(in_loop(collect()))


def by_updates(graph: Any) -> list[Any]:
    return [
        shown(message)
        for update in graph.stream(ASK)
        for part in update.values()
        for message in (part or {}).get("messages", ())
    ]


ways = pytest.mark.parametrize("way", [by_messages, by_messages_async, by_events, by_updates])


def agents(model: Any, provider: Any = None) -> Iterator[Any]:
    """Without us, with us."""
    yield create_agent(model, [look])
    endpoint: Any = {} if provider is None else {"endpoint": lambda chat: endpoint_for(chat, provider=provider)}
    yield create_agent(
        model, [look], middleware=[AdaptiveThinking(budget=Budget(usd="20", calls=50), effort="low", **endpoint)]
    )


@ways
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", [Whole, Pieces])
def test_in_this_process(kind: Any, settings: str, way: Any) -> None:
    seen = [way(agent) for agent in agents(free(kind(**SETTINGS[settings])))]
    assert seen[0]
    assert seen[0] == seen[1]


@ways
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("api", [CHAT, RESPONSE, ADAPTIVE], ids=["chat", "responses", "messages"])
def test_on_a_wire(api: Any, settings: str, way: Any) -> None:
    seen = []
    for number in range(2):
        with simulated(Turn(tool_calls=(("look", {"at": 1}),), text="I look."), Turn(text="It is done.")) as server:
            graph = list(agents(api.chat(server, **SETTINGS[settings]), api.provider))[number]
            seen.append(way(graph))
    assert seen[0]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", [Whole, Pieces])
@pytest.mark.parametrize("tools", [False, True])
def test_the_chat_model_streams_as_the_one_within(kind: Any, settings: str, tools: bool) -> None:
    model = free(kind(**SETTINGS[settings]))
    ours = ThinkingChatModel(model=model, budget=Budget(calls=50))
    seen: list[Any] = []
    for each in (model, ours):
        runnable: Any = each.bind_tools([look]) if tools else each

        async def collect(runnable: Any = runnable) -> list[Any]:
            return [shown(chunk) async for chunk in runnable.astream("hi")]

        pieces = told([shown(chunk) for chunk in runnable.stream("hi")])
        assert told(in_loop(collect())) == pieces
        seen.append([(text, calls) for _, text, calls in pieces])
    assert seen[0] == seen[1]
    assert ours.spend["calls"] == 2
