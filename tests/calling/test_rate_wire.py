"""Rates at the gate: real SDKs against a server that enforces its limits, which never has to."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from conftest import in_loop
from rheostat import (
    Account,
    AdaptiveThinking,
    Budget,
    BudgetExceeded,
    Effort,
    MemoryLedger,
    Meter,
    Rate,
    Spend,
    SQLiteLedger,
    ThinkingChatModel,
    Vote,
    build_solver,
    install_gate,
)
from rheostat.calling.cancel import Cancel, Cancelled
from rheostat.calling.payer import Payer, paid_by
from rheostat.flow import adrive, drive
from rheostat.money.ledger import Ledger, RateSeen
from rheostat.providers.rate_limits import rate_seen
from rheostat.testing import ScriptedModel, free
from rheostat.testing.server import Fault, Limiter, ProviderServer, Turn
from waiting import wait_for
from wire import ADAPTIVE, ASK, CHAT, RESPONSE, Api, Caller, Way, plan_of, simulated

SECONDS = 0.5
"""The minute of these tests."""
NOW = 1_780_000_000.0


def under(rate: Rate, ledger: Ledger | None = None) -> Ledger:
    ledger = ledger or MemoryLedger()
    ledger.open(Account("key", rate=rate))
    ledger.open(Account("fleet", Budget(usd="50"), "key"))
    return ledger


def chat_model(api: Api, server: ProviderServer, ledger: Ledger, **more: Any) -> ThinkingChatModel:
    more = {"budget": Budget(usd="5", seconds=60), "effort": "low", **more}
    return ThinkingChatModel(model=api.at(server, max_retries=0), ledger=ledger, account="fleet", **more)


def ask(model: ThinkingChatModel, way: Way, many: int) -> list[Any]:
    """Ask many questions at once, in one of the four ways."""
    questions = [f"What is 2 + {number}?" for number in range(many)]
    if way.asynchronous:

        async def one(question: str) -> Any:
            if way.streaming:
                return [chunk async for chunk in model.astream(question)][-1]
            return await model.ainvoke(question)

        async def all_() -> list[Any]:
            return list(await asyncio.gather(*map(one, questions)))

        return list(in_loop(all_()))
    with ThreadPoolExecutor(many) as pool:
        ways: Any = (lambda question: list(model.stream(question))[-1]) if way.streaming else model.invoke
        return list(pool.map(ways, questions))


@pytest.mark.parametrize(
    ("api", "way"),
    [(CHAT, Way(a, s)) for a in (False, True) for s in (False, True)]
    + [(RESPONSE, Way(True, False)), (ADAPTIVE, Way(False, True)), (ADAPTIVE, Way(True, False))],
    ids=lambda each: (
        each.model if isinstance(each, Api) else f"{'a' * each.asynchronous}{'stream' if each.streaming else 'invoke'}"
    ),
)
def test_the_only_user_of_a_key_is_never_refused(api: Api, way: Way) -> None:
    """In all four ways, and on every API; and the ledger equals the bill."""
    arrives = api is not ADAPTIVE
    limits: dict[str, Any] = {"rpm": 6, "counts_max_tokens": arrives}
    limits |= {"tpm": 90_000} if arrives else {"input_tpm": 3_000, "output_tpm": 40_000}
    ledger = under(Rate(**limits, period_seconds=SECONDS))
    with simulated(Turn(fault=Fault(seconds=0.03))) as server:
        server.limiter = Limiter(**limits, seconds=SECONDS, style="openai" if arrives else "anthropic")
        started = time.monotonic()
        said = ask(chat_model(api, server, ledger), way, 8)
        assert len(said) == 8
        assert server.limiter.refused == 0
        assert server.limiter.exceeded == []
        assert time.monotonic() - started > SECONDS, "they had to wait"
        assert ledger.reading("key")["usd_nanos"] == server.bill.total("usd_nanos")
        assert (ledger.reading("key")["held_calls"], server.bill.requests) == (0, 8)


def test_those_that_would_be_refused_without_a_rate() -> None:
    """The control: the same crowd, without the account above."""
    ledger = MemoryLedger()
    ledger.open(Account("fleet", Budget(usd="50")))
    with simulated(Turn(fault=Fault(seconds=0.03))) as server:
        server.limiter = Limiter(rpm=6, seconds=60)
        with pytest.raises(openai.RateLimitError, match="rate limit: requests"):
            ask(chat_model(CHAT, server, ledger, budget=Budget(usd="5", seconds=4)), Way(False, False), 14)
        assert server.limiter.refused > 0


@pytest.mark.parametrize("api", [CHAT, ADAPTIVE], ids=["chat", "messages"])
def test_what_others_use_is_heeded(api: Api) -> None:
    """Another program uses the same key: the headers tell, and fewer requests leave."""
    ledger = under(Rate(rpm=6, period_seconds=SECONDS))
    with simulated() as server:
        server.limiter = Limiter(rpm=6, seconds=SECONDS, style="openai" if api is CHAT else "anthropic")
        model = chat_model(api, server, ledger)
        server.limiter.others_use(requests=3)
        model.invoke("What is 2 + 2?")
        assert ledger.reading("key")["rate"]["requests"]["used"] == 4
        ask(model, Way(False, False), 5)
        assert server.limiter.refused == 0


def test_a_429_stops_all_until_it_allows_more() -> None:
    """Nobody else is sent into a wall, and the refused request is served in the end."""
    ledger = under(Rate(rpm=100, period_seconds=SECONDS))
    with simulated() as server:
        server.limiter = Limiter(rpm=4, seconds=SECONDS)
        server.limiter.others_use(requests=4)
        model = chat_model(CHAT, server, ledger)
        assert len(ask(model, Way(False, False), 1)) == 1
        assert server.limiter.refused == 1
        first, again = server.bill.times
        assert again - first >= 0.9 * SECONDS
        assert ledger.reading("key")["calls"] == 2


def test_a_rate_shared_by_two_ledgers_on_one_file(tmp_path: Path) -> None:
    """As two processes have it, each with requests of its own."""
    ledgers = [SQLiteLedger(tmp_path / "ledger.db") for _ in range(2)]
    under(Rate(rpm=6, period_seconds=SECONDS), ledgers[0])
    with simulated() as server:
        server.limiter = Limiter(rpm=6, seconds=SECONDS)
        models = [chat_model(CHAT, server, ledger) for ledger in ledgers]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda model: ask(model, Way(False, False), 5), models))
        assert server.limiter.refused == 0
        assert server.bill.requests == 10
        assert ledgers[0].reading("key")["usd_nanos"] == server.bill.total("usd_nanos")
    for ledger in ledgers:
        ledger.close()


# --- plans -----------------------------------------------------------------------------------------------------------


def test_a_length_cap_is_chosen_that_fits_the_whole_limit() -> None:
    """Not what is left of it now: for that it waits."""
    ledger = under(Rate(output_tpm=3_000, period_seconds=SECONDS))
    with simulated() as server:
        model = chat_model(CHAT, server, ledger, effort="high")
        model.invoke("What is 2 + 2?")
        model.invoke("What is 2 + 3?")
        for body in server.bill.bodies:
            assert 1_000 < body["max_completion_tokens"] <= 3_000


def watched_holds(ledger: Ledger) -> tuple[list[int], list[int]]:
    """The tokens of each hold, of all its requests and of the largest one, as they are made."""
    wholes: list[int] = []
    parts: list[int] = []
    hold: Any = ledger.hold

    def watched(account: str, amounts: Any, *args: Any, **more: Any) -> Any:
        wholes.append(sum(each.tokens for each in amounts))
        parts.append(max(each.tokens for each in amounts))
        return hold(account, amounts, *args, **more)

    ledger.hold = watched  # type: ignore[method-assign]  # to look on
    return wholes, parts


def test_a_fan_out_may_be_larger_than_the_limit() -> None:
    """Its requests leave one after the other, and nothing of it is refused."""
    ledger = under(Rate(tpm=2_500, period_seconds=0.5))
    held, alone = watched_holds(ledger)
    script = free(ScriptedModel(script=["51", "50", "51", "52"]))
    solver = build_solver(
        script,
        budget=Budget(tokens=60_000),
        ledger=ledger,
        account="fleet",
        strategy=Vote(most_samples=4, first_samples=4),
    ).compile()
    state = solver.invoke({"question": "What is 17 * 3?"})
    assert (state["status"], len(state["candidates"])) == ("answered", 4)
    assert ledger.reading("key")["calls"] == 4
    assert max(held) > 2_500 > max(alone)
    assert ledger.reading("key")["held_calls"] == 0


def test_an_agent_with_a_last_word_kept_back_goes_on() -> None:
    """Six runs at once, each of several steps, under a limit of about one step: none ends for the budget."""
    ledger = under(Rate(rpm=8, tpm=30_000, counts_max_tokens=True, period_seconds=0.5))

    def look(where: str) -> str:
        """Look somewhere."""
        return "nothing"

    def planned(number: int, body: dict[str, Any]) -> Turn:
        asked = len([each for each in body["messages"] if each["role"] == "tool"])
        return Turn(tool_calls=(("look", {"where": "here"}),), text="") if asked < 2 else Turn(text="done")

    with simulated(planned=planned) as server:
        server.limiter = Limiter(rpm=8, tpm=30_000, counts_max_tokens=True, seconds=0.5)
        thinking = AdaptiveThinking(
            budget=Budget(usd="1", seconds=60), ledger=ledger, account="fleet", endpoint=lambda chat: CHAT.at(server)
        )
        agent: Any = create_agent(CHAT.chat(server, max_retries=0), [look], middleware=[thinking])

        async def all_() -> list[Any]:
            runs = (agent.ainvoke({"messages": [HumanMessage(f"Look {number}.")]}) for number in range(6))
            return list(await asyncio.gather(*runs))

        for state in in_loop(all_()):
            assert state["messages"][-1].text == "done"
            assert not state["rheostat"]["run"]["unknown_calls"]
        assert server.limiter.refused == 0
        assert server.bill.requests == 18
        assert ledger.reading("key")["usd_nanos"] == server.bill.total("usd_nanos")


def test_too_large_for_the_rate_says_what_to_set(server: ProviderServer) -> None:
    ledger = under(Rate(tpm=30))
    with pytest.raises(
        BudgetExceeded, match="set a smaller max_tokens, shorten the input, or raise the limit"
    ) as error:
        chat_model(CHAT, server, ledger).invoke("What is 2 + 2?")
    assert error.value.limit == "tokens a minute"
    assert not error.value.waits
    assert server.bill.requests == 0
    assert ledger.reading("key")["held_calls"] == 0


def test_refusing_meters_dont_wait(server: ProviderServer) -> None:
    ledger = under(Rate(rpm=1))
    model = chat_model(CHAT, server, ledger, on_contention="refuse")
    model.invoke("What is 2 + 2?")
    started = time.monotonic()
    with pytest.raises(BudgetExceeded, match=r"requests a minute.*ready in") as error:
        model.invoke("What is 2 + 3?")
    assert error.value.waits
    assert time.monotonic() - started < 5
    assert ledger.reading("key")["held_calls"] == ledger.reading("key")["unknown_calls"] == 0


def test_blocking_code_on_an_event_loop_waits_for_time_only(server: ProviderServer) -> None:
    ledger = under(Rate(rpm=1, period_seconds=0.5))
    model = chat_model(CHAT, server, ledger)

    async def main() -> list[str]:
        return [model.invoke("What is 2 + 2?").text, model.invoke("What is 2 + 3?").text]

    assert in_loop(main()) == ["The answer is 4."] * 2


# --- requests that no plan made, and requests that several pay for ----------------------------------------------------


def test_an_unplanned_request_waits_too(server: ProviderServer) -> None:
    """And one whose length nothing limits is held at the model's, where only the rate counts tokens."""
    install_gate()
    ledger = under(Rate(rpm=1, tpm=200_000, period_seconds=0.6))
    ledger.open(Account("run", Budget(calls=5), "fleet"))
    chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key=SecretStr("k"), max_retries=0)
    with paid_by(Payer(ledger, "run", budget=Budget(calls=5))):
        chat.invoke(ASK)
        started = time.monotonic()
        chat.invoke(ASK)
    assert time.monotonic() - started > 0.5
    assert server.bill.requests == 2


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_two_payers_under_one_rate_wait_without_deadlock(store: str, server: ProviderServer, tmp_path: Path) -> None:
    """A request under two agents counts for both, and waits for both; others do the same meanwhile."""
    install_gate()
    ledger = under(Rate(rpm=3, period_seconds=0.3), None if store == "memory" else SQLiteLedger(tmp_path / "l.db"))
    chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key=SecretStr("k"), max_retries=0, max_tokens=50)
    for name in ("outer", "inner"):
        for number in range(2):
            ledger.open(Account(f"{name} {number}", None, "fleet"))

    def run(number: int) -> None:
        with paid_by(Payer(ledger, f"outer {number}")), paid_by(Payer(ledger, f"inner {number}")):
            chat.invoke(ASK)
            chat.invoke(ASK)

    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    assert server.bill.requests == 4
    assert ledger.reading("key")["calls"] == 8
    assert time.monotonic() - started < 30


