"""What an attacker of the ledger tried: other errors in the air, runs that were left, streams that end badly."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph

from conftest import Runner
from rheostat import (
    Account,
    AdaptiveThinking,
    BadInput,
    Budget,
    LimitWarning,
    MemoryLedger,
    Price,
    ThinkingChatModel,
    build_agent,
    resolve,
    terms,
)
from rheostat.calling import payer
from rheostat.money.pricing import FREE
from rheostat.providers import Endpoint, endpoint_for
from rheostat.providers.servers import SERVERS, ServerDial
from rheostat.testing import Said, ScriptedModel, scripted
from rheostat.testing.server import Fault, Turn
from wire import CHAT, simulated

ASK: Any = {"messages": [("user", "hi")]}


@tool
def go(x: int = 0) -> str:
    """Go."""
    return "ok"


# --- other errors in the air ------------------------------------------------------------------------------------


@pytest.mark.parametrize("older", [httpx2.ConnectError("x"), None], ids=["never left", "refused"])
def test_an_older_error_says_nothing_of_a_newer_call(older: Exception | None) -> None:
    """A fallback runs in an `except`: what failed before it is in the context of what fails in it."""
    turns = [Turn(fault=Fault(status=429))] if older is None else []
    with simulated(*turns, *[Turn(fault=Fault(status=500))] * 3) as server:
        first, second = (ThinkingChatModel(model=CHAT.at(server), budget=Budget(usd="5")) for _ in range(2))
        if older is None:
            for each in (first, second):
                each.stepper.meter._retrying.stop = lambda state: True

        def fall_back() -> None:
            try:
                if older is not None:
                    raise older
                first.invoke("hi")
            except Exception:
                second.invoke("hi")

        with pytest.raises(Exception, match="500"):
            fall_back()
        assert second.spend["unknown_calls"] >= 1
        assert second.spend["unknown_usd_nanos"] > 0


# --- runs that were left ------------------------------------------------------------------------------------------


def test_a_run_that_was_left_pays_for_no_other() -> None:
    ledger = MemoryLedger()
    chat = ScriptedModel(script=[Said(tool_calls=(("go", {}),))])
    agent = create_agent(chat, [go], middleware=[AdaptiveThinking(budget=Budget(tokens=100_000), ledger=ledger)])
    config: Any = {"configurable": {"thread_id": "t"}}
    with pytest.raises(GraphRecursionError):
        agent.invoke(ASK, {**config, "recursion_limit": 6})
    before = ledger.reading("thread/t")["calls"]
    other = ScriptedModel(script=["a title"])
    graph = StateGraph(MessagesState)
    graph.add_node("n", lambda state: {"messages": [other.invoke(state["messages"])]})
    graph.add_edge(START, "n")
    assert graph.compile().invoke(ASK, config)["messages"][-1].text == "a title"
    assert ledger.reading("thread/t")["calls"] == before


def test_two_agents_side_by_side_are_both_covered() -> None:
    side = ScriptedModel(script=["a summary"], model="side")

    class Summary(AgentMiddleware[Any, Any, Any]):
        def before_model(self, state: Any, runtime: Any) -> None:
            if len(state["messages"]) > 1:
                side.bind(max_tokens=50).invoke("summarise")

    @tool
    def slow() -> str:
        """Take a nap."""
        time.sleep(0.3)
        return "x"

    ledger = MemoryLedger()
    quick, long = ScriptedModel(script=["done"]), ScriptedModel(script=[Said(tool_calls=(("slow", {}),)), "done"])

    def agent(chat: ScriptedModel, *before: Any) -> Any:
        ours = AdaptiveThinking(budget=Budget(tokens=100_000, calls=20), ledger=ledger)
        return create_agent(chat, [slow], middleware=[*before, ours])

    graph = StateGraph(MessagesState)
    graph.add_node("quick", agent(quick))
    graph.add_node("long", agent(long, Summary()))
    graph.add_edge(START, "quick")
    graph.add_edge(START, "long")
    graph.compile().invoke(ASK, {"configurable": {"thread_id": "t"}})
    made = len(quick.calls) + len(long.calls) + len(side.calls)
    assert len(side.calls) == 1
    assert ledger.reading("thread/t")["calls"] == made


@pytest.mark.parametrize("run_", [True, False])
def test_an_agent_beside_doesnt_pay_for_anothers_steps(run_: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was heard of last in this invocation; what isn't an agent's own step is its."""
    ledger = MemoryLedger()
    sibling = payer.Payer(ledger, "thread/t/quick", run=True)
    monkeypatch.setattr(payer, "lookups", [lambda: sibling])
    with payer.paid_by(payer.Payer(ledger, "thread/t/long", run=run_)) as mine:
        assert (mine.outer is None) == run_


