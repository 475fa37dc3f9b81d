"""What a provider refuses, and what can't be reached: one line that says what to do, and nothing charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import ContextOverflowError
from langchain_openai import ChatOpenAI
from tenacity import wait_none

from conftest import Runner
from rheostat import (
    AdaptiveThinking,
    Budget,
    MemoryLedger,
    NoPrice,
    ThinkingChatModel,
    build_agent,
    build_solver,
    read,
)
from rheostat.calling.meter import Meter
from rheostat.errors import ProviderFailed
from rheostat.providers.failures import line_of, read_failure
from rheostat.testing.server import Fault, Turn
from wire import ADAPTIVE, CHAT, MANUAL, RESPONSE, Api, simulated

BUDGET = Budget(tokens=400_000)
ASK = {"question": "How many people live on Earth?"}
HELLO = {"messages": [("user", "Hello.")]}
UNAVAILABLE = {
    401: ("authentication", "to a valid key"),
    402: ("quota", "no credit left"),
    403: ("forbidden", "may not use"),
}
apis = pytest.mark.parametrize("api", [ADAPTIVE, CHAT, RESPONSE], ids=["messages", "chat", "responses"])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Meter.__init__
    monkeypatch.setattr(Meter, "__init__", lambda self, *a, **k: made(self, *a, **{**k, "wait": wait_none()}))


@apis
@pytest.mark.parametrize("status", UNAVAILABLE)
def test_a_solver_says_it_at_once(api: Api, status: int, run: Runner) -> None:
    """The second draw would fail like the first, so that it isn't sent."""
    ledger = MemoryLedger()
    with simulated(Turn(fault=Fault(status=status))) as server:
        with pytest.raises(ProviderFailed) as caught:
            run(build_solver(api.at(server), budget=BUDGET, ledger=ledger).compile(), ASK)
        reason, advice = UNAVAILABLE[status]
        text = str(caught.value)
        assert f"{reason} (HTTP {status})" in text
        assert advice in text
        assert text.endswith("Nothing was charged.")
        assert "\n" not in text
        assert server.bill.requests == 1
    assert not any(step.candidate.get("cost", {}).get("usd_nanos") for step in ledger.steps())


def test_the_variable_of_the_key_is_named() -> None:
    for api, variable in ((ADAPTIVE, "ANTHROPIC_API_KEY"), (CHAT, "OPENAI_API_KEY")):
        with simulated(Turn(fault=Fault(status=401))) as server, pytest.raises(ProviderFailed, match=variable):
            build_solver(api.at(server), budget=BUDGET).compile().invoke(ASK)


def test_an_unknown_model_is_named(run: Runner) -> None:
    with simulated() as server:
        chat = ChatOpenAI(model="gpt-99", base_url=server.openai_url, api_key="k")
        with pytest.raises(ProviderFailed, match=r"no model 'gpt-99': check its name"):
            run(build_solver(chat, budget=Budget(calls=9)).compile(), ASK)


def test_another_model_takes_over(run: Runner) -> None:
    """The key of the first one is refused; the second one answers, and is asked once."""

    def planned(number: int, body: dict[str, Any]) -> Turn:
        refused = str(body["model"]).startswith("gpt-5.1")
        return Turn(fault=Fault(status=401)) if refused else Turn(text="The answer is 8 billion.")

    with simulated(planned=planned) as server:
        models = [CHAT.at(server), RESPONSE.at(server)]
        result = run(build_solver(models[0], escalate_to=models[1:], budget=BUDGET).compile(), ASK)
        assert result["answer"]
        assert result["candidates"][0]["unavailable"] is True
        assert sum(str(body["model"]).startswith("gpt-5.1") for body in server.bill.bodies) == 1


@apis
def test_an_outage_is_a_result(api: Api, run: Runner) -> None:
    """Inside of a fan-out an exception would cancel the branches beside it; what is charged is said."""
    with simulated(Turn(fault=Fault(status=429))) as server:
        result = run(build_solver(api.at(server), budget=BUDGET).compile(), ASK)
        assert (result["status"], result["answer"]) == ("unsolved", None)
        assert "rate limit (HTTP 429)" in result["stopped"]
        assert read(result)["end"]["by"] == "failure"
        assert not read(result)["run"]["usd_nanos"]


def test_an_empty_account_isnt_asked_again() -> None:
    """OpenAI sends it with the status of a rate limit, which LangChain says may be retried."""

    class Empty(Exception):
        status_code, code, is_retryable = 429, "insufficient_quota", True

    failed = read_failure(Empty("You exceeded your current quota"))
    assert (failed.reason, failed.retryable, failed.unavailable) == ("quota", False, True)
    failed = read_failure(type("Low", (Exception,), {"status_code": 400})("Your credit balance is too low"))
    assert (failed.reason, failed.unavailable) == ("quota", True)


