"""Planned calls: hold, send, retry, read. The gate sees each request leave and settles it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage
from tenacity import DoAttempt, DoSleep, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from rheostat.calling import instrument, unwired  # noqa: F401 - models without a wire are seen from here on
from rheostat.calling.cancel import Cancel, streamed
from rheostat.calling.conversations import Conversations
from rheostat.calling.gate import close_call
from rheostat.calling.holds import Holds, OnContention
from rheostat.calling.instrument import refusal_in
from rheostat.calling.payer import Attempt, Call, Payer, under
from rheostat.calling.record import record_of
from rheostat.calling.waits import RetryAfter, longest, pause
from rheostat.errors import BadInput, LedgerError, NoPrice
from rheostat.flow import Effect, Flow
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger, Reservation
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, Reply, Settings, failure
from rheostat.providers.adapter import model_of
from rheostat.providers.bounds import input_bound, searches
from rheostat.providers.dial import Messages
from rheostat.providers.failures import retryable
from rheostat.providers.generic import accepted

__all__ = ["Meter"]


_ABSURD_TOKENS = 4_000_000
_PLENTY = 1_000_000
"""Input tokens assumed where nothing bounds them and no limit counts them."""


class Meter(Holds):
    """Calls models under a ledger. Most methods are flows: run them with `rheostat.flow.drive` or `adrive`.

    Args:
        ledger: The ledger that holds and settles.
        attempts: The most times that one request may be sent, the first included.
        wait: The pause between attempts (a tenacity wait), where the server doesn't ask for one.
        most_retry_after_seconds: The longest `Retry-After` that is honoured. Nothing waits beyond the deadline.
        stale_after_seconds: A hold untouched for this long has lost its holder: it is marked as unknown if its request
            was sent (a late settle still counts), else given back. Such holds are looked for now and then, when an
            account is opened; `None`: never.
        quiet: Call models without the run's callbacks, for a caller that reports the call as its own.
        on_contention: Where room is only held by requests in flight: `wait` for it, first come, first served, until
            the deadline or for ten minutes; or `refuse` at once.
        gate: Read requests where they leave. False, where instrumentation is forbidden: LangChain's objects are
            trusted, and what the SDK sends beyond them (retries, settings of the model object) is in no ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        attempts: int = 3,
        wait: wait_base | None = None,
        most_retry_after_seconds: float = 60.0,
        stale_after_seconds: float | None = 3600.0,
        quiet: bool = False,
        on_contention: OnContention = "wait",
        gate: bool = True,
    ) -> None:
        if attempts < 1:
            raise BadInput(f"attempts must be at least 1, not {attempts}")
        if gate:
            instrument.install_gate()
        self.gated = gate
        super().__init__(ledger, on_contention=on_contention, stale_after_seconds=stale_after_seconds)
        self.conversations = Conversations()
        self._quiet = quiet
        self._retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=RetryAfter(wait or wait_random_exponential(multiplier=0.5, max=8), most_retry_after_seconds),
            retry=retry_if_exception(retryable),
            reraise=True,
        )

    def on(self, ledger: Ledger) -> Meter:
        """This meter on another ledger; what it remembers of runs is shared."""
        meter = copy.copy(self)
        meter.ledger, meter._uses = ledger, {}
        return meter

    # --- bounds -----------------------------------------------------------------------------------

    def input_bound(
        self, endpoint: Endpoint, messages: Messages, settings: Settings, *, exact: bool = False, account: str = ""
    ) -> Flow[int]:
        """The most input tokens: known from before, bounded by the request's content, or counted by the provider.

        Args:
            exact: Ask the provider even where that takes a request of its own.
            account: The conversation's account: where a conversation only grew, only the new part is bounded.

        Raises:
            BadInput: nothing bounds it: an unlimited tool on the provider's side, or a file and no known context.
        """
        dial, context = endpoint.dial, endpoint.context_tokens
        if not dial.counts_at_once and dial.steer is None:
            known = self.conversations.bound(account, endpoint.name, messages, settings.kwargs, dial.overhead)
            if known is not None and not searches(settings.kwargs):
                return known
        try:
            found = input_bound(messages, settings.kwargs, dial.overhead)
        except BadInput:  # the provider's own tools, without a limit
            if (yield from self._counts_tokens(account)):
                raise
            return min(_PLENTY, (context or 2 * _PLENTY) // 2)
        bound = found.tokens
        if context is not None and (bound is None or bound > context):  # no more than that is read
            bound = found.rounds * max(1, context - settings.max_output_tokens)
        if bound is not None and bound > _ABSURD_TOKENS * found.rounds:
            raise BadInput(f"a request of {bound:,} bytes is more than any model reads")
        if found.rounds == 1 and (exact or bound is None or dial.counts_at_once):
            counting = dial.count_input(messages, settings)
            if counting is not None:
                counted: int | None
                try:
                    counted = int((yield under(Payer(self.ledger, "", gated=self.gated), counting)))
                except Exception:  # the server can't count now; the bound holds anyway
                    counted = bound
                bound = counted if bound is None else min(bound, counted or bound)
        if bound is None and not (yield from self._counts_tokens(account)):
            return _PLENTY
        if bound is None:
            raise BadInput(
                f"the input of this request can't be bounded for {endpoint.name}: its context is unknown. "
                "Send text, or give the chat model a profile with max_input_tokens"
            )
        return bound

    def _counts_tokens(self, account: str) -> Flow[bool]:
        """Whether a limit of this account, or of one above it, needs a bound on tokens."""
        if not account:
            return True
        room = yield from self.room(account)
        return any(left is not None for left in (room.usd_nanos, room.tokens, room.output_tokens, room.thinking_tokens))

    @staticmethod
    def bound(endpoint: Endpoint, input_tokens: int, settings: Settings) -> Spend:
        """The most that one request can cost.

        Raises:
            BadInput: the request is larger than the model's context.
        """
        try:
            terms = replace(settings.terms, web_searches=searches(settings.kwargs))
        except BadInput:  # no limit counts tokens: see `input_bound`
            terms = settings.terms
        total = input_tokens + settings.max_output_tokens
        if not terms.web_searches and endpoint.context_tokens is not None and total > endpoint.context_tokens:
            raise BadInput(
                f"{endpoint.name} has a context of {endpoint.context_tokens:,} tokens; this request may need {total:,} "
                f"({input_tokens:,} of input, {settings.max_output_tokens:,} of output). Shorten the question."
            )
        spend = Spend(
            input_tokens=input_tokens,
            output_tokens=settings.max_output_tokens,
            thinking_tokens=settings.max_thinking_tokens,
            calls=1,
            milliseconds=int(1000 * longest(endpoint.price)),
        )
        return replace(spend, usd_nanos=endpoint.price.bound(spend, terms) if endpoint.price else None)

    @staticmethod
    def check_price(endpoint: Endpoint, budget: Budget) -> None:
        """Check that a model has a price if the budget has a limit in money.

        Raises:
            NoPrice: it has none.
        """
        if budget.usd is not None and endpoint.price is None:
            raise NoPrice(
                f"no price is known for {endpoint.name}, so a limit of ${budget.usd} can't bind it. "
                "Give a price: resolve(model, price=Price(…)) instead of the model, or, where a chat model is wanted, "
                "AdaptiveThinking(endpoint=lambda chat: resolve(chat, price=Price(…))); or limit tokens, calls or "
                "seconds instead. If only its address hides the provider: endpoint_for(chat, provider='openai')."
            )

    # --- the call ---------------------------------------------------------------------------------

    def call(
        self,
        endpoint: Endpoint,
        account: str,
        held: Reservation,
        messages: Messages,
        settings: Settings,
        phase: Any,
        note: dict[str, str],
        about: Mapping[str, Any] | None = None,
        reread: tuple[str, int] | None = None,
        *,
        alone: bool = True,
        attempts: list[Attempt] | None = None,
        cancel: Cancel | None = None,
    ) -> Flow[Reply]:
        """Send one request under a hold, with retries; the gate settles each attempt.

        Args:
            about: As in `planned`.
            reread: As in `planned`.
            alone: Nothing else is held for this step, so a retry may wait for room.
            attempts: Takes the requests that left, also where the call fails.
            cancel: Stream the reply, so that this can cancel it; raises `Cancelled`.

        Raises:
            BudgetExceeded: a retry no longer fits, or the request is larger than its hold and the rest doesn't fit.
            Exception: the last failure, as the chat model raised it.
        """
        state = RetryCallState(retry_object=self._retrying, fn=None, args=(), kwargs={})
        self._retrying.begin()
        reservation: Reservation | None = held
        while True:
            todo = self._retrying.iter(retry_state=state)
            if isinstance(todo, DoAttempt):
                try:
                    if reservation is None:
                        [reservation] = yield from self.hold(account, [held.amount], note, alone=alone)
                    again = f".{state.attempt_number}" if state.attempt_number > 1 else ""
                    named = {**about, "id": f"{about['id']}{again}"} if about and "id" in about else about
                    planned = self.planned(endpoint, reservation, note, named, reread, alone=alone)
                    reservation = None
                    try:
                        reply = yield from self._attempt(endpoint, account, planned, messages, settings, phase, cancel)
                    finally:
                        if attempts is not None:
                            attempts += planned.attempts
                except Exception as error:
                    if failure(error) != "refused" and endpoint.revive is not None:
                        yield from self._revive(endpoint.revive)
                    state.set_exception(sys.exc_info())  # type: ignore[arg-type]  # inside an except
                else:
                    state.set_result(reply)
            elif isinstance(todo, DoSleep):
                seconds = float(todo)
                left = yield from self.room(account)
                if left.seconds is not None and seconds >= left.seconds and state.outcome is not None:
                    state.outcome.result()  # raises the failure: the next attempt would come after the deadline
                state.prepare_for_next_attempt()
                yield pause(seconds)
            else:
                done: Reply = todo
                return done

    def planned(
        self,
        endpoint: Endpoint,
        held: Reservation,
        note: dict[str, str],
        about: Mapping[str, Any] | None = None,
        reread: tuple[str, int] | None = None,
        *,
        alone: bool = True,
    ) -> Call:
        """A call under this hold, for the gate.

        Args:
            about: The decisions, as fields of a `StepRecord`; without them no record is kept.
            reread: A thought that is sent back, and the most tokens that it can have, which is fewer than its bytes.
        """
        return Call(
            note=note,
            held=held,
            prices={model_of(endpoint.chat): endpoint.price},
            context_tokens=endpoint.context_tokens,
            reread=reread,
            most_thinking_tokens=held.amount.thinking_tokens,
            refined=True,
            about=dict(about or {}),
            account=held.account,
            alone=alone,
        )

    def payer(self, account: str, call: Call | None = None, **known: Any) -> Payer:
        """This account as a payer, for the gate.

        Args:
            known: Other fields of `Payer`: the budget, declared prices, whether it is an agent's run.
        """
        return Payer(self.ledger, account, call=call, gated=self.gated, patient=self.patient, **known)

    def _revive(self, revive: Callable[[], bool]) -> Flow[None]:
        yield Effect(revive, lambda: asyncio.to_thread(revive))

    def _attempt(
        self,
        endpoint: Endpoint,
        account: str,
        call: Call,
        messages: Messages,
        settings: Settings,
        phase: Any,
        cancel: Cancel | None,
    ) -> Flow[Reply]:
        kwargs = dict(accepted(endpoint.chat, settings.kwargs))
        config: Any = {"callbacks": []} if self._quiet else None
        payer = self.payer(account, call)

        if cancel is None:
            work = Effect(
                lambda: endpoint.chat.invoke(messages, config, **kwargs),
                lambda: endpoint.chat.ainvoke(messages, config, **kwargs),
            )
        else:
            work = streamed(endpoint.chat, messages, config, kwargs, cancel)
        try:
            message = yield under(payer, work)
        except BaseException as error:
            yield from self.close(call, error=error)
            refusal = refusal_in(error)
            if refusal is not None and refusal is not error:
                raise refusal from None
            raise
        return (yield from self.read(endpoint, call, message, messages, settings, phase))

    def read(
        self, endpoint: Endpoint, call: Call, message: AIMessage, messages: Messages, settings: Settings, phase: Any
    ) -> Flow[Reply]:
        """Read a reply and settle it.

        Raises:
            HoldExceeded: it cost more than was held. The full cost is posted.
        """
        try:
            reply = endpoint.dial.decode(message, settings, phase, messages)
        except BaseException as error:
            yield from self.close(call, error=error)
            raise
        sent = call.attempts[-1] if call.attempts else None
        yield from self.close(call, reply)
        spend = sent.spend if sent is not None and sent.spend is not None else call.amount
        if (
            sent is not None
            and sent.spend is not None
            and sent.planned
            and phase != "answer"
            and not call.beyond_tokens
        ):
            whole = messages[:-1] if phase == "think" else messages
            self.conversations.note(call.account, endpoint.name, whole, settings.kwargs, spend.input_tokens)
        return replace(reply, spend=spend, message=message)

    def close(self, call: Call, reply: Reply | None = None, error: BaseException | None = None) -> Flow[None]:
        """Close a planned call: settle what was read, void what wasn't sent, and write the step record."""
        try:
            yield from close_call(
                call, self.ledger, thinking_tokens=reply.spend.thinking_tokens if reply and reply.spend else None
            )
        finally:
            if call.about and call.attempts:
                step = record_of(call, reply, error)
                with contextlib.suppress(LedgerError):  # a lost record mustn't cost the reply
                    yield Effect(lambda: self.ledger.record(step), lambda: self.ledger.arecord(step))

    def again_after_seconds(self, error: Exception, attempt: int) -> float | None:
        """How long to wait before a failed request may be sent again, in seconds; `None`: it may not."""
        state = RetryCallState(retry_object=self._retrying, fn=None, args=(), kwargs={})
        state.attempt_number = attempt
        state.set_exception((type(error), error, error.__traceback__))
        if not retryable(error) or self._retrying.stop(state):
            return None
        return float(self._retrying.wait(state))
