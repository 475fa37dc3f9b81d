"""Prices: the cost of a call, and the most that it can cost.

Prices come from genai-prices (an offline table). Your own `Price` takes precedence: as an argument, or for many models
in a TOML file that the environment variable `RHEOSTAT_PRICES` names. A local model has the price that you declare:
`FREE`, or a price per million tokens. An unknown price is `None`, never zero.
"""

from __future__ import annotations

import functools
import math
import os
import re
import time
import tomllib
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from genai_prices import Usage
from genai_prices.types import TimeOfDateConstraint

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.money.price_list import snapshot
from rheostat.money.usage import Spend, usd_nanos

__all__ = ["FREE", "LIST", "PRICES", "Price", "Terms", "context_of", "listed_price", "own_prices", "price_of"]


PRICES = "RHEOSTAT_PRICES"
"""The environment variable with the path of a TOML file of your own prices."""

_RATES = ("input_per_million", "output_per_million", "cached_input_per_million", "cache_write_per_million", "per_hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms, beside its tokens, on which a call is billed. Only list prices depend on them."""

    service_tier: str = ""
    """`default`, `flex`, `priority` …, as named in the reply; `auto`, in a bound: any tier the provider may choose."""
    speed: str = ""
    """`fast`: Anthropic's fast mode."""
    region: str = ""
    """`us`: Anthropic answers only there (platform.claude.com, data residency); `auto`, in a bound: that may be the
    default of the workspace."""
    cache_write_1h_tokens: int = 0
    """The part of `cache_write_tokens` that is kept for an hour instead of five minutes."""
    web_searches: int = 0
    """Searches that the provider ran itself."""

    @property
    def context(self) -> dict[str, str]:
        """The context by which genai-prices selects a price."""
        named = {"service_tier": self.service_tier, "speed": self.speed}
        return {name: value for name, value in named.items() if value}


LIST = Terms()
"""The plain list price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens, by kind; or per hour of the model's time.

    Raises:
        BadInput: A rate is negative or not a number, or only one of `per_hour` and `most_seconds` is given.
    """

    input_per_million: Decimal
    output_per_million: Decimal
    """Thinking is billed as output."""
    cached_input_per_million: Decimal | None = None
    """`None`: as other input."""
    cache_write_per_million: Decimal | None = None
    """The price of input written to the cache, which some providers charge more for; a bound assumes it."""
    per_hour: Decimal | None = None
    """US dollars per hour of the model's time, for a GPU of your own; a call is charged by its duration."""
    most_seconds: float | None = None
    """With `per_hour`: a call is cut after this time, so that the most that it can cost is known."""
    listed: tuple[str, str] | None = None
    """(provider, model) in genai-prices, which `cost` asks for tiers and cache rules that the fields don't have."""

    def __post_init__(self) -> None:
        if (self.per_hour is None) != (self.most_seconds is None) or (self.most_seconds or 1) <= 0:
            raise BadInput("per_hour and most_seconds (above zero) go together, to bound the cost of a call")
        for name in _RATES:
            value = getattr(self, name)
            if value is None:
                continue
            try:
                exact = Decimal(str(value))
            except InvalidOperation:
                exact = Decimal("NaN")
            if not exact.is_finite() or exact < 0:
                raise BadInput(f"{name} must be US dollars, zero or more, not {value!r}")
            object.__setattr__(self, name, exact)

    @property
    def free(self) -> bool:
        """Whether no use of the model costs anything."""
        rates = (self.input_per_million, self.output_per_million, self.cached_input_per_million)
        return not (self.listed or self.per_hour or self.cache_write_per_million or any(rates))

    def cost(self, spend: Spend, terms: Terms = LIST) -> int:
        """The cost of a spend in nano-dollars, rounded up."""
        if self.listed is not None:
            return usd_nanos(_listed_cost(self.listed, spend, terms) * _surcharge(self.listed, terms))
        cached_rate = self.input_per_million if self.cached_input_per_million is None else self.cached_input_per_million
        written_rate = self.input_per_million if self.cache_write_per_million is None else self.cache_write_per_million
        dollars = (
            self.input_per_million * (spend.input_tokens - spend.cached_input_tokens - spend.cache_write_tokens)
            + cached_rate * spend.cached_input_tokens
            + written_rate * spend.cache_write_tokens
            + self.output_per_million * spend.output_tokens
        ) / 1_000_000 + (self.per_hour or Decimal(0)) * spend.milliseconds / 3_600_000
        return usd_nanos(dollars)

    def bound(self, spend: Spend, terms: Terms = LIST) -> int:
        """The most that a spend can cost, in nano-dollars: its input fresh, read from the cache, or written to it."""
        if self.listed is not None and not terms.web_searches:
            rates = _dearest(self.listed, replace(terms, cache_write_1h_tokens=0), int(time.time() // _HALF_HOUR))
            if rates and max(spend.input_tokens, spend.output_tokens) <= min(most for _, _, most in rates):
                return max(usd_nanos(read * spend.input_tokens + out * spend.output_tokens) for read, out, _ in rates)
        plain = replace(spend, cached_input_tokens=0, cache_write_tokens=0)
        written = replace(plain, cache_write_tokens=spend.input_tokens)
        cached = replace(plain, cached_input_tokens=spend.input_tokens)
        at = [replace(terms, service_tier=tier, cache_write_1h_tokens=0) for tier in _tiers(terms)]
        kept = [replace(tier, cache_write_1h_tokens=spend.input_tokens) for tier in at]
        most = max(
            *(self.cost(plain, tier) for tier in at),
            *(self.cost(cached, tier) for tier in at),
            *(self.cost(written, tier) for tier in [*at, *kept]),
        )
        return most if self.listed is None else math.ceil(most * _peak(self.listed, int(time.time() // _HALF_HOUR)))

    def knows(self, terms: Terms) -> bool:
        """Whether the price has a rate for this speed."""
        some = Spend(input_tokens=1_000, output_tokens=1_000)
        return self.listed is None or not terms.speed or self.cost(some, terms) != self.cost(some)


FREE = Price(input_per_million=Decimal(0), output_per_million=Decimal(0))
"""The price to declare for a model that runs on your own machine."""


def price_of(provider: str, model: str) -> Price | None:
    """The price of a hosted model: your own, else the list price, else the price declared for its name, else `None`."""
    return own_prices().get(f"{provider}:{model}") or listed_price(provider, model) or declared_price(model)


_declared: dict[str, Price] = {}


def declare_price(model: str, price: Price) -> None:
    """Declare the price of a model name that has no other price, in this process."""
    _declared[model] = price


def declared_price(model: str) -> Price | None:
    """The price that was declared for a model name, or `None`."""
    return _declared.get(model)


def own_prices() -> dict[str, Price]:
    """The prices in the file that `RHEOSTAT_PRICES` names; empty without one.

    The file has a table for each model, in US dollars per million tokens:

    .. code-block:: toml

        ["openai:gpt-5.1"]
        input_per_million = 1.00
        output_per_million = 8.00
        cached_input_per_million = 0.10

    Raises:
        BadInput: The file can't be read, isn't TOML, or has other content.
    """
    path = os.environ.get(PRICES)
    if not path:
        return {}
    try:
        return _prices_in(path, Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise BadInput(f"{PRICES} names {path}, which can't be read: {error.strerror}") from error


_MOST_BYTES, _MOST_DIGITS = 1 << 18, 40


def _exact(digits: str) -> Decimal:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} characters; the most is {_MOST_DIGITS}")
    return Decimal(digits)


@functools.lru_cache(maxsize=8)
def _prices_in(path: str, changed_ns: int) -> dict[str, Price]:
    try:
        tables = tomllib.loads(read_text(Path(path), "prices", most_bytes=_MOST_BYTES), parse_float=_exact)
    except RecursionError:
        raise BadInput(f"{path} is nested too deeply for a file of prices") from None
    except ValueError as error:
        raise BadInput(f"{path} is not TOML: {error}") from error
    known = {field.name for field in fields(Price)} - {"listed"}
    prices = {}
    for model, table in tables.items():
        if not isinstance(table, dict) or ":" not in model:
            raise BadInput(f'{path}: {model!r} should be a table named "PROVIDER:MODEL"')
        if unknown := set(table) - known:
            raise BadInput(
                f"{path}: {model}: no such rate: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
            )
        try:
            prices[model] = Price(**table)
        except (TypeError, BadInput) as error:
            raise BadInput(f"{path}: {model}: {error}") from error
    return prices


_ENDLESS_TOKENS = 10_000_000
"""More tokens than any model reads."""
_LINEAR_TOKENS = 100_000
"""Up to this length of input, no list price depends on it (the lowest threshold in genai-prices 0.2)."""


_REGIONAL = re.compile(r"claude-(opus-4-[6-9]|sonnet-4-[6-9]|(opus|sonnet|haiku)-([5-9]|\d\d)|fable|mythos)")
_REGION = Decimal("1.1")


def _surcharge(listed: tuple[str, str], terms: Terms) -> Decimal:
    """The factor for the region of the answer, which the list doesn't have."""
    dear = terms.region in ("us", "auto") and listed[0] == "anthropic" and _REGIONAL.match(listed[1])
    return _REGION if dear else Decimal(1)


_HALF_HOUR = 1_800
"""In seconds; list prices that change during the day change only at half hours."""


def _today() -> int:
    return int(time.time() // 86_400)


@functools.lru_cache(maxsize=1000)
def _peak(listed: tuple[str, str], half_hour: int) -> Decimal:
    """The ratio of the highest price of the day to the current price, for models priced by the hour (DeepSeek)."""
    if not _by_the_hour(listed):
        return Decimal(1)
    some = Spend(input_tokens=1_000, output_tokens=1_000)
    now = datetime.fromtimestamp(half_hour * _HALF_HOUR, UTC)
    costs = [_asked_cost(listed, some, LIST, now + timedelta(minutes=30 * half)) for half in range(48)]
    return max(costs) / costs[0] if costs[0] else Decimal(1)


@functools.cache
def _by_the_hour(listed: tuple[str, str]) -> bool:
    prices = snapshot().find_provider_model(listed[1], None, listed[0], None)[1].prices
    each = prices if isinstance(prices, list) else []
    return any(isinstance(one.constraint, TimeOfDateConstraint) for one in each)


def _tiers(terms: Terms) -> tuple[str, ...]:
    return ("default", "priority") if terms.service_tier == "auto" else (terms.service_tier,)


@functools.lru_cache(maxsize=1000)
def _dearest(listed: tuple[str, str], terms: Terms, half_hour: int) -> list[tuple[Decimal, Decimal, int]] | None:
    """For each tier that may apply: the highest rates of an input and of an output token, in dollars, and the most
    tokens for which they hold; `None`: the price isn't linear."""
    found = [_rates(listed, tier, terms.speed, half_hour * _HALF_HOUR // 86_400) for tier in _tiers(terms)]
    more = _surcharge(listed, terms)
    simple = [each for each in found if each]
    tiers = [(max(rates[:-1]) * more, rates[-1] * more, most) for rates, most in simple]
    return tiers if len(simple) == len(found) else None


@functools.lru_cache(maxsize=1000)
def _rates(listed: tuple[str, str], service_tier: str, speed: str, day: int) -> tuple[tuple[Decimal, ...], int] | None:
    """US dollars per token of plain input, cached input, cache write, one-hour cache write and output; and the most
    tokens for which they hold. `None`: the price isn't linear.

    Each request needs several prices, and this is forty times as fast as asking the list.
    """
    if _by_the_hour(listed):
        return None
    terms = Terms(service_tier=service_tier, speed=speed)
    hour = replace(terms, cache_write_1h_tokens=_LINEAR_TOKENS)

    def rates(tokens: int) -> tuple[Decimal, ...]:
        part = {"input_tokens": tokens}
        asked = (
            (Spend(**part), terms), (Spend(**part, cached_input_tokens=tokens), terms),
            (Spend(**part, cache_write_tokens=tokens), terms),
            (Spend(**part, cache_write_tokens=tokens), replace(hour, cache_write_1h_tokens=tokens)),
            (Spend(input_tokens=0, output_tokens=tokens), terms),
        )  # fmt: skip
        return tuple(_asked_cost(listed, spend, on) / tokens for spend, on in asked)

    few, many = rates(1_000), rates(_LINEAR_TOKENS)
    if few != many:
        return None
    return few, _ENDLESS_TOKENS if rates(_ENDLESS_TOKENS) == few else _LINEAR_TOKENS


def _listed_cost(listed: tuple[str, str], spend: Spend, terms: Terms = LIST) -> Decimal:
    simple = None if terms.web_searches else _rates(listed, terms.service_tier, terms.speed, _today())
    if simple is None or max(spend.input_tokens, spend.output_tokens) > simple[1]:
        return _asked_cost(listed, spend, terms)
    plain, cached, written, kept, output = simple[0]
    kept_tokens = min(terms.cache_write_1h_tokens, spend.cache_write_tokens)
    return (
        plain * (spend.input_tokens - spend.cached_input_tokens - spend.cache_write_tokens)
        + cached * spend.cached_input_tokens
        + written * (spend.cache_write_tokens - kept_tokens)
        + kept * kept_tokens
        + output * spend.output_tokens
    )


def _asked_cost(listed: tuple[str, str], spend: Spend, terms: Terms, at: datetime | None = None) -> Decimal:
    provider, model = listed
    usage = Usage(
        input_tokens=spend.input_tokens,
        output_tokens=spend.output_tokens,
        cache_read_tokens=spend.cached_input_tokens or None,
        cache_write_tokens=spend.cache_write_tokens or None,
        cache_write_1h_tokens=terms.cache_write_1h_tokens or None,
        web_searches=terms.web_searches or None,
    )
    return snapshot().calc(usage, model, provider, None, at, terms.context or None).total_price


@functools.cache
def context_of(provider: str, model: str) -> int | None:
    """The context window of a hosted model, in tokens, from genai-prices; `None`: unknown."""
    try:
        return snapshot().find_provider_model(model, None, provider, None)[1].context_window
    except LookupError:
        return None


@functools.cache
def listed_price(provider: str, model: str) -> Price | None:
    """The list price of a hosted model, or `None` if genai-prices doesn't know it."""
    try:
        return Price(
            input_per_million=_asked_cost((provider, model), Spend(input_tokens=1_000_000), LIST),
            output_per_million=_asked_cost((provider, model), Spend(output_tokens=1_000_000), LIST),
            listed=(provider, model),
        )
    except LookupError:
        return None