def test_a_machine_that_is_down_is_named(run: Runner) -> None:
    chat = ChatOpenAI(model="gpt-6-sol", base_url="http://ann:secret@127.0.0.1:9/v1", api_key="k")
    result = run(build_solver(chat, budget=Budget(calls=9)).compile(), ASK)
    assert "no connection to http://***@127.0.0.1:9/v1" in result["stopped"]
    assert "secret" not in str(result)
    assert read(result)["run"]["calls"] == 0


@apis
@pytest.mark.parametrize("form", ["middleware", "nodes", "chat model"])
def test_an_agents_exception_keeps_its_kind_and_carries_the_line(api: Api, form: str, run: Runner) -> None:
    """Other middleware looks at the kind: the line is a note, which tracebacks show."""
    with simulated(Turn(fault=Fault(status=401))) as server:
        chat = api.chat(server, max_retries=0)
        call = {
            "middleware": lambda: run(create_agent(chat, middleware=[AdaptiveThinking(budget=BUDGET)]), HELLO),
            "nodes": lambda: run(build_agent(chat, budget=BUDGET).compile(), HELLO),
            "chat model": lambda: ThinkingChatModel(model=chat, budget=BUDGET).invoke("Hello."),
        }[form]
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of the provider's own kind
            call()
        assert "AuthenticationError" in type(caught.value).__name__
        assert "authentication (HTTP 401)" in line_of(caught.value)
        assert "Nothing was charged" in line_of(caught.value)


def test_a_stream_carries_the_line_too() -> None:
    with simulated(Turn(fault=Fault(status=403))) as server:
        model = ThinkingChatModel(model=CHAT.chat(server, max_retries=0), budget=BUDGET)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of the provider's own kind
            list(model.stream("Hello."))
        assert "forbidden (HTTP 403)" in line_of(caught.value)
        assert not model.spend["usd_nanos"]


def test_a_conversation_that_is_too_long_is_langchains_overflow(run: Runner) -> None:
    """By our own count or by the provider's refusal: other middleware handles both alike."""
    long, plenty = "hi " * 220_000, Budget(tokens=9_000_000)
    with simulated() as server:
        agent = create_agent(MANUAL.chat(server, max_retries=0), middleware=[AdaptiveThinking(budget=plenty)])
        model = ThinkingChatModel(model=MANUAL.chat(server, max_retries=0), budget=plenty)
        for call in (lambda: run(agent, {"messages": [("user", long)]}), lambda: model.invoke(long)):
            with pytest.raises(ContextOverflowError) as caught:
                call()
            assert "summarize" in (line_of(caught.value) or str(caught.value))
        assert not server.bill.lines


def test_behind_a_gateway_the_name_still_tells_how_a_model_is_set(run: Runner) -> None:
    """It refuses a temperature and a scratchpad, whatever the address."""
    with simulated(Turn(text="8 billion")) as server:
        chat = ChatOpenAI(model="gpt-6-sol", base_url=server.openai_url, api_key="k")
        result = run(build_solver(chat, budget=Budget(tokens=40_000)).compile(), ASK)
        assert result["status"] == "answered"
        assert all("temperature" not in body for body in server.bill.bodies)


def test_a_gateway_in_the_environment_has_prices_of_its_own(
    run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The SDK reads its address, and not the model object: OpenAI's list doesn't say what it takes."""
    with simulated(Turn(text="8 billion")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        with pytest.raises(NoPrice):
            build_solver("openai:gpt-6-sol", budget=Budget(usd="1"))
        prices = tmp_path / "prices.toml"
        prices.write_text('["openai:gpt-6-sol"]\ninput_per_million = 100\noutput_per_million = 100\n', encoding="utf-8")
        monkeypatch.setenv("RHEOSTAT_PRICES", str(prices))
        result = run(build_solver("openai:gpt-6-sol", budget=Budget(usd="1")).compile(), ASK)
        used = read(result)["run"]
        assert used["usd_nanos"] == 100_000 * (used["input_tokens"] + used["output_tokens"])


def test_a_wrong_path_is_no_unknown_model() -> None:
    """A server that has no such page sends no error object; the model's name isn't what is wrong."""
    with simulated() as server:
        chat = ChatOpenAI(model="gpt-5.1", base_url=f"{server.url}/wrong", api_key="k", max_retries=0)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of the provider's own kind
            ThinkingChatModel(model=chat, budget=Budget(calls=3)).invoke("Hello.")
        assert f"nothing was found at {server.url}/wrong" in line_of(caught.value)
