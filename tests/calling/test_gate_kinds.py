"""What a request may carry beside its text, and what a reply may look like: bounded, refused, or read all the same."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
import pytest
from genai_prices import Usage, calc_price
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelFallbackMiddleware
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

import rheostat
from billing import Biller, Fault
from conftest import Runner, in_loop
from rheostat import (
    Account,
    AdaptiveThinking,
    BadInput,
    Budget,
    BudgetExceeded,
    HoldExceeded,
    MemoryLedger,
    NoPrice,
    Price,
    read,
)
from rheostat.calling.gate import close_call
from rheostat.calling.payer import Attempt, Call, Payer, paid_by
from rheostat.flow import drive
from rheostat.money.ledger.counts import spend_of
from rheostat.money.pricing import Terms, price_of
from rheostat.money.usage import Spend
from rheostat.providers import endpoint_for
from test_gate import KEY, Agent, Setting, apis, chat, provider
from waiting import wait_for

pytestmark = pytest.mark.filterwarnings("ignore::rheostat.SettingWarning", "ignore::UserWarning")


@pytest.fixture
def server(serving: Biller) -> Biller:
    return serving.reset()


class Wire:
    """One account, and requests that leave under it for addresses of real providers; answered here."""

    def __init__(self, usd: str | None = "1", **limits: Any) -> None:
        rheostat.install_gate()
        self.ledger = MemoryLedger()
        budget = Budget(usd=usd, **limits) if usd else Budget(**limits)
        self.ledger.open(Account("a", budget))
        self.payer = Payer(self.ledger, "a", budget)
        self.sent: list[httpx2.Request] = []
        self.reply: Callable[[httpx2.Request], httpx2.Response] = lambda request: httpx2.Response(503)
        self.held: list[Spend] = []
        self.known: set[str] = set()

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        new = self.ledger._of.get("a", set()) - self.known
        self.known |= new
        self.held += [spend_of(self.ledger._book.reservations[name].amount) for name in new]
        return self.reply(request)

    def post(self, url: str, body: dict[str, Any]) -> httpx2.Response:
        with httpx2.Client(transport=httpx2.MockTransport(self._answer)) as client, paid_by(self.payer):
            return client.post(url, json=body)

    @property
    def reading(self) -> Any:
        return self.ledger.reading("a")


CHAT = "https://api.openai.com/v1/chat/completions"
RESPONSES = "https://api.openai.com/v1/responses"
ROUTER = "https://openrouter.ai/api/v1/chat/completions"
MESSAGES = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.5-flash:generateContent"
SAID = [{"role": "user", "content": "hi"}]
UNBOUNDED: dict[str, tuple[str, dict[str, Any]]] = {
    "MCP servers": (MESSAGES, {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}),
    "code that runs there": (MESSAGES, {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
    "a search without a most": (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    "search options": (CHAT, {"web_search_options": {}}),
    "a model that searches": (CHAT, {"model": "gpt-4o-search-preview"}),
    "pictures": (RESPONSES, {"tools": [{"type": "image_generation"}], "max_tool_calls": 2}),
    "remote MCP": (RESPONSES, {"tools": [{"type": "mcp", "server_url": "https://x"}]}),
    "OpenRouter's plugins": (ROUTER, {"model": "openai/gpt-4o-mini", "plugins": [{"id": "web"}]}),
    "OpenRouter's online models": (ROUTER, {"model": "openai/gpt-4o-mini:online"}),
    "xAI's search": ("https://api.x.ai/v1/chat/completions", {"model": "grok-4", "search_parameters": {"mode": "on"}}),
    "Perplexity": ("https://api.perplexity.ai/chat/completions", {"model": "sonar-pro"}),
    "Gemini's search": (GEMINI, {"tools": [{"google_search": {}}]}),
}  # fmt: skip


def body_for(url: str, more: dict[str, Any]) -> dict[str, Any]:
    if url == GEMINI:
        generation = {"maxOutputTokens": 100}
        return {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": generation, **more}
    model = "claude-haiku-4-5" if url == MESSAGES else "gpt-5.1"
    if url == RESPONSES:
        return {"model": model, "input": "hi", "max_output_tokens": 100, **more}
    return {"model": model, "messages": SAID, "max_tokens": 100, **more}


UNCAPPED: dict[str, tuple[str, dict[str, Any], int]] = {
    "OpenAI": (CHAT, {"model": "gpt-5.1", "messages": SAID}, 128_000),
    "Anthropic": (MESSAGES, {"model": "claude-haiku-4-5", "messages": SAID}, 64_000),
    "Gemini": (GEMINI, {"contents": [{"parts": [{"text": "hi"}]}]}, 65_536),
    "Groq": (
        "https://api.groq.com/openai/v1/chat/completions", {"model": "openai/gpt-oss-120b", "messages": SAID}, 65_536
    ),
}  # fmt: skip


@pytest.mark.parametrize("provider", UNCAPPED)
def test_a_call_without_a_cap_is_held_for_what_its_model_writes_at_the_most(provider: str) -> None:
    """By its profile, and not for the whole of its context; in tokens and in dollars."""
    url, body, most = UNCAPPED[provider]
    for wire in (Wire(None, tokens=most + 2_000), Wire("50")):
        wire.post(url, body)
        assert [held.output_tokens for held in wire.held] == [most]


@pytest.mark.parametrize("kind", UNBOUNDED)
def test_what_runs_at_the_providers_without_an_end_is_refused(kind: str) -> None:
    url, more = UNBOUNDED[kind]
    wire = Wire()
    with pytest.raises((BadInput, NoPrice), match=r"without limit|no price is known for .*:online"):
        wire.post(url, body_for(url, more))
    assert wire.sent == []
    assert wire.reading["calls"] == wire.reading["held_calls"] == 0
    loose = Wire(None, calls=3)
    loose.post(url, body_for(url, more))  # under a limit of calls it may
    assert len(loose.sent) == 1


SOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "sound that comes back": (CHAT, {"model": "gpt-4o", "modalities": ["text", "audio"]}),
    "sound that is sent": (CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]}),
    "pictures that come back": (GEMINI, {"generationConfig": {"responseModalities": ["IMAGE"], "maxOutputTokens": 9}}),
    "a speed that the list doesn't know": (MESSAGES, {"speed": "fast"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SOUND)
def test_what_the_price_list_doesnt_know_is_refused_under_money(kind: str) -> None:
    url, more = SOUND[kind]
    wire = Wire()
    with pytest.raises((NoPrice, BadInput), match="price"):
        wire.post(url, body_for(url, more))
    assert wire.sent == []


def test_a_model_that_may_take_over_is_held_for_and_billed_as_itself() -> None:
    url = ROUTER
    body = body_for(url, {"model": "openai/gpt-4o-mini", "models": ["openai/gpt-4o-mini", "anthropic/claude-opus-4.5"]})
    cheap, dear = price_of("openrouter", "openai/gpt-4o-mini"), price_of("openrouter", "anthropic/claude-opus-4.5")
    assert cheap
    assert dear
    wire = Wire()
    used = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    wire.reply = lambda request: httpx2.Response(
        200, json={"id": "r", "model": "anthropic/claude-opus-4.5", "choices": [{"index": 0}], "usage": used}
    )
    wire.post(url, body)
    cost = dear.cost(Spend(input_tokens=20, output_tokens=10))
    assert cost > 10 * cheap.cost(Spend(input_tokens=20, output_tokens=10))
    assert wire.reading["usd_nanos"] == cost <= (wire.held[0].usd_nanos or 0)


def test_what_is_stored_counts_as_the_context_until_it_is_known() -> None:
    used = {"input_tokens": 900, "output_tokens": 100, "total_tokens": 1000}
    wire = Wire("5")
    wire.reply = lambda request: httpx2.Response(
        200, json={"id": "resp_1", "status": "completed", "model": "gpt-5.1", "output": [], "usage": used}
    )
    wire.post(RESPONSES, body_for(RESPONSES, {"previous_response_id": "resp_never_seen"}))
    assert wire.held[-1].input_tokens > 100_000
    wire.post(RESPONSES, body_for(RESPONSES, {"previous_response_id": "resp_1"}))
    assert 1_000 < wire.held[-1].input_tokens < 1_500
    cached = {"cachedContent": "cachedContents/1"}
    wire.post(GEMINI, body_for(GEMINI, cached))
    assert wire.held[-1].input_tokens > 100_000


def test_a_conversation_is_bounded_by_what_is_new_in_it() -> None:
    """Settled: its input is known to the token, and only new bytes are bounded; another one isn't."""
    wire = Wire("5")
    told = {"prompt_tokens": 5_000, "completion_tokens": 10, "total_tokens": 5_010}
    wire.reply = lambda request: httpx2.Response(
        200, json={"id": "r", "model": "gpt-5.1", "choices": [{}], "usage": told}
    )
    long = [{"role": "user", "content": "word " * 4_000}]
    wire.post(CHAT, body_for(CHAT, {"messages": long}))
    assert wire.held[-1].input_tokens > 20_000
    more = [*long, {"role": "assistant", "content": "4"}, {"role": "user", "content": "and now?"}]
    wire.post(CHAT, body_for(CHAT, {"messages": more}))
    assert 5_000 < wire.held[-1].input_tokens < 5_200
    changed = [{"role": "user", "content": "word " * 3_999 + "ward "}, *more[1:]]
    wire.post(CHAT, body_for(CHAT, {"messages": changed}))
    assert wire.held[-1].input_tokens > 20_000
    for beside in ({"tools": [{"type": "function", "function": {"name": "f" * 200}}]}, {"model": "gpt-5-pro"}):
        wire.post(CHAT, body_for(CHAT, {"messages": more, **beside}))
        assert wire.held[-1].input_tokens > 20_000


