"""The gate: no request leaves that the budget can't pay at its worst.

`admit` bounds a request as it leaves and holds that at every account that pays, in one atomic step with "it has left";
`close` settles what came back. What happens to a hold:

===============================================  ====================================================================
a reply with usage                               settled at what it cost
a cut stream, a 5xx, a time-out                  unknown: charged input, the bytes that came, and the silent seconds at
                                                 the fastest rate that any model has; never more than the hold
a whole reply without usage                      unknown: charged the hold
a 4xx or 429                                     settled at zero tokens and one call: the server did no work
no connection could be made                      voided: the request provably never left
===============================================  ====================================================================

Nothing here knows how requests are seen (`instrument`, `unwired`), and nothing plans.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any

from rheostat.budget import Room
from rheostat.calling.payer import Attempt, Call, Payer
from rheostat.calling.usage import Body
from rheostat.calling.wire import Asked, unbounded_tools
from rheostat.errors import BadInput, BudgetExceeded, LedgerError, NoPrice
from rheostat.flow import Effect, Flow
from rheostat.ledger import Ledger, Reservation
from rheostat.pricing import Price, Terms, context_of, price_of
from rheostat.providers.failures import failure
from rheostat.usage import Spend

__all__ = [
    "admit",
    "bound",
    "close_call",
    "fail",
    "give_back",
    "planned",
    "price_for",
    "refuse_unknown",
    "refused_by",
    "settle",
]

_BY_TOKENS = {"usd_nanos", "tokens", "output_tokens", "thinking_tokens"}
"""Limits that need a bound on tokens."""
_PLENTY = 1_000_000
"""Held where no limit counts tokens, and nothing bounds them."""
_TOKENS_PER_SECOND = 1_000
"""Faster than any model that is sold by the token writes (November 2026)."""
_MOMENT_SECONDS = 0.25
"""A server goes on for a moment after its client has gone."""
_MOMENT_MILLISECONDS = 250
"""A call that is cut at the most seconds of its price ends a moment later, at our cost; what runs on is charged."""


def price_for(asked: Asked, payer: Payer) -> Price | None:
    """What the model of this request costs: as declared for this call or agent, else the list's."""
    call = payer.call
    if call is not None and call.prices:
        if asked.model in call.prices:
            return call.prices[asked.model]
        if asked.flavor == "other":  # no wire: the planned model itself
            return next(iter(call.prices.values()))
    if asked.model in payer.prices:
        return payer.prices[asked.model]
    return price_of(asked.assumed_provider, asked.model)


# --- the most that a request can cost -----------------------------------------------------------------


def bound(asked: Asked, payer: Payer, price: Price | None, needed: set[str]) -> Spend:
    """The most that this request can cost.

    Args:
        needed: The limits that count something of it.

    Raises:
        BadInput: nothing bounds it; says what to set.
        NoPrice: it counts in money, and no price is known.
    """
    call = payer.call
    if "usd_nanos" in needed and price is None:
        raise NoPrice(
            f"no price is known for {asked.model or 'a model'} at {asked.provider or 'this address'}, so a limit in "
            "money can't bind it. Give a price (RHEOSTAT_PRICES names a TOML file with yours; resolve(model, "
            "price=Price(…)) for a model that you hand over), or limit tokens, calls or seconds instead"
        )
    by_tokens = bool(needed & _BY_TOKENS)
    context = (call and call.context_tokens) or context_of(asked.assumed_provider, asked.model)
    output = asked.most_output_tokens
    if by_tokens:
        unbounded_tools(asked)
        if output is None:
            output = context
        if output is None:
            raise BadInput(
                f"nothing says how long an answer of {asked.model or 'this model'} may be: set max_tokens on the "
                "model, or limit calls or seconds instead of money and tokens"
            )
    inputs = _input_tokens(asked, call, context, by_tokens=by_tokens)
    output = asked.answers * (_PLENTY if output is None else output)
    thinking = output
    if call is not None and call.most_thinking_tokens is not None and planned(call, asked):
        thinking = min(output, call.most_thinking_tokens)
    spend = Spend(
        input_tokens=inputs, output_tokens=output, thinking_tokens=thinking, calls=1,
        milliseconds=int(1000 * ((price and price.most_seconds) or 0)),
    )  # fmt: skip
    terms = Terms(
        service_tier=_tier(asked, named=call is not None and planned(call, asked)),
        speed=asked.speed,
        web_searches=asked.searches,
    )
    return replace(spend, usd_nanos=price.bound(spend, terms) if price else None)


def planned(call: Call, asked: Asked) -> bool:
    """It is the model that was planned, and not one that another put in its place."""
    return asked.flavor == "other" or asked.model in call.prices


def _tier(asked: Asked, *, named: bool) -> str:
    """The dearest tier that it may be billed on: what a project's own settings say can't be seen from here."""
    tier = {"fast": "priority"}.get(asked.service_tier, asked.service_tier)
    if asked.assumed_provider == "openai" and asked.flavor != "vectors":
        return tier or ("default" if named else "auto")
    return "" if tier in ("auto", "standard_only") else tier


