"""The samples of a round: how each is asked for, and its worst case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rheostat.calling.sample import bounds, shaped
from rheostat.evidence.asking import WAYS, Way, WayName, ask, begun, next_step, ways_for
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.expected import Expected
from rheostat.flow import Flow
from rheostat.money.budget import Room
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint
from rheostat.providers.dial import Messages
from rheostat.sandbox.embedded import embedded_python
from rheostat.solver.shared import Solver
from rheostat.strategies import Draw
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
    draws: Sequence[Draw] = ()
    """The draws of this round, one for each sample."""
    parents: dict[str, Candidate] = field(default_factory=dict)
    """The candidates so far, by id."""
    _messages: dict[tuple[WayName, str | None], Messages] = field(default_factory=dict)
    _inputs: dict[tuple[WayName, str | None], int] = field(default_factory=dict)
    _known: dict[tuple[Effort, int, int, int, str], Spend] = field(default_factory=dict)

    def ways(self, plan: ThinkingPlan) -> tuple[Way, ...]:
        """The ways of asking, in the order of the samples."""
        facts, expected, scorer = self.endpoint.dial.facts, self.expected, self.solver.scorer
        ways = ways_for(
            expected.kind,
            expected.asked,
            thinks=facts.thinks,
            measured=facts.ways.get(expected.kind, ()),
            thinking=plan.thinking_tokens > 0,
            runs=embedded_python(),
        )
        return ways[:1] if scorer is not None and scorer.same_way else ways

    def way(self, plan: ThinkingPlan, number: int = 0) -> Way:
        """The way of the round's sample with this number."""
        draw, ways = self.draw(number), self.ways(plan)
        parent = self.parents.get(draw.parent or "")
        if parent is not None and draw.purpose in ("prolong", "continue"):
            return WAYS[parent.way]  # type: ignore[index]  # the name of a way
        if draw.way in {way.name for way in ways} or (draw.way in WAYS and not draw.parent):
            return WAYS[draw.way]
        if draw.purpose == "begin":
            return WAYS["plain" if self.endpoint.dial.facts.thinks else "steps"]
        return ways[(self.before + number) % len(ways)]

    def temperature(self, plan: ThinkingPlan, number: int = 0) -> float | None:
        """The temperature: 0 for the first sample of each way, higher for repetitions, which must differ to vote."""
        if not self.endpoint.dial.facts.takes_temperature:
            return None
        draw = self.draw(number)
        if draw.way and not draw.parent:
            drawn = [
                each for each in self.parents.values() if each.model == self.endpoint.name and each.way == draw.way
            ]
            earlier = any(one.way == draw.way for one in self.draws[:number])
            return _SAMPLING_TEMPERATURE if drawn or earlier else 0.0
        first = 1 if draw.purpose == "begin" else len(self.ways(plan))
        return 0.0 if self.before + number < first else _SAMPLING_TEMPERATURE

    def shaped(self, plan: ThinkingPlan, number: int = 0) -> ThinkingPlan:
        """The plan of one sample."""
        made = shaped(plan, self.way(plan, number), self.expected.asked)
        return replace(made, inline=True) if self.draw(number).purpose == "prolong" else made

    def draw(self, number: int) -> Draw:
        """The draw of the round's sample with this number."""
        return self.draws[number] if number < len(self.draws) else Draw()

    def messages(self, plan: ThinkingPlan, number: int = 0) -> Messages:
        """The messages that are sent for a sample."""
        way, draw = self.way(plan, number), self.draw(number)
        key = (way.name, draw.parent)
        if key not in self._messages:
            before = self.parents.get(draw.parent or "")
            anew = self.endpoint.dial.facts.copies or len(self.ways(plan)) > 1
            asked = ask(
                self.expected.question,
                self.expected.asked,
                way,
                schema=self.solver.schema,
                refused=[] if before is None or draw.purpose != "correct" else [self._refused(before, anew=anew)],
                anew=anew,
                marks=self.endpoint.dial.example,
                told=self.expected.told,
            )
            self._messages[key] = [*asked, *self._begun(number)]
        return self._messages[key]

    def _refused(self, before: Candidate, *, anew: bool) -> tuple[str, str]:
        """A refused answer as it is shown to the model: a value together with the steps behind it, to go on from."""
        steps = before.text if not anew and self.expected.asked not in ("code", "json") else ""
        return steps or before.answer or before.text, before.reason

    def prefix(self, number: int) -> str:
        """The text that the reply of this sample continues; empty: it begins anew."""
        draw = self.draw(number)
        before = self.parents.get(draw.parent or "")
        if before is None or draw.purpose not in ("continue", "prolong"):
            return ""
        if draw.purpose == "continue":
            return begun(before.text)
        if before.thought:
            return self.endpoint.dial.facts.prolongs.replace("{thought}", before.thought.rstrip())
        return f"{begun(before.text)}Wait,"

    def _begun(self, number: int) -> Messages:
        """The messages that hold the beginning of the reply."""
        text = self.prefix(number)
        if not text:
            return []
        continued = {"role": "assistant", "content": text}
        if self.draw(number).purpose == "prolong" or self.endpoint.dial.facts.continues:
            return [continued]
        return [continued, {"role": "user", "content": next_step(self.expected.asked)}]

    def measure(self, *plans: ThinkingPlan, exact: bool = False) -> Flow[None]:
        """Bound the input of every way that these plans may take, with and without thinking."""
        if exact:
            self._inputs.clear()
            self._known.clear()
        for plan in plans:
            for thinking_tokens in {0, plan.thinking_tokens}:
                probe = plan.because("", thinking_tokens=thinking_tokens)
                for number in range(max(plan.samples, 1)):
                    key = (self.way(probe, number).name, self.draw(number).parent)
                    if key not in self._inputs:
                        self._inputs[key] = yield from self._input(probe, number, exact=exact)

    def _input(self, plan: ThinkingPlan, number: int, *, exact: bool) -> Flow[int]:
        dial, made = self.endpoint.dial, self.shaped(plan, number)
        phase = dial.phases(made, schema=self.solver.schema is not None)[0]
        settings = dial.encode(made, phase, temperature=None, schema=self.solver.schema)
        messages = self.messages(plan, number)
        return (yield from self.solver.meter.input_bound(self.endpoint, messages, settings, exact=exact))

    def per_sample(self, plan: ThinkingPlan, number: int = 0) -> list[Spend]:
        """The worst case of each request of one sample."""
        way, made = self.way(plan, number), self.shaped(plan, number)
        return bounds(
            self.solver.meter,
            self.endpoint,
            made,
            self._inputs[way.name, self.draw(number).parent],
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

    def sends(self, room: Room, plan: ThinkingPlan) -> bool:
        """Whether each request is small enough to leave under the rates."""
        calls = self.calls(plan, 0) if room.paced else []
        return all(room.sends(Spend.from_dict(amount) for amount in call["amounts"]) for call in calls)

    def calls(self, plan: ThinkingPlan, round_: int) -> list[dict[str, Any]]:
        """The prepared requests of the round, as plain data for state; equal samples share one, and its prefill."""
        calls = [self._call(plan, number, round_) for number in range(plan.samples)]
        facts = self.endpoint.dial.facts
        if not facts.several or (facts.cancels and self.solver.verifier is not None):
            return calls  # requests of their own can be cancelled one by one, as soon as one passes
        shared: dict[str, dict[str, Any]] = {}
        for number, call in enumerate(calls):
            draw = self.draw(number)
            stops = self.way(plan, number).stops(self.expected.asked)  # llama.cpp doesn't count their tokens exactly
            alone = str(number) if stops or not call["temperature"] else ""
            first = shared.setdefault(f"{call['way']} {draw.parent} {draw.purpose} {alone}", call)
            if first is not call:
                whole, *others = (Spend.from_dict(each) for each in first["amounts"])
                mine, *further = (Spend.from_dict(each) for each in call["amounts"])
                first["amounts"] = [each.to_dict() for each in (whole + mine, *others, *further)]
                first["samples"] += call["samples"]
        return list(shared.values())

    def _call(self, plan: ThinkingPlan, number: int, round_: int) -> dict[str, Any]:
        draw = self.draw(number)
        return {
            "samples": [{"id": f"r{round_}s{number}", "number": self.before + number}],
            "parent": draw.parent,
            "purpose": plan.purpose if plan.purpose == "last word" else draw.purpose,
            "way": self.way(plan, number).name,
            "messages": self.messages(plan, number),
            "prefix": self.prefix(number),
            "amounts": [amount.to_dict() for amount in self.per_sample(plan, number)],
            "temperature": self.temperature(plan, number),
        }
