"""Whatever goes wrong on the wire: the ledger never says less than the server billed, and never more than the cap."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from tenacity import wait_none

from conftest import in_loop
from rheostat import (
    Account,
    BadInput,
    Budget,
    BudgetExceeded,
    Ledger,
    MemoryLedger,
    Meter,
    NoPrice,
    Price,
    Spend,
    SQLiteLedger,
    build_solver,
)
from rheostat.flow import Effect, adrive, drive
from rheostat.money.pricing import Terms, listed_price
from rheostat.providers import Endpoint, Settings, endpoint_for
from rheostat.providers.dial import reply_from
from rheostat.testing.server import Fault, Turn, provider_server
from wire import PLAIN, simulated

PRICE = Price(input_per_million="1", output_per_million="2")


def spend_once(at: Endpoint, budget: Budget, *, asynchronous: bool, meter: Meter | None = None) -> tuple[Ledger, Any]:
    """Hold and call once; returns the ledger and the reply or the error."""
    meter = meter or Meter(MemoryLedger(), wait=wait_none())
    ledger = meter.ledger
    ledger.open(Account("a", budget))

    def flow() -> Any:
        from rheostat.task import Effort, ThinkingPlan

        plan = ThinkingPlan(effort=Effort.none, thinking_tokens=0, answer_tokens=20)
        settings = at.dial.encode(plan, "whole", temperature=None, schema=None)
        messages = [{"role": "user", "content": "two and two?"}]
        tokens = yield from meter.input_bound(at, messages, settings)
        [held] = yield from meter.hold("a", [meter.bound(at, tokens, settings)], {})
        return (yield from meter.call(at, "a", held, messages, settings, "whole", {}))

    try:
        return ledger, in_loop(adrive(flow())) if asynchronous else drive(flow())
    except Exception as error:
        return ledger, error


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@both
@pytest.mark.parametrize(
    ("turns", "settled_calls", "unknown_calls", "answered"),
    [
        ([Turn()], 1, 0, True),
        ([Turn(fault=Fault(status=429)), Turn()], 2, 0, True),  # refused at no cost, then answered
        ([Turn(fault=Fault(status=503)), Turn()], 1, 1, True),  # nobody knows whether a 503 was billed
        ([Turn(fault=Fault(status=500))], 0, 3, False),
        ([Turn(fault=Fault(status=400))], 1, 0, False),  # not retried
        ([Turn(fault=Fault(status=401))], 1, 0, False),
        ([Turn(fault=Fault(cut=True)), Turn()], 1, 1, True),  # billed, and the reply was lost
        ([Turn(fault=Fault(garbage=True))], 1, 0, False),  # billed, and no answer: its usage is read all the same
        ([Turn(fault=Fault(no_usage=True))], 0, 1, True),  # answered, but nobody says what it cost
    ],
)
def test_every_attempt_is_accounted_for(
    turns: list[Turn], settled_calls: int, unknown_calls: int, answered: bool, asynchronous: bool
) -> None:
    with simulated(*turns) as server:
        ledger, result = spend_once(PLAIN.at(server, timeout=5), Budget(tokens=10_000), asynchronous=asynchronous)
        reading = ledger.reading("a")
        assert (reading["calls"], reading["unknown_calls"]) == (settled_calls, unknown_calls)
        assert reading["held_calls"] == 0
        assert server.bill.requests == settled_calls + unknown_calls
        assert not server.bill.refusals
        known = reading["input_tokens"] + reading["output_tokens"]
        unknown = reading["unknown_input_tokens"] + reading["unknown_output_tokens"]
        billed = server.bill.total("input_tokens", "output_tokens")
        assert known <= billed <= known + unknown
        assert isinstance(result, Exception) is not answered


@both
def test_a_request_that_never_left_costs_nothing(asynchronous: bool) -> None:
    with provider_server() as server:
        gone = PLAIN.at(server, timeout=5)
    ledger, error = spend_once(gone, Budget(tokens=10_000), asynchronous=asynchronous)
    assert isinstance(error, Exception)
    reading = ledger.reading("a")
    assert [reading[f"{part}calls"] for part in ("", "held_", "unknown_")] == [0, 0, 0]


@both
def test_a_retry_needs_room_of_its_own(asynchronous: bool) -> None:
    """Room for one call: the 503 stays charged, so the retry is refused before it leaves."""
    with simulated(Turn(fault=Fault(status=503)), Turn()) as server:
        ledger, error = spend_once(PLAIN.at(server, timeout=5), Budget(calls=1), asynchronous=asynchronous)
        assert isinstance(error, BudgetExceeded)
        assert server.bill.requests == 1
        assert ledger.reading("a")["unknown_calls"] == 1


@both
def test_the_deadline_cuts_a_call_that_takes_too_long(asynchronous: bool) -> None:
    with simulated(Turn(fault=Fault(seconds=1.5))) as server:
        ledger, error = spend_once(PLAIN.at(server, timeout=5), Budget(seconds=0.3), asynchronous=asynchronous)
        assert isinstance(error, Exception)
        assert ledger.reading("a")["unknown_calls"] == 1
        assert server.bill.requests == 1


def test_a_cancelled_call_stays_charged() -> None:
    with simulated(Turn(fault=Fault(seconds=1.0))) as server:
        ledger = MemoryLedger()
        graph = build_solver(PLAIN.at(server, timeout=5), budget=Budget(tokens=10_000), ledger=ledger).compile()
        account: dict[str, str] = {}

        async def run() -> None:
            async for state in graph.astream({"question": "What is 2 + 2?"}, stream_mode="values"):
                if state.get("rheostat"):
                    account["id"] = state["rheostat"]["spend"]["account"]

        async def cancel() -> None:
            task = asyncio.create_task(run())
            while not server.bill.requests and not task.done():  # noqa: ASYNC110 - the server is a thread
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        in_loop(cancel())
        reading = ledger.reading(account["id"])
        assert reading["unknown_calls"] == server.bill.requests == 1
        assert reading["held_calls"] == 0


def test_sdk_retries_are_off_so_that_every_attempt_is_seen() -> None:
    with simulated(Turn(fault=Fault(status=503))) as server:
        chatty = PLAIN.chat(server, max_retries=5, timeout=5)
        ledger, _ = spend_once(endpoint_for(chatty), Budget(tokens=10_000), asynchronous=False)
        assert server.bill.requests == 3 == ledger.reading("a")["unknown_calls"]
        assert chatty.max_retries == 5  # the caller's own model is left alone


def test_money_is_held_and_settled_to_the_nano_dollar() -> None:
    with simulated() as server:
        at = endpoint_for(PLAIN.chat(server), price=PRICE)
        ledger, _ = spend_once(at, Budget(usd="0.01"), asynchronous=False)
        bill = server.bill
        cost = bill.total("input_tokens") * 1000 + bill.total("output_tokens") * 2000
        assert ledger.reading("a")["usd_nanos"] == cost > 0


def test_a_money_limit_over_an_unpriced_model_is_refused_at_construction() -> None:
    with simulated() as server:
        with pytest.raises(NoPrice, match=r"Give a price"):
            build_solver(PLAIN.at(server, timeout=5), budget=Budget(usd=1))
        assert server.bill.requests == 0


def test_a_bound_covers_what_can_come() -> None:
    spend = Spend(input_tokens=1000, output_tokens=500)
    dear = Price(input_per_million="4", output_per_million="20", cache_write_per_million="8")
    assert dear.bound(spend) == 1000 * 8000 + 500 * 20_000
    assert dear.cost(spend) == 1000 * 4000 + 500 * 20_000


@both
def test_retry_after_is_honoured_up_to_a_cap(asynchronous: bool) -> None:
    faults = (Fault(status=429, retry_after="0.4"), Fault(status=503, retry_after="3600"))
    with simulated(*(Turn(fault=fault) for fault in faults), Turn()) as server:
        at = PLAIN.at(server, timeout=5)
        meter = Meter(MemoryLedger(), wait=wait_none(), most_retry_after_seconds=0.6)
        ledger, result = spend_once(at, Budget(tokens=10_000), asynchronous=asynchronous, meter=meter)
        assert not isinstance(result, Exception)
        first, second, third = server.bill.times
        assert 0.35 < second - first < 0.6
        assert 0.55 < third - second < 1.2
        assert ledger.reading("a")["calls"] == 2


@both
def test_nothing_waits_beyond_the_deadline(asynchronous: bool) -> None:
    with simulated(Turn(fault=Fault(status=429, retry_after="30"))) as server:
        ledger, error = spend_once(PLAIN.at(server, timeout=5), Budget(seconds=3), asynchronous=asynchronous)
        assert "429" in str(error)
        assert server.bill.requests == 1
        assert ledger.room("a").seconds > 1


@both
def test_a_model_priced_by_the_hour(asynchronous: bool) -> None:
    """Held at the longest call that the price allows, charged by the time that it took, cut at the longest."""
    price = Price(input_per_million="0", output_per_million="0", per_hour="3.60", most_seconds=1.0)
    with simulated(Turn(fault=Fault(seconds=0.3)), Turn(fault=Fault(seconds=5.0))) as server:
        at = endpoint_for(PLAIN.chat(server, timeout=20), price=price)
        ledger, _ = spend_once(at, Budget(usd="0.0019"), asynchronous=asynchronous)
        reading = ledger.reading("a")
        assert 300_000 <= reading["usd_nanos"] < 900_000  # a thousandth of a dollar a second
        assert reading["usd_nanos"] == reading["milliseconds"] * 1000
        ledger, error = spend_once(at, Budget(usd="0.0019"), asynchronous=asynchronous)
        assert isinstance(error, Exception)
        assert ledger.reading("a")["unknown_usd_nanos"] == 1_000_000


def test_a_price_by_the_hour_needs_a_longest_call() -> None:
    with pytest.raises(BadInput, match="go together"):
        Price(input_per_million=0, output_per_million=0, per_hour=2)


def stream(graph: Any, inputs: Any, config: Any, *, asynchronous: bool) -> None:
    """Run it as a chat window does: the model is streamed."""

    async def run() -> None:
        async for _ in graph.astream(inputs, config, stream_mode="messages"):
            pass

    in_loop(run()) if asynchronous else list(graph.stream(inputs, config, stream_mode="messages"))


@both
def test_a_stream_is_settled_from_its_last_chunk(asynchronous: bool) -> None:
    with simulated(Turn(text="The answer is 4.")) as server:
        ledger = MemoryLedger()
        graph = build_solver(
            PLAIN.at(server, timeout=5), budget=Budget(tokens=10_000), effort="none", ledger=ledger
        ).compile()
        config: Any = {"configurable": {"thread_id": "t"}}
        inputs: Any = {"question": "What is 2 + 2?"}

        stream(graph, inputs, config, asynchronous=asynchronous)
        assert server.bill.bodies[0]["stream"] is True
        reading = ledger.reading("thread/t")
        assert (
            reading["input_tokens"] + reading["output_tokens"] == server.bill.total("input_tokens", "output_tokens") > 0
        )
        assert reading["unknown_calls"] == 0


@both
@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(no_usage=True)], ids=["cut", "no usage"])
def test_a_stream_that_ends_without_usage_stays_charged(fault: Fault, asynchronous: bool) -> None:
    with simulated(Turn(fault=fault)) as server:
        ledger = MemoryLedger()
        graph = build_solver(
            PLAIN.at(server, timeout=5), budget=Budget(calls=1), effort="none", meter=Meter(ledger, wait=wait_none())
        ).compile()
        config: Any = {"configurable": {"thread_id": "t"}}
        inputs: Any = {"question": "What is 2 + 2?"}

        stream(graph, inputs, config, asynchronous=asynchronous)
        reading = ledger.reading("thread/t")
        assert (reading["calls"], reading["unknown_calls"], reading["held_calls"]) == (0, 1, 0)
        billed = server.bill.total("input_tokens", "output_tokens")
        assert 0 < billed <= reading["unknown_input_tokens"] + reading["unknown_output_tokens"]


def test_the_providers_request_id_is_in_the_journal(tmp_path: Path) -> None:
    with simulated() as server:
        ledger = SQLiteLedger(tmp_path / "ledger.db")
        graph = build_solver(
            PLAIN.at(server, timeout=5), budget=Budget(calls=1), effort="none", ledger=ledger
        ).compile()
        graph.invoke({"question": "What is 2 + 2?"})
        assert [line.request_id for line in ledger.journal()] == ["chatcmpl-0"]
        ledger.close()


@both
def test_a_tool_with_a_declared_price(asynchronous: bool) -> None:
    """Held before, charged after, also when it fails; not begun when it doesn't fit."""
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(usd="0.025")))
    meter, done = Meter(ledger), []
    price = Spend(usd_nanos=10_000_000)

    def pay(fails: bool = False) -> Any:
        def work() -> str:
            done.append(ledger.reading("a")["held_usd_nanos"])
            if fails:
                raise RuntimeError("the tool's server is down")
            return "found"

        async def awork() -> str:
            return work()

        flow = meter.pay("a", price, {"node": "search"}, Effect(work, awork))
        return in_loop(adrive(flow)) if asynchronous else drive(flow)

    assert pay() == "found"
    with pytest.raises(RuntimeError, match="down"):
        pay(fails=True)
    with pytest.raises(BudgetExceeded, match="usd"):
        pay()
    assert done == [10_000_000, 10_000_000]
    reading = ledger.reading("a")
    assert (reading["usd_nanos"], reading["held_usd_nanos"], reading["by_node"]["search"]["calls"]) == (
        20_000_000,
        0,
        0,
    )