def test_a_count_is_believed_of_what_was_counted_only() -> None:
    wire = Wire("5")
    long = [{"role": "user", "content": "word " * 4_000}]
    wire.reply = lambda request: httpx2.Response(200, json={"input_tokens": 4_100})
    wire.post(f"{MESSAGES}/count_tokens", {"model": "claude-haiku-4-5", "messages": long})
    assert wire.reading["calls"] == 0
    wire.reply = lambda request: httpx2.Response(503)
    wire.post(MESSAGES, body_for(MESSAGES, {"messages": long}))
    assert 4_100 < wire.held[-1].input_tokens < 4_500
    wire.post(MESSAGES, body_for(MESSAGES, {"messages": [{"role": "user", "content": "ward " * 4_000}]}))
    assert wire.held[-1].input_tokens > 20_000


def test_a_summary_made_at_the_providers_is_held_for_and_counted() -> None:
    wire = Wire("5")
    each = {"input_tokens": 2_000, "output_tokens": 300}
    last = {"input_tokens": 500, "output_tokens": 20}
    usage = {**last, "iterations": [{"type": "compaction", **each}, {"type": "message", **last}]}
    wire.reply = lambda request: httpx2.Response(
        200, json={"id": "r", "model": "claude-opus-4-8", "content": [], "usage": usage}
    )
    plain = body_for(
        MESSAGES,
        {"model": "claude-opus-4-8", "max_tokens": 500, "messages": [{"role": "user", "content": "word " * 1_000}]},
    )
    edits = {"context_management": {"edits": [{"type": "compact_20260112"}]}}
    wire.post(MESSAGES, {**plain, **edits})
    assert wire.held[-1].output_tokens == 1_000
    assert wire.reading["input_tokens"] == 2_500
    assert wire.reading["output_tokens"] == 320


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-v4-pro", "deepseek-reasoner"])
def test_a_price_by_the_hour_is_bounded_at_its_dearest(model: str) -> None:
    price = price_of("deepseek", model)
    assert price
    spend = Spend(input_tokens=10_000, output_tokens=10_000)
    usage = Usage(input_tokens=10_000, output_tokens=10_000)
    day = [datetime(2026, 11, 27, hour, half, tzinfo=UTC) for hour in range(24) for half in (0, 30)]
    costs = [
        calc_price(usage, model_ref=model, provider_id="deepseek", genai_request_timestamp=at).total_price for at in day
    ]
    assert price.bound(spend) >= int(max(costs) * 10**9)


