"""The gate: no request leaves unless the budget can pay its worst case.

`admit` bounds a request as it leaves, holds that amount at every account that pays, waits until their rates have room
for it, and records in the same atomic step that the request has left. `settle` and `fail` close the hold:

===============================================  ====================================================================
a reply with usage                               settled at its cost
a cut stream, a 5xx, a time-out                  marked as unknown: charged for the input, the bytes that came, and the
                                                 silent seconds at the fastest rate of any model, up to the hold
a whole reply without usage                      marked as unknown: charged the whole hold
a 4xx, 429 included                              settled at zero tokens and one call: the server did no work
no connection could be made                      voided: the request provably never left
===============================================  ====================================================================

This module neither plans requests nor sees them leave (`instrument` and `unwired` do).
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rheostat.calling import watch
from rheostat.calling.bound import bound, estimate, limits_of, planned, prices_of
from rheostat.calling.heed import heed
from rheostat.calling.payer import Attempt, Call, Payer
from rheostat.calling.refusals import Unwanted
from rheostat.calling.usage import MOMENT_SECONDS, Body
from rheostat.calling.wire import WireRequest
from rheostat.errors import BudgetExceeded, LedgerError
from rheostat.flow import Effect, Flow
from rheostat.money.budget import Room
from rheostat.money.ledger import Ledger, Reservation
from rheostat.money.ledger.line import last_word_of, line_of
from rheostat.money.ledger.patience import patiently
from rheostat.money.pricing import Terms
from rheostat.money.usage import Spend
from rheostat.providers.failures import failure

__all__ = ["admit", "close_call", "fail", "give_back", "refused_by", "reported", "settle"]


def admit(request: WireRequest, payer: Payer) -> Flow[tuple[Attempt, float | None]]:
    """Hold a request's worst case at the payer and at each agent around it, and record that the request leaves.

    Returns:
        The attempt, and the seconds that it may take (`None`: no limit).

    Raises:
        BudgetExceeded, BadInput, NoPrice, LedgerError: the request must not leave; nothing is held.
    """
    prices, call = prices_of(request, payer), payer.call
    attempt = Attempt(
        holds=[],
        prices=prices,
        model=request.model,
        planned=call is not None and planned(call, request),
        effort=request.effort,
        most_output_tokens=request.most_output_tokens,
    )
    limits = [price.most_seconds for price in prices.values() if price and price.most_seconds]
    attempt.work = watch.begin("request", request.model, request=request, payer=payer, attempt=attempt)
    try:
        amounts = [(each, bound(request, each, prices, limits_of(each))) for each in payer.chain()]
        try:
            limits += yield from _take_all(attempt, amounts, request)
        except BudgetExceeded as refused:
            if not refused.rate or refused.waits:
                raise
            amounts = [(each, bound(request, each, prices, {*limits_of(each), "tokens"})) for each in payer.chain()]
            limits += yield from _take_all(attempt, amounts, request)  # a guess was held where no limit counted tokens
    except BudgetExceeded as refused:
        watch.end(attempt.work, refused, outcome="refused")
        if call is None and refused.limit != "seconds" and not (refused.hint or refused.rate):
            raise refused.because(_unplanned(request)) from None
        raise
    except BaseException as error:
        watch.end(attempt.work, error, outcome="refused")
        raise
    attempt.started = time.monotonic()
    watch.more(attempt.work, admitted=time.monotonic(), held=attempt.holds[0][1].amount)
    for ledger, _ in attempt.holds:
        attempt.owner = line_of(ledger).began()
    if call is not None:
        call.attempts.append(attempt)
    return attempt, min(limits, default=None)


def _unplanned(request: WireRequest) -> str:
    """What to do about a request that no plan made smaller, such as another middleware's summary."""
    most = request.most_output_tokens
    length = f"{most:,} tokens" if most else "its longest reply"
    return (
        f"This was a call to {request.model} that no plan made, such as a summary's or a subagent's: it is held at "
        f"{length} of output. Set a smaller max_tokens on that model, or raise the budget"
    )


def _take_all(
    attempt: Attempt,
    amounts: Sequence[tuple[Payer, Spend]],
    request: WireRequest,
    ticket_around: str | None = None,
    *,
    within: bool = False,
) -> Flow[list[float]]:
    """Hold at every payer or at none. While one has to wait, nothing is held at the others.

    Args:
        ticket_around: The ticket of an outer payer, who may wait meanwhile.
        within: There is an outer payer.

    Returns:
        The seconds that are left to each payer with a deadline.
    """
    *inner, (payer, amount) = amounts
    call = payer.call

    def work(ticket: str | None) -> Flow[list[float]]:
        seconds = (yield from _take_all(attempt, inner, request, ticket, within=True)) if inner else []
        try:
            reservation, room = yield from _take(payer, amount, request, ticket)
        except BaseException:
            with contextlib.suppress(LedgerError):
                yield from give_back(attempt)
            attempt.closed, attempt.paced = False, []
            raise
        attempt.holds.append((payer.ledger, reservation))
        if room.paced:
            attempt.paced.append((payer.ledger, payer.account))
        return seconds if room.seconds is None else [*seconds, room.seconds]

    alone = payer.patient and (call is None or call.alone)
    held = call is not None and call.held is not None
    how = functools.partial(
        patiently, payer.ledger, payer.account, work,
        standing=last_word_of(payer.account), paced=payer.paced, ticket=ticket_around,
    )  # fmt: skip
    try:
        try:
            return (yield from how(wait=alone and not held))
        except BudgetExceeded as refused:
            if not (alone and held) or refused.rate or not refused.waits:
                raise
            return (yield from how(wait=True))  # its hold was lost, perhaps while it waited for the rate
    except BaseException:
        for each, _ in () if within else amounts:  # one may have waited for a rate under its hold, in vain
            yield from _give_up(each)
        raise


