"""What a call costs, and the most that it can cost.

Prices come from genai-prices (offline table). A `Price` of your own goes before it: as an argument, or for many
models in a TOML file that the environment variable `RHEOSTAT_PRICES` names. A local model has the price that you
declare: `FREE`, or so much for each million tokens. An unknown price is `None`, never zero.
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

from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TimeOfDateConstraint

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.money.usage import Spend, usd_nanos

__all__ = ["FREE", "LIST", "PRICES", "Price", "Terms", "context_of", "listed_price", "own_prices", "price_of"]


PRICES = "RHEOSTAT_PRICES"
"""Environment variable: the path of a TOML file with prices of your own."""

_RATES = ("input_per_million", "output_per_million", "cached_input_per_million", "cache_write_per_million", "per_hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a call is billed, beside its tokens. Only list prices know them."""

    service_tier: str = ""
    """`default`, `flex`, `priority` …, as the reply names it; `auto`, in a bound: whatever the provider may choose."""
    speed: str = ""
    """`fast`: Anthropic's fast mode."""
    region: str = ""
    """`us`: answered there only, at Anthropic (platform.claude.com, data residency); `auto`, in a bound: a workspace
    may have it as its default."""
    cache_write_1h_tokens: int = 0
    """The part of `cache_write_tokens` that is kept for an hour and not for five minutes."""
    web_searches: int = 0
    """Searches that the provider ran on its own side."""

    @property
    def context(self) -> dict[str, str]:
        """For genai-prices: what selects a price."""
        named = {"service_tier": self.service_tier, "speed": self.speed}
        return {name: value for name, value in named.items() if value}


