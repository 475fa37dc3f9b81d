"""Fit one step of an agent into the room and the context, with enough left for the answer that must follow."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from langchain_core.messages import BaseMessage, HumanMessage

from rheostat.calling.call_options import CallOptions
from rheostat.calling.meter import Meter
from rheostat.calling.shape import within
from rheostat.errors import BudgetExceeded, ContextFull
from rheostat.flow import Flow
from rheostat.judgement.policy import Policy
from rheostat.money.budget import Room, written
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Phase
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.clamps import Clamps

__all__ = ["Fitted", "Fitting", "Planned", "enough_for"]

_LEAST_ANSWER_TOKENS = 256
_LAST_WORD_TOKENS = 512
_SHORT_RESULT_TOKENS = 500
"""The allowance for tool results before the last word where room is short."""
_ASIDE_TOKENS = 160
"""The most that one of our own two prompts takes, with its template: more than its bytes."""
_STEER_TOKENS = 160
"""The most that one change of effort inside the conversation takes."""


def enough_for(refused: BudgetExceeded, enough: Spend, wanted: ThinkingPlan) -> str:
    """The last sentence of a refusal: a budget with which the step would go on at the effort that was wanted."""
    amount = getattr(enough, refused.limit, None)
    if not amount or refused.limit == "seconds":
        return ""
    spent = refused.settled + refused.unknown
    budget = written(refused.limit, spent + max(amount, refused.asked))
    return f". At effort {wanted.effort.value}, {budget} is enough here for {wanted.model}"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A plan that fits the room."""

    plan: ThinkingPlan
    after: Spend
    """The reserve for the last word that follows."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """The token allowances in the reserve for the last word."""

    result_tokens: int
    """For the tool results before it."""
    answer_tokens: int = _LAST_WORD_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """Bounds a step and makes it smaller until it fits."""

    meter: Meter
    policy: Policy
    endpoint: Endpoint
    options: CallOptions
    clamps: Clamps | None
    """The model's length caps; `None`: its dial sets the thinking tokens exactly."""
    tool_result_tokens: int
    """Tokens kept back for the tool results before the last word."""

    def requests(self, plan: ThinkingPlan, inputs: int) -> tuple[list[tuple[Phase, Settings]], list[Spend]]:
        """The one or two requests of a step, and the worst case of each."""
        endpoint, options = self.endpoint, self.options
        phases: list[tuple[Phase, Settings]] = []
        amounts = []
        for number, phase in enumerate(endpoint.dial.phases(plan, schema=options.constrained)):
            settings = options.settings(endpoint, plan, phase)
            phases.append((phase, settings))
            read = inputs + (_ASIDE_TOKENS if phase == "think" else 0)
            read += plan.thinking_tokens + 2 * _ASIDE_TOKENS if number else 0
            key = (plan.effort, plan.thinking_tokens, plan.answer_tokens, phase, read)
            amounts.append(options.once(key, functools.partial(Meter.bound, endpoint, read, settings)))
        return phases, amounts

    def inputs(self, account: str, messages: Sequence[BaseMessage], plan: ThinkingPlan, *, exact: bool) -> Flow[int]:
        """The most input tokens of the step's last request."""
        endpoint = self.endpoint
        phase = endpoint.dial.phases(plan, schema=self.options.constrained)[-1]
        settings = self.options.settings(endpoint, plan, phase)
        tokens = yield from self.meter.input_bound(endpoint, list(messages), settings, exact=exact, account=account)
        if endpoint.dial.steer is not None:  # at the most, every user turn carries a change of effort
            tokens += _STEER_TOKENS * sum(isinstance(message, HumanMessage) for message in messages)
        return int(tokens)

    def fit(self, wanted: ThinkingPlan, inputs: int, room: Room, *, keep: bool) -> Fitted | None:
        """The plan made small enough: less thought first, then a shorter answer; `None` if nothing fits.

        Args:
            keep: Reserve the last word: one answer without tools, after this step and the results of its tools. Where
                that leaves no room to think, a shorter answer after shorter results is reserved.
        """
        if not keep:
            plan = self._fit(wanted, inputs, room, None)
            return None if plan is None else Fitted(plan, Spend())
        if within(self.least(wanted), inputs, self.endpoint) is None:
            return None
        best: Fitted | None = None
        for reserve in (Reserve(self.tool_result_tokens), Reserve(_SHORT_RESULT_TOKENS, _LEAST_ANSWER_TOKENS)):
            plan = self._fit(wanted, inputs, room, reserve)
            if plan is None:
                continue
            fitted = Fitted(plan, self.last_word(plan, inputs, reserve))
            if plan.thinking_tokens or not wanted.thinking_tokens:
                return fitted
            best = best or fitted
        return best

    def _fit(self, wanted: ThinkingPlan, inputs: int, room: Room, reserve: Reserve | None) -> ThinkingPlan | None:
        def bound(plan: ThinkingPlan) -> Spend:
            most = self.bound(plan, inputs)
            return most if reserve is None else most + self.last_word(plan, inputs, reserve)

        def sends(plan: ThinkingPlan) -> bool:
            requests = self.requests(plan, inputs)[1]
            return room.sends(requests if reserve is None else [*requests, self.last_word(plan, inputs, reserve)])

        answers = [wanted.answer_tokens]
        while answers[-1] // 2 >= _LEAST_ANSWER_TOKENS:
            answers.append(answers[-1] // 2)
        for answer_tokens in answers:
            shorter = wanted
            if answer_tokens < wanted.answer_tokens:
                shorter = wanted.because(
                    f"the room allows an answer of {answer_tokens} tokens", by="budget", answer_tokens=answer_tokens
                )
            fitting = within(shorter, inputs, self.endpoint)
            plan = fitting and self.policy.fit(fitting, room, self.endpoint.dial.facts, bound, self.clamps, sends=sends)
            if plan is not None:
                return plan
        return None

    def bound(self, plan: ThinkingPlan, inputs: int) -> Spend:
        """The most that the whole step can cost."""
        return sum(self.requests(plan, inputs)[1], Spend())

    def last_word(self, plan: ThinkingPlan, inputs: int, reserve: Reserve) -> Spend:
        """The most that the answer after this step and its tools can cost."""
        least = self.least(plan, reserve.answer_tokens)
        later = plan.max_output_tokens + reserve.result_tokens
        if self.endpoint.context_tokens is not None:  # a longer answer can't be asked for
            least = within(least, inputs, self.endpoint) or least
            later = max(0, min(later, self.endpoint.context_tokens - inputs - 2 * least.max_output_tokens - 256))
        return self.bound(least, inputs + later)

    def with_tools(self, wanted: ThinkingPlan, inputs: int) -> Spend:
        """What the smallest step with tools needs, with the reserve for the answer after it."""
        least = self.least(wanted)
        later = inputs + least.max_output_tokens + self.tool_result_tokens
        with contextlib.suppress(ContextFull):  # a hint for an error's text, which must not hide that error
            return sum((self.bound(least, read) for read in (inputs, later)), Spend())
        return Spend()

    def smallest(self, wanted: ThinkingPlan, inputs: int) -> Spend:
        """What the smallest useful step at this level needs, with the answer after it."""
        plan = wanted
        if self.clamps is not None:
            *_, plan = [wanted, *self.clamps.shorter(wanted)]
        with contextlib.suppress(ContextFull):  # as above
            most = self.bound(plan, inputs)
            if not self.options.offers_tools:
                return most
            return most + self.last_word(plan, inputs, Reserve(self.tool_result_tokens))
        return Spend()

    def least(self, wanted: ThinkingPlan, answer_tokens: int = _LAST_WORD_TOKENS) -> ThinkingPlan:
        """The smallest useful step: the lowest level and a short answer."""
        facts = self.endpoint.dial.facts
        lowest = facts.nearest(Effort.none)
        return replace(wanted, effort=lowest).sized(facts.levels[lowest], min(wanted.answer_tokens, answer_tokens))


@dataclass(frozen=True, slots=True)
class Planned:
    """A step that is planned and not yet held."""

    fitting: Fitting
    wanted: ThinkingPlan
    fitted: Fitted | None
    """`None`: nothing fits."""
    inputs: int
    messages: Sequence[BaseMessage]
    last_word: bool = False
    why: str = ""
    """Why it is the last word."""
    gave_up: bool = False
    """It is the last word because tools kept failing."""
    enough: Spend = field(default_factory=Spend)
    """What the smallest useful step at the wanted level needs."""
    with_tools: Spend | None = None

    @property
    def fits(self) -> bool:
        """Whether it fitted the room when it was planned."""
        return self.fitted is not None

    @property
    def plan(self) -> ThinkingPlan:
        """The plan to hold: the one that fits, else the smallest there is."""
        return self.fitted.plan if self.fitted is not None else self.fitting.least(self.wanted)

    def explained(self, refused: BudgetExceeded, account: str) -> BudgetExceeded:
        """The ledger's refusal, with a hint on what to do."""
        if refused.rate:
            return refused
        needed = getattr(self.with_tools, refused.limit, None) if self.with_tools else None
        tools = ""
        if needed:
            step = refused.spelled(needed)
            tools = f" for one answer without tools (a step with tools, and the answer after it, about {step})"
        return refused.because(
            f"The next call may need {refused.spelled(refused.asked)}{tools} and was not sent: raise the "
            "budget, shorten the prompt, the tools or the conversation, or lower caps=Caps(answer_tokens=…)"
            + enough_for(refused, self.enough, self.wanted),
            who="this budget" if refused.account == account else "",
        )