def test_a_region_costs_what_it_costs() -> None:
    spend = Spend(input_tokens=1_000, output_tokens=1_000)
    price, old = price_of("anthropic", "claude-opus-4-8"), price_of("anthropic", "claude-haiku-4-5")
    assert price
    assert old
    assert price.cost(spend, Terms(region="us")) * 10 == price.cost(spend) * 11
    assert (
        price.cost(spend, Terms(region="global"))
        == price.cost(spend, Terms(region="not_available"))
        == price.cost(spend)
    )
    assert price.bound(spend, Terms(region="auto")) * 10 == price.bound(spend) * 11
    assert old.bound(spend, Terms(region="auto")) == old.bound(spend)
    own = Price(input_per_million=1, output_per_million=1)  # type: ignore[arg-type] # ints become Decimals
    assert own.bound(spend, Terms(region="auto")) == own.bound(spend)


# --- replies ---------------------------------------------------------------------------------------------------


ODD: dict[str, Any] = {
    "more cached than read": {"prompt_tokens": 5, "completion_tokens": 2,
                              "prompt_tokens_details": {"cached_tokens": 90}},
    "a list": [1, 2], "texts": {"prompt_tokens": "5", "completion_tokens": "2"}, "nothing": None, "empty": {},
    "negative": {"prompt_tokens": -5, "completion_tokens": -2},
    "details of another kind": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": "none"},
    "thought of another kind": {"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": [1]},
}  # fmt: skip
ODD_MESSAGES: dict[str, Any] = {
    "cache_creation": {"cache_creation": "5m"}, "server_tool_use": {"server_tool_use": ["x"]},
    "iterations": {"iterations": [1, None]}, "a tier": {"service_tier": {"a": 1}},
}  # fmt: skip


