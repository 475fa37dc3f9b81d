"""The gate's life: on, off, beside others; many threads and loops through shared clients; what is charged for what is
unknown."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIDecisions
from langchain_openai.decisions import Predicate

import rheostat
from billing import Biller, Fault
from conftest import in_loop, note
from rheostat import Account, AdaptiveThinking, BadInput, Budget, BudgetExceeded, MemoryLedger, ThinkingChatModel
from rheostat.calling.instrument import install_gate, installed
from rheostat.calling.payer import Payer, paid_by
from rheostat.providers import endpoint_for
from test_gate import KEY, Agent, apis, chat, provider

pytestmark = pytest.mark.filterwarnings("ignore::rheostat.SettingWarning", "ignore::UserWarning")


@pytest.fixture
def server(serving: Biller) -> Iterator[Biller]:
    yield serving.reset()
    rheostat.install_gate(strict=False)


def account(usd: str = "1") -> tuple[MemoryLedger, Payer]:
    ledger = MemoryLedger()
    budget = Budget(usd=usd)
    ledger.open(Account("a", budget))
    return ledger, Payer(ledger, "a", budget)


@apis
def test_without_a_payer_nothing_is_touched(api: str, server: Biller) -> None:
    chat(api, server).invoke("hi")
    assert server.calls == 1


@apis
def test_strict_refuses_what_no_account_pays_for(api: str, server: Biller) -> None:
    rheostat.install_gate(strict=True)
    with pytest.raises(BadInput, match="no account pays for it"):
        chat(api, server, max_retries=2).invoke("hi")
    assert server.calls == 0
    ledger, payer = account()
    with paid_by(payer):
        chat(api, server, **({} if api == "messages" else {"max_tokens": 500})).invoke("hi")
    assert ledger.reading("a")["usd_nanos"] == server.usd_nanos > 0


@apis
def test_install_remove_install_again(api: str, server: Biller) -> None:
    before = httpx2.Client.send
    rheostat.remove_gate()
    assert not installed()
    ledger, payer = account()
    plain = httpx2.Client.send
    model = chat(api, server, max_tokens=500)
    with paid_by(payer):
        model.invoke("hi")  # callbacks hold it now, by what LangChain says
    assert ledger.reading("a")["calls"] == 1
    for _ in range(3):
        rheostat.install_gate()
    assert httpx2.Client.send is not plain
    assert before is not plain
    with paid_by(payer):
        model.invoke("hi")
    assert ledger.reading("a")["usd_nanos"] == server.usd_nanos


@apis
def test_beside_other_instrumentation(api: str, server: Biller, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's wraps the transport's or the client's send, before or after us."""
    seen: list[str] = []
    inner = httpx2.Client.send

    def traced(self: Any, request: Any, **kwargs: Any) -> Any:
        seen.append(request.url.path)
        return inner(self, request, **kwargs)

    monkeypatch.setattr(httpx2.Client, "send", traced)
    rheostat.install_gate()
    ledger, payer = account()
    with paid_by(payer):
        chat(api, server, max_tokens=500).invoke("hi")
    assert ledger.reading("a")["calls"] == len(seen) == 1
    assert ledger.reading("a")["usd_nanos"] == server.usd_nanos


def test_a_client_of_the_users_own(server: Biller) -> None:
    ledger, payer = account()
    with httpx2.Client(headers={"x-mine": "1"}) as client, paid_by(payer):
        ChatOpenAI(
            model="gpt-5.1", base_url=f"{server.url}/v1", api_key=KEY, max_tokens=500, http_client=client
        ).invoke("hi")
    assert ledger.reading("a")["usd_nanos"] == server.usd_nanos > 0


@apis
def test_a_company_that_forbids_instrumentation(api: str, server: Biller) -> None:
    ledger = MemoryLedger()
    thinking = AdaptiveThinking(
        budget=Budget(usd="1"), ledger=ledger, gate=False, endpoint=lambda m: endpoint_for(m, provider=provider(api))
    )
    result = create_agent(chat(api, server), middleware=[thinking]).invoke({"messages": [HumanMessage("hi")]})
    assert result["rheostat"]["run"]["calls"] == 1
    assert result["rheostat"]["run"]["usd_nanos"] == server.usd_nanos


