"""The usage and the cost of calls: tokens by kind, and integer nano-dollars.

One US dollar is 10**9 nano-dollars. Money is an integer everywhere inside the library; it becomes a decimal only for
display. Unknown is not zero: `None` is absorbing under `+`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

__all__ = ["NANOS_PER_USD", "Spend", "usd", "usd_nanos"]

NANOS_PER_USD = 1_000_000_000


def usd_nanos(amount: str | int | float | Decimal) -> int:
    """Convert dollars to integer nano-dollars, rounded up.

    Raises:
        ValueError: It isn't a finite number.
    """
    try:
        exact = (amount if isinstance(amount, Decimal) else Decimal(str(amount))) * NANOS_PER_USD
    except InvalidOperation:
        raise ValueError(f"not an amount of US dollars: {amount!r}") from None
    if not exact.is_finite():
        raise ValueError(f"not a finite amount of US dollars: {amount!r}")
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def usd(nanos: int | None) -> str:
    """Nano-dollars as text in dollars, such as `$0.001234`; `None` is `unpriced`."""
    if nanos is None:
        return "unpriced"
    text = f"{Decimal(nanos) / NANOS_PER_USD:.6f}".rstrip("0").rstrip(".")
    return f"${text}"


def _beyond(a: int | None, b: int | None) -> int | None:
    return 0 if a == b else None if a is None or b is None else max(0, a - b)


def _add(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """The tokens by kind, the calls and the money of one call or of many."""

    usd_nanos: int | None = 0
    """Nano-dollars; `None`: the price is unknown."""
    input_tokens: int = 0
    """All tokens sent, cached ones included."""
    cached_input_tokens: int = 0
    """The part of `input_tokens` that came from a prompt cache."""
    cache_write_tokens: int = 0
    """The part of `input_tokens` that was written to a prompt cache, for which some providers charge more."""
    output_tokens: int = 0
    """All tokens generated, thinking included."""
    thinking_tokens: int | None = 0
    """The part of `output_tokens` that was thinking; `None`: the provider doesn't say."""
    calls: int = 0
    """The number of requests sent."""
    milliseconds: int = 0
    """The time that they took."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            usd_nanos=_add(self.usd_nanos, other.usd_nanos),
            input_tokens=self.input_tokens + other.input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            thinking_tokens=_add(self.thinking_tokens, other.thinking_tokens),
            calls=self.calls + other.calls,
            milliseconds=self.milliseconds + other.milliseconds,
        )

    def beyond(self, other: Spend) -> Spend:
        """The excess of this spend over another, kind by kind (never below zero)."""
        more: dict[str, Any] = {name: _beyond(getattr(self, name), getattr(other, name)) for name in _NAMES}
        return Spend(**more)

    def covers(self, other: Spend) -> bool:
        """Whether this spend is at least as much as another in every kind."""
        return other.beyond(self) == Spend()

    def to_dict(self) -> dict[str, Any]:
        """The spend as plain ints (and `None`), which are safe in any checkpoint."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spend:
        """The inverse of `to_dict`; unknown keys are ignored."""
        return cls(**{name: data[name] for name in _NAMES if name in data})


_NAMES = tuple(field.name for field in fields(Spend))
