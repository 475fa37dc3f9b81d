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
from rheostat.calling.cancel import Cancel, Cancelled, several, streamed
from rheostat.calling.ceilings import Ceilings
from rheostat.calling.gate import close_call
from rheostat.calling.holds import OnContention
from rheostat.calling.instrument import refusal_in
from rheostat.calling.payer import Attempt, Call, Payer, under
from rheostat.calling.record import record_of
from rheostat.calling.waits import RetryAfter, pause
from rheostat.errors import BadInput, LedgerError
from rheostat.flow import Effect, Flow
from rheostat.money.ledger import Ledger, Reservation
from rheostat.providers import Endpoint, Reply, Settings, failure
from rheostat.providers.adapter import model_of
from rheostat.providers.dial import Messages
from rheostat.providers.failures import noted, retryable
from rheostat.providers.generic import accepted

__all__ = ["Meter"]


class Meter(Ceilings):
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
            the deadline or for ten minutes; or `refuse` at once. A rate is waited for until the deadline, or refused.
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
        super().__init__(ledger, on_contention=on_contention, stale_after_seconds=stale_after_seconds, gated=gate)
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
        """Send one request for one answer: see `call_for`."""
        [reply] = yield from self.call_for(
            1, endpoint, account, held, messages, settings, phase, note, about, reread,
            alone=alone, attempts=attempts, cancel=cancel,
        )  # fmt: skip
        return reply

    def call_for(
        self,
        answers: int,
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
    ) -> Flow[list[Reply]]:
        """Send one request under a hold, with retries; the gate settles each attempt.

        Args:
            answers: The number of answers from one prefill (`n`), on models that give several. The last reply's
                `spend` is that of the whole request only if there is one answer.
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
                    planned = self.planned(
                        endpoint, reservation, note, named, reread, alone=alone, asked=messages, cancel=cancel
                    )
                    reservation = None
                    try:
                        replies = yield from self._attempt(
                            answers, endpoint, account, planned, messages, settings, phase, cancel
                        )
                    finally:
                        if attempts is not None:
                            attempts += planned.attempts
                except Exception as error:
                    if cancel is not None and cancel.is_set:
                        raise Cancelled(None) from error
                    if failure(error) != "refused" and endpoint.revive is not None:
                        yield from self._revive(endpoint.revive)
                    state.set_exception(sys.exc_info())  # type: ignore[arg-type]  # inside an except
                else:
                    state.set_result(replies)
            elif isinstance(todo, DoSleep):
                seconds = float(todo)
                left = yield from self.room(account)
                if left.seconds is not None and seconds >= left.seconds and state.outcome is not None:
                    state.outcome.result()  # raises the failure: the next attempt would come after the deadline
                state.prepare_for_next_attempt()
                yield pause(seconds)
            else:
                done: list[Reply] = todo
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
        asked: Messages = (),
        cancel: Cancel | None = None,
    ) -> Call:
        """A call under this hold, for the gate.

        Args:
            about: The decisions, as fields of a `StepRecord`; without them no record is kept.
            reread: A thought that is sent back, and the most tokens that it can have, which is fewer than its bytes.
            asked: The messages that are sent, for those who watch.
            cancel: It doesn't leave any more, once this is switched.
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
            asked=asked,
            wanted=(cancel or Cancel()).goes_on,
        )

    def payer(self, account: str, call: Call | None = None, **known: Any) -> Payer:
        """This account as a payer, for the gate.

        Args:
            known: Other fields of `Payer`: the budget, declared prices, whether it is an agent's run.
        """
        patient, paced = self.patient, self.paced
        return Payer(self.ledger, account, call=call, gated=self.gated, patient=patient, paced=paced, **known)

    def _revive(self, revive: Callable[[], bool]) -> Flow[None]:
        yield Effect(revive, lambda: asyncio.to_thread(revive))

    def _attempt(
        self,
        answers: int,
        endpoint: Endpoint,
        account: str,
        call: Call,
        messages: Messages,
        settings: Settings,
        phase: Any,
        cancel: Cancel | None,
    ) -> Flow[list[Reply]]:
        kwargs = dict(accepted(endpoint.chat, settings.kwargs))
        config: Any = {"callbacks": []} if self._quiet else None
        payer = self.payer(account, call)

        if answers > 1:
            work = several(endpoint.chat, messages, answers, quiet=self._quiet, **kwargs)
        elif cancel is None:
            work = Effect(
                lambda: endpoint.chat.invoke(messages, config, **kwargs),
                lambda: endpoint.chat.ainvoke(messages, config, **kwargs),
            )
        else:
            work = streamed(endpoint.chat, messages, config, kwargs, cancel)
        try:
            said = yield under(payer, work)
        except BaseException as error:
            yield from self.close(call, error=error)
            refusal = refusal_in(error)
            if refusal is not None and refusal is not error:
                raise refusal from None
            noted(error, endpoint.chat)
            raise
        if answers == 1:
            return [(yield from self.read(endpoint, call, said, messages, settings, phase))]
        return (yield from self._read_several(endpoint, call, said, messages, settings, phase))

    def _read_several(
        self, endpoint: Endpoint, call: Call, said: list[AIMessage], messages: Messages, settings: Settings, phase: Any
    ) -> Flow[list[Reply]]:
        call.said = said
        try:
            replies = [replace(endpoint.dial.decode(each, settings, phase, messages), message=each) for each in said]
        except BaseException as error:
            yield from self.close(call, error=error)
            raise
        counts = [each.spend.thinking_tokens if each.spend else None for each in replies]
        thinking_tokens = sum(each or 0 for each in counts) if None not in counts else None
        yield from self.close(call, replies[-1], thinking_tokens=thinking_tokens)
        return replies

    def read(
        self, endpoint: Endpoint, call: Call, message: AIMessage, messages: Messages, settings: Settings, phase: Any
    ) -> Flow[Reply]:
        """Read a reply and settle it.

        Raises:
            HoldExceeded: it cost more than was held. The full cost is posted.
        """
        call.said = (message,)
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

    def close(
        self,
        call: Call,
        reply: Reply | None = None,
        error: BaseException | None = None,
        *,
        thinking_tokens: int | None = None,
    ) -> Flow[None]:
        """Close a planned call: settle what was read, void what wasn't sent, and write the step record.

        Args:
            thinking_tokens: Those of all answers; `None`: those of the reply.
        """
        call.stop = reply.stop if reply is not None else ""
        if thinking_tokens is None:
            thinking_tokens = reply.spend.thinking_tokens if reply and reply.spend else None
        try:
            yield from close_call(call, self.ledger, thinking_tokens=thinking_tokens)
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