def _input_tokens(asked: Asked, call: Call | None, context: int | None, *, by_tokens: bool) -> int:
    tokens: int | None = asked.input_bytes + asked.extra_tokens
    if asked.unbounded or asked.rounds != 1:
        tokens = None
    if call is not None and call.counted is not None:  # what was planned, and what somebody put beside it
        counted, of_bytes = call.counted
        call.beyond_tokens = max(0, asked.input_bytes - of_bytes)
        tokens = counted + call.beyond_tokens
    if context is not None and (tokens is None or tokens > context):
        return context * max(asked.rounds, 1)
    if tokens is None:
        if by_tokens:
            raise BadInput(
                f"what is in this request ({asked.unbounded or 'tools of the provider'}) can't be bounded for "
                f"{asked.model}: its context is unknown. Send text, give the chat model a profile with "
                "max_input_tokens, or limit calls or seconds instead"
            )
        return _PLENTY
    return tokens


def refuse_unknown(asked: Asked, payer: Payer, path: str) -> None:
    """A path of a provider's that isn't in the table may cost anything.

    Raises:
        BadInput: under a limit that it might break.
    """
    if any(_limits(each) & _BY_TOKENS for each in payer.chain()):
        raise BadInput(
            f"a request to {asked.provider}{path} would leave under a budget, and what it costs isn't known here: make "
            "it outside of the agent, or limit calls or seconds instead of money and tokens"
        )


def _limits(payer: Payer) -> set[str]:
    """What counts something of a request, of its own limits; of a planned one everything that it was held for."""
    call = payer.call
    if call is not None and call.held is not None:
        return _BY_TOKENS if call.held.amount.usd_nanos is not None else _BY_TOKENS - {"usd_nanos"}
    return set(payer.budget.limits) if payer.budget is not None else _BY_TOKENS


# --- hold and let go -------------------------------------------------------------------------------------


def admit(asked: Asked, payer: Payer) -> Flow[tuple[Attempt, float | None]]:
    """Hold the most that it can cost and note that it leaves: at the payer and at each agent around it.

    Returns:
        The attempt, and the seconds that it may take (`None`: as long as it likes).

    Raises:
        BudgetExceeded, BadInput, NoPrice, LedgerError: it must not leave; nothing is held.
    """
    price = price_for(asked, payer)
    call = payer.call
    attempt = Attempt(
        holds=[], price=price, model=asked.model, planned=call is not None and planned(call, asked),
        effort=asked.effort, most_output_tokens=asked.most_output_tokens,
    )  # fmt: skip
    limits = [seconds for seconds in ((price and price.most_seconds),) if seconds]
    try:
        for each in payer.chain():
            amount = bound(asked, each, price, _limits(each))
            reservation, room = yield from _take(each, amount, asked)
            attempt.holds.append((each.ledger, reservation))
            if room.seconds is not None:
                limits.append(room.seconds)
    except BaseException:
        with contextlib.suppress(LedgerError):
            yield from _each(attempt, lambda ledger, id_: (lambda: ledger.void(id_), lambda: ledger.avoid(id_)))
        raise
    if call is not None:
        call.attempts.append(attempt)
    return attempt, min(limits, default=None)


def _take(payer: Payer, amount: Spend, asked: Asked) -> Flow[tuple[Reservation, Room]]:
    ledger, call = payer.ledger, payer.call
    note = {"model": asked.model, "node": "unplanned"}
    if call is not None:
        note = {**call.note, "model": call.note.get("model", "") if asked.model in call.prices else asked.model}
        held, call.held = call.held, None
        if held is not None:
            room = yield from _begin(ledger, held, amount)
            if room is not None:
                return held, room
    admitted: tuple[Reservation, Room] = yield Effect(
        lambda: ledger.admit(payer.account, amount, note), lambda: ledger.aadmit(payer.account, amount, note)
    )
    return admitted


def _begin(ledger: Ledger, held: Reservation, amount: Spend) -> Flow[Room | None]:
    """Send under a hold that was made in advance; `None`: it can't be sent under this one."""
    try:
        if _covers(held.amount, amount):
            room: Room | None = yield Effect(lambda: ledger.begin(held.id), lambda: ledger.abegin(held.id))
            if room is None or room.seconds is None or room.seconds > 0:
                return room  # None: a process that died sent it before; what that cost stays charged
    except BaseException:
        with contextlib.suppress(LedgerError):
            yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
        raise
    yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
    return None


def _covers(held: Spend, amount: Spend) -> bool:
    money = held.usd_nanos is None or (amount.usd_nanos is not None and amount.usd_nanos <= held.usd_nanos)
    return money and amount.tokens <= held.tokens and amount.output_tokens <= held.output_tokens


def _each(attempt: Attempt, verb: Any) -> Flow[list[Any]]:
    """The same verb at every account that holds; once."""
    done = []
    attempt.closed = True
    for ledger, reservation in attempt.holds:
        done.append((yield Effect(*verb(ledger, reservation.id))))
    return done