def test_a_model_of_texts_in_a_tool_is_held_too(run: Runner) -> None:
    llm = FakeListLLM(responses=["x"])

    @tool
    def old(x: int = 0) -> str:
        """Ask an old model."""
        return llm.invoke("hello")

    chat = ScriptedModel(script=[Said(tool_calls=(("old", {}),)), "done"])
    result = run(create_agent(chat, [old], middleware=[AdaptiveThinking(budget=Budget(calls=50))]), ASK)
    assert result["messages"][-2].text == "x"
    assert (result["rheostat"]["run"]["calls"], result["rheostat"]["run"]["unknown_calls"]) == (2, 1)


# --- streams --------------------------------------------------------------------------------------------------------


class Streaming(ScriptedModel):
    """Streams what the script says; or ends badly."""

    fault: str = ""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        if self.fault == "busy":
            error: Any = RuntimeError("busy")
            error.status_code = 429
            raise error
        message: Any = self._generate(messages, stop, None, **kwargs).generations[0].message
        usage = message.usage_metadata
        if self.fault == "overrun":
            usage = {"input_tokens": 10, "output_tokens": 10**6, "total_tokens": 10 + 10**6}
        calls = [
            {"name": c["name"], "args": "{}", "id": c["id"], "index": 0, "type": "tool_call_chunk"}
            for c in message.tool_calls
        ]
        chunk = AIMessageChunk(content=message.content, tool_call_chunks=calls, usage_metadata=usage)
        yield ChatGenerationChunk(message=chunk)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for chunk in self._stream(*args, **kwargs):
            yield chunk


def two_requests(chat: ScriptedModel, **options: Any) -> ThinkingChatModel:
    """A dial whose steps hold two requests: a thought that eats everything is followed by one for the answer."""
    at = Endpoint(chat=chat, dial=ServerDial("m", SERVERS["vllm"]), price=FREE)
    return ThinkingChatModel(model=at, budget=Budget(tokens=10_000_000), effort="high", **options)


def test_a_streamed_last_word_calls_no_tools() -> None:
    tries: list[int] = []

    @tool
    def broken() -> str:
        """Never works."""
        tries.append(1)
        raise ValueError(f"no {len(tries)}")

    ran = {}
    for mode in ("values", "messages"):
        chat = Streaming(script=[Said(text="I try", tool_calls=(("broken", {}),))])
        thinking = AdaptiveThinking(budget=Budget(calls=60), correct_tools=True)
        agent = create_agent(chat, [broken], middleware=[thinking])
        last = None
        for kind, chunk in agent.stream(ASK, {"recursion_limit": 500}, stream_mode=[mode, "values"]):
            last = chunk if kind == "values" else last
        assert last is not None
        assert not last["messages"][-1].tool_calls
        ran[mode] = len(chat.calls)
    assert ran["values"] == ran["messages"]


def test_a_stream_that_overran_leaves_no_hold() -> None:
    """A million tokens under a cap of some thousands: nobody's bill, so that it is charged as unknown."""
    model = two_requests(Streaming(script=["hello"], fault="overrun"))
    assert "".join(chunk.text for chunk in model.stream("hi")) == "hello"
    assert (model.spend["calls"], model.spend["unknown_calls"]) == (0, 1)
    assert (model.spend["held_calls"], model.spend["held_output_tokens"]) == (0, 0)


