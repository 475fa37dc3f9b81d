"""One step of an agent: estimate from the messages → a plan that fits the room → hold → call → settle.

`difficulty.trajectory` estimates, `pacing` plans, and `meter` holds, calls and settles. The last word is paid for in
advance: while tools are offered, enough is kept back for one answer without them; when no more than that is left, the
step asks for it. This module doesn't use LangGraph: the chat model, the middleware and the nodes wrap it.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from rheostat.calling.call_options import CallOptions
from rheostat.calling.fit import Fitted, Fitting, Planned
from rheostat.calling.ready import ReadyStep
from rheostat.calling.settings import RunSettings
from rheostat.calling.shape import closed, read_before, shortened, steered
from rheostat.errors import BudgetExceeded
from rheostat.flow import Flow
from rheostat.judgement.policy import Caps
from rheostat.money.budget import Room
from rheostat.money.ledger import Reservation
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, Reply, Settings
from rheostat.providers.dial import Phase
from rheostat.task import AskedEffort, Effort, ThinkingPlan
from rheostat.thinking.clamps import Clamps
from rheostat.thinking.difficulty import THOUGHT_WITH, Trajectory, read_trajectory

__all__ = ["LAST_WORD", "Listener", "Stepper"]

Listener: TypeAlias = Callable[..., None]
"""`listener(type, **data)`: called at every estimate, plan, hold, call and settlement."""

LAST_WORD = (
    "The budget for this task is nearly used up: this is your last message. Give your best answer now from what you "
    "know, without calling tools. Say what is unfinished."
)
GIVE_UP = (
    "The last {failures} tool calls failed. Don't try again. Say plainly what you tried, what failed and why, and what "
    "would be needed."
)
_TRIES = 3
"""How often a step is planned: others may take the room between a plan and its hold."""
_SHORT_CHARS = (1_000, 200)


def _no_listener(type_: str, **data: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Stepper(RunSettings):
    """Plans and sends the steps of an agent."""

    tool_result_tokens: int = 2_000
    """Tokens that the reserve for the last word allows for the tool results before it."""

    def wanted(self, messages: Sequence[BaseMessage], *, tools: bool = False) -> ThinkingPlan:
        """The plan of the next step before it is fitted to the room."""
        at = read_trajectory(messages)
        endpoint = self._model_after(at)
        return self.pacing.plan(
            at, self.policy, self.effort, self.caps, endpoint.dial.facts,
            price=endpoint.price, cached_tokens=read_before(messages), tools=tools,
        )  # fmt: skip

    def _model_after(self, at: Trajectory) -> Endpoint:
        return self.models[min(at.failures // self.pacing.escalate_after, len(self.models) - 1)]

    def _clamps(self, endpoint: Endpoint, options: CallOptions) -> Flow[Clamps | None]:
        if not endpoint.dial.facts.clamped:
            return None
        return Clamps(endpoint.name, (yield from self.meter.uses(endpoint.name)), options.most_answer_tokens)

    # --- plan and hold --------------------------------------------------------------------------------

    def ready(
        self,
        account: str,
        messages: Sequence[BaseMessage],
        kwargs: dict[str, Any],
        *,
        effort: AskedEffort | None = None,
        note: dict[str, str] | None = None,
        listener: Listener = _no_listener,
        beside_tokens: int = 0,
        standing: bool = False,
        widened: bool = False,
    ) -> Flow[ReadyStep]:
        """Plan and hold one step.

        Args:
            account: The account that pays; open in the ledger.
            messages: The conversation.
            kwargs: Arguments bound to the model or given to the call: tools, tool_choice, max_tokens, temperature …
            beside_tokens: Tokens that others put into the request beside that.
            standing: The account is one run's, and the reserve for its last word is a hold of its own.
            widened: Twice the usual length cap, because the first reply to this step ran out of it.

        Raises:
            BudgetExceeded: not even the last word fits. Says what is needed; nothing was sent or charged.
        """
        at, id_ = read_trajectory(messages), uuid.uuid4().hex
        messages = closed(messages)
        listener(
            "estimate",
            id=id_,
            **at.difficulty.to_dict(),
            boundary=at.boundary,
            seam=at.boundary,  # the former name
            failures=at.failures,
            repeats=at.repeats,
        )
        asked = effort or self.effort
        for tries_left in reversed(range(_TRIES)):
            made = yield from self._planned(account, at, messages, kwargs, asked, beside_tokens, standing, widened)
            plan, endpoint = made.plan, made.fitting.endpoint
            phases, amounts = made.fitting.requests(plan, made.inputs)
            named = {"model": endpoint.name, "node": "model", **(note or {})}
            try:
                held = yield from self._held(account, made, amounts, named, standing=standing)
            except BudgetExceeded as refused:
                if made.fits and tries_left and refused.limit != "seconds":
                    continue  # others have taken the room meanwhile
                why = made.explained(refused, account)
                listener(
                    "refused", id=id_, why=str(why), limit=refused.limit, input_tokens=made.inputs, **plan.to_dict()
                )
                raise why from None
            break
        if made.last_word:
            listener("wind_down", stage="last word", why=made.why)
        sent: Sequence[BaseMessage] = made.messages
        if endpoint.dial.steer is not None:
            sent, phases = steered(endpoint, sent, plan, phases)
        again = None
        clamps = made.fitting.clamps
        if clamps is not None and clamps.own_tokens is None and not (made.last_word or widened or plan.widened):
            again = functools.partial(
                self.ready, account, messages, kwargs, effort=effort, note=note, listener=listener,
                beside_tokens=beside_tokens, standing=standing, widened=True,
            )  # fmt: skip
        listener("plan", id=id_, **plan.to_dict(), last_word=made.last_word)
        most = sum(amounts, Spend())
        listener("hold", id=id_, tokens=most.tokens, usd_nanos=most.usd_nanos, requests=len(amounts))
        return ReadyStep(
            endpoint=endpoint,
            plan=plan,
            at=at,
            messages=list(sent),
            phases=phases,
            held=held,
            note=named,
            last_word=made.last_word,
            last_word_why=made.why if made.last_word else "",
            gave_up=made.gave_up,
            id=id_,
            again=again,
            effort_asked=asked.value if isinstance(asked, Effort) else asked,
        )

    def _planned(
        self,
        account: str,
        at: Trajectory,
        messages: Sequence[BaseMessage],
        kwargs: dict[str, Any],
        effort: AskedEffort,
        beside_tokens: int,
        standing: bool,
        widened: bool,
    ) -> Flow[Planned]:
        """The step that fits the room now; else the last word; else the smallest step, which the ledger will refuse."""
        endpoint = self._model_after(at)
        options = CallOptions.read(kwargs, endpoint, at.loop)
        caps = replace(self.caps, answer_tokens=options.answer_tokens(self.caps.answer_tokens))
        fitting = Fitting(
            meter=self.meter,
            policy=self.policy,
            endpoint=endpoint,
            options=options,
            clamps=(yield from self._clamps(endpoint, options)),
            tool_result_tokens=self.tool_result_tokens,
        )
        wanted = self._wanted(at, fitting, effort, caps, messages, widened=widened)
        room = yield from self.meter.room(account)
        if standing:
            room = room.plus((yield from self.meter.kept(account)))
        giving_up = options.offers_tools and at.failures >= self.pacing.give_up_after
        fitted, inputs, bounded = None, 0, 0
        for exact in (False, True):
            inputs = beside_tokens + (yield from fitting.inputs(account, messages, wanted, exact=exact))
            if not giving_up:
                fitted = fitting.fit(wanted, inputs, room, keep=options.offers_tools)
            bounded = max(bounded, inputs)
            if fitted is not None or endpoint.dial.counts_at_once:
                break
        enough = fitting.smallest(wanted, bounded) if fitted is None else Spend()
        if fitted is not None or not options.offers_tools:
            return Planned(fitting, wanted, fitted, inputs, messages, enough=enough)
        why = f"{at.failures} failures in a row" if giving_up else "the room is for one answer only"
        said = GIVE_UP.format(failures=at.failures) if giving_up else LAST_WORD
        with_tools = fitting.with_tools(wanted, inputs)
        without = replace(fitting, options=options.without_tools(endpoint))
        wanted = wanted.because(f"the last word: {why}", by="budget", purpose="last word")
        sent: Sequence[BaseMessage] = [*messages, HumanMessage(said)]
        sent, fitted, inputs = yield from self._last_word(without, wanted, account, sent, room, beside_tokens)
        return Planned(
            without, wanted, fitted, inputs, sent, last_word=True, why=why, gave_up=giving_up, enough=enough,
            with_tools=with_tools,
        )  # fmt: skip

    @staticmethod
    def _last_word(
        fitting: Fitting,
        wanted: ThinkingPlan,
        account: str,
        sent: Sequence[BaseMessage],
        room: Room,
        beside_tokens: int,
    ) -> Flow[tuple[Sequence[BaseMessage], Fitted | None, int]]:
        """One answer without tools, of a conversation that is shortened until it fits."""
        fitted, inputs = None, 0
        for chars in (None, *_SHORT_CHARS):
            sent = shortened(sent, chars)
            inputs = beside_tokens + (yield from fitting.inputs(account, sent, wanted, exact=chars is not None))
            fitted = fitting.fit(wanted, inputs, room, keep=False)
            if fitted is not None:
                break
        return sent, fitted, inputs

    def _wanted(
        self,
        at: Trajectory,
        fitting: Fitting,
        effort: AskedEffort,
        caps: Caps,
        messages: Sequence[BaseMessage],
        *,
        widened: bool,
    ) -> ThinkingPlan:
        """The plan of the step before it is fitted to the room, with the length cap that its level needs."""
        endpoint, options = fitting.endpoint, fitting.options
        free = endpoint.dial.steer is not None and at.boundary == "turn"  # the change doesn't cost the cache
        wanted = self.pacing.plan(
            at,
            self.policy,
            effort,
            caps,
            endpoint.dial.facts,
            price=endpoint.price,
            cached_tokens=0 if free else read_before(messages),
            tools=options.offers_tools,
        )
        for reason in options.notes:
            wanted = wanted.because(reason)
        if fitting.clamps is not None:
            if fitting.clamps.too_short_to_think and not isinstance(effort, Effort):
                lowest = endpoint.dial.facts.nearest(Effort.none)
                told = wanted.because(f"max_tokens={options.most_answer_tokens} leaves no room for a thought")
                wanted = self.policy.set_effort(told, lowest, caps, endpoint.dial.facts)
            wanted = fitting.clamps.on(wanted, widened=widened or (at.starved and not at.widened))
        return wanted

    def _held(
        self, account: str, made: Planned, amounts: Sequence[Spend], note: dict[str, str], *, standing: bool
    ) -> Flow[list[Reservation]]:
        """Hold a step and the reserve for the last word after it, or draw the last word from that reserve."""
        if not standing:
            return (yield from self.meter.hold(account, amounts, note))
        if made.fitting.options.offers_tools:
            if made.fitted is not None:
                yield from self.meter.keep(account, made.fitted.after, note)
            return (yield from self.meter.hold(account, amounts, note))
        return (yield from self.meter.draw(account, amounts, note))

    # --- call and settle -------------------------------------------------------------------------------

    def step(self, account: str, ready: ReadyStep) -> Flow[AIMessage]:
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
        wider = yield from self.wider(ready, reply)
        return self.finish(ready, reply) if wider is None else (yield from self.step(account, wider))

    def wider(self, ready: ReadyStep, reply: Reply) -> Flow[ReadyStep | None]:
        """The step with twice the length cap, after a reply that ran out of it before it said or did anything.

        This happens once, and only with room for a larger cap: the same request is never sent again.
        """
        if ready.again is None or not reply.ran_out:
            return None
        try:
            again = yield from ready.again()
        except BudgetExceeded:
            return None
        if again.last_word or again.plan.max_output_tokens <= ready.plan.max_output_tokens:
            yield from self.give_back(again)
            return None
        return again

    def before_last(self, account: str, ready: ReadyStep) -> Flow[list[tuple[Phase, Settings]]]:
        """Send the think-first request, if the plan has one, and return the requests that are left to send."""
        phases = list(ready.phases)
        if phases[0][0] == "think":
            phase, settings = phases.pop(0)
            reply = yield from self.call(account, ready, phase, settings)
            ready.thought = reply.thought
        return phases

    def call(self, account: str, ready: ReadyStep, phase: Phase, settings: Settings) -> Flow[Reply]:
        """Send one request of a step under the first of its holds; if it fails, void the others."""
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
                    alone=not ready.held,
                )
            )
        except BaseException:
            yield from self.give_back(ready)
            raise

    def give_back(self, ready: ReadyStep) -> Flow[None]:
        """Void the holds of requests that won't be sent."""
        while ready.held:
            yield from self.meter.void(ready.held.pop(0).id)

    def finish(self, ready: ReadyStep, reply: Reply, listener: Listener = _no_listener) -> AIMessage:
        """The reply as a message, with its stamp in the metadata."""
        message = reply.message or AIMessage(reply.text)
        if ready.last_word and message.tool_calls:  # it was told not to, and there is no room to run them
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
            starved=reply.ran_out,
        )
        listener("settle", id=ready.id, **spend.to_dict())
        return message

    @staticmethod
    def stamp(ready: ReadyStep, reply: Reply) -> dict[str, Any]:
        """Plain data for a message: how it was thought, what decided that, and why."""
        plan = ready.plan
        thinks = any(settings.max_thinking_tokens for _, settings in ready.phases)
        return {
            "id": ready.id,
            "effort": plan.effort.value if thinks else Effort.none.value,  # a forced tool may rule out thinking
            "thinking_tokens": plan.thinking_tokens if thinks else 0,
            "used_thinking_tokens": reply.spend.thinking_tokens if reply.spend else None,
            "usd_nanos": reply.spend.usd_nanos if reply.spend else None,
            "model": ready.endpoint.name,
            "decided_by": plan.decided_by,
            "reasons": list(plan.reasons),
            "boundary": ready.at.boundary,
            "seam": ready.at.boundary,  # the former name
            "notes": [note for _, settings in ready.phases for note in settings.notes],
            "switch_usd_nanos": plan.switch_usd_nanos,
            "starved": reply.ran_out,
            "widened": plan.widened,
            "last_word": ready.last_word,
            "last_word_why": ready.last_word_why,
            "gave_up": ready.gave_up,
            "stop": reply.stop,
        }
