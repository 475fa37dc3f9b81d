"""Amounts by kind as plain lists of ints: quick to add, and to store."""

from __future__ import annotations

from typing import TypeAlias

from rheostat.errors import LedgerError
from rheostat.money.usage import Spend

__all__ = [
    "LIMITS", "OUTPUT", "THINKING", "UNPRICED", "USD", "Counts",
    "amount_of", "counts_of", "minus", "plain", "plus", "spend_of", "tally", "zeros",
]  # fmt: skip

Counts: TypeAlias = list[int]
"""Amounts by kind, in the order of the constants below: plain ints, quick to add and to store."""
USD, INPUT, CACHED, OUTPUT, THINKING, CALLS, MILLISECONDS, WRITTEN, UNPRICED = range(9)

_ABSURD = 10**17
"""No call costs a hundred million dollars: sums of what is less fit into a database's 64 bits."""

TOP = 20
"""This many models and nodes are listed by name in a reading; the rest is `others`."""

LIMITS: dict[str, tuple[int, int | None]] = {
    "usd_nanos": (USD, None),
    "tokens": (INPUT, OUTPUT),
    "output_tokens": (OUTPUT, None),
    "thinking_tokens": (THINKING, None),
    "calls": (CALLS, None),
}
"""Limits by name: the kind that each counts, or the two."""


def zeros() -> Counts:
    """Nothing of any kind."""
    return [0] * 9


def counts_of(spend: Spend) -> Counts:
    """A spend as counts. Thought that the provider doesn't tell is taken at its most: all that was generated."""
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
    """The inverse: money is `None` if any part of it had no price."""
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
    """`spend_of(counts).to_dict()` with a prefix before each name: readings are made at every step."""
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
    """Kind by kind."""
    return [x + y for x, y in zip(a, b, strict=True)]


def minus(a: Counts, b: Counts) -> Counts:
    """Kind by kind."""
    return [x - y for x, y in zip(a, b, strict=True)]


def tally(by: dict[str, Counts], name: str, actual: Counts) -> None:
    """Add to a name's total; beyond the largest `TOP` names everything is `others`."""
    by[name] = plus(by[name], actual) if name in by else list(actual)
    if len(by) - ("others" in by) > TOP:
        smallest = min((each for each in by if each != "others"), key=lambda each: (by[each], each))
        folded = by.pop(smallest)
        by["others"] = plus(by["others"], folded) if "others" in by else folded


def amount_of(limit: str, counts: Counts) -> int:
    """What a limit of this name counts; deadlines count nothing."""
    if limit not in LIMITS:
        return 0
    one, two = LIMITS[limit]
    return counts[one] + (0 if two is None else counts[two])