def test_a_model_without_a_wire_waits_too() -> None:
    ledger = under(Rate(rpm=1, period_seconds=0.6))
    model = ThinkingChatModel(
        model=free(ScriptedModel(script=["one", "two"])), budget=Budget(tokens=9_000), ledger=ledger, account="fleet"
    )
    started = time.monotonic()
    assert [model.invoke("Count.").text, model.invoke("Count on.").text] == ["one", "two"]
    assert time.monotonic() - started > 0.5


def test_without_a_rate_nothing_is_read(server: ProviderServer, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    server.limiter = Limiter(rpm=100)
    monkeypatch.setattr("rheostat.calling.heed.rate_seen", lambda *args: pytest.fail("headers were read"))
    monkeypatch.setattr(MemoryLedger, "heed", lambda *args: pytest.fail("the ledger was asked"))
    assert Caller(CHAT, server, way).call().text == "The answer is 4."


# --- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "seen"),
    [
        (200, {}, None),
        (200, {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s"}, RateSeen(requests=59)),
        (
            200,
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"},
            RateSeen(tokens=0, stop_seconds=360),
        ),
        (
            200,
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"},
            RateSeen(tokens=0, stop_seconds=3_723.5),
        ),
        (
            200,
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"},
            RateSeen(requests=0, stop_seconds=0.12),
        ),
        (
            200,
            {
                "anthropic-ratelimit-input-tokens-remaining": "1000",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2026-05-28T20:26:52Z",
                "anthropic-ratelimit-tokens-remaining": "0",
            },
            RateSeen(tokens=0, input_tokens=1_000, output_tokens=0, stop_seconds=12),
        ),
        (429, {"retry-after": "7"}, RateSeen(stop_seconds=7)),
        (429, {"retry-after": "7", "retry-after-ms": "1500"}, RateSeen(stop_seconds=1.5)),
        (429, {"retry-after": "Thu, 28 May 2026 20:27:10 GMT"}, RateSeen(stop_seconds=30)),
        (503, {"retry-after": "7"}, None),
        (
            429,
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "3s"},
            RateSeen(requests=0, stop_seconds=3),
        ),
    ],
)  # fmt: skip
def test_the_headers_of_the_providers(status: int, headers: dict[str, str], seen: RateSeen | None) -> None:
    assert rate_seen(status, headers, NOW) == seen


@pytest.mark.parametrize(
    "value",
    ["", "-1", "1e9", "NaN", "٣", "9" * 40, "1" * 10_000 + "s", "6m-1s", "2026-99-99T00:00:00Z", "\x1b[2J", "0x10"],
)
def test_damaged_headers_are_ignored(value: str) -> None:
    for status in (200, 429):
        names = (
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-requests-remaining",
            "retry-after",
            "retry-after-ms",
        )
        assert rate_seen(status, dict.fromkeys(names, value), NOW) is None
        reset = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": value}
        assert rate_seen(status, reset, NOW) == RateSeen(tokens=0)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_cancelled_while_it_waits_never_leaves(asynchronous: bool, server: ProviderServer) -> None:
    ledger = under(Rate(rpm=1, period_seconds=0.5))
    at, meter, cancel = CHAT.at(server), Meter(ledger), Cancel()
    plan = plan_of(at, Effort.low)
    settings = at.dial.encode(plan, "whole", temperature=None, schema=None)

    def call() -> Any:
        tokens = yield from meter.input_bound(at, ASK, settings)
        [held] = yield from meter.hold("fleet", [meter.bound(at, tokens, settings)], {})
        return (yield from meter.call(at, "fleet", held, ASK, settings, "whole", {"node": "t"}, cancel=cancel))

    def ends() -> Any:
        threading.Timer(0.2, cancel.set).start()
        return in_loop(adrive(call())) if asynchronous else drive(call())

    drive(call())
    with pytest.raises(Cancelled):
        ends()
    time.sleep(0.5)
    assert server.bill.requests == 1
    reading = ledger.reading("key")
    assert (reading["held_calls"], reading["unknown_calls"], reading["calls"]) == (0, 0, 1)


def test_a_hold_that_is_swept_away_while_it_waits_is_taken_again(server: ProviderServer) -> None:
    """Also if others have the room meanwhile, until they give it back."""
    ledger = under(Rate(rpm=1, period_seconds=0.6))
    ledger.open(Account("run", Budget(output_tokens=9_000), "fleet"))
    at, meter = CHAT.at(server), Meter(ledger)
    settings = at.dial.encode(plan_of(at, Effort.low), "whole", temperature=None, schema=None)

    def call() -> Any:
        tokens = yield from meter.input_bound(at, ASK, settings)
        [held] = yield from meter.hold("run", [meter.bound(at, tokens, settings)], {})
        return (yield from meter.call(at, "run", held, ASK, settings, "whole", {"node": "t"}))

    def others() -> None:
        wait_for(lambda: ledger.reading("run")["held_calls"])
        assert ledger.expire(0) == 1
        room = ledger.room("run").output_tokens or 0
        [mine] = ledger.hold("run", [Spend(output_tokens=room)])
        time.sleep(0.8)
        drive(meter.void(mine.id))

    drive(call())
    sweeping = threading.Timer(0.3, others)
    sweeping.start()
    assert drive(call()).text == "The answer is 4."
    sweeping.join()
    assert server.bill.requests == 2
