"""The dials on the wire: tiers, caches, searches, tool loops and bounds, the same through every API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from conftest import in_loop, note
from rheostat import BadInput, Budget, Effort, MemoryLedger, build_solver
from rheostat.flow import drive
from rheostat.providers import Endpoint
from rheostat.providers.dial import FRESH, Reply, Step
from rheostat.testing.server import ProviderServer, Turn
from wire import (
    ADAPTIVE,
    ALWAYS,
    ASK,
    CHAT,
    MANUAL,
    RESPONSE,
    Api,
    Caller,
    Way,
    anthropic,
    on_every_api,
    openai,
    plan_of,
    simulated,
)

# --- tiers, caches, searches -----------------------------------------------------------------------------


@openai
@pytest.mark.parametrize("tier", ["default", "flex", "priority", "fast", "auto"])
def test_the_tier_that_was_used_is_the_one_that_is_paid(api: Api, tier: str, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way, service_tier=tier)
    caller.call(Effort.low)
    assert server.bill.lines[0].service_tier == {"fast": "priority", "auto": "default"}.get(tier, tier)
    caller.agrees()


@openai
def test_a_tier_that_was_not_named_is_named(api: Api, server: ProviderServer, way: Way) -> None:
    Caller(api, server, way).call(Effort.low)
    assert server.bill.bodies[0]["service_tier"] == "default"


LONG = "The rules of the house, told at length. " * 300


@openai
def test_a_cached_prompt_costs_less_until_the_effort_changes(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    messages = [{"role": "system", "content": LONG}, *ASK]
    for effort in (Effort.low, Effort.low, Effort.high, Effort.low):
        caller.call(effort, messages)
    assert [line.cached_input_tokens > 0 for line in server.bill.lines] == [False, True, False, True]
    caller.agrees()


@anthropic
@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_what_is_kept_for_an_hour_costs_more_to_write(api: Api, ttl: str, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": ttl}}
    messages = [SystemMessage([marked]), HumanMessage("What is 2 + 2?")]
    caller.call(Effort.low, messages)
    caller.call(Effort.low, messages)
    written, read = server.bill.lines
    assert written.cache_write_tokens == read.cached_input_tokens > 1024
    assert (written.cache_write_1h_tokens > 0) == (ttl == "1h")
    caller.agrees()


def test_fast_mode_is_dearer_and_paid_so(server: ProviderServer, way: Way) -> None:
    caller = Caller(ALWAYS, server, way, model_kwargs={"speed": "fast"})
    caller.call(Effort.low)
    assert server.bill.lines[0].speed == "fast"
    caller.agrees()


SEARCH = {"anthropic": {"type": "web_search_20250305", "name": "web_search"}, "openai": {"type": "web_search"}}


@pytest.mark.parametrize("api", [ADAPTIVE, RESPONSE], ids=["messages", "responses"])
def test_searches_are_paid_and_need_a_most(api: Api, way: Way) -> None:
    with simulated(Turn(web_searches=2)) as server:
        caller = Caller(api, server, way)
        search = SEARCH[api.provider]
        with pytest.raises(BadInput, match="max_uses"):
            caller.call(Effort.low, tools=[search])
        assert server.bill.requests == 0
        limited = {**search, "max_uses": 3}
        caller.call(Effort.low, tools=[limited])
        caller.agrees()


# --- tools ------------------------------------------------------------------------------------------------


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


def offered(at: Endpoint) -> list[Any]:
    return at.chat.bind_tools([multiply]).kwargs["tools"]


class Loop:
    """A ReAct loop by hand: what an agent would send."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.messages: list[BaseMessage] = [HumanMessage("What is 2 * 3 * 4 * 5?")]
        chat, kept = caller.at.chat, self
        invoke, ainvoke = chat.invoke, chat.ainvoke

        def keeping(message: AIMessage) -> AIMessage:
            kept.last = message
            return message

        class Kept(type(chat)):
            def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:
                return keeping(invoke(*args, **kwargs))

            async def ainvoke(self, *args: Any, **kwargs: Any) -> AIMessage:
                return keeping(await ainvoke(*args, **kwargs))

        chat.__class__ = Kept

    def turn(self, effort: Effort, step: Step = FRESH) -> Reply:
        reply = self.caller.call(effort, self.messages, step=step, tools=offered(self.caller.at))
        self.messages.append(self.last)
        for call in self.last.tool_calls:
            self.messages.append(ToolMessage(str(multiply.invoke(call["args"])), tool_call_id=call["id"]))
        return reply


MULTIPLY = Turn(tool_calls=(("multiply", {"a": 2, "b": 3}),), text="", thinking_tokens=30)
BOTH = Turn(tool_calls=(("multiply", {"a": 2, "b": 3}), ("multiply", {"a": 4, "b": 5})), text="two at once")


