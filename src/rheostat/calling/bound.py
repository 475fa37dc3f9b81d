"""The most that a request can cost, read from the request as it leaves, and an estimate of what a failed one cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from rheostat.calling.payer import Attempt, Call, Payer
from rheostat.calling.prefixes import known_tokens
from rheostat.calling.usage import MOMENT_SECONDS, Body
from rheostat.calling.wire import WireRequest, unbounded_tools
from rheostat.errors import BadInput, NoPrice
from rheostat.money.pricing import FREE, Price, Terms, context_of, price_of
from rheostat.money.usage import Spend
from rheostat.providers.profiles import most_output_tokens

__all__ = ["bound", "estimate", "limits_of", "planned", "prices_of", "refuse_unknown"]

_BY_TOKENS = {"usd_nanos", "tokens", "output_tokens", "thinking_tokens"}
"""The limits that need a bound on tokens."""
_PLENTY = 1_000_000
"""Tokens held where nothing bounds them and no limit counts them."""
_UNTOLD_TOKENS = 131_072
"""Tokens held for an answer of a model in this process that states no length cap. A guess that nothing enforces: a
longer answer is posted in full and raises `HoldExceeded`."""
_TOKENS_PER_SECOND = 1_000
"""Output speed above that of any model sold by the token (November 2026)."""


def prices_of(request: WireRequest, payer: Payer) -> dict[str, Price | None]:
    """The prices of the models that may answer, the requested one first: those declared, else the listed ones."""
    call = payer.call
    if call is not None and call.prices and request.flavor == "other":  # without a wire, it is the planned model itself
        return {request.model: next(iter(call.prices.values()))}
    return {model: _price_of(model, request, payer) for model in (request.model, *request.others)}


def _price_of(model: str, request: WireRequest, payer: Payer) -> Price | None:
    for declared in (payer.call.prices if payer.call is not None else {}, payer.prices):
        if model in declared:
            return declared[model]
    return price_of(request.assumed_provider, model) or (FREE if request.fake else None)


def bound(request: WireRequest, payer: Payer, prices: Mapping[str, Price | None], needed: set[str]) -> Spend:
    """The most that this request can cost.

    Args:
        prices: The prices of the models that may answer, the requested one first.
        needed: The names of the limits that this request counts against.

    Raises:
        BadInput: nothing bounds it; the message says what to set.
        NoPrice: it counts against a limit in money, and a price is missing.
    """
    call = payer.call
    if "usd_nanos" in needed:
        _check_prices(request, prices)
    by_tokens = bool(needed & _BY_TOKENS)
    context = (call and call.context_tokens) or context_of(request.assumed_provider, request.model)
    output = request.most_output_tokens
    if output is None and request.flavor == "other" and call is not None and call.held is not None:
        output = call.held.amount.output_tokens  # without a wire, the plan is all there is
    if by_tokens:
        unbounded_tools(request)
        if output is None:
            output = most_output_tokens(request.assumed_provider, request.model) or context
        if output is None and request.flavor == "other":
            output = _UNTOLD_TOKENS
        if output is None:
            raise BadInput(
                f"nothing says how long an answer of {request.model or 'this model'} may be: set max_tokens on the "
                "model, or limit calls or seconds instead of money and tokens"
            )
    inputs = _input_tokens(request, payer, context, output, by_tokens=by_tokens)
    output = request.answers * (_PLENTY if output is None else output)
    thinking = output
    if call is not None and call.most_thinking_tokens is not None and planned(call, request):
        thinking = min(output, call.most_thinking_tokens)
    longest = max((price.most_seconds or 0 for price in prices.values() if price), default=0)
    spend = Spend(
        input_tokens=inputs, output_tokens=output, thinking_tokens=thinking, calls=1, milliseconds=int(1000 * longest)
    )
    tier = _tier(request, named=call is not None and planned(call, request))
    terms = Terms(
        service_tier=tier, speed=request.speed, region=request.region or "auto", web_searches=request.searches
    )
    costs = [price.bound(spend, terms) for price in prices.values() if price]
    return replace(spend, usd_nanos=max(costs) if len(costs) == len(prices) else None)


def _check_prices(request: WireRequest, prices: Mapping[str, Price | None]) -> None:
    """Check that everything in the request has a price, so that a limit in money can bind it.

    Raises:
        NoPrice: something in the request has none.
    """
    for model, price in prices.items():
        if price is None:
            raise NoPrice(
                f"no price is known for {model or 'a model'} at {request.provider or 'this address'}, so a limit in "
                "money can't bind it. Give a price (RHEOSTAT_PRICES names a TOML file with yours; resolve(model, "
                "price=Price(…)) for a model that you pass in), or limit tokens, calls or seconds instead"
            )
        dear = "sound or pictures" if request.sound and price.listed else ""
        if dear or not price.knows(Terms(speed=request.speed)):
            raise NoPrice(
                f"no price is known for {model} with {dear or f'speed={request.speed!r}'}, so a limit in money can't "
                "bind this request: leave that out, give a price of your own (resolve(model, price=Price(…))), or "
                "limit tokens, calls or seconds instead"
            )


def planned(call: Call, request: WireRequest) -> bool:
    """Whether the request asks for the planned model, not for a substitute."""
    return request.flavor == "other" or request.model in call.prices


def _tier(request: WireRequest, *, named: bool) -> str:
    """The dearest tier that may be billed: the settings of a provider's project can't be seen from here."""
    tier = {"fast": "priority"}.get(request.service_tier, request.service_tier)
    if request.assumed_provider == "openai" and request.flavor != "vectors":
        return tier or ("default" if named else "auto")
    return "" if tier in ("auto", "standard_only") else tier


def _input_tokens(
    request: WireRequest, payer: Payer, context: int | None, output: int | None, *, by_tokens: bool
) -> int:
    call = payer.call
    if request.flavor == "other" and call is not None and call.held is not None:
        return call.held.amount.input_tokens  # without a wire, the plan is all there is
    tokens = request.input_bytes + request.extra_tokens if not request.unbounded and request.rounds == 1 else None
    if request.rounds == 1:
        known = known_tokens(payer.account, request)
        tokens = known if tokens is None else min(tokens, known or tokens)
    if tokens is not None and call is not None and call.reread is not None:
        tokens -= _reread(request, *call.reread)
    if context is not None and (tokens is None or tokens > context):
        left = context - (output or 0)
        tokens = (left if left > 0 else context) * max(request.rounds, 1)
    if tokens is not None:
        tokens *= request.passes
    if tokens is not None and call is not None and call.held is not None:
        call.beyond_tokens = max(0, tokens - call.held.amount.input_tokens)
    if tokens is None:
        if by_tokens:
            raise BadInput(
                f"the input of this request ({request.unbounded or 'tools of the provider'}) can't be bounded for "
                f"{request.model}: its context is unknown. Send text, give the chat model a profile with "
                "max_input_tokens, or limit calls or seconds instead"
            )
        return _PLENTY
    return tokens


def _reread(request: WireRequest, thought: str, tokens: int) -> int:
    """How many bytes a thought has beyond its tokens, if this request sends it back unchanged."""
    size = len(thought.encode(errors="surrogatepass"))
    sent = [each for each in request.body.get("messages") or () if isinstance(each, dict)]
    said = any(thought in str(each.get("content")) for each in sent)
    return max(0, size - tokens) if said else 0


def refuse_unknown(request: WireRequest, payer: Payer, path: str) -> None:
    """Refuse a provider's path that isn't in the table: it may cost anything.

    Raises:
        BadInput: a limit counts money or tokens.
    """
    if any(limits_of(each) & _BY_TOKENS for each in payer.chain()):
        raise BadInput(
            f"a request to {request.provider}{path} would leave under a budget, but its cost is unknown: "
            "make it outside the agent, or limit calls or seconds instead of money and tokens"
        )


def limits_of(payer: Payer) -> set[str]:
    """The limits that a request counts against: the payer's own; without a budget, those that its hold counts."""
    if payer.budget is not None:
        return set(payer.budget.limits)
    if payer.limits is not None:
        return set(payer.limits)
    call = payer.call
    if call is not None and call.held is not None and call.held.amount.usd_nanos is None:
        return _BY_TOKENS - {"usd_nanos"}
    return _BY_TOKENS


