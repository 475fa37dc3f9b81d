"""Amounts by kind as plain lists of ints, which are quick to add and to store."""

from __future__ import annotations

from typing import TypeAlias

from rheostat.errors import LedgerError
from rheostat.money.usage import Spend

__all__ = [
    "LIMITS", "OUTPUT", "THINKING", "UNPRICED", "USD", "Counts",
    "amount_of", "counts_of", "minus", "plain", "plus", "spend_of", "tally", "zeros",
]  # fmt: skip

Counts: TypeAlias = list[int]
"""Amounts by kind, in the order of the constants below."""
USD, INPUT, CACHED, OUTPUT, THINKING, CALLS, MILLISECONDS, WRITTEN, UNPRICED = range(9)

_ABSURD = 10**17
"""No call costs a hundred million dollars (in nano-dollars), and sums of smaller amounts fit into 64 bits."""

TOP = 20
"""The number of models and of nodes that a reading lists by name; the rest is `others`."""

LIMITS: dict[str, tuple[int, int | None]] = {
    "usd_nanos": (USD, None),
    "tokens": (INPUT, OUTPUT),
    "output_tokens": (OUTPUT, None),
    "thinking_tokens": (THINKING, None),
    "calls": (CALLS, None),
}
"""The one or two kinds that each limit counts, by its name."""


def zeros() -> Counts:
    """Counts of zero."""
    return [0] * 9


def counts_of(spend: Spend) -> Counts:
    """A spend as counts; unknown thinking tokens count as much as they can be, which is all output tokens.

    Raises:
        LedgerError: An amount is negative or absurdly large.
    """
    thinking = spend.output_tokens if spend.thinking_tokens is None else spend.thinking_tokens
    counts = [
        spend.usd_nanos or 0, spend.input_tokens, spend.cached_input_tokens, spend.output_tokens, thinking,
        spend.calls, spend.milliseconds, spend.cache_write_tokens, int(spend.usd_nanos is None),
    ]  # fmt: skip
    if min(counts) < 0:
        raise LedgerError(f"an amount can't be negative: {spend}")
    if max(counts) > _ABSURD:
        raise LedgerError(f"an amount can't be above {_ABSURD:,}: {spend}")
    return counts


def spend_of(counts: Counts) -> Spend:
    """The inverse of `counts_of`; money is `None` if any part of it had no price."""
    return Spend(
        usd_nanos=None if counts[UNPRICED] else counts[USD],
        input_tokens=counts[INPUT],
        cached_input_tokens=counts[CACHED],
        output_tokens=counts[OUTPUT],
        thinking_tokens=counts[THINKING],
        calls=counts[CALLS],
        milliseconds=counts[MILLISECONDS],
        cache_write_tokens=counts[WRITTEN],
    )


def plain(counts: Counts, prefix: str = "") -> dict[str, int | None]:
    """`spend_of(counts).to_dict()` with a prefix before each name; faster, because every step makes a reading."""
    values = (
        None if counts[UNPRICED] else counts[USD], counts[INPUT], counts[CACHED], counts[WRITTEN], counts[OUTPUT],
        counts[THINKING], counts[CALLS], counts[MILLISECONDS],
    )  # fmt: skip
    return dict(zip(_NAMES[prefix], values, strict=True))


_NAMES = {
    prefix: tuple(
        f"{prefix}{name}"
        for name in (
            "usd_nanos",
            "input_tokens",
            "cached_input_tokens",
            "cache_write_tokens",
            "output_tokens",
            "thinking_tokens",
            "calls",
            "milliseconds",
        )
    )
    for prefix in ("", "held_", "unknown_")
}


def plus(a: Counts, b: Counts) -> Counts:
    """The sum, kind by kind."""
    return [x + y for x, y in zip(a, b, strict=True)]


def minus(a: Counts, b: Counts) -> Counts:
    """The difference, kind by kind."""
    return [x - y for x, y in zip(a, b, strict=True)]


def tally(by: dict[str, Counts], name: str, actual: Counts) -> None:
    """Add to a name's total; all but the `TOP` largest names are folded into `others`."""
    by[name] = plus(by[name], actual) if name in by else list(actual)
    if len(by) - ("others" in by) > TOP:
        smallest = min((each for each in by if each != "others"), key=lambda each: (by[each], each))
        folded = by.pop(smallest)
        by["others"] = plus(by["others"], folded) if "others" in by else folded


def amount_of(limit: str, counts: Counts) -> int:
    """The amount that a limit of this name counts; 0 for a deadline."""
    if limit not in LIMITS:
        return 0
    one, two = LIMITS[limit]
    return counts[one] + (0 if two is None else counts[two])