@on_every_api
def test_a_tool_loop_replays_what_the_model_thought(api: Api, way: Way) -> None:
    with simulated(MULTIPLY, BOTH, MULTIPLY, Turn(text="120")) as server:
        loop = Loop(Caller(api, server, way))
        assert loop.turn(Effort.medium).stop == ("tool" if api is not RESPONSE else "end")
        for _ in range(2):
            loop.turn(Effort.medium, Step(loop="thinking"))
        assert loop.turn(Effort.medium, Step(loop="thinking")).text == "120"
        assert server.bill.refusals == []
        assert [len(message.tool_calls) for message in loop.messages if isinstance(message, AIMessage)] == [1, 2, 1, 0]
        loop.caller.agrees()


@anthropic
def test_redacted_thoughts_go_back_as_they_came(api: Api) -> None:
    turns = [Turn(tool_calls=MULTIPLY.tool_calls, redacted=True, text=""), Turn(text="6")]
    with simulated(*turns) as server:
        loop = Loop(Caller(api, server, Way(False, False)))
        loop.turn(Effort.low)
        assert loop.turn(Effort.low, Step(loop="thinking")).text == "6"
        assert server.bill.refusals == []


@anthropic
def test_the_server_notices_an_altered_thought(api: Api) -> None:
    """If it didn't, the two tests above would prove nothing."""
    with simulated(MULTIPLY, Turn(text="6")) as server:
        loop = Loop(Caller(api, server, Way(False, False)))
        loop.turn(Effort.low)
        first: Any = loop.messages[1].content
        first[0]["thinking"] += "!"
        with pytest.raises(Exception, match="signature"):
            loop.turn(Effort.low, Step(loop="thinking"))


@anthropic
def test_thinking_isnt_switched_in_the_middle_of_a_loop(api: Api, way: Way) -> None:
    with simulated(MULTIPLY, MULTIPLY, Turn(text="6")) as server:
        loop = Loop(Caller(api, server, way))
        loop.turn(Effort.low)
        loop.turn(Effort.none, Step(loop="thinking"))
        assert api is ALWAYS or any("can't be switched" in note for note in loop.caller.settings.notes)
        loop.turn(Effort.none, Step(loop="thinking"))
        assert server.bill.refusals == []
        assert all(line.thinking_tokens for line in server.bill.lines[:2])


@pytest.mark.parametrize("api", [ADAPTIVE, MANUAL], ids=lambda api: api.model)
def test_a_loop_that_began_without_thinking_goes_on_without(api: Api, way: Way) -> None:
    with simulated(MULTIPLY, Turn(text="6")) as server:
        loop = Loop(Caller(api, server, way))
        loop.turn(Effort.none)
        loop.turn(Effort.high, Step(loop="direct"))
        assert any("began without" in note for note in loop.caller.settings.notes)
        assert server.bill.refusals == []
        assert server.bill.total("thinking_tokens") == 0


@on_every_api
def test_a_forced_tool(api: Api, way: Way) -> None:
    with simulated(MULTIPLY) as server:
        caller = Caller(api, server, way)
        forced: Any = {"type": "any"} if api.provider == "anthropic" else "required"
        caller.call(Effort.medium, step=Step(forced_tool=True), tools=offered(caller.at), tool_choice=forced)
        assert server.bill.refusals == []
        if api in (MANUAL, ALWAYS):
            assert caller.settings.notes
        caller.agrees()


def test_a_tool_cant_be_forced_in_a_thinking_loop_so_it_is_left_to_the_model() -> None:
    with simulated(MULTIPLY) as server:
        at = MANUAL.at(server)
        plan = plan_of(at, Effort.medium, answer_tokens=200)
        step = Step(forced_tool=True, loop="thinking")
        settings = at.dial.encode(plan, "whole", temperature=None, schema=None, step=step)
        assert settings.kwargs["tool_choice"] == {"type": "auto"}
        assert settings.kwargs["thinking"]["type"] == "enabled"
        assert "refuses a forced tool_choice in a loop that thinks" in settings.notes[0]


@pytest.mark.parametrize("tokens", [5_000, 50_000])
def test_a_task_budget_is_told_where_it_can_be(tokens: int, server: ProviderServer) -> None:
    caller = Caller(ADAPTIVE, server, Way(False, False))
    caller.call(Effort.low, step=Step(task_tokens=tokens))
    sent = server.bill.bodies[0]["output_config"].get("task_budget")
    assert sent == ({"type": "tokens", "total": tokens} if tokens >= 20_000 else None)
    assert server.bill.refusals == []


# --- bounds -------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=400) | st.text(st.characters(categories=["Lo", "So", "Nd", "Po"]), max_size=200)


