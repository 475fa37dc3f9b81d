"""Models on a wire: every API by its official client, against a server that enforces the rules and keeps the bill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from tenacity import wait_none

from conftest import in_loop
from rheostat import Account, Budget, Effort, MemoryLedger, Meter, ThinkingPlan
from rheostat.flow import adrive, drive
from rheostat.judgement.policy import Caps, Policy
from rheostat.providers import Endpoint, endpoint_for
from rheostat.providers.dial import FRESH, Reply, Step
from rheostat.testing.server import ProviderServer, Turn


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
PLAIN = Api(None, "gpt-4-tiny")
"""A chat model that no table knows, at an address that doesn't tell whose it is: no dial, no profile, no price."""
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


_running: list[ProviderServer] = []
"""One address for all tests: the integrations keep a client for each, and drop them unclosed when they are many."""


@contextmanager
def simulated(*turns: Turn, planned: Callable[[int, dict[str, Any]], Turn] | None = None) -> Iterator[ProviderServer]:
    if not _running:
        _running.append(ProviderServer().__enter__())
    _running[0].reset(*turns, planned=planned)
    yield _running[0]


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
        step: Step = FRESH,
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
            self.bound = meter.bound(at, tokens, self.settings)
            [held] = yield from meter.hold("a", [self.bound], {"node": "t", "model": "m"})
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