def _give_up(payer: Payer) -> Flow[None]:
    call, ledger = payer.call, payer.ledger
    if call is not None and call.held is not None:
        held, call.held = call.held, None
        with contextlib.suppress(LedgerError):
            yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
        line_of(ledger).stir()


def _take(payer: Payer, amount: Spend, request: WireRequest, ticket: str | None) -> Flow[tuple[Reservation, Room]]:
    ledger, call = payer.ledger, payer.call
    note = {"model": request.model, "node": "unplanned"}
    if call is not None:
        if not call.wanted():
            raise Unwanted(f"a request to {request.model} was cancelled before it left")
        note = {**call.note, "model": call.note.get("model", "") if request.model in call.prices else request.model}
        held, call.held = call.held, None
        if held is not None:
            try:
                room = yield from _begin(ledger, held, amount, ticket)
            except BudgetExceeded:
                call.held = held  # it may wait for the rate under its hold
                raise
            if room is not None:
                return held, room
    account, place = payer.account, {} if ticket is None else {"ticket": ticket}
    admitted: tuple[Reservation, Room] = yield Effect(
        lambda: ledger.admit(account, amount, note, **place), lambda: ledger.aadmit(account, amount, note, **place)
    )
    return admitted


def _begin(ledger: Ledger, held: Reservation, amount: Spend, ticket: str | None) -> Flow[Room | None]:
    """Begin under a hold that was taken in advance; `None`: the request can't be sent under it, and it is voided.

    Raises:
        BudgetExceeded: A rate has no room; it stays held.
    """
    place = {} if ticket is None else {"ticket": ticket}
    try:
        if _covers(held.amount, amount):
            room: Room | None = yield Effect(
                lambda: ledger.begin(held.id, **place), lambda: ledger.abegin(held.id, **place)
            )
            if room is None or room.seconds is None or room.seconds > 0:
                return room  # None: a process that died sent it before, and that cost stays charged
    except BudgetExceeded:
        raise
    except BaseException:
        with contextlib.suppress(LedgerError):
            yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
            line_of(ledger).stir()
        raise
    yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
    line_of(ledger).stir()
    return None


def _covers(held: Spend, amount: Spend) -> bool:
    money = held.usd_nanos is None or (amount.usd_nanos is not None and amount.usd_nanos <= held.usd_nanos)
    return money and amount.tokens <= held.tokens and amount.output_tokens <= held.output_tokens


def _each(attempt: Attempt, verb: Any) -> Flow[list[Any]]:
    """Close the holds at all accounts with the same verb, once."""
    done = []
    attempt.closed = True
    for ledger, reservation in attempt.holds:
        done.append((yield Effect(*verb(ledger, reservation.id))))
        _freed(attempt, ledger)
    return done


def _freed(attempt: Attempt, ledger: Ledger) -> None:
    """Tell the waiting line that room may have come free."""
    line = line_of(ledger)
    if attempt.owner is not None:
        line.ended(attempt.owner)
    line.stir()


def give_back(attempt: Attempt, error: BaseException | None = None) -> Flow[None]:
    """Void the holds of an attempt that sent nothing."""
    if not attempt.closed:
        yield from _each(attempt, lambda ledger, id_: (lambda: ledger.void(id_), lambda: ledger.avoid(id_)))
        attempt.holds = []
        if "admitted" in (attempt.work.facts if attempt.work is not None else ()):
            watch.end(attempt.work, error, outcome="void")