LIST = Terms()
"""The plain list price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens, by kind; or for the model's time."""

    input_per_million: Decimal
    output_per_million: Decimal
    """Thinking is billed as output."""
    cached_input_per_million: Decimal | None = None
    """`None`: like other input."""
    cache_write_per_million: Decimal | None = None
    """Some providers charge more than the input price for what they put into their cache; a bound assumes it."""
    per_hour: Decimal | None = None
    """US dollars for an hour of the model's time: for a GPU of your own, charged by the seconds that a call took."""
    most_seconds: float | None = None
    """With `per_hour`: no call may take longer; it is cut there, so that the most that it can cost is known."""
    listed: tuple[str, str] | None = None
    """(provider, model) in genai-prices: what `cost` asks for tiers and cache rules that the fields don't show."""

    def __post_init__(self) -> None:
        if (self.per_hour is None) != (self.most_seconds is None) or (self.most_seconds or 1) <= 0:
            raise BadInput("per_hour and most_seconds (above zero) go together: a price by time needs a longest call")
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
        """Nothing that is done with the model costs anything."""
        return not (self.listed or self.per_hour or self.input_per_million or self.output_per_million)

    def cost(self, spend: Spend, terms: Terms = LIST) -> int:
        """Nano-dollars for these tokens, rounded up."""
        if self.listed is not None:
            return usd_nanos(_listed_cost(self.listed, spend, terms) * _surcharge(self.listed, terms))
        cached_rate = self.input_per_million if self.cached_input_per_million is None else self.cached_input_per_million
        dollars = (
            self.input_per_million * (spend.input_tokens - spend.cached_input_tokens - spend.cache_write_tokens)
            + cached_rate * spend.cached_input_tokens
            + (self.cache_write_per_million or self.input_per_million) * spend.cache_write_tokens
            + self.output_per_million * spend.output_tokens
        ) / 1_000_000 + (self.per_hour or Decimal(0)) * spend.milliseconds / 3_600_000
        return usd_nanos(dollars)

    def bound(self, spend: Spend, terms: Terms = LIST) -> int:
        """The most nano-dollars that these tokens can cost: nothing cached, or everything written to the cache."""
        if self.listed is not None and not terms.web_searches:
            rates = _dearest(self.listed, replace(terms, cache_write_1h_tokens=0), int(time.time() // _HALF_HOUR))
            if rates and max(spend.input_tokens, spend.output_tokens) <= min(most for _, _, most in rates):
                return max(usd_nanos(read * spend.input_tokens + out * spend.output_tokens) for read, out, _ in rates)
        plain = replace(spend, cached_input_tokens=0, cache_write_tokens=0)
        written = replace(plain, cache_write_tokens=spend.input_tokens)
        at = [replace(terms, service_tier=tier, cache_write_1h_tokens=0) for tier in _tiers(terms)]
        kept = [replace(tier, cache_write_1h_tokens=spend.input_tokens) for tier in at]
        most = max(
            *(self.cost(plain, tier) for tier in at),
            *(self.cost(written, tier) for tier in [*at, *kept]),
        )
        return most if self.listed is None else math.ceil(most * _peak(self.listed, int(time.time() // _HALF_HOUR)))

    def knows(self, terms: Terms) -> bool:
        """Whether the price says anything about this speed."""
        some = Spend(input_tokens=1_000, output_tokens=1_000)
        return self.listed is None or not terms.speed or self.cost(some, terms) != self.cost(some)


FREE = Price(input_per_million=Decimal(0), output_per_million=Decimal(0))
"""For a model that runs on your own machine, said out loud."""


def price_of(provider: str, model: str) -> Price | None:
    """What a hosted model costs: your own price before the list's, and what was declared for a name that neither knows;
    `None` if nothing does."""
    return own_prices().get(f"{provider}:{model}") or listed_price(provider, model) or declared_price(model)


_declared: dict[str, Price] = {}


def declare_price(model: str, price: Price) -> None:
    """Let a model of this name have this price, in this process."""
    _declared[model] = price


def declared_price(model: str) -> Price | None:
    """The price that was declared for a name."""
    return _declared.get(model)


def own_prices() -> dict[str, Price]:
    """The prices in the file that `RHEOSTAT_PRICES` names; empty without one.

    A table for each model, in US dollars for a million tokens:

    .. code-block:: toml

        ["openai:gpt-5.1"]
        input_per_million = 1.00
        output_per_million = 8.00
        cached_input_per_million = 0.10

    Raises:
        BadInput: the file isn't there, isn't TOML, or says something else.
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
"""More than any model reads."""
_LINEAR_TOKENS = 100_000
"""Up to here no list price depends on how long the input is (the lowest threshold in genai-prices 0.2)."""


_REGIONAL = re.compile(r"claude-(opus-4-[6-9]|sonnet-4-[6-9]|(opus|sonnet|haiku)-([5-9]|\d\d)|fable|mythos)")
_REGION = Decimal("1.1")


def _surcharge(listed: tuple[str, str], terms: Terms) -> Decimal:
    """What the place of the answer costs: the list doesn't know it."""
    dear = terms.region in ("us", "auto") and listed[0] == "anthropic" and _REGIONAL.match(listed[1])
    return _REGION if dear else Decimal(1)


_HALF_HOUR = 1_800
"""Seconds; no list price changes at other times of a day."""


def _today() -> int:
    return int(time.time() // 86_400)


@functools.lru_cache(maxsize=1000)
def _peak(listed: tuple[str, str], half_hour: int) -> Decimal:
    """The dearest hour of the day, over the price of now, where the price depends on the hour (DeepSeek)."""
    if not _by_the_hour(listed):
        return Decimal(1)
    some = Spend(input_tokens=1_000, output_tokens=1_000)
    now = datetime.fromtimestamp(half_hour * _HALF_HOUR, UTC)
    costs = [_asked_cost(listed, some, LIST, now + timedelta(minutes=30 * half)) for half in range(48)]
    return max(costs) / costs[0] if costs[0] else Decimal(1)


@functools.cache
def _by_the_hour(listed: tuple[str, str]) -> bool:
    prices = get_snapshot().find_provider_model(listed[1], None, listed[0], None)[1].prices
    each = prices if isinstance(prices, list) else []
    return any(isinstance(one.constraint, TimeOfDateConstraint) for one in each)


def _tiers(terms: Terms) -> tuple[str, ...]:
    return ("default", "priority") if terms.service_tier == "auto" else (terms.service_tier,)


@functools.lru_cache(maxsize=1000)
def _dearest(listed: tuple[str, str], terms: Terms, half_hour: int) -> list[tuple[Decimal, Decimal, int]] | None:
    """For each tier that may apply, the most US dollars for a token in and one out, and up to how many tokens that
    holds; `None`: it isn't so simple."""
    found = [_rates(listed, tier, terms.speed, half_hour * _HALF_HOUR // 86_400) for tier in _tiers(terms)]
    more = _surcharge(listed, terms)
    simple = [each for each in found if each]
    tiers = [(max(rates[:-1]) * more, rates[-1] * more, most) for rates, most in simple]
    return tiers if len(simple) == len(found) else None


@functools.lru_cache(maxsize=1000)
def _rates(listed: tuple[str, str], service_tier: str, speed: str, day: int) -> tuple[tuple[Decimal, ...], int] | None:
    """US dollars for a token of plain input, cached input, a write to the cache, one kept for an hour, and output; and
    up to how many tokens that holds. `None`: this price isn't so simple.

    A list is asked a few times per request: this is forty times as fast.
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
    return calc_price(
        usage, model_ref=model, provider_id=provider, price_context=terms.context or None, genai_request_timestamp=at
    ).total_price


@functools.cache
def context_of(provider: str, model: str) -> int | None:
    """How many tokens a hosted model holds, as genai-prices has it; `None`: it doesn't say."""
    try:
        return get_snapshot().find_provider_model(model, None, provider, None)[1].context_window
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