def estimate(attempt: Attempt, held: Spend, body: Body | None) -> Spend:
    """A high estimate of what an unfinished request cost, never above the hold."""
    seconds = lasted = time.monotonic() - attempt.started
    came, request = 0, None
    if body is not None:
        body.heard()
        seconds, came, request = body.silent_seconds, body.text_bytes, body.request
    fastest = _TOKENS_PER_SECOND * (request.answers if request else 1)
    listed = body.most_tokens() if body is not None else None
    made = came + int((seconds + MOMENT_SECONDS) * fastest) if listed is None else listed
    output = min(held.output_tokens, made)
    guess = replace(
        held,
        output_tokens=output,
        thinking_tokens=min(output, held.thinking_tokens or 0),
        milliseconds=min(held.milliseconds, int(1000 * (lasted + MOMENT_SECONDS))),
    )
    price = attempt.price
    if price is None or held.usd_nanos is None:
        return guess
    if len(attempt.prices) > 1:  # any of them may have answered
        return replace(guess, usd_nanos=held.usd_nanos)
    terms = Terms(service_tier="auto", region="auto")
    if request is not None:
        tier = _tier(request, named=attempt.planned)
        terms = replace(terms, service_tier=tier, speed=request.speed, web_searches=request.searches)
    return replace(guess, usd_nanos=min(held.usd_nanos, price.bound(guess, terms)))
