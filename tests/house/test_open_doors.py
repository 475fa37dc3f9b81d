"""What docs/explanation/architecture.md says can be plugged in, from outside: each is one new object."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from conftest import Runner
from rheostat import AdaptiveThinking, Budget, MemoryLedger, Price, Spend, Verdict, build_solver, read, resolve
from rheostat.errors import BadInput
from rheostat.providers import Integration, endpoint_for, register
from rheostat.providers import registry as providers
from rheostat.task import Effort
from rheostat.testing import ScriptedModel

ASK = {"question": "How many people live on Earth?"}


class ChatToy(ScriptedModel):
    """A chat model of a provider that the library has never heard of."""

    model: str = "toy-1"


TOY = Integration(
    spec="toy",
    module=ChatToy.__module__,
    kind=ChatToy.__name__,
    say=lambda model, effort, tokens: {"pondering": effort.value},
    levels=lambda model: (Effort.none, Effort.low, Effort.high),
    length=lambda most: {"max_tokens": most},
    source="this file",
)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_adapters", list(providers._adapters))
    register(TOY)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("effort", ["none", "low", "high"])
def test_a_provider(run: Runner, effort: str) -> None:
    """Its dial is sent with each request, in the solver and in an agent with the user's own object."""
    solver, agents = ChatToy(script=["4"]), ChatToy(script=["4"])
    run(build_solver(solver, budget=Budget(calls=9), effort=effort).compile(), ASK)
    thinking = AdaptiveThinking(budget=Budget(calls=9), effort=effort)
    run(create_agent(agents, middleware=[thinking]), {"messages": [HumanMessage("2 + 2?")]})
    for model in (solver, agents):
        assert {kwargs["pondering"] for _, kwargs in model.calls} == {effort}


@pytest.mark.usefixtures("toys")
def test_a_level_that_the_new_provider_lacks_is_said() -> None:
    facts = endpoint_for(ChatToy(script=[])).dial.facts
    assert facts.nearest(Effort.medium) == Effort.low


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(BadInput, match="Integration"):
        register("toy")  # type: ignore[arg-type] # on purpose


class Cites:
    """A verifier: the answer names its source."""

    def __init__(self, source: str) -> None:
        self.source = source

    def check(self, answer: str) -> Verdict:
        return Verdict(self.source in answer, f"name the source, {self.source}")


def test_a_verifier(run: Runner) -> None:
    model = ScriptedModel(script=["About 8 billion.", "About 8 billion (UN 2024)."])
    graph = build_solver(model, budget=Budget(calls=9), verifier=Cites("UN 2024"), form="text", effort="low").compile()
    result = run(graph, ASK)
    assert "UN 2024" in result["answer"]
    assert result["status"] == "solved"


class Audited(MemoryLedger):
    """A ledger that also writes down what was settled, in a place of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []

    def settle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        self.lines.append(actual.tokens)
        return super().settle(reservation, actual, request_id)

    async def asettle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        return self.settle(reservation, actual, request_id)


def test_a_ledger(run: Runner) -> None:
    model, ledger = ScriptedModel(script=["4"]), Audited()
    result = run(build_solver(model, budget=Budget(tokens=10**5), ledger=ledger, effort="low").compile(), ASK)
    spend: dict[str, Any] = read(result)["spend"]
    assert sum(ledger.lines) == spend["input_tokens"] + spend["output_tokens"] == model.billed.tokens


def test_a_price(run: Runner) -> None:
    model = ScriptedModel(script=["4"])
    price = Price(input_per_million="2", output_per_million="10")  # type: ignore[arg-type] # a text is taken too
    endpoint = resolve(model, price=price)
    result = run(build_solver(endpoint, budget=Budget(usd="1"), effort="none").compile(), ASK)
    billed = model.billed
    assert read(result)["spend"]["usd_nanos"] == billed.input_tokens * 2_000 + billed.output_tokens * 10_000 > 0