@on_every_api
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=5),
    tools=st.booleans(),
    level=st.integers(0, 6),
    thought=st.integers(0, 30_000) | st.just(10**6),
    words=st.integers(1, 3000),
)
@example(texts=["x " * 200], tools=True, level=6, thought=10**6, words=3000)  # as much as can be
def test_no_bill_is_above_its_bound(
    api: Api, texts: list[str], tools: bool, level: int, thought: int, words: int
) -> None:
    with simulated(Turn(thinking_tokens=thought, text="word " * words)) as server:
        caller = Caller(api, server, Way(False, False))
        efforts = list(caller.at.dial.facts.levels)
        messages = [HumanMessage(text) if n % 2 == 0 else AIMessage(text) for n, text in enumerate(texts)]
        if len(messages) % 2 == 0:
            messages.append(HumanMessage("and?"))
        more = {"tools": offered(caller.at)} if tools else {}
        caller.call(efforts[level % len(efforts)], messages, **more)
        caller.agrees()  # an overrun would have raised
        note(f"bound / bill, random requests, {api.model}", caller.bound.usd_nanos / caller.spent["usd_nanos"])


@pytest.mark.parametrize("api", [ADAPTIVE, MANUAL, RESPONSE], ids=["adaptive", "budget", "responses"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_providers_count_refines_the_bound(api: Api, asynchronous: bool, server: ProviderServer) -> None:
    caller = Caller(api, server, Way(asynchronous, False))
    messages = [{"role": "user", "content": LONG}]
    encoded = caller.at.dial.encode(plan_of(caller.at, Effort.low), "whole", temperature=None, schema=None)
    loose = caller.way.run(caller.meter.input_bound(caller.at, messages, encoded))
    exact = caller.way.run(caller.meter.input_bound(caller.at, messages, encoded, exact=True))
    caller.call(Effort.low, messages)
    assert server.bill.lines[0].input_tokens <= exact < loose / 3


def test_a_tight_budget_asks_for_the_exact_count(server: ProviderServer) -> None:
    """By bytes the question doesn't fit; by the provider's count it does."""
    at = RESPONSE.at(server)
    question = "What is 2 + 2? " + "Mind the following words. " * 400
    solver = build_solver(at, budget=Budget(tokens=9_000), effort="low").compile()
    result = solver.invoke({"question": question})
    assert result["answer"] == "4"
    assert len(question) > 9_000
    assert result["rheostat"]["spend"]["input_tokens"] + result["rheostat"]["spend"]["output_tokens"] <= 9_000


@on_every_api
def test_images_have_a_most_and_files_take_the_context(api: Api, server: ProviderServer) -> None:
    caller = Caller(api, server, Way(False, False), budget=Budget(usd="100"))
    encoded = caller.at.dial.encode(plan_of(caller.at, Effort.low), "whole", temperature=None, schema=None)
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    file = {"type": "file", "base64": "aGk=", "mime_type": "application/pdf", "filename": "a.pdf"}
    for block, most in ((image, 13_000), (file, 1_050_000)):
        messages = [HumanMessage([{"type": "text", "text": "what is it?"}, block])]
        tokens = drive(caller.meter.input_bound(caller.at, messages, encoded))
        assert 4_000 < tokens <= most
    unknown = Endpoint(chat=caller.at.chat, dial=caller.at.dial, price=caller.at.price)
    if api is CHAT:  # no context known, and nobody to count it
        with pytest.raises(BadInput, match="can't be bounded"):
            drive(caller.meter.input_bound(unknown, messages, encoded))
    else:
        assert drive(caller.meter.input_bound(unknown, messages, encoded)) > 0


# --- the peers' traps ----------------------------------------------------------------------------------------


def test_two_ways_of_saying_effort_never_meet(server: ProviderServer) -> None:
    """`reasoning` beside `reasoning_effort` raises in the client; one of them is sent, on its own route."""
    for api in (CHAT, RESPONSE):
        Caller(api, server, Way(False, False)).call(Effort.low)
    chat, responses = server.bill.bodies
    assert ("reasoning" in chat, "reasoning_effort" in chat) == (False, True)
    assert ("reasoning" in responses, "reasoning_effort" in responses) == (True, False)


def test_many_callers_share_nothing(server: ProviderServer) -> None:
    """Sixteen at once on one endpoint: every reply is settled on its own account."""
    at = CHAT.at(server)
    ledger = MemoryLedger()
    solver = build_solver(at, budget=Budget(usd="1"), effort="low", ledger=ledger).compile()

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(solver.ainvoke({"question": "What is 2 + 2?"}) for _ in range(16)))

    results = in_loop(all_of_them())
    assert sum(result["rheostat"]["spend"]["usd_nanos"] for result in results) == server.bill.total("usd_nanos")
    assert {result["rheostat"]["spend"]["calls"] for result in results} == {1}