def test_a_stream_that_is_cancelled_while_it_waits_leaves_no_hold() -> None:
    model = two_requests(Streaming(script=["hello"], fault="busy"))

    async def consume() -> None:
        async for _ in model.astream("hi"):
            pass

    async def cancel() -> None:
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert (model.spend["held_calls"], model.spend["held_output_tokens"]) == (0, 0)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
def test_a_stream_that_brought_thought_only_is_asked_for_its_answer(asynchronous: bool) -> None:
    model = two_requests(Streaming(script=["", "It is 6."]))

    async def collect() -> list[Any]:
        return [chunk async for chunk in model.astream("hi")]

    chunks: list[Any] = asyncio.run(collect()) if asynchronous else list(model.stream("hi"))
    full = chunks[0]
    for chunk in chunks[1:]:
        full += chunk
    assert full.text == "It is 6."
    assert model.spend["calls"] == 2
    assert model.spend["held_calls"] == 0


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_price_by_time_charges_all_of_the_time(how: str) -> None:
    class Slow(Streaming):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            time.sleep(0.8)
            return super()._generate(*args, **kwargs)

    price = Price(input_per_million="0", output_per_million="0", per_hour="3600", most_seconds=0.2)
    model = ThinkingChatModel(model=endpoint_for(Slow(script=["x"]), price=price), budget=Budget(usd="5"))
    with contextlib.suppress(Exception):
        list(model.stream("hi")) if how == "stream" else model.invoke("hi")
    spend = model.spend
    assert spend["usd_nanos"] + spend["unknown_usd_nanos"] >= (800_000_000 if how == "invoke" else 200_000_000)


def test_a_copy_that_answers_in_a_schema_isnt_let_through() -> None:
    class Copying(ScriptedModel):
        def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
            return self.model_copy().bind(schema=schema)

    model = ThinkingChatModel(model=Copying(script=["x"]), budget=Budget(calls=1))
    with pytest.raises(BadInput, match="metered"):
        model.with_structured_output({"title": "A", "type": "object", "properties": {}})


# --- who pays -------------------------------------------------------------------------------------------------------


@dataclass
class Mine:
    rheostat: dict[str, Any]


@pytest.mark.parametrize("context", [{"rheostat": {"account": "ada"}}, Mine({"account": "ada"})])
def test_the_account_of_a_run_is_found_however_it_is_given(context: Any) -> None:
    ledger = MemoryLedger()
    ledger.open(Account("ada", Budget(tokens=1)))
    ours = AdaptiveThinking(budget=Budget(calls=9), ledger=ledger)
    schema: Any = Mine if isinstance(context, Mine) else None
    agent = create_agent(ScriptedModel(script=["x"]), [go], middleware=[ours], context_schema=schema)
    with pytest.raises(Exception, match="ada"):
        agent.invoke(ASK, context=context)
    if schema is None:
        with pytest.raises(BadInput, match="rheostat"):
            agent.invoke(ASK, context={"account": "ada"})


def test_a_thread_stays_with_its_account() -> None:
    ledger = MemoryLedger()
    for name in ("ada", "bob"):
        ledger.open(Account(name, Budget(calls=9)))
    ours = AdaptiveThinking(budget=Budget(calls=9), ledger=ledger)
    agent = create_agent(ScriptedModel(script=["x"]), [go], middleware=[ours], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    agent.invoke(ASK, config, context={"rheostat": {"account": "ada"}})
    agent.invoke(ASK, config)
    with pytest.raises(BadInput, match="Start another thread"):
        agent.invoke(ASK, config, context={"rheostat": {"account": "bob"}})
    assert (ledger.reading("ada")["calls"], ledger.reading("bob")["calls"]) == (2, 0)


def test_a_tool_isnt_started_after_the_deadline(run: Runner) -> None:
    sent: list[int] = []

    @tool
    def send(x: int = 0) -> str:
        """Send a mail."""
        sent.append(x)
        return "sent"

    class Slow(ScriptedModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            time.sleep(0.4)
            return super()._generate(*args, **kwargs)

    chat = Slow(script=[Said(tool_calls=(("send", {}),))])
    result = run(create_agent(chat, [send], middleware=[AdaptiveThinking(budget=Budget(seconds=0.3))]), ASK)
    assert sent == []
    assert "the budget is used up (seconds" in result["messages"][-1].text


def test_money_binds_no_free_model() -> None:
    free, _ = scripted("x")
    with pytest.warns(LimitWarning, match="limits nothing but tools"):
        build_agent(Endpoint(chat=free.chat, dial=free.dial, price=FREE), [go], budget=Budget(usd="1"))
    priced = terms(go.model_copy(), usd="0.01")
    build_agent(Endpoint(chat=free.chat, dial=free.dial, price=FREE), [priced], budget=Budget(usd="1"))


def test_a_price_of_ones_own_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    price = Price(input_per_million="999", output_per_million="999")
    assert resolve("openai:gpt-5.1", price=price).price == price