@pytest.mark.parametrize("kind", [*ODD, *ODD_MESSAGES])
def test_a_usage_that_is_odd_never_costs_the_reply(kind: str) -> None:
    wire = Wire()
    if kind in ODD:
        url, said = CHAT, {"choices": [{"index": 0, "message": {"content": "4"}}], "usage": ODD[kind]}
    else:
        url, said = MESSAGES, {"content": [], "usage": {"input_tokens": 5, "output_tokens": 2, **ODD_MESSAGES[kind]}}
    wire.reply = lambda request: httpx2.Response(200, json={"id": "r", "model": "m", "tool_usage": [1], **said})
    assert wire.post(url, body_for(url, {})).json()["id"] == "r"
    assert wire.reading["held_calls"] == 0
    assert wire.reading["usd_nanos"] + wire.reading["unknown_usd_nanos"] > 0
    assert wire.reading["calls"] + wire.reading["unknown_calls"] == 1


def sse(*events: dict[str, Any] | str) -> bytes:
    return b"".join(f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n".encode() for e in events)


def chunk(text: str, end: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": end}
    return {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "gpt-5.1", "choices": [choice], **more}


USED = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
LAST = {**chunk(""), "choices": [], "usage": USED}


def streaming(wire: Wire, content: bytes, **headers: str) -> openai.OpenAI:
    wire.reply = lambda request: httpx2.Response(
        200, content=iter([content[:40], content[40:]]), headers={"content-type": "text/event-stream", **headers}
    )
    http = httpx2.Client(transport=httpx2.MockTransport(wire._answer))
    return openai.OpenAI(api_key="k", http_client=http, max_retries=0)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_stream_is_shown_as_it_was_asked_for(zipped: bool) -> None:
    """The usage that we ask for isn't shown to a reader that didn't; compressed or not, all of the text is."""
    wire = Wire()
    content = sse(chunk("two"), chunk(" and"), chunk(" two", "stop"), LAST, "[DONE]")
    headers = {"content-encoding": "gzip"} if zipped else {}
    client = streaming(wire, gzip.compress(content) if zipped else content, **headers)
    asked: Any = {"model": "gpt-5.1", "messages": SAID, "stream": True, "max_tokens": 50}
    with paid_by(wire.payer):
        seen = list(client.chat.completions.create(**asked))
    assert "".join(each.choices[0].delta.content or "" for each in seen if each.choices) == "two and two"
    assert zipped or all(each.choices for each in seen)
    assert (wire.reading["input_tokens"], wire.reading["output_tokens"]) == (20, 10)
    with paid_by(wire.payer):
        seen = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert seen[-1].usage


def test_a_stream_that_ends_with_its_usage_has_ended() -> None:
    wire = Wire()
    client = streaming(wire, sse(chunk("two"), LAST))
    with paid_by(wire.payer):
        list(client.chat.completions.create(model="gpt-5.1", messages=SAID, stream=True, max_tokens=50))  # type: ignore[arg-type,call-overload] # plain dicts
    assert wire.reading["output_tokens"] == 10
    cut = streaming(wire, sse(chunk("two"), chunk(" and")))
    with paid_by(wire.payer), pytest.raises(Exception, match=r"cut|Connection error"):
        list(cut.chat.completions.create(model="gpt-5.1", messages=SAID, stream=True, max_tokens=50))  # type: ignore[arg-type,call-overload] # plain dicts
    assert wire.reading["unknown_calls"] == 1


def test_a_cut_response_isnt_waited_for_unless_it_goes_on() -> None:
    created = {"type": "response.created", "response": {"id": "resp_9", "status": "in_progress"}}
    for background, held in ((False, 0), (True, 1)):
        wire = Wire()
        client = streaming(wire, sse(created))
        with paid_by(wire.payer), pytest.raises(Exception, match=r"cut|Connection error"):
            list(
                client.responses.create(
                    model="gpt-5.1", input="hi", stream=True, max_output_tokens=50, background=background
                )
            )
        assert wire.reading["held_calls"] == held
        assert wire.reading["unknown_calls"] == 1 - held
        if background:
            usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
            done = {"id": "resp_9", "status": "cancelled", "model": "gpt-5.1", "usage": usage}
            wire.reply = lambda request: httpx2.Response(200, json=done)  # noqa: B023 - called in this round
            wire.post(f"{RESPONSES}/resp_9/cancel", {})
            assert (wire.reading["held_calls"], wire.reading["output_tokens"]) == (0, 5)


# --- unknown ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4])
def test_silence_is_charged_by_the_second_and_answer(n: int, server: Biller) -> None:
    """A time-out before anything came: the server wrote 900 tokens a second for each answer."""
    server.faults = [Fault(seconds=1.0, rate=900)]
    wire = Wire("50")
    model = ChatOpenAI(
        model="gpt-5.1", base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=0.9, n=n, max_tokens=9_000
    )
    with paid_by(wire.payer), pytest.raises(openai.APITimeoutError):
        model.invoke("hi")
    while not server.usd_nanos:
        asyncio.run(asyncio.sleep(0.05))
    assert server.usd_nanos <= wire.reading["unknown_usd_nanos"] <= 4 * server.usd_nanos


# --- agents -------------------------------------------------------------------------------------------------------


def guard_of(api: str, server: Biller) -> Any:
    """An agent that another one asks, with a budget of its own."""
    thinking = AdaptiveThinking(budget=Budget(usd="1"), endpoint=lambda m: endpoint_for(m, provider=provider(api)))
    return create_agent(chat(api, server), middleware=[thinking])


QUESTION: Any = {"messages": "Is this harmless?"}


@apis
def test_an_agent_in_a_hook_is_paid_for_by_the_agent_around_it(api: str, server: Biller, run: Runner) -> None:
    guard = guard_of(api, server)

    class Asking(AgentMiddleware):
        def before_model(self, state: Any, runtime: Any) -> None:
            guard.invoke(QUESTION)

        async def abefore_model(self, state: Any, runtime: Any) -> None:
            await guard.ainvoke(QUESTION)

    agent = Agent(api, server, outside=[Asking()], budget=Budget(usd="0.5"))
    result = agent.run(run)
    assert not isinstance(result, Exception), result
    assert server.calls == 2
    assert read(result)["run"]["calls"] == 2  # its own, and what was asked in its hook
    agent.holds()


@apis
def test_a_guard_around_the_call_may_be_an_agent_of_its_own(api: str, server: Biller, run: Runner) -> None:
    guard = guard_of(api, server)

    class Guarding(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            guard.invoke(QUESTION)
            return handler(request)

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            await guard.ainvoke(QUESTION)
            return await handler(request)

    agent = Agent(api, server, inside=[Guarding()], budget=Budget(usd="0.5"))
    result = agent.run(run)
    assert not isinstance(result, Exception), result
    assert result["messages"][-1].text == "4"
    assert server.calls == 2
    agent.holds()


@pytest.mark.parametrize("second", ["chat", "messages"])
@apis
def test_a_fallback_inside_of_it_isnt_given_another_models_settings(
    api: str, second: str, server: Biller, run: Runner
) -> None:
    server.faults = [Fault(status=400)]
    other = chat(second, server, max_tokens=500).model_copy(
        update={"model": "claude-opus-4-8"} if second == "messages" else {"model_name": "gpt-5-pro"}
    )
    agent = Agent(api, server, inside=[ModelFallbackMiddleware(other)], budget=Budget(usd="2"))
    result = agent.run(run)
    assert not isinstance(result, Exception), result
    assert result["messages"][-1].text == "4"
    assert server.bodies[-1]["model"] in ("claude-opus-4-8", "gpt-5-pro")
    assert not {"reasoning_effort", "reasoning", "thinking", "output_config"} & set(server.bodies[-1])
    agent.holds()


def test_tools_that_run_on_this_side_are_bounded(server: Biller, run: Runner) -> None:
    editor: Any = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
    agent = Agent("messages", server, tools=[editor], budget=Budget(usd="0.5"))
    result = agent.run(run)
    assert result["messages"][-1].text == "4", result
    agent.holds()


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Fake(FakeMessagesListChatModel):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)


def test_a_fake_with_tools_runs_under_limits_that_need_no_price(run: Runner) -> None:
    calls: Any = [{"name": "add", "args": {"a": 2, "b": 2}, "id": "c", "type": "tool_call"}]
    model = Fake(responses=[AIMessage("", tool_calls=calls), AIMessage("4")])
    graph = create_agent(model, [add], middleware=[AdaptiveThinking(budget=Budget(calls=5, seconds=60))])
    result = run(graph, {"messages": [HumanMessage("2 + 2?")]})
    assert result["messages"][-1].text == "4"
    assert result["rheostat"]["run"]["calls"] + result["rheostat"]["run"]["unknown_calls"] == 2


def test_a_cancelled_call_of_a_model_without_a_wire_holds_nothing() -> None:
    class Slow(Fake):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(30)

    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(tokens=100_000, calls=5)))
    payer = Payer(ledger, "a", Budget(tokens=100_000, calls=5))

    async def cancelled() -> None:
        async def call() -> None:
            with paid_by(payer):
                await Slow(responses=[]).bind(max_tokens=100).ainvoke("hi")

        task = asyncio.ensure_future(call())
        await asyncio.to_thread(wait_for, lambda: ledger.reading("a")["held_calls"] == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_loop(cancelled())
    assert (ledger.reading("a")["held_calls"], ledger.reading("a")["unknown_calls"]) == (0, 1)


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("cut", [False, True])
def test_gemini_by_httpx_and_by_aiohttp(how: str, cut: bool, server: Biller) -> None:
    """Its SDK sends by httpx, asynchronously by aiohttp."""
    from langchain_google_genai import ChatGoogleGenerativeAI  # it takes a second, and aiohttp comes with it

    model = ChatGoogleGenerativeAI(
        model="gemini-2.5-flash", api_key="k", base_url=server.url, max_output_tokens=400, max_retries=1
    )
    rheostat.install_gate()
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(usd="1")))
    payer = Payer(ledger, "a", Budget(usd="1"), {"gemini-2.5-flash": price_of("google", "gemini-2.5-flash")})  # type: ignore[dict-item] # it is listed
    server.faults = [Fault(cut=True)] if cut else []

    async def later() -> None:
        with paid_by(payer):
            if how == "ainvoke":
                await model.ainvoke("hi")
            else:
                [_ async for _ in model.astream("hi")]

    failed: Exception | None = None
    try:
        if how in ("ainvoke", "astream"):
            in_loop(later())
        else:
            with paid_by(payer):
                list(model.stream("hi")) if how == "stream" else model.invoke("hi")
    except Exception as error:
        failed = error
    assert (failed is not None) == cut, failed
    reading = ledger.reading("a")
    assert reading["held_calls"] == 0
    assert server.calls == reading["calls"] + reading["unknown_calls"]
    assert reading["usd_nanos"] + reading["unknown_usd_nanos"] >= (server.usd_nanos if not cut else 1)
    assert cut or reading["usd_nanos"] == server.usd_nanos > 0