@apis
def test_a_cached_reply_is_free_and_its_own_models(api: str, server: Biller) -> None:
    """LangChain's cache: charged once; another model isn't given this one's answer."""
    cache = InMemoryCache()
    server.replies = [lambda body: "one", lambda body: "two"]
    ledger, payer = account()
    first = chat(api, server, max_tokens=500, cache=cache)
    named = {"model": "claude-opus-4-8"} if api == "messages" else {"model_name": "gpt-5.1-mini"}
    other = first.model_copy(update=named)
    with paid_by(payer):
        assert [first.invoke("hi").text for _ in range(3)] == ["one"] * 3
        assert other.invoke("hi").text == "two"
    assert server.calls == 2
    assert ledger.reading("a")["calls"] == 2
    assert ledger.reading("a")["usd_nanos"] == server.usd_nanos
    thinking = ThinkingChatModel(
        model=endpoint_for(first, provider=provider(api)), budget=Budget(usd="1"), effort="low"
    )
    for _ in range(2):
        thinking.invoke("hello")
    assert thinking.spend["usd_nanos"] == server.usd_nanos - ledger.reading("a")["usd_nanos"]


@pytest.mark.filterwarnings("ignore:The class `OpenAIDecisions` is in beta")
def test_a_decision_model_is_on_the_ledger(server: Biller) -> None:
    decide = OpenAIDecisions(model="gpt-6-luna", base_url=f"{server.url}/v1", api_key=KEY)
    ledger, payer = account()
    with paid_by(payer):
        try:
            decide.invoke({"input": "x" * 500, "questions": {"urgent": Predicate(instructions="Is it urgent?")}})
        except Exception as error:  # what the server says isn't what it wants to read: it is billed all the same
            assert not isinstance(error, (BadInput, BudgetExceeded)), error
    reading = ledger.reading("a")
    assert server.calls == 1
    assert reading["usd_nanos"] + reading["unknown_usd_nanos"] >= server.usd_nanos > 0


def test_unknown_paths_of_a_provider_are_refused_and_counts_are_free(server: Biller) -> None:
    sent: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.url.path)
        return httpx2.Response(200, json={})

    ledger, payer = account()
    install_gate()
    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client, paid_by(payer):
        for free in ("/v1/responses/input_tokens", "/v1/files"):
            client.post(f"https://api.openai.com{free}", json={"model": "gpt-5.1"})
        client.get("https://api.openai.com/v1/models")
        client.post("https://example.com/v1/anything", json={"text": "a tool of the user's"})
        with pytest.raises(BadInput, match="its cost is unknown"):
            client.post("https://api.openai.com/v1/images/generations", json={"model": "gpt-image-1"})
    assert sent == ["/v1/responses/input_tokens", "/v1/files", "/v1/models", "/v1/anything"]
    assert ledger.reading("a")["calls"] == 0


def test_a_background_response_is_settled_when_it_is_done() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
    states = iter(["queued", "in_progress", "completed"])

    def answer(request: httpx2.Request) -> httpx2.Response:
        status = next(states)
        return httpx2.Response(
            200,
            json={"id": "r1", "status": status, "model": "gpt-5.1", "usage": usage if status == "completed" else None},
        )

    ledger, payer = account()
    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client, paid_by(payer):
        body = {"model": "gpt-5.1", "input": "hi", "background": True, "max_output_tokens": 100}
        client.post("https://api.openai.com/v1/responses", json=body)
        assert ledger.reading("a")["held_calls"] == 1
        client.get("https://api.openai.com/v1/responses/r1")
        assert ledger.reading("a")["held_calls"] == 1
        client.get("https://api.openai.com/v1/responses/r1")
    reading = ledger.reading("a")
    assert (reading["held_calls"], reading["input_tokens"], reading["output_tokens"]) == (0, 10, 20)


