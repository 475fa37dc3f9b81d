"""The dials on the wire: the same behaviours through every API, by the official clients, against a server that enforces
the providers' rules and keeps the bill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from tenacity import wait_none

from conftest import in_loop
from rheostat import (
    Account,
    BadInput,
    Budget,
    Effort,
    HoldExceeded,
    MemoryLedger,
    Meter,
    SettingWarning,
    ThinkingPlan,
    build_solver,
)
from rheostat.flow import adrive, drive
from rheostat.policy import Caps, Policy
from rheostat.providers import Endpoint, endpoint_for
from rheostat.providers.dial import SEAM, Reply, Step
from rheostat.providers.failures import read_failure
from rheostat.testing.server import Fault, ProviderServer, Turn


@dataclass(frozen=True)
class Api:
    """One way to reach a model."""

    provider: Any
    model: str
    kwargs: tuple[tuple[str, Any], ...] = ()

    def chat(self, server: ProviderServer, **more: Any) -> Any:
        settings = {**dict(self.kwargs), **more}
        if self.provider == "anthropic":
            return ChatAnthropic(model=self.model, base_url=server.url, api_key="k", **settings)
        return ChatOpenAI(model=self.model, base_url=server.openai_url, api_key="k", **settings)

    def at(self, server: ProviderServer, **more: Any) -> Endpoint:
        return endpoint_for(self.chat(server, **more), provider=self.provider)


RESPONSES = (("use_responses_api", True), ("store", False), ("include", ["reasoning.encrypted_content"]))
ADAPTIVE = Api("anthropic", "claude-opus-4-8")
ALWAYS = Api("anthropic", "claude-opus-5-5")
MANUAL = Api("anthropic", "claude-haiku-4-5")
CHAT = Api("openai", "gpt-5.1")
RESPONSE = Api("openai", "gpt-6-sol", RESPONSES)
APIS = {
    "messages, adaptive": ADAPTIVE, "messages, always": ALWAYS, "messages, budget": MANUAL, "chat": CHAT,
    "responses": RESPONSE,
}  # fmt: skip
on_every_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)
anthropic = pytest.mark.parametrize("api", [ADAPTIVE, ALWAYS, MANUAL], ids=lambda api: api.model)
openai = pytest.mark.parametrize("api", [CHAT, RESPONSE], ids=["chat", "responses"])
ASK = [{"role": "user", "content": "What is 2 + 2?"}]


@dataclass
class Way:
    """How a request is sent: blocking or not, whole or as a stream."""

    asynchronous: bool
    streaming: bool

    def run(self, flow: Any) -> Any:
        return in_loop(adrive(flow)) if self.asynchronous else drive(flow)


@pytest.fixture(params=["sync", "async", "stream", "astream"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param.startswith("a"), "stream" in request.param)


_running = ProviderServer()


@pytest.fixture(scope="module", autouse=True)
def _started() -> Iterator[None]:
    """One address for all tests: the integrations keep a client for each, and drop them unclosed when they are many."""
    with _running:
        yield


@contextmanager
def simulated(*turns: Turn) -> Iterator[ProviderServer]:
    _running.reset(*turns)
    yield _running


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with simulated() as running:
        yield running


def plan_of(at: Endpoint, effort: Effort, *, answer_tokens: int = 200) -> ThinkingPlan:
    plan = ThinkingPlan(effort=effort, thinking_tokens=0, answer_tokens=answer_tokens, decided_by="user")
    return Policy().set_effort(plan, effort, Caps(), at.dial.facts)


class Caller:
    """One account, one endpoint, and what was said."""

    def __init__(
        self, api: Api, server: ProviderServer, way: Way, *, budget: Budget | None = None, **chat: Any
    ) -> None:
        streaming = {"streaming": True} if way.streaming else {}
        self.at, self.way, self.server = api.at(server, **streaming, **chat), way, server
        self.ledger = MemoryLedger()
        self.ledger.open(Account("a", budget or Budget(usd="100", seconds=60)))
        self.meter = Meter(self.ledger, wait=wait_none())

    def call(
        self,
        effort: Effort = Effort.medium,
        messages: Any = ASK,
        *,
        step: Step = SEAM,
        answer_tokens: int = 200,
        temperature: float | None = None,
        schema: Any = None,
        **kwargs: Any,
    ) -> Reply:
        at, meter = self.at, self.meter
        plan = plan_of(at, effort, answer_tokens=answer_tokens)
        self.settings = at.dial.encode(plan, "whole", temperature=temperature, schema=schema, step=step)
        self.settings.kwargs.update({name: value for name, value in kwargs.items() if name not in self.settings.kwargs})

        def flow() -> Any:
            tokens = yield from meter.input_bound(at, messages, self.settings)
            [held] = yield from meter.hold("a", [meter.bound(at, tokens, self.settings)], {"node": "t", "model": "m"})
            return (yield from meter.call(at, "a", held, messages, self.settings, "whole", {"node": "t"}))

        reply: Reply = self.way.run(flow())
        return reply

    @property
    def spent(self) -> dict[str, Any]:
        return self.ledger.reading("a")

    def agrees(self) -> None:
        """The ledger is the bill: every kind of token, and the money."""
        names = ("input_tokens", "cached_input_tokens", "output_tokens", "thinking_tokens", "usd_nanos")
        assert {name: self.spent[name] for name in names} == {name: self.server.bill.total(name) for name in names}
        assert self.spent["held_usd_nanos"] == self.spent["unknown_usd_nanos"] == 0
        assert self.spent["overrun_usd_nanos"] == 0


# --- effort ------------------------------------------------------------------------------------------


@on_every_api
def test_every_level_that_a_dial_has_is_taken_and_counted(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    for level in caller.at.dial.facts.levels:
        reply = caller.call(level)
        assert reply.text == "The answer is 4."
        assert reply.stop == "end"
    assert not server.bill.refusals
    caller.agrees()
    thought = [line.thinking_tokens for line in server.bill.lines]
    assert api is MANUAL or (thought == sorted(thought) and len(set(thought)) == len(thought))


@on_every_api
def test_a_level_that_isnt_there_becomes_the_nearest_and_says_so(api: Api, server: ProviderServer) -> None:
    at = api.at(server)
    missing = [level for level in Effort if level not in at.dial.facts.levels]
    assert missing
    for level in missing:
        plan = plan_of(at, level)
        assert plan.effort in at.dial.facts.levels
        assert f"no level {level.value}: {plan.effort.value} instead" in " ".join(plan.reasons)
        assert plan.decided_by == "model"
    strict = endpoint_for(api.chat(server), provider=api.provider, strict=True)
    with pytest.raises(BadInput, match="strict=True"):
        plan_of(strict, missing[0])


@on_every_api
def test_the_cap_holds_however_long_the_model_wants_to_think(api: Api, way: Way) -> None:
    with simulated(Turn(thinking_tokens=100_000, text="late " * 50)) as server:
        caller = Caller(api, server, way)
        reply = caller.call(Effort.low, answer_tokens=100)
        [line] = server.bill.lines
        assert line.output_tokens <= caller.settings.max_output_tokens
        assert reply.cut or api is MANUAL
        if api is MANUAL:  # a budget is a cap of its own: the answer keeps its room
            assert line.thinking_tokens == 1024
        else:
            assert reply.starved
            assert reply.stop == "length"
        caller.agrees()


@on_every_api
def test_an_answer_that_is_cut(api: Api, way: Way) -> None:
    with simulated(Turn(thinking_tokens=10, text="word " * 9000)) as server:
        caller = Caller(api, server, way)
        reply = caller.call(Effort.low)
        assert reply.cut
        assert not reply.starved
        caller.agrees()


@on_every_api
def test_temperature_is_dropped_aloud(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    caller.call(Effort.medium, temperature=0.7)
    assert "temperature" not in server.bill.bodies[0]
    assert any("temperature not sent" in note for note in caller.settings.notes)
    assert not server.bill.refusals


@on_every_api
def test_no_more_is_asked_for_than_the_model_can_write(api: Api, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way)
    caller.call(max(caller.at.dial.facts.levels, key=lambda level: level.rank), answer_tokens=500_000)
    assert not server.bill.refusals
    assert any("above the model's" in note for note in caller.settings.notes)


@on_every_api
def test_an_answer_in_a_schema(api: Api, server: ProviderServer, way: Way) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    caller = Caller(api, server, way)
    caller.call(Effort.low, schema=schema)
    body = server.bill.bodies[0]
    sent = body.get("response_format") or body.get("text") or body.get("output_config")
    assert "integer" in str(sent)
    assert not server.bill.refusals
    caller.agrees()


# --- settings of the model object -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "own"),
    [
        (MANUAL, {"thinking": {"type": "enabled", "budget_tokens": 9000}, "max_tokens": 20_000}),
        (ADAPTIVE, {"effort": "max"}),
        (ADAPTIVE, {"temperature": 0.3}),
        (CHAT, {"reasoning_effort": "high"}),
        (RESPONSE, {"reasoning": {"effort": "high", "summary": "auto"}}),
    ],
    ids=str,
)
def test_what_the_model_object_says_gives_way_aloud(api: Api, own: dict[str, Any], server: ProviderServer) -> None:
    with pytest.warns(SettingWarning, match="gives way"):
        caller = Caller(api, server, Way(False, False), **own)
    reply = caller.call(Effort.low)
    [line] = server.bill.lines
    assert line.effort in ("low", "high" if api is MANUAL else "low")
    assert line.thinking_tokens <= 1024
    assert not server.bill.refusals
    if "reasoning" in own:
        assert reply.thought.startswith("hm")  # the rest of the setting stays
    caller.agrees()


@on_every_api
def test_the_callers_own_model_is_left_alone(api: Api, server: ProviderServer) -> None:
    chat = api.chat(server)
    before = chat.model_dump()
    endpoint_for(chat, provider=api.provider)
    assert chat.model_dump() == before
    assert chat.invoke("hi").text == "The answer is 4."


# --- what goes wrong --------------------------------------------------------------------------------------


@on_every_api
def test_429_waits_as_long_as_asked_and_costs_nothing(api: Api, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=429, retry_after="0.2")), Turn()) as server:
        caller = Caller(api, server, way)
        assert caller.call().text == "The answer is 4."
        assert (caller.spent["calls"], server.bill.requests, len(server.bill.lines)) == (2, 2, 1)
        caller.agrees()


@on_every_api
@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(status=529), Fault(cut=True)], ids=str)
def test_what_may_have_been_billed_stays_charged(api: Api, fault: Fault, way: Way) -> None:
    with simulated(Turn(fault=fault), Turn()) as server:
        caller = Caller(api, server, way)
        assert caller.call(Effort.low).text == "The answer is 4."
        spent = caller.spent
        assert (spent["calls"], spent["unknown_calls"]) == (1, 1)
        assert spent["usd_nanos"] <= server.bill.total("usd_nanos") <= spent["usd_nanos"] + spent["unknown_usd_nanos"]


@on_every_api
@pytest.mark.parametrize("fault", [Fault(no_usage=True), Fault(garbage=True)], ids=["no usage", "garbage"])
def test_what_nobody_says_the_price_of_is_charged_at_its_hold(api: Api, fault: Fault, way: Way) -> None:
    with simulated(Turn(fault=fault)) as server:
        caller = Caller(api, server, way)
        try:
            caller.call(Effort.low)
        except Exception as error:
            assert not isinstance(error, BadInput)
        spent = caller.spent
        assert spent["calls"] == 0
        assert spent["unknown_calls"] >= 1
        assert server.bill.total("usd_nanos") <= spent["unknown_usd_nanos"]


@on_every_api
@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_isnt_tried_again(api: Api, status: int, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=status))) as server:
        caller = Caller(api, server, way)
        with pytest.raises(Exception, match=str(status)):
            caller.call()
        assert (server.bill.requests, caller.spent["calls"], caller.spent["usd_nanos"]) == (1, 1, 0)


@on_every_api
@pytest.mark.parametrize(
    ("status", "reason", "money", "again"),
    [
        (400, "bad request", "refused", False),
        (401, "authentication", "refused", False),
        (404, "not found", "refused", False),
        (429, "rate limit", "refused", True),
        (500, "server", "unknown", True),
        (503, "overloaded", "unknown", True),
        (529, "overloaded", "unknown", True),
    ],
)
def test_failures_read_the_same(api: Api, status: int, reason: str, money: str, again: bool, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=status))) as server:
        caller = Caller(api, server, way)
        caller.meter = Meter(caller.ledger, attempts=1)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has exceptions of its own
            caller.call(Effort.low)
        failed = read_failure(caught.value)
        assert (failed.reason, failed.money, failed.retryable, failed.status) == (reason, money, again, status)
        assert failed.request_id == "req_1"


@on_every_api
def test_the_clients_own_retries_are_off(api: Api, way: Way) -> None:
    with simulated(Turn(fault=Fault(status=500))) as server:
        caller = Caller(api, server, way, max_retries=5)
        with pytest.raises(Exception, match="500"):
            caller.call(Effort.low)
        assert server.bill.requests == 3  # the meter's attempts
        assert caller.spent["unknown_calls"] == 3


@on_every_api
def test_a_deadline_cuts_and_charges(api: Api, way: Way) -> None:
    with simulated(Turn(fault=Fault(seconds=1.5))) as server:
        caller = Caller(api, server, way, budget=Budget(usd="100", seconds=0.4))
        with pytest.raises(Exception):  # noqa: B017, PT011 - each client has a timeout of its own
            caller.call(Effort.low)
        assert caller.spent["unknown_calls"] == 1


@on_every_api
def test_more_than_was_possible_is_posted_and_raised(api: Api, way: Way) -> None:
    with simulated(Turn(overrun_tokens=200_000)) as server:
        caller = Caller(api, server, way)
        with pytest.raises(HoldExceeded, match="posted in full"):
            caller.call(Effort.low)
        assert caller.spent["usd_nanos"] == server.bill.total("usd_nanos")
        assert caller.spent["overrun_usd_nanos"] > 0


# --- why it ended ---------------------------------------------------------------------------------------


@anthropic
@pytest.mark.parametrize(
    ("stop", "read"), [("refusal", "refusal"), ("pause_turn", "pause"), ("model_context_window_exceeded", "context")]
)
def test_stop_reasons_of_messages(api: Api, stop: str, read: str, way: Way) -> None:
    with simulated(Turn(stop=stop)) as server:
        caller = Caller(api, server, way)
        assert caller.call().stop == read
        caller.agrees()


@openai
def test_a_content_filter(api: Api, way: Way) -> None:
    with simulated(Turn(stop="content_filter", text="")) as server:
        caller = Caller(api, server, way)
        assert caller.call().stop == "filter"
        caller.agrees()


# --- tiers, caches, searches -----------------------------------------------------------------------------


@openai
@pytest.mark.parametrize("tier", ["default", "flex", "priority", "fast", "auto"])
def test_the_tier_that_was_used_is_the_one_that_is_paid(api: Api, tier: str, server: ProviderServer, way: Way) -> None:
    caller = Caller(api, server, way, service_tier=tier)
    caller.call(Effort.low)
    assert server.bill.lines[0].service_tier == {"fast": "priority", "auto": "default"}.get(tier, tier)
    caller.agrees()


@openai
def test_a_tier_that_nobody_named_is_named(api: Api, server: ProviderServer, way: Way) -> None:
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
    return at.chat.bind_tools([multiply]).kwargs["tools"]  # type: ignore[attr-defined]


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

        class Kept(type(chat)):  # type: ignore[misc]
            def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:
                return keeping(invoke(*args, **kwargs))

            async def ainvoke(self, *args: Any, **kwargs: Any) -> AIMessage:
                return keeping(await ainvoke(*args, **kwargs))

        chat.__class__ = Kept

    def turn(self, effort: Effort, step: Step = SEAM) -> Reply:
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


def test_a_forced_tool_in_a_thinking_loop_is_refused_before_it_leaves() -> None:
    with simulated(MULTIPLY) as server:
        caller = Caller(MANUAL, server, Way(False, False))
        with pytest.raises(BadInput, match="leave tool_choice at auto"):
            caller.call(Effort.medium, step=Step(forced_tool=True, loop="thinking"))
        assert server.bill.requests == 0


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
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=5), tools=st.booleans(), level=st.integers(0, 6))
def test_no_bill_is_above_its_bound(api: Api, texts: list[str], tools: bool, level: int) -> None:
    with simulated(Turn(thinking_tokens=10**6, text="word " * 3000)) as server:
        caller = Caller(api, server, Way(False, False))
        efforts = list(caller.at.dial.facts.levels)
        messages = [HumanMessage(text) if n % 2 == 0 else AIMessage(text) for n, text in enumerate(texts)]
        if len(messages) % 2 == 0:
            messages.append(HumanMessage("and?"))
        more = {"tools": offered(caller.at)} if tools else {}
        caller.call(efforts[level % len(efforts)], messages, **more)
        caller.agrees()  # an overrun would have raised


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
    assert result["spend"]["input_tokens"] + result["spend"]["output_tokens"] <= 9_000


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
    assert sum(result["spend"]["usd_nanos"] for result in results) == server.bill.total("usd_nanos")
    assert {result["spend"]["calls"] for result in results} == {1}