def test_a_client_that_no_hook_knows_is_on_the_ledger_by_what_it_says(run: Runner) -> None:
    """As `ChatOpenAI`, but its requests go another way (gRPC, a queue)."""

    class Elsewhere(ChatOpenAI):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            usage: Any = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
            return ChatResult(generations=[ChatGeneration(message=AIMessage("4", usage_metadata=usage))])

        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            return self._generate()

    model = Elsewhere(model="gpt-5.1", api_key=KEY, disable_streaming=True)
    graph = create_agent(model, middleware=[AdaptiveThinking(budget=Budget(usd="1"))])
    spent = read(run(graph, {"messages": [HumanMessage("2 + 2?")]}))["run"]
    assert (spent["calls"], spent["input_tokens"], spent["output_tokens"]) == (1, 20, 5)
    assert spent["usd_nanos"] == 75_000
    assert spent["held_calls"] == 0


@apis
def test_what_leaves_larger_than_planned_is_refused_with_nothing_held(api: str, server: Biller, run: Runner) -> None:
    agent = Agent(api, server, inside=[Setting({"extra_body": {"note": "x" * 9_000}})], budget=Budget(usd="0.001"))
    assert isinstance(agent.run(run), BudgetExceeded)
    agent.holds()
    assert server.calls == 0


