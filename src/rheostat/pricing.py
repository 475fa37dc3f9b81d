"""What a call costs, and the most that it can cost.

Prices come from genai-prices (offline table); a `Price` of your own overrides it. A local model has the price
that you declare: `FREE`, or so much for each million tokens. An unknown price is `None`, never zero.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from genai_prices import Usage, calc_price

from rheostat.errors import BadInput
from rheostat.usage import Spend, usd_nanos

__all__ = ["FREE", "Price", "listed_price"]


_RATES = (
    "input_per_million", "output_per_million", "cached_input_per_million", "cache_write_per_million", "per_hour",
)  # fmt: skip


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

    def cost(self, spend: Spend) -> int:
        """Nano-dollars for these tokens, rounded up."""
        if self.listed is not None:
            return usd_nanos(_listed_cost(self.listed, spend))
        cached_rate = self.input_per_million if self.cached_input_per_million is None else self.cached_input_per_million
        dollars = (
            self.input_per_million * (spend.input_tokens - spend.cached_input_tokens - spend.cache_write_tokens)
            + cached_rate * spend.cached_input_tokens
            + (self.cache_write_per_million or self.input_per_million) * spend.cache_write_tokens
            + self.output_per_million * spend.output_tokens
        ) / 1_000_000 + (self.per_hour or Decimal(0)) * spend.milliseconds / 3_600_000
        return usd_nanos(dollars)

    def bound(self, spend: Spend) -> int:
        """The most nano-dollars that these tokens can cost: nothing cached, everything written to the cache."""
        uncached = replace(spend, cached_input_tokens=0, cache_write_tokens=0)
        surcharge = (self.cache_write_per_million or Decimal(0)) - self.input_per_million
        written = usd_nanos(max(surcharge, Decimal(0)) * spend.input_tokens / 1_000_000)
        return self.cost(uncached) + written


FREE = Price(input_per_million=Decimal(0), output_per_million=Decimal(0))
"""For a model that runs on your own machine, said out loud."""


def _listed_cost(listed: tuple[str, str], spend: Spend) -> Decimal:
    provider, model = listed
    usage = Usage(
        input_tokens=spend.input_tokens,
        output_tokens=spend.output_tokens,
        cache_read_tokens=spend.cached_input_tokens or None,
        cache_write_tokens=spend.cache_write_tokens or None,
    )
    return calc_price(usage, model_ref=model, provider_id=provider).total_price


@functools.cache
def listed_price(provider: str, model: str) -> Price | None:
    """The list price of a hosted model, or `None` if genai-prices doesn't know it."""
    million = Spend(input_tokens=1_000_000)
    try:
        rates = calc_price(Usage(input_tokens=1), model_ref=model, provider_id=provider).model_price
        return Price(
            input_per_million=_listed_cost((provider, model), million),
            output_per_million=_listed_cost((provider, model), Spend(output_tokens=1_000_000)),
            cache_write_per_million=_flat(getattr(rates, "cache_write_1h_mtok", None))
            or _flat(getattr(rates, "cache_write_mtok", None)),
            listed=(provider, model),
        )
    except LookupError:
        return None


def _flat(rate: object) -> Decimal | None:
    """A rate as one number; a tiered one by its dearest tier."""
    if rate is None or isinstance(rate, Decimal):
        return rate
    tiers = getattr(rate, "tiers", ())
    dearest: Decimal = max([getattr(rate, "base", Decimal(0)), *(tier.price for tier in tiers)])
    return dearest
