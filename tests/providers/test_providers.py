"""The dials as tables: plan → what is sent, reply → what is counted. The payloads are what the real SDKs send."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, DefaultHttpxClient
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

import lock
from rheostat import Budget, Effort, ModelUnknown, ThinkingPlan, build_solver
from rheostat.money.pricing import listed_price
from rheostat.providers import Endpoint, Settings, endpoint_for, failure, hosted_endpoint
from rheostat.providers.dial import reply_from
from rheostat.providers.llama_cpp import thinking_tokens_of
from rheostat.providers.table import page

KEY = SecretStr("k")


def plan(effort: str, thinking: int) -> ThinkingPlan:
    return ThinkingPlan(effort=Effort(effort), thinking_tokens=thinking, answer_tokens=100)


def openai(model: str, **kwargs: Any) -> Endpoint:
    return endpoint_for(ChatOpenAI(model=model, api_key=KEY, **kwargs))


def anthropic(model: str) -> Endpoint:
    return endpoint_for(ChatAnthropic(model_name=model, api_key=KEY, timeout=5, stop=None))


@pytest.mark.parametrize(
    ("at", "effort", "thinking", "sent"),
    [
        (openai("gpt-5.1"), "high", 16384, {"reasoning_effort": "high", "max_completion_tokens": 16484}),
        (openai("gpt-5.1", use_responses_api=True), "low", 2048, {"reasoning": {"effort": "low"}}),
        (openai("gpt-4o"), "none", 0, {"max_tokens": 100}),  # no reasoning model: two-phase thinking
        (
            anthropic("claude-opus-5-5"),
            "medium",
            8192,
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}, "max_tokens": 8292},
        ),
        (
            anthropic("claude-sonnet-4-5"),
            "medium",
            4096,
            {"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 4196},
        ),
        (anthropic("claude-sonnet-4-5"), "none", 0, {"thinking": {"type": "disabled"}, "max_tokens": 100}),
        (anthropic("claude-sonnet-4-5"), "low", 500, {"thinking": {"type": "disabled"}}),
    ],
)
def test_a_plan_becomes_the_providers_own_settings(at: Endpoint, effort: str, thinking: int, sent: dict) -> None:
    settings = at.dial.encode(plan(effort, thinking), "whole", temperature=None, schema=None)
    assert sent.items() <= settings.kwargs.items()
    if effort == "low" and thinking == 500:
        assert "below Anthropic's least" in settings.notes[0]


def test_what_is_dropped_is_said() -> None:
    settings = openai("gpt-5.1").dial.encode(plan("low", 2048), "whole", temperature=0.7, schema=None)
    assert "temperature" not in settings.kwargs
    assert "temperature not sent" in settings.notes[0]


def test_levels_come_from_the_models_profile() -> None:
    levels = anthropic("claude-opus-5-5").dial.facts.levels
    assert Effort.medium in levels
    assert levels[Effort.high] > levels[Effort.medium]


def test_the_real_anthropic_client_sends_it_and_the_ledger_has_the_price() -> None:
    """The SDK on a transport of ours: the payload that would leave, and usage as the API documents it."""
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        reply = {
            "id": "m", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "stop_reason": "end_turn",
            "stop_sequence": None,
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "The answer is 4."},
            ],
            "usage": {
                "input_tokens": 40, "output_tokens": 60, "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 0, "output_tokens_details": {"thinking_tokens": 50},
            },
        }  # fmt: skip
        return httpx2.Response(200, json=reply)

    chat = ChatAnthropic(model_name="claude-opus-5-5", api_key=KEY, timeout=5, stop=None)
    at = endpoint_for(chat)
    wire = DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    client = Anthropic(api_key="k", max_retries=0, http_client=wire)
    at.chat.__dict__["_client"] = client
    result = (
        build_solver(at, budget=Budget(usd="1", seconds=30), effort="medium")
        .compile()
        .invoke({"question": "What is 2 + 2?"})
    )
    assert result["answer"] == "4"
    assert bodies[0]["thinking"] == {"type": "adaptive"}
    assert bodies[0]["output_config"] == {"effort": "medium"}
    spend = result["rheostat"]["spend"]
    assert (spend["input_tokens"], spend["cached_input_tokens"], spend["output_tokens"]) == (50, 10, 60)
    assert spend["thinking_tokens"] == 50
    assert spend["usd_nanos"] == 40 * 4000 + 10 * 200 + 60 * 20_000  # $4, $0.20 and $20 a million


def test_usage_by_kind_whatever_the_tier_is_called() -> None:
    message = AIMessage(
        content="x",
        usage_metadata={
            "input_tokens": 100,
            "output_tokens": 50,
            "total_tokens": 150,
            "input_token_details": {"flex_cache_read": 30},
            "output_token_details": {"flex_reasoning": 40},
        },
        response_metadata={"finish_reason": "length"},
    )
    reply = reply_from(message, Settings({}, 50, 50))
    assert reply.cut
    assert reply.spend is not None
    assert (reply.spend.cached_input_tokens, reply.spend.thinking_tokens) == (30, 40)
    assert reply_from(AIMessage(content="x"), Settings({}, 50, 50)).spend is None


@pytest.mark.parametrize(
    ("tokens", "count"),
    [
        (["a", " b", "</", "th", "ink", ">", " c", ""], 2),
        (["a", ".</", "think>", "x"], 2),  # the marker begins inside a token: that token was thought
        (["a", "b", "c"], 3),
        (["</think>", "x"], 0),
        ([], 0),
    ],
)
def test_thinking_is_counted_where_the_marker_begins(tokens: list[str], count: int) -> None:
    assert thinking_tokens_of(tokens) == count


def test_prices_are_listed_or_none() -> None:
    price = listed_price("anthropic", "claude-opus-5-5")
    assert price is not None
    assert (price.input_per_million, price.output_per_million) == (4, 20)
    assert listed_price("openai", "no-such-model") is None


@pytest.mark.parametrize("spec", ["openai:", "nobody:x", "openai:gpt-5.1", "anthropic:claude-opus-5-5"])
def test_a_hosted_name_without_a_key_or_a_model_is_refused_at_once(spec: str) -> None:
    with pytest.raises(ModelUnknown):
        hosted_endpoint(spec)


def test_a_failure_is_sorted_by_what_it_means_for_the_money() -> None:
    class Refused(Exception):
        status_code = 429

    class ConnectError(Exception):
        request = "x"

    assert failure(Refused()) == "refused"
    wrapped = RuntimeError("connection error")
    wrapped.__cause__ = ConnectError()
    assert failure(wrapped) == "never left"
    assert failure(TimeoutError()) == "unknown"
    assert failure(ValueError("can't read the reply")) == "unknown"


def test_the_page_of_every_model_is_up_to_date() -> None:
    """`python -m rheostat.providers.table` writes it anew, from the profiles of the locked integrations."""
    shown = [pin for pin in lock.pins(lock.DEV.read_text()) if pin.name in ("langchain-anthropic", "langchain-openai")]
    other = [pin.name for pin in shown if version(pin.name) != pin.version]
    if other:
        pytest.skip(f"the page shows the profiles of the locked versions; {' and '.join(other)} are others here")
    text = Path("docs/reference/providers.md").read_text(encoding="utf-8")
    assert page(text) == text
    assert text.count("\n| claude-") >= 17
    assert text.count("\n| gpt-") + text.count("\n| o") >= 37
