"""One step of an agent: what the messages say → a plan that fits the room → hold → call → settle.

estimate (`difficulty.trajectory`) → plan (`pacing`) → hold, call, settle (`meter`). The last word is paid for in
advance: while tools are offered, enough is kept back for one answer without them, and when no more than that is left,
it is asked for. Pure of LangGraph; the chat model, the middleware and the nodes are wrappers around it.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from rheostat.asked import Asked
from rheostat.budget import Room
from rheostat.difficulty import THOUGHT_WITH, Trajectory, read_trajectory
from rheostat.effort import Effort, ThinkingPlan, Wish, plan_of
from rheostat.errors import BudgetExceeded
from rheostat.flow import Flow
from rheostat.ledger import Reservation
from rheostat.meter import Meter
from rheostat.pacing import Pacing
from rheostat.policy import Caps, Policy
from rheostat.providers import Endpoint, Reply, Settings
from rheostat.providers.dial import Phase
from rheostat.shaping import read_before, shortened, steered, within
from rheostat.usage import Spend

__all__ = ["LAST_WORD", "Listener", "Ready", "Thinker"]

Listener: TypeAlias = Callable[..., None]
"""`listener(type, **data)`: told of every estimate, plan, hold, call and settlement."""

LAST_WORD = (
    "The budget for this task is nearly used up: this is your last message. Give your best answer now from what you "
    "know, without calling tools. Say what is unfinished."
)
GIVE_UP = (
    "The last {failures} tool calls failed. Don't try again. Say plainly what you tried, what failed and why, and what "
    "would be needed."
)
_THINK_FIRST = "Think about what to do next, in a few short sentences. Don't do it yet."
_NOW_ACT = "Now do it: call a tool, or give the answer."
_LEAST_ANSWER_TOKENS = 256
_LAST_WORD_TOKENS = 512
_SHORT_CHARS = (1_000, 200)
_ASIDE_TOKENS = 160
"""The most that one of our own two sentences takes, with its template: more than their bytes."""
_STEER_TOKENS = 160
"""Of a change of effort inside the conversation."""


def _nobody(type_: str, **data: Any) -> None: ...


@dataclass(slots=True, kw_only=True)
class Ready:
    """A step that is planned and held: what is sent, request by request."""

    endpoint: Endpoint
    plan: ThinkingPlan
    at: Trajectory
    messages: list[BaseMessage]
    phases: list[tuple[Phase, Settings]]
    held: list[Reservation]
    note: dict[str, str]
    last_word: bool
    effort_asked: str
    id: str
    """Of the plan: its events, its record, its span and its message carry it."""
    thought: str = ""

    def about(self, phase: Phase) -> dict[str, Any]:
        """What was decided, for the record of one request."""
        plan, at = self.plan, self.at
        return {
            "id": self.id if phase == self.phases[0][0] else f"{self.id}.{phase}",
            "kind": at.difficulty.kind, "difficulty": at.difficulty.score, "effort_asked": self.effort_asked,
            "last_word": self.last_word, **plan_of(plan),
        }  # fmt: skip

    def reread(self, phase: Phase) -> tuple[str, int] | None:
        """The thought that this request sends back, and the most tokens that it has."""
        return (self.thought, self.plan.thinking_tokens) if phase == "answer" and self.thought else None

    def sent(self, phase: Phase) -> list[BaseMessage]:
        """The messages of one request."""
        if phase == "think":
            return [*self.messages, HumanMessage(_THINK_FIRST)]
        if phase == "answer" and self.thought:
            return [*self.messages, AIMessage(self.thought), HumanMessage(_NOW_ACT)]
        return self.messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinker:
    """What all steps of an agent share."""

    ladder: Sequence[Endpoint]
    """The models, the first one first; the others when tools keep failing."""
    meter: Meter
    wish: Wish = "balanced"
    caps: Caps = field(default_factory=lambda: Caps(answer_tokens=4096))
    policy: Policy = field(default_factory=Policy)
    pacing: Pacing = field(default_factory=Pacing)
    tool_result_tokens: int = 2_000
    """What the reserve for the last word allows for the results of tools that come before it."""

    def wanted(self, messages: Sequence[BaseMessage], *, tools: bool = False) -> ThinkingPlan:
        """How the next step would think, before anybody looks at the room."""
        at = read_trajectory(messages)
        endpoint = self._rung(at)
        return self.pacing.plan(
            at, self.policy, self.wish, self.caps, endpoint.dial.facts,
            price=endpoint.price, cached_tokens=read_before(messages), tools=tools,
        )  # fmt: skip

    def _rung(self, at: Trajectory) -> Endpoint:
        return self.ladder[min(at.failures // self.pacing.escalate_after, len(self.ladder) - 1)]

    # --- plan and hold --------------------------------------------------------------------------------

    def ready(
        self,
        account: str,
        messages: Sequence[BaseMessage],
        kwargs: dict[str, Any],
        *,
        wish: Wish | None = None,
        note: dict[str, str] | None = None,
        listener: Listener = _nobody,
        beside_tokens: int = 0,
    ) -> Flow[Ready]:
        """Plan and hold one step.

        Args:
            account: Whose money it is; open in the ledger.
            messages: The conversation.
            kwargs: What was bound to the model or given to the call: tools, tool_choice, max_tokens, temperature …
            beside_tokens: What others put into the request beside that.

        Raises:
            BudgetExceeded: not even the last word fits; says what would be needed. Nothing was sent or charged.
        """
        at, id_ = read_trajectory(messages), uuid.uuid4().hex
        listener("estimate", id=id_, **at.difficulty.to_dict(), seam=at.seam, failures=at.failures, repeats=at.repeats)
        endpoint = self._rung(at)
        asked = Asked.read(kwargs, endpoint, at.loop)
        caps = replace(self.caps, answer_tokens=asked.answer_tokens(self.caps.answer_tokens))
        free = endpoint.dial.steer is not None and at.seam == "turn"  # the change stands in the conversation itself
        wanted = self.pacing.plan(
            at, self.policy, wish or self.wish, caps, endpoint.dial.facts, price=endpoint.price,
            cached_tokens=0 if free else read_before(messages), tools=asked.offers_tools,
        )  # fmt: skip
        for reason in asked.notes:
            wanted = wanted.because(reason)
        room = yield from self.meter.room(account)
        giving_up = asked.offers_tools and at.failures >= self.pacing.give_up_after
        plan, inputs, last_word = None, 0, False
        for exact in (False, True):
            inputs = beside_tokens + (yield from self._inputs(account, endpoint, asked, messages, wanted, exact=exact))
            if not giving_up:
                plan = self._fit(endpoint, asked, wanted, inputs, room, keep=asked.offers_tools)
            if plan is not None or endpoint.dial.counts_at_once:
                break
        with_tools: Spend | None = None
        if plan is None and asked.offers_tools:
            last_word = True
            with_tools = self._with_tools(endpoint, asked, wanted, inputs)
            asked = asked.without_tools(endpoint)
            said = GIVE_UP.format(failures=at.failures) if giving_up else LAST_WORD
            why = f"{at.failures} failures in a row" if giving_up else "the room is for one answer only"
            listener("wind_down", stage="last word", why=why)
            for shorter in (None, *_SHORT_CHARS):
                messages = [*shortened(messages, shorter), *([HumanMessage(said)] if shorter is None else ())]
                inputs = yield from self._inputs(account, endpoint, asked, messages, wanted, exact=shorter is not None)
                inputs += beside_tokens
                alone = wanted.because(f"the last word: {why}", by="budget", purpose="last word")
                plan = self._fit(endpoint, asked, alone, inputs, room, keep=False)
                if plan is not None:
                    break
        chosen = plan or self._least(wanted, endpoint)
        phases, amounts = self._requests(endpoint, asked, chosen, inputs)
        if endpoint.dial.steer is not None:
            messages, phases = steered(endpoint, messages, chosen, phases)
        note = {"model": endpoint.name, "node": "model", **(note or {})}
        try:
            held = yield from self.meter.hold(account, amounts, note)
        except BudgetExceeded as refused:
            needed = getattr(with_tools, refused.limit, None) if with_tools else None
            tools = f" (a step with tools, and the answer after it, about {needed:,})" if needed else ""
            raise refused.because(
                f"The next call may need {refused.asked:,} {refused.limit}{tools} and was not sent: raise the budget, "
                "shorten the conversation, or lower caps=Caps(answer_tokens=…)"
            ) from None
        listener("plan", id=id_, **chosen.to_dict(), last_word=last_word)
        listener(
            "hold",
            id=id_,
            tokens=sum(a.tokens for a in amounts),
            usd_nanos=sum(amounts, Spend()).usd_nanos,
            requests=len(amounts),
        )
        return Ready(
            endpoint=endpoint, plan=chosen, at=at, messages=list(messages), phases=phases, held=held, note=note,
            last_word=last_word, id=id_, effort_asked=str(getattr(wish or self.wish, "value", wish or self.wish)),
        )  # fmt: skip

    def _requests(
        self, endpoint: Endpoint, asked: Asked, plan: ThinkingPlan, inputs: int
    ) -> tuple[list[tuple[Phase, Settings]], list[Spend]]:
        """The one or two requests of a step, and the most that each can cost."""
        phases: list[tuple[Phase, Settings]] = []
        amounts = []
        for number, phase in enumerate(endpoint.dial.phases(plan, schema=asked.constrained)):
            settings = asked.settings(endpoint, plan, phase)
            phases.append((phase, settings))
            read = inputs + (_ASIDE_TOKENS if phase == "think" else 0)
            read += plan.thinking_tokens + 2 * _ASIDE_TOKENS if number else 0
            key = (plan.effort, plan.thinking_tokens, plan.answer_tokens, phase, read)
            amounts.append(asked.once(key, functools.partial(Meter.bound, endpoint, read, settings)))
        return phases, amounts

    def _inputs(
        self,
        account: str,
        endpoint: Endpoint,
        asked: Asked,
        messages: Sequence[BaseMessage],
        plan: ThinkingPlan,
        *,
        exact: bool,
    ) -> Flow[int]:
        phase = endpoint.dial.phases(plan, schema=asked.constrained)[-1]
        settings = asked.settings(endpoint, plan, phase)
        tokens = yield from self.meter.input_bound(endpoint, list(messages), settings, exact=exact, account=account)
        if endpoint.dial.steer is not None:  # at the most, every turn of a person carries a change of effort
            tokens += _STEER_TOKENS * sum(isinstance(message, HumanMessage) for message in messages)
        return int(tokens)

    def _fit(
        self, endpoint: Endpoint, asked: Asked, wanted: ThinkingPlan, inputs: int, room: Room, *, keep: bool
    ) -> ThinkingPlan | None:
        """The plan made small enough: less thought first, then a shorter answer; `None` if nothing fits.

        Args:
            keep: The last word is kept back: one answer without tools, after this step and what its tools return.
        """

        def bound(plan: ThinkingPlan, more_inputs: int = 0) -> Spend:
            return sum(self._requests(endpoint, asked, plan, inputs + more_inputs)[1], Spend())

        context = endpoint.context_tokens
        answers = [wanted.answer_tokens]
        while answers[-1] // 2 >= _LEAST_ANSWER_TOKENS:
            answers.append(answers[-1] // 2)
        for answer_tokens in answers:
            shorter = wanted
            if answer_tokens < wanted.answer_tokens:
                shorter = wanted.because(
                    f"the room allows an answer of {answer_tokens} tokens", by="budget", answer_tokens=answer_tokens
                )
            left = room
            if keep:
                least = within(self._least(shorter, endpoint), inputs, endpoint)
                if least is None:
                    return None
                later = shorter.max_output_tokens + self.tool_result_tokens
                if context is not None:  # what is above it can't be asked for either
                    later = max(0, min(later, context - inputs - 2 * least.max_output_tokens - 256))
                left = room.minus(bound(least, later))
            fitting = within(shorter, inputs, endpoint)
            plan = fitting and self.policy.fit(fitting, left, endpoint.dial.facts, bound)
            if plan is not None:
                return plan
        return None

    def _with_tools(self, endpoint: Endpoint, asked: Asked, wanted: ThinkingPlan, inputs: int) -> Spend:
        """What the smallest step with tools needs, together with the answer that is kept back for after it."""
        least = self._least(wanted, endpoint)
        later = inputs + least.max_output_tokens + self.tool_result_tokens
        return sum((s for read in (inputs, later) for s in self._requests(endpoint, asked, least, read)[1]), Spend())

    @staticmethod
    def _least(wanted: ThinkingPlan, endpoint: Endpoint) -> ThinkingPlan:
        facts = endpoint.dial.facts
        lowest = facts.nearest(Effort.none)
        tokens = min(wanted.answer_tokens, _LAST_WORD_TOKENS)
        return replace(wanted, effort=lowest, thinking_tokens=facts.levels[lowest], answer_tokens=tokens)

    # --- call and settle -------------------------------------------------------------------------------

    def step(self, account: str, ready: Ready) -> Flow[AIMessage]:
        """Send a step that is ready, request by request, and settle it.

        Raises:
            Exception: as the chat model raised it, when the meter's attempts are used up.
        """
        phases = yield from self.before_last(account, ready)
        reply: Reply | None = None
        for phase, settings in phases:
            if reply is not None and not (phase == "answer" and reply.empty):
                break
            reply = yield from self.call(account, ready, phase, settings)
            ready.thought = reply.thought or ready.thought
        yield from self.give_back(ready)
        assert reply is not None, "a step has at least one request"  # noqa: S101
        return self.finish(ready, reply)

    def before_last(self, account: str, ready: Ready) -> Flow[list[tuple[Phase, Settings]]]:
        """Think first, where the model has no dial of its own; what is left to send comes back."""
        phases = list(ready.phases)
        if phases[0][0] == "think":
            phase, settings = phases.pop(0)
            reply = yield from self.call(account, ready, phase, settings)
            ready.thought = reply.thought
        return phases

    def call(self, account: str, ready: Ready, phase: Phase, settings: Settings) -> Flow[Reply]:
        """One request of a step, under the first of its holds; if it fails, the others are given back."""
        held = ready.held.pop(0)
        try:
            return (
                yield from self.meter.call(
                    ready.endpoint,
                    account,
                    held,
                    ready.sent(phase),
                    settings,
                    phase,
                    ready.note,
                    ready.about(phase),
                    ready.reread(phase),
                )
            )
        except BaseException:
            yield from self.give_back(ready)
            raise

    def give_back(self, ready: Ready) -> Flow[None]:
        """What of the step was held and won't be sent."""
        while ready.held:
            yield from self.meter.void(ready.held.pop(0).id)

    def finish(self, ready: Ready, reply: Reply, listener: Listener = _nobody) -> AIMessage:
        """The reply, with what it was thought with in its metadata."""
        message = reply.message or AIMessage(reply.text)
        if ready.last_word and message.tool_calls:  # told not to, and there is no room to run them
            message.tool_calls, message.invalid_tool_calls, message.content = [], [], reply.text
            for name in ("tool_calls", "function_call"):
                message.additional_kwargs.pop(name, None)
        message.response_metadata[THOUGHT_WITH] = self.stamp(ready, reply)
        spend = reply.spend or Spend()
        listener(
            "call",
            id=ready.id,
            model=ready.endpoint.name,
            stop=reply.stop,
            starved=reply.starved and not message.tool_calls,
        )
        listener("settle", id=ready.id, **spend.to_dict())
        return message

    @staticmethod
    def stamp(ready: Ready, reply: Reply) -> dict[str, Any]:
        """Plain data for a message: what it was thought with, who decided it and why."""
        plan = ready.plan
        called = bool(reply.message and reply.message.tool_calls)
        thinks = any(settings.max_thinking_tokens for _, settings in ready.phases)
        return {
            "id": ready.id,
            "effort": plan.effort.value if thinks else Effort.none.value,  # a forced tool may forbid what was planned
            "thinking_tokens": plan.thinking_tokens if thinks else 0,
            "used_thinking_tokens": reply.spend.thinking_tokens if reply.spend else None,
            "model": ready.endpoint.name,
            "decided_by": plan.decided_by,
            "reasons": list(plan.reasons),
            "seam": ready.at.seam,
            "notes": [note for _, settings in ready.phases for note in settings.notes],
            "switch_usd_nanos": plan.switch_usd_nanos,
            "starved": reply.starved and not called,
            "last_word": ready.last_word,
        }
