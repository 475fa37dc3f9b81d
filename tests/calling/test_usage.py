"""Usage is checked before it is believed: at the wire, and where LangChain's objects are all there is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from conftest import Runner
from rheostat import AdaptiveThinking, Budget, read
from rheostat.calling.payer import paid_by
from rheostat.calling.usage import Body
from rheostat.calling.wire import WireRequest
from rheostat.testing import ScriptedModel, free
from test_gate_kinds import CHAT, SAID, Wire, sse

BOX = "http://gpu-box:8000/v1/chat/completions"
"""A server that isn't a provider's own."""
BODY = {"model": "m", "messages": SAID, "max_tokens": 100}
PLAIN = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


def posted(url: str, usage: Any) -> Any:
    wire = Wire(None, tokens=10**6)
    said = {"id": "r", "model": "m", "choices": [{"index": 0, "message": {"content": "four"}}], "usage": usage}
    wire.reply = lambda request: httpx2.Response(200, json=said)
    wire.post(url, {**BODY, "model": "gpt-5.1"} if url == CHAT else BODY)
    return wire.reading


IMPOSSIBLE: dict[str, Any] = {
    "output above the cap": {**PLAIN, "completion_tokens": 50_000},
    "input above what was sent": {**PLAIN, "prompt_tokens": 10**6},
    "zero": {"prompt_tokens": 0, "completion_tokens": 0},
    "no output, though there is text": {"prompt_tokens": 20, "completion_tokens": 0},
    "negative": {"prompt_tokens": 20, "completion_tokens": -7},
    "missing": None,
    "texts": {"prompt_tokens": "many", "completion_tokens": "some"},
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_a_count_that_cant_be_is_charged_as_unknown(kind: str) -> None:
    reading = posted(BOX, IMPOSSIBLE[kind])
    assert (reading["calls"], reading["unknown_calls"], reading["held_calls"]) == (0, 1, 0)
    assert 100 <= reading["unknown_output_tokens"] <= 200
    assert reading["unknown_input_tokens"] < 5_000


def test_a_count_that_can_be_is_believed() -> None:
    reading = posted(BOX, {**PLAIN, "completion_tokens_details": {"reasoning_tokens": 99}})
    assert (reading["calls"], reading["unknown_calls"]) == (1, 0)
    assert (reading["input_tokens"], reading["output_tokens"], reading["thinking_tokens"]) == (20, 10, 10)


@pytest.mark.parametrize("id_", ["x" * 1_000_000, "a\x00b\x1b[31m\u202e", {"an": "object"}, 7])
def test_an_id_that_is_none_is_kept_short_and_plain(id_: Any) -> None:
    body = Body(WireRequest(provider="openai", flavor="chat", kind="billable"))
    body.feed(json.dumps({"id": id_, "model": id_, "choices": [], "usage": PLAIN}).encode())
    body.finish()
    for name in (body.request_id, body.model):
        assert 0 < len(name) <= 200
        assert name.isprintable()


def test_a_provider_bills_what_it_reports() -> None:
    with pytest.raises(Exception, match="posted in full"):
        posted(CHAT, {**PLAIN, "completion_tokens": 50_000})


@pytest.mark.parametrize(
    ("stop", "ends", "least"), [(None, ["", ""], 8), ("\n```\n", ["", "4"], 8 + 5), ("ab", ["4"], 8 + 2)]
)
def test_tokens_of_a_stop_sequence_that_a_server_doesnt_list_are_counted(
    stop: str | None, ends: list[str], least: int
) -> None:
    wire, listed = Wire(None, tokens=10**6), 8 // len(ends)
    choices = [
        {
            "index": number,
            "finish_reason": "stop",
            "message": {"content": "x = 4"},
            "logprobs": {"content": [{"token": "x"}] * (listed - 1) + [{"token": end}]},
        }
        for number, end in enumerate(ends)
    ]
    usage = {"prompt_tokens": 20, "completion_tokens": listed}
    said = {"choices": choices, "usage": usage, "timings": {"predicted_n": listed}}
    wire.reply = lambda request: httpx2.Response(200, json={"id": "r", "model": "m", **said})
    wire.post(BOX, {**BODY, "n": 2, "logprobs": True, **({"stop": [stop]} if stop else {})})
    assert wire.reading["output_tokens"] == least


@pytest.mark.parametrize("last", ["with choices", "without"])
def test_running_usage_is_the_last_and_not_the_sum(last: str) -> None:
    wire = Wire(None, tokens=10**6)
    chunks = [
        {
            "id": "r",
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": "hm"}, "finish_reason": end}],
            "usage": {"prompt_tokens": 20, "completion_tokens": count, "total_tokens": 20 + count},
        }
        for count, end in ((1, None), (40, None), (90, "stop"))
    ]
    if last == "without":
        chunks.append({**chunks[-1], "choices": []})
    content = sse(*chunks, "[DONE]")
    wire.reply = lambda request: httpx2.Response(200, content=content, headers={"content-type": "text/event-stream"})
    with httpx2.Client(transport=httpx2.MockTransport(wire._answer)) as client, paid_by(wire.payer):
        client.post(BOX, json={**BODY, "stream": True}).read()
    assert (wire.reading["input_tokens"], wire.reading["output_tokens"], wire.reading["unknown_calls"]) == (20, 90, 0)


class Running(ScriptedModel):
    """Streams, and says with each piece what it has used up to then."""

    model: str = "running"
    counts: Any = (1, 40, 90)
    inputs: int = 20

    def _usage(self, count: int) -> Any:
        return {"input_tokens": self.inputs, "output_tokens": count, "total_tokens": self.inputs + count}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.calls.append((messages, kwargs))
        message = AIMessage("It is four.", usage_metadata=self._usage(self.counts[-1]))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        self.calls.append((messages, kwargs))
        for piece, count in zip(("It ", "is ", "four."), self.counts, strict=True):
            chunk = ChatGenerationChunk(message=AIMessageChunk(piece, usage_metadata=self._usage(count)))
            if run_manager is not None:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        self.calls.append((messages, kwargs))
        for piece, count in zip(("It ", "is ", "four."), self.counts, strict=True):
            chunk = ChatGenerationChunk(message=AIMessageChunk(piece, usage_metadata=self._usage(count)))
            if run_manager is not None:
                await run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk


def agent(model: Any, **limits: Any) -> Any:
    return create_agent(free(model), middleware=[AdaptiveThinking(budget=Budget(**limits), effort="none")])


def test_running_usage_of_a_model_without_a_wire(run: Runner) -> None:
    result = run(agent(Running(script=[]), tokens=20_000), {"messages": [HumanMessage("2 + 2?")]})
    spend = read(result)["run"]
    assert (spend["input_tokens"], spend["output_tokens"], spend["unknown_calls"]) == (20, 90, 0)


def test_running_usage_in_streamed_messages() -> None:
    graph = agent(Running(script=[]), tokens=20_000)
    last: Any = None
    for kind, event in graph.stream({"messages": [HumanMessage("2 + 2?")]}, stream_mode=["messages", "values"]):
        last = event if kind == "values" else last
    spend = read(last)["run"]
    assert (spend["input_tokens"], spend["output_tokens"], spend["unknown_calls"]) == (20, 90, 0)
    assert last["messages"][-1].text == "It is four."


@pytest.mark.parametrize("model", [{"counts": (1, 10**6, 10**8)}, {"inputs": 10**7}], ids=["output", "input"])
def test_an_impossible_count_ends_no_run(model: Any, run: Runner) -> None:
    result = run(agent(Running(script=[], **model), tokens=20_000), {"messages": [HumanMessage("2 + 2?")]})
    assert result["messages"][-1].text == "It is four."
    spend = read(result)["run"]
    assert (spend["calls"], spend["unknown_calls"], spend["held_calls"]) == (0, 1, 0)
    assert 0 < spend["unknown_output_tokens"] < 20_000
