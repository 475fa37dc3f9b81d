"""The samples of a round: how each is asked for, and its worst case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rheostat.calling.sample import bounds, shaped
from rheostat.evidence.asking import Way, WayName, ask, ways_for
from rheostat.evidence.expected import Expected
from rheostat.flow import Flow
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint
from rheostat.providers.dial import Messages
from rheostat.sandbox.embedded import embedded_python
from rheostat.solver.shared import Solver
from rheostat.task import Effort, ThinkingPlan

__all__ = ["Asking"]

_SAMPLING_TEMPERATURE = 0.7


@dataclass(slots=True)
class Asking:
    """Prepares the samples of one round; each takes the next way of asking."""

    solver: Solver
    endpoint: Endpoint
    expected: Expected
    before: int
    """The number of samples drawn before this round."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(answer, reason) of refused answers: the evidence to correct on."""
    _messages: dict[WayName, Messages] = field(default_factory=dict)
    _inputs: dict[WayName, int] = field(default_factory=dict)
    _known: dict[tuple[Effort, int, int, int, str], Spend] = field(default_factory=dict)

    def ways(self, plan: ThinkingPlan) -> tuple[Way, ...]:
        """The ways of asking, in the order of the samples."""
        facts, expected = self.endpoint.dial.facts, self.expected
        return ways_for(
            expected.kind,
            expected.asked,
            thinks=facts.thinks,
            measured=facts.ways.get(expected.kind, ()),
            thinking=plan.thinking_tokens > 0,
            runs=embedded_python(),
        )

    def way(self, plan: ThinkingPlan, number: int = 0) -> Way:
        """The way of the round's sample with this number."""
        ways = self.ways(plan)
        return ways[(self.before + number) % len(ways)]

    def temperature(self, plan: ThinkingPlan, number: int = 0) -> float | None:
        """The temperature: 0 for the first sample of each way, higher for repetitions, which must differ to vote."""
        if not self.endpoint.dial.facts.takes_temperature:
            return None
        return 0.0 if self.before + number < len(self.ways(plan)) else _SAMPLING_TEMPERATURE

    def shaped(self, plan: ThinkingPlan, number: int = 0) -> ThinkingPlan:
        """The plan of one sample."""
        return shaped(plan, self.way(plan, number), self.expected.asked)

    def messages(self, way: Way) -> Messages:
        """The messages that are sent."""
        if way.name not in self._messages:
            self._messages[way.name] = ask(
                self.expected.question,
                self.expected.asked,
                way,
                schema=self.solver.schema,
                refused=self.refused,
                marks=self.endpoint.dial.example,
                told=self.expected.told,
            )
        return self._messages[way.name]

    def measure(self, *plans: ThinkingPlan, exact: bool = False) -> Flow[None]:
        """Bound the input of every way that these plans may take, with and without thinking."""
        if exact:
            self._inputs.clear()
            self._known.clear()
        for plan in plans:
            for thinking_tokens in {0, plan.thinking_tokens}:
                probe = plan.because("", thinking_tokens=thinking_tokens)
                for number in range(min(len(self.ways(probe)), max(plan.samples, 1))):
                    way = self.way(probe, number)
                    if way.name not in self._inputs:
                        self._inputs[way.name] = yield from self._input(probe, number, exact=exact)

    def _input(self, plan: ThinkingPlan, number: int, *, exact: bool) -> Flow[int]:
        dial, made = self.endpoint.dial, self.shaped(plan, number)
        phase = dial.phases(made, schema=self.solver.schema is not None)[0]
        settings = dial.encode(made, phase, temperature=None, schema=self.solver.schema)
        messages = self.messages(self.way(plan, number))
        return (yield from self.solver.meter.input_bound(self.endpoint, messages, settings, exact=exact))

    def per_sample(self, plan: ThinkingPlan, number: int = 0) -> list[Spend]:
        """The worst case of each request of one sample."""
        way, made = self.way(plan, number), self.shaped(plan, number)
        return bounds(
            self.solver.meter,
            self.endpoint,
            made,
            self._inputs[way.name],
            self.expected.asked,
            schema=self.solver.schema,
        )

    def bound(self, plan: ThinkingPlan) -> Spend:
        """The worst case of all samples together."""
        key = (plan.effort, plan.thinking_tokens, plan.answer_tokens, plan.samples, plan.purpose)
        if key not in self._known:
            amounts = [each for number in range(plan.samples) for each in self.per_sample(plan, number)]
            self._known[key] = sum(amounts, Spend())
        return self._known[key]

    def call(self, plan: ThinkingPlan, number: int, id_: str) -> dict[str, Any]:
        """One prepared sample of the round, as plain data for state."""
        way = self.way(plan, number)
        return {
            "id": id_,
            "way": way.name,
            "messages": self.messages(way),
            "amounts": [amount.to_dict() for amount in self.per_sample(plan, number)],
            "temperature": self.temperature(plan, number),
        }