def test_holds_of_the_dead_are_swept_up_when_an_account_is_opened() -> None:
    now = 1_000_000.0
    ledger = MemoryLedger(clock=lambda: now, wall=lambda: now)
    ledger.open(Account("a", Budget(calls=2)))
    sent, _ = ledger.hold("a", [Spend(calls=1), Spend(calls=1)])
    ledger.begin(sent.id)
    now += 4000
    drive(Meter(ledger).open(Account("b", None), {}))
    reading = ledger.reading("a")
    assert (reading["held_calls"], reading["unknown_calls"]) == (0, 1)
    assert ledger.room("a").calls == 1
    assert ledger.settle(sent.id, Spend(calls=1))  # late, and it counts


def test_the_tier_that_was_used_is_the_price_that_is_paid() -> None:
    price = listed_price("openai", "gpt-5.1")
    assert price is not None
    spend = Spend(input_tokens=1_000_000)
    at = {tier: price.cost(spend, Terms(service_tier=tier)) for tier in ("", "default", "flex", "priority")}
    assert at == {"": 1_250_000_000, "default": 1_250_000_000, "flex": 625_000_000, "priority": 2_500_000_000}
    assert price.bound(spend, Terms(service_tier="auto")) == at["priority"]
    assert price.bound(spend, Terms(service_tier="flex")) == at["flex"]
    claude = listed_price("anthropic", "claude-opus-5-5")
    assert claude is not None
    written = Spend(input_tokens=1_000_000, cache_write_tokens=1_000_000)
    assert claude.cost(written) == 5_000_000_000
    assert claude.cost(written, Terms(cache_write_1h_tokens=1_000_000)) == 8_000_000_000 == claude.bound(spend)
    assert claude.cost(Spend(), Terms(web_searches=3)) == 30_000_000
    assert claude.bound(spend, Terms(speed="fast")) == 16_000_000_000