def settle(
    attempt: Attempt,
    spend: Spend,
    terms: Terms,
    request_id: str,
    *,
    thinking_tokens: int | None = None,
    model: str = "",
) -> Flow[Spend]:
    """Settle an attempt at its cost.

    Args:
        thinking_tokens: As a dial counted them, where the usage doesn't say.
        model: The model that answered, where several might have.

    Raises:
        HoldExceeded: it cost more than was held. The full cost is posted at every account first.
    """
    if attempt.closed:
        return attempt.spend or spend
    most = attempt.holds[0][1].amount.milliseconds if attempt.holds else 0
    milliseconds = int(1000 * (time.monotonic() - attempt.started))
    if most and milliseconds <= most + 1000 * MOMENT_SECONDS:
        milliseconds = min(milliseconds, most)  # cut at its limit; the moment after it isn't charged
    if thinking_tokens is not None:
        spend = replace(spend, thinking_tokens=min(thinking_tokens, spend.output_tokens))
    spend = replace(spend, milliseconds=milliseconds)
    spend = replace(spend, usd_nanos=_cost(attempt, spend, terms, model))
    attempt.spend, attempt.request_id, attempt.closed = spend, request_id, True
    over: Exception | None = None
    for ledger, reservation in attempt.holds:
        try:
            yield _settling(ledger, reservation, spend, request_id)
        except BudgetExceeded as error:
            over = over or error
        finally:
            _freed(attempt, ledger)
    yield from heed(attempt)
    watch.end(attempt.work, over, outcome="settled")
    if over is not None:
        raise over
    return spend


def reported(attempt: Attempt) -> Spend | None:
    """The cost of a request as far as its reply reports it, before a dial has read it; `None`: it reported nothing."""
    if attempt.spend is not None or attempt.read is None:
        return attempt.spend
    spend, terms = attempt.read
    return replace(spend, usd_nanos=_cost(attempt, spend, terms, attempt.answered))


def _cost(attempt: Attempt, spend: Spend, terms: Terms, model: str) -> int | None:
    """The cost at the price of the model that answered, or at the dearest of those that may have answered."""
    prices = attempt.prices
    prices = {model: prices[model]} if model in prices else prices
    costs = [price.cost(spend, terms) for price in prices.values() if price]
    return max(costs) if len(costs) == len(prices) else None


def _settling(ledger: Ledger, reservation: Reservation, spend: Spend, request_id: str) -> Effect:
    return Effect(
        lambda: ledger.settle(reservation.id, spend, request_id),
        lambda: ledger.asettle(reservation.id, spend, request_id),
    )


def fail(
    attempt: Attempt, error: BaseException | None, body: Body | None = None, *, why: BaseException | None = None
) -> Flow[None]:
    """Close an attempt that failed or has no known cost: void it, settle it at nothing, or mark it as unknown.

    With neither `error` nor `body`, a whole reply came that doesn't report its usage.

    Args:
        error: The exception that was raised.
        body: The part of the reply that had come.
        why: The exception that cut it, where `error` isn't one that the server gave; for those who watch.
    """
    if attempt.closed:
        return
    why = why or error or (_Cut("no more of the reply came") if body is not None else None)
    means = failure(error) if isinstance(error, Exception) else "unknown"
    if means == "never left":
        yield from give_back(attempt, why)
    elif means == "refused":
        spend = Spend(calls=1, usd_nanos=0 if attempt.price else None)
        attempt.spend, attempt.closed = spend, True
        for ledger, reservation in attempt.holds:
            yield _settling(ledger, reservation, spend, "")
            _freed(attempt, ledger)
        yield from heed(attempt)
        watch.end(attempt.work, why, outcome="settled")
    else:
        attempt.closed = True
        for ledger, reservation in attempt.holds:
            guess = None if error is None and body is None else estimate(attempt, reservation.amount, body)
            attempt.charged = attempt.charged or guess or reservation.amount
            yield _losing(ledger, reservation.id, guess)
            _freed(attempt, ledger)
        yield from heed(attempt)
        watch.end(attempt.work, why, outcome="unknown")


def refused_by(attempt: Attempt, status: int) -> Flow[None]:
    """Close an attempt that the server answered with this HTTP status, 400 or above."""
    return fail(attempt, _Status(status))


class _Cut(Exception):
    """A reply that ended before it was whole."""


class _Status(Exception):
    """An HTTP status as an exception, so that `failure` can classify it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


def _losing(ledger: Ledger, reservation: str, guess: Spend | None) -> Effect:
    return Effect(lambda: ledger.mark_unknown(reservation, guess), lambda: ledger.amark_unknown(reservation, guess))


def close_call(call: Call, ledger: Ledger, *, thinking_tokens: int | None = None) -> Flow[None]:
    """Close a planned call: settle the attempts that were read, and void a hold that was never used.

    Args:
        thinking_tokens: The last reply's, as its dial counts them.
    """
    held, call.held = call.held, None
    if held is not None:
        yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
        line_of(ledger).stir()
    first: Exception | None = None
    for attempt in call.attempts:
        last = attempt is call.attempts[-1] and attempt.planned
        try:
            if attempt.closed:
                continue
            if attempt.read is None:
                yield from fail(attempt, None)
            else:
                yield from settle(
                    attempt,
                    *attempt.read,
                    attempt.request_id,
                    thinking_tokens=thinking_tokens if last else None,
                    model=attempt.answered,
                )
        except (BudgetExceeded, LedgerError) as error:  # the others are settled too
            first = first or error
    if first is not None:
        raise first
