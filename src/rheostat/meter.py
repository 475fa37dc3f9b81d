"""The only place where a model is called: hold → call → settle.

Every attempt has a reservation of its own. What happens to it:

=============================================  ==========================================================
a reply with usage                             settled at what it cost
a reply without usage or that can't be read;   stays charged at its full hold, as *unknown*
a cut, cancelled, timed-out or crashed
request; a 5xx
a 4xx or 429                                   settled at zero tokens and one call: the server did no work
no connection could be made                    voided: the request provably never left
=============================================  ==========================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage
from tenacity import DoAttempt, DoSleep, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from rheostat.budget import Budget, Room
from rheostat.errors import BadInput, LedgerError, NoPrice
from rheostat.flow import Effect, Flow
from rheostat.ledger import Account, Ledger, Reading, Reservation
from rheostat.providers import Endpoint, Reply, Settings, failure
from rheostat.providers.bounds import input_bound, searches
from rheostat.providers.dial import Messages
from rheostat.providers.failures import retryable
from rheostat.request import RetryAfter, longest, pause, request
from rheostat.usage import Spend

__all__ = ["Meter"]


_MOMENT_MILLISECONDS = 250
"""A call that is cut at the most seconds of its price ends a moment later, at our cost; what runs on is charged."""
_SWEEP_SECONDS = 600.0
_ABSURD_TOKENS = 4_000_000


class Meter:
    """Calls models under a ledger. All methods are flows: run them by `rheostat.flow.drive` or `adrive`.

    Args:
        ledger: Where the truth is.
        attempts: How often one request may be sent, the first time included.
        wait: Pause between attempts (a tenacity wait), if the server doesn't ask for a longer one.
        most_retry_after_seconds: How long a `Retry-After` is honoured. Nothing waits beyond the deadline.
        stale_after_seconds: A hold that nobody touched for so long has lost its holder: what was sent is charged as
            unknown (and a late settle still counts), what wasn't is given back. Looked for now and then, when an
            account is opened; `None`: never.
        quiet: Call models without the run's callbacks: for who reports the call as its own.
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
    ) -> None:
        if attempts < 1:
            raise BadInput(f"attempts must be at least 1, not {attempts}")
        self.ledger = ledger
        self._stale_after_seconds = stale_after_seconds
        self._quiet = quiet
        self._swept_at = float("-inf")
        self._retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=RetryAfter(wait or wait_random_exponential(multiplier=0.5, max=8), most_retry_after_seconds),
            retry=retry_if_exception(retryable),
            reraise=True,
        )

    # --- the ledger's methods as effects ----------------------------------------------------------

    def open(self, account: Account, reading: Reading | None) -> Flow[None]:
        """Open an account, from its last reading if the ledger has forgotten it."""
        yield Effect(lambda: self.ledger.open(account, reading), lambda: self.ledger.aopen(account, reading))
        stale = self._stale_after_seconds
        if stale is not None and time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            yield Effect(lambda: self.ledger.expire(stale), lambda: self.ledger.aexpire(stale))

    def amend(self, account: str, budget: Budget) -> Flow[None]:
        """Give an open account other limits."""
        yield Effect(lambda: self.ledger.amend(account, budget), lambda: self.ledger.aamend(account, budget))

    def reading(self, account: str) -> Flow[Reading]:
        """The totals now."""
        reading: Reading = yield Effect(lambda: self.ledger.reading(account), lambda: self.ledger.areading(account))
        return reading

    def room(self, account: str) -> Flow[Room]:
        """What is left now."""
        room: Room = yield Effect(lambda: self.ledger.room(account), lambda: self.ledger.aroom(account))
        return room

    def hold(self, account: str, amounts: Sequence[Spend], note: dict[str, str]) -> Flow[list[Reservation]]:
        """Hold all or none; see `Ledger.hold`."""
        held: list[Reservation] = yield Effect(
            lambda: self.ledger.hold(account, amounts, note),
            lambda: self.ledger.ahold(account, amounts, note),
        )
        return held

    def void(self, reservation: str) -> Flow[None]:
        """Give back a hold whose request never left."""
        yield Effect(lambda: self.ledger.void(reservation), lambda: self.ledger.avoid(reservation))

    def _begin(self, reservation: str) -> Flow[Room | None]:
        room: Room | None = yield Effect(
            lambda: self.ledger.begin(reservation), lambda: self.ledger.abegin(reservation)
        )
        return room

    def _settle(self, reservation: str, actual: Spend, request_id: str = "") -> Flow[None]:
        yield Effect(
            lambda: self.ledger.settle(reservation, actual, request_id),
            lambda: self.ledger.asettle(reservation, actual, request_id),
        )

    def _lose(self, reservation: str) -> Flow[None]:
        yield Effect(lambda: self.ledger.lose(reservation), lambda: self.ledger.alose(reservation))

    # --- bounds -----------------------------------------------------------------------------------

    def input_bound(
        self, endpoint: Endpoint, messages: Messages, settings: Settings, *, exact: bool = False
    ) -> Flow[int]:
        """The most input tokens: bounded by what is in the request, or counted by the provider.

        Args:
            exact: Ask the provider also where that takes a request of its own.

        Raises:
            BadInput: nothing bounds it: a tool on the provider's side without a most, a file and no known context.
        """
        found = input_bound(messages, settings.kwargs, endpoint.dial.overhead)
        bound = found.tokens
        if bound is None and endpoint.context_tokens is not None:
            bound = found.rounds * (endpoint.context_tokens - settings.max_output_tokens)
        if bound is not None and bound > _ABSURD_TOKENS * found.rounds:
            raise BadInput(f"a request of {bound:,} bytes is more than any model reads")
        if found.rounds == 1 and (exact or bound is None or endpoint.dial.counts_at_once):
            counting = endpoint.dial.count_input(messages, settings)
            if counting is not None:
                counted: int | None
                try:
                    counted = int((yield counting))
                except Exception:  # a server that can't count now: the bound is sound anyway
                    counted = bound
                bound = counted if bound is None else min(bound, counted or bound)
        if bound is None:
            raise BadInput(
                f"what is in this request can't be bounded for {endpoint.name}: its context is unknown. "
                "Send text, or give the chat model a profile with max_input_tokens"
            )
        return bound

    @staticmethod
    def bound(endpoint: Endpoint, input_tokens: int, settings: Settings) -> Spend:
        """The most that one request can cost.

        Raises:
            BadInput: the request is larger than the model's context.
        """
        terms = replace(settings.terms, web_searches=searches(settings.kwargs))
        total = input_tokens + settings.max_output_tokens
        if not terms.web_searches and endpoint.context_tokens is not None and total > endpoint.context_tokens:
            raise BadInput(
                f"{endpoint.name} holds {endpoint.context_tokens:,} tokens; this request may need {total:,} "
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
        """A money limit needs a price.

        Raises:
            NoPrice: there is none.
        """
        if budget.usd is not None and endpoint.price is None:
            raise NoPrice(
                f"no price is known for {endpoint.name}, so a limit of ${budget.usd} can't bind it. "
                "Give a price: resolve(model, price=Price(…)) instead of the model, or, where a chat model is wanted, "
                "AdaptiveThinking(endpoint=lambda chat: resolve(chat, price=Price(…))); or limit tokens, calls or "
                "seconds instead. If only its address hides who bills: endpoint_for(chat, provider='openai')."
            )

    # --- what isn't a model ---------------------------------------------------------------------------

    def pay(
        self,
        account: str,
        price: Spend,
        note: dict[str, str],
        work: Effect,
        *,
        unfinished: tuple[type[BaseException], ...] = (),
    ) -> Flow[Any]:
        """Do something that has a declared price, such as a tool on somebody else's API: hold, do, settle.

        It is charged whether it succeeds or raises: who declared the price didn't say that failures are free. Only what
        is `unfinished` (an interrupt: it will be done again from its beginning) is given back.

        Raises:
            BudgetExceeded: it doesn't fit; `work` wasn't begun.
            Exception: what `work` raised.
        """
        [held] = yield from self.hold(account, [price], note)
        reservation, _ = yield from self.begun(account, held, price, note)
        try:
            result = yield work
        except unfinished:
            yield from self.void(reservation.id)
            raise
        except Exception:
            yield from self._settle(reservation.id, price)
            raise
        except BaseException:  # cut in the middle
            yield from self._lose(reservation.id)
            raise
        yield from self._settle(reservation.id, price)
        return result

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
    ) -> Flow[Reply]:
        """Send one request under a hold, retry what may be retried, settle each attempt.

        Raises:
            BudgetExceeded: a retry didn't fit any more.
            Exception: the last failure, as the chat model raised it.
        """
        state = RetryCallState(retry_object=self._retrying, fn=None, args=(), kwargs={})
        self._retrying.begin()
        reservation: Reservation | None = held
        while True:
            todo = self._retrying.iter(retry_state=state)
            if isinstance(todo, DoAttempt):
                try:
                    reservation, room = yield from self.begun(account, reservation, held.amount, note)
                    reply = yield from self._attempt(endpoint, reservation, room, messages, settings, phase)
                except Exception as error:
                    reservation = None
                    if failure(error) != "refused" and endpoint.revive is not None:
                        yield from self._revive(endpoint.revive)
                    state.set_exception(sys.exc_info())  # type: ignore[arg-type]  # inside an except
                else:
                    state.set_result(reply)
            elif isinstance(todo, DoSleep):
                seconds = float(todo)
                left = yield from self.room(account)
                if left.seconds is not None and seconds >= left.seconds and state.outcome is not None:
                    state.outcome.result()  # raises: the next attempt would come after the deadline
                state.prepare_for_next_attempt()
                yield pause(seconds)
            else:
                done: Reply = todo
                return done

    def begun(
        self, account: str, reservation: Reservation | None, amount: Spend, note: dict[str, str]
    ) -> Flow[tuple[Reservation, Room]]:
        """A reservation under which a request may leave now: this one, or a fresh one if it was begun before."""
        while True:
            if reservation is None:
                [reservation] = yield from self.hold(account, [amount], note)
            try:
                room = yield from self._begin(reservation.id)
            except BaseException:  # cancelled, or the ledger is gone: whatever it noted, nothing was sent
                with contextlib.suppress(LedgerError):
                    yield from self.void(reservation.id)
                raise
            if room is None:
                reservation = None
            elif room.seconds is not None and room.seconds <= 0:  # the deadline passed since the hold
                yield from self.void(reservation.id)
                reservation = None  # the next hold says so
            else:
                return reservation, room

    def _revive(self, revive: Callable[[], bool]) -> Flow[None]:
        yield Effect(revive, lambda: asyncio.to_thread(revive))

    def _attempt(
        self,
        endpoint: Endpoint,
        reservation: Reservation,
        room: Room,
        messages: Messages,
        settings: Settings,
        phase: Any,
    ) -> Flow[Reply]:
        limits = [seconds for seconds in (room.seconds, longest(endpoint.price) or None) if seconds is not None]
        started = time.monotonic()
        try:
            longest_wait = min(limits, default=None)
            payer = (self.ledger, reservation.account)
            message = yield request(endpoint, messages, settings, longest_wait, quiet=self._quiet, payer=payer)
        except BaseException as error:
            yield from self.failed(reservation, error)
            raise
        return (yield from self.closed(endpoint, reservation, message, messages, settings, phase, started))

    def again_after_seconds(self, error: Exception, attempt: int) -> float | None:
        """How long to wait before a request that failed may be sent again; `None`: it may not."""
        state = RetryCallState(retry_object=self._retrying, fn=None, args=(), kwargs={})
        state.attempt_number = attempt
        state.set_exception((type(error), error, error.__traceback__))
        if not retryable(error) or self._retrying.stop(state):
            return None
        return float(self._retrying.wait(state))

    # --- the two ends of a request, for who sends it by himself (a stream) --------------------------------

    def closed(
        self,
        endpoint: Endpoint,
        reservation: Reservation,
        message: AIMessage,
        messages: Messages,
        settings: Settings,
        phase: Any,
        started: float,
    ) -> Flow[Reply]:
        """A reply is in: settle it.

        Raises:
            HoldExceeded: it cost more than was possible. It is posted in full.
        """
        price = endpoint.price
        milliseconds = int(1000 * (time.monotonic() - started))
        try:
            reply = endpoint.dial.decode(message, settings, phase, messages)
        except BaseException as error:
            yield from self.failed(reservation, error)
            raise
        if reply.spend is None:
            yield from self._lose(reservation.id)
            return replace(reply, spend=reservation.amount, message=message)
        most = reservation.amount.milliseconds
        if longest(price) and milliseconds <= most + _MOMENT_MILLISECONDS:
            milliseconds = min(milliseconds, most)
        spend = replace(reply.spend, milliseconds=milliseconds)
        spend = replace(spend, usd_nanos=price.cost(spend, reply.terms) if price else None)
        yield from self._settle(reservation.id, spend, reply.request_id)
        return replace(reply, spend=spend, message=message)

    def failed(self, reservation: Reservation, error: BaseException) -> Flow[None]:
        """A request has failed: void it, settle it at nothing, or leave it charged, by what the error means."""
        match failure(error) if isinstance(error, Exception) else "unknown":
            case "never left":
                yield from self.void(reservation.id)
            case "refused":
                yield from self._settle(reservation.id, Spend(calls=1))
            case _:
                yield from self._lose(reservation.id)