def test_prices_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('["openai:gpt-5.1"]\ninput_per_million = 1.10\noutput_per_million = 8\n')
    monkeypatch.setenv("RHEOSTAT_PRICES", str(file))
    chat = ChatOpenAI(model="gpt-5.1", api_key=SecretStr("k"))
    price = endpoint_for(chat).price
    assert price is not None
    assert price.cost(Spend(input_tokens=1_000_000, output_tokens=1_000_000)) == 9_100_000_000
    other = endpoint_for(ChatOpenAI(model="gpt-5.2", api_key=SecretStr("k"))).price
    assert other is not None
    assert other.listed == ("openai", "gpt-5.2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[broken", "not TOML"),
        ('["gpt-5.1"]\ninput_per_million = 1', "PROVIDER:MODEL"),
        ('["openai:x"]\ninput = 1', "no such rate: input"),
        ('["openai:x"]\ninput_per_million = 1', "output_per_million"),
        ('["openai:x"]\ninput_per_million = -1\noutput_per_million = 2', "zero or more"),
        (None, "can't be read"),
    ],
)
def test_a_bad_price_file_is_refused(
    text: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prices.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("RHEOSTAT_PRICES", str(file))
    with pytest.raises(BadInput, match=says):
        endpoint_for(ChatOpenAI(model="gpt-5.1", api_key=SecretStr("k")))


def test_what_is_written_to_a_cache_costs_more() -> None:
    written = Spend(input_tokens=1000, cache_write_tokens=400, cached_input_tokens=100, output_tokens=10)
    own = Price(
        input_per_million="4", output_per_million="20", cached_input_per_million="1", cache_write_per_million="8"
    )
    assert own.cost(written) == 500 * 4000 + 400 * 8000 + 100 * 1000 + 10 * 20_000
    listed = listed_price("anthropic", "claude-opus-4-5")
    assert listed is not None
    plain = Spend(input_tokens=1000, output_tokens=10)
    assert listed.cost(plain) < listed.cost(replace(plain, cache_write_tokens=1000)) <= listed.bound(plain)


def test_cache_writes_are_read_from_usage() -> None:
    usage: Any = {
        "input_tokens": 100, "output_tokens": 5, "total_tokens": 105,
        "input_token_details": {"cache_read": 20, "cache_creation": 0, "ephemeral_5m_input_tokens": 30},
    }  # fmt: skip
    reply = reply_from(AIMessage("hi", usage_metadata=usage), Settings({}, 10, 0))
    assert reply.spend is not None
    assert (reply.spend.cached_input_tokens, reply.spend.cache_write_tokens) == (20, 30)
