"""A real llama.cpp server through its three APIs: the cap holds in every request, and our counts are the server's."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from rheostat import Account, Budget, Effort, MemoryLedger, Meter, ThinkingPlan
from rheostat.bench.truth import server_tokens
from rheostat.flow import drive
from rheostat.providers import Endpoint
from rheostat.providers.servers import inspect_server

pytestmark = pytest.mark.model

REQUESTS = int(os.environ.get("RHEOSTAT_REQUESTS", "12"))
"""On each API; `make soak` sends 210 in all."""
CAPS = (3, 5, 8, 13)
QUESTIONS = [
    f"What is {a} times {b}? Answer with the number." for a, b in itertools.product(range(3, 12), range(3, 12))
]


def settled(endpoint: Endpoint) -> tuple[int, int]:
    counts = server_tokens(endpoint)
    assert counts is not None
    return counts


@pytest.fixture
def generated(local: Endpoint) -> Iterator[list[int]]:
    """Tokens that the server generated during a test must be those that the clients were told of."""
    told: list[int] = []
    before = settled(local)[1]
    yield told
    assert settled(local)[1] - before == sum(told)


def tokens_in(local: Endpoint, thought: str) -> int:
    chat: Any = local.chat
    root = str(chat.openai_api_base).removesuffix("/v1")
    body = {"content": thought, "add_special": False}
    client = chat.root_client.with_options(base_url=root)
    return len(client.post("/tokenize", body=body, cast_to=dict[str, Any])["tokens"])


def test_it_says_what_it_is(local: Endpoint) -> None:
    chat: Any = local.chat
    found = inspect_server(str(chat.openai_api_base), chat.openai_api_key.get_secret_value())
    assert found.kind == "llama.cpp"
    assert found.models
    assert found.context_tokens
    assert "enforced to the token" in found.thinking


def test_chat_completions_by_the_dial(local: Endpoint, generated: list[int]) -> None:
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(tokens=10**6)))
    meter = Meter(ledger)
    for number in range(REQUESTS):
        cap = CAPS[number % len(CAPS)]
        plan = ThinkingPlan(effort=Effort.low, thinking_tokens=cap, answer_tokens=4)
        settings = local.dial.encode(plan, "whole", temperature=0.7, schema=None)
        messages = [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]

        def flow(messages: Any = messages, settings: Any = settings) -> Any:
            tokens = yield from meter.input_bound(local, messages, settings)
            [held] = yield from meter.hold("a", [meter.bound(local, tokens, settings)], {})
            return (yield from meter.call(local, "a", held, messages, settings, "whole", {}))

        reply = drive(flow())
        assert reply.spend is not None
        assert reply.spend.thinking_tokens <= cap
        generated.append(reply.spend.output_tokens)
    assert ledger.reading("a")["output_tokens"] == sum(generated)


@pytest.mark.parametrize("streaming", [False, True])
def test_responses(local: Endpoint, generated: list[int], streaming: bool) -> None:
    chat: Any = local.chat
    model = ChatOpenAI(
        model=chat.model_name, base_url=chat.openai_api_base, api_key=chat.openai_api_key, max_retries=2,
        use_responses_api=True, streaming=streaming,
    )  # fmt: skip
    for number in range(REQUESTS // 2):
        cap = CAPS[number % len(CAPS)]
        question = QUESTIONS[number % len(QUESTIONS)]
        message = model.invoke(question, max_tokens=cap + 8, extra_body={"thinking_budget_tokens": cap})
        thought = "".join(str(b.get("reasoning", "")) for b in message.content_blocks if b["type"] == "reasoning")
        assert tokens_in(local, thought) <= cap
        assert message.usage_metadata is not None
        generated.append(message.usage_metadata["output_tokens"])


@pytest.mark.parametrize("streaming", [False, True])
def test_messages(local: Endpoint, generated: list[int], streaming: bool) -> None:
    chat: Any = local.chat
    model = ChatAnthropic(
        model_name=chat.model_name,
        base_url=str(chat.openai_api_base).removesuffix("/v1"),
        timeout=60,
        stop=None,
        api_key=SecretStr(chat.openai_api_key.get_secret_value()),
        max_retries=2,
        streaming=streaming,
    )
    for number in range(REQUESTS // 2):
        cap = CAPS[number % len(CAPS)]
        thinking = {"type": "enabled", "budget_tokens": cap}
        message = model.invoke(QUESTIONS[number % len(QUESTIONS)], max_tokens=cap + 8, thinking=thinking)
        thought = "".join(str(b.get("reasoning", "")) for b in message.content_blocks if b["type"] == "reasoning")
        assert tokens_in(local, thought) <= cap
        assert message.usage_metadata is not None
        generated.append(message.usage_metadata["output_tokens"])