def test_one_attempt_above_its_hold_leaves_the_others_settled() -> None:
    """Everything is posted first, then the first error is raised."""
    wire = Wire("1")
    call = Call(note={"model": "m", "node": "n"}, refined=True)
    said = [Spend(input_tokens=10**6, output_tokens=5, calls=1), Spend(input_tokens=7, output_tokens=3, calls=1)]
    for spend in said:
        held, _ = wire.ledger.admit("a", Spend(input_tokens=100, output_tokens=100, calls=1), {"model": "m"})
        price = Price(input_per_million=1, output_per_million=1)  # type: ignore[arg-type] # ints become Decimals
        call.attempts.append(
            Attempt(holds=[(wire.ledger, held)], prices={"m": price}, model="m", read=(spend, Terms()))
        )
    with pytest.raises(HoldExceeded):
        drive(close_call(call, wire.ledger))
    assert (wire.reading["held_calls"], wire.reading["calls"]) == (0, 2)
    assert wire.reading["input_tokens"] == 10**6 + 7


def test_another_way_to_think_or_to_choose_tools_isnt_the_same_beginning() -> None:
    """Thoughts of before are read with thinking on, and dropped with it off; a forced tool has a prompt of its own."""
    wire = Wire("5")
    said = {"id": "r", "content": [], "usage": {"input_tokens": 5_000, "output_tokens": 10}}
    wire.reply = lambda request: httpx2.Response(200, json=said)
    long = {"messages": [{"role": "user", "content": "word " * 4_000}], "thinking": {"type": "disabled"}}
    tools = {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "auto"}}
    wire.post(MESSAGES, body_for(MESSAGES, {**long, **tools}))
    wire.post(MESSAGES, body_for(MESSAGES, {**long, **tools}))
    assert wire.held[-1].input_tokens == 5_000
    wire.post(MESSAGES, body_for(MESSAGES, {**long, **tools, "tool_choice": {"type": "any"}}))
    assert 6_000 < wire.held[-1].input_tokens < 7_000
    wire.post(MESSAGES, body_for(MESSAGES, {**long, **tools, "thinking": {"type": "adaptive"}}))
    assert wire.held[-1].input_tokens > 20_000


ODD_BODIES: list[dict[str, Any]] = [
    {"output_config": "high"}, {"generationConfig": 3}, {"context_management": 1}, {"messages": ["hi", 3]},
    {"tools": "all"}, {"reasoning": []}, {"models": {}},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_BODIES, ids=lambda odd: next(iter(odd)))
def test_an_odd_body_is_the_servers_to_refuse(odd: dict[str, Any]) -> None:
    wire = Wire("5")
    wire.reply = lambda request: httpx2.Response(400, json={})
    assert wire.post(CHAT, body_for(CHAT, odd)).status_code == 400
    assert (wire.reading["held_calls"], wire.reading["usd_nanos"]) == (0, 0)