def give_back(attempt: Attempt) -> Flow[None]:
    """Nothing was sent under it."""
    if not attempt.closed:
        yield from _each(attempt, lambda ledger, id_: (lambda: ledger.void(id_), lambda: ledger.avoid(id_)))
        attempt.holds = []


def settle(
    attempt: Attempt, spend: Spend, terms: Terms, request_id: str, *, thinking_tokens: int | None = None
) -> Flow[Spend]:
    """Post what it cost.

    Args:
        thinking_tokens: What a dial counted, where the usage doesn't say.

    Raises:
        HoldExceeded: more than was possible. It is posted in full first, everywhere.
    """
    if attempt.closed:
        return attempt.spend or spend
    most = attempt.holds[0][1].amount.milliseconds if attempt.holds else 0
    milliseconds = int(1000 * (time.monotonic() - attempt.started))
    if most and milliseconds <= most + _MOMENT_MILLISECONDS:
        milliseconds = min(milliseconds, most)
    if thinking_tokens is not None:
        spend = replace(spend, thinking_tokens=min(thinking_tokens, spend.output_tokens))
    spend = replace(spend, milliseconds=milliseconds)
    spend = replace(spend, usd_nanos=attempt.price.cost(spend, terms) if attempt.price else None)
    attempt.spend, attempt.request_id, attempt.closed = spend, request_id, True
    over: Exception | None = None
    for ledger, reservation in attempt.holds:
        try:
            yield _settling(ledger, reservation, spend, request_id)
        except BudgetExceeded as error:
            over = over or error
    if over is not None:
        raise over
    return spend


def _settling(ledger: Ledger, reservation: Reservation, spend: Spend, request_id: str) -> Effect:
    return Effect(
        lambda: ledger.settle(reservation.id, spend, request_id),
        lambda: ledger.asettle(reservation.id, spend, request_id),
    )


def fail(attempt: Attempt, error: BaseException | None, body: Body | None = None) -> Flow[None]:
    """It came to nothing, or nobody knows to what.

    Args:
        error: What was raised.
        body: How much of a reply had come. With neither, a whole reply came that doesn't say what it cost.
    """
    if attempt.closed:
        return
    means = failure(error) if isinstance(error, Exception) else "unknown"
    if means == "never left":
        yield from give_back(attempt)
    elif means == "refused":
        spend = Spend(calls=1, usd_nanos=0 if attempt.price else None)
        attempt.spend, attempt.closed = spend, True
        for ledger, reservation in attempt.holds:
            yield _settling(ledger, reservation, spend, "")
    else:
        attempt.closed = True
        for ledger, reservation in attempt.holds:
            guess = None if error is None and body is None else _estimate(attempt, reservation.amount, body)
            yield Effect(_losing(ledger, reservation.id, guess), _alosing(ledger, reservation.id, guess))


def refused_by(attempt: Attempt, status: int) -> Flow[None]:
    """The server answered with this HTTP status, 400 or above."""
    return fail(attempt, _Status(status))


class _Status(Exception):
    """An HTTP status, for what sorts failures."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


def _losing(ledger: Ledger, reservation: str, guess: Spend | None) -> Any:
    return lambda: ledger.lose(reservation, guess)


def _alosing(ledger: Ledger, reservation: str, guess: Spend | None) -> Any:
    return lambda: ledger.alose(reservation, guess)


def _estimate(attempt: Attempt, held: Spend, body: Body | None) -> Spend:
    """What it most likely cost at the most: never above the hold."""
    seconds = time.monotonic() - attempt.started
    came = 0
    if body is not None:
        seconds, came = body.silent_seconds, body.text_bytes
    output = min(held.output_tokens, came + int((seconds + _MOMENT_SECONDS) * _TOKENS_PER_SECOND))
    guess = replace(
        held, output_tokens=output, thinking_tokens=min(output, held.thinking_tokens or 0),
        milliseconds=min(held.milliseconds, int(1000 * (time.monotonic() - attempt.started)) + _MOMENT_MILLISECONDS),
    )  # fmt: skip
    if attempt.price is None or held.usd_nanos is None:
        return guess
    searches = body.asked.searches if body else 0
    tier = body.asked.service_tier if body else "auto"
    terms = Terms(service_tier=tier, web_searches=searches)
    return replace(guess, usd_nanos=min(held.usd_nanos, attempt.price.bound(guess, terms)))


def close_call(call: Call, ledger: Ledger, *, thinking_tokens: int | None = None) -> Flow[None]:
    """A planned call has ended: what is read and not settled is settled, what was held and not sent is given back.

    Args:
        thinking_tokens: Of its last reply, as its dial counts them.
    """
    held, call.held = call.held, None
    if held is not None:
        yield Effect(lambda: ledger.void(held.id), lambda: ledger.avoid(held.id))
    for attempt in call.attempts:
        if attempt.closed:
            continue
        if attempt.read is None:
            yield from fail(attempt, None)
            continue
        spend, terms = attempt.read
        last = attempt is call.attempts[-1] and attempt.planned
        yield from settle(attempt, spend, terms, attempt.request_id, thinking_tokens=thinking_tokens if last else None)