def test_a_refusal_reaches_the_tool_as_what_it_is_and_at_once(server: Biller) -> None:
    import time

    for api in ("chat", "responses", "messages"):
        ledger, payer = account("0.0001")
        model = chat(api, server, max_tokens=900, max_retries=3)
        for _ in range(2):  # the first builds the client
            started = time.monotonic()
            with pytest.raises(BudgetExceeded), paid_by(payer):
                model.invoke("hi")
        assert time.monotonic() - started < 2  # three retries wait longer
        assert ledger.reading("a")["calls"] == 0
    assert server.calls == 0


# --- many at once -----------------------------------------------------------------------------------------------------

CALLS_A_THREAD, TASKS = (int(each) for each in os.environ.get("RHEOSTAT_CROWD", "5,200").split(","))
"""`make soak`: 20 calls a thread, and 1,000 tasks."""


@apis
def test_a_hundred_threads_through_one_client(api: str, server: Biller) -> None:
    ledger, payer = account("1000")
    model = chat(api, server, max_tokens=300, max_retries=0)

    def work(number: int) -> None:
        with paid_by(payer):
            for turn in range(CALLS_A_THREAD):
                model.invoke(f"{number} {turn}")

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(work, range(100)))
    reading = ledger.reading("a")
    assert (reading["calls"], reading["held_calls"]) == (100 * CALLS_A_THREAD, 0)
    assert reading["usd_nanos"] == server.usd_nanos


@apis
def test_many_tasks_on_one_loop(api: str, server: Biller) -> None:
    ledger, payer = account("1000")
    model = chat(api, server, max_tokens=300, max_retries=0, timeout=60)

    async def many() -> None:
        limit = asyncio.Semaphore(50)

        async def one(number: int) -> None:
            async with limit:
                with paid_by(payer):
                    await model.ainvoke(str(number))

        await asyncio.gather(*(one(number) for number in range(TASKS)))

    in_loop(many())
    reading = ledger.reading("a")
    assert (reading["calls"], reading["held_calls"]) == (TASKS, 0)
    assert reading["usd_nanos"] == server.usd_nanos


def test_two_event_loops_in_one_process(server: Biller) -> None:
    ledger, payer = account("1000")
    body = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}

    async def many() -> None:
        async with httpx2.AsyncClient() as client:
            with paid_by(payer):
                await asyncio.gather(*(client.post(f"{server.url}/v1/chat/completions", json=body) for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading = ledger.reading("a")
    assert (reading["calls"], reading["held_calls"]) == (100, 0)
    assert reading["usd_nanos"] == server.usd_nanos


# --- what is unknown ----------------------------------------------------------------------------------------------


@apis
@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=503, seconds=0.4), Fault(cut=True)], ids=["500", "503", "cut"]
)
def test_what_is_charged_for_what_is_unknown(api: str, fault: Fault, server: Biller) -> None:
    """Above the bill, and not ten times above: the hold is 8,000 tokens."""
    server.faults = [fault]
    ledger, payer = account()
    model, began = chat(api, server, max_tokens=8_000, max_retries=0), time.monotonic()
    with paid_by(payer), pytest.raises(Exception, match=r"."):
        model.invoke("What is 2 + 2?")
    slow = max(1.0, time.monotonic() - began)  # the longer it lasts, the more may have been generated
    reading = ledger.reading("a")
    charged = reading["unknown_usd_nanos"]
    assert reading["unknown_calls"] == 1
    assert server.usd_nanos <= charged
    note(f"unknown: charged / billed, {api}", charged / server.usd_nanos)
    assert charged <= 10 * server.usd_nanos * slow


def test_a_thread_of_a_tools_own_has_no_payer_and_strict_says_so(server: Biller) -> None:
    model = chat("chat", server, max_tokens=300)

    @tool
    def ask(question: str) -> str:
        """Ask, in a thread of its own."""
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(_text(model, question)))
        thread.start()
        thread.join()
        return said[0]

    rheostat.install_gate(strict=True)
    server.replies = [lambda body: ("ask", {"question": "hi"})]
    agent = Agent("chat", server, tools=[ask])
    result = agent.graph.invoke({"messages": "hi"})
    agent.holds()
    assert "no account pays for it" in str(result["messages"])


def _text(model: Any, question: str) -> str:
    try:
        return str(model.invoke(question).text)
    except BadInput as error:
        return str(error)
