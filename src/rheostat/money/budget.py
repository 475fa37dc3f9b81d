"""Budgets, which a task may not exceed, and the room that is left of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from rheostat.errors import BudgetInvalid
from rheostat.money.usage import Spend, usd, usd_nanos

__all__ = ["Budget", "Room", "checked_budget", "written"]

_LARGEST = 10**15
"""The largest limit accepted: a million dollars in nano-dollars; a larger one is surely a mistake."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Hard limits in any combination; each names its unit. At least one is required.

    >>> Budget(usd="0.10", seconds=60)
    Budget(usd='0.10', tokens=None, output_tokens=None, thinking_tokens=None, calls=None, seconds=60)

    Raises:
        BudgetInvalid: A limit is zero, negative, not a number or absurdly large; there is no limit at all; a number
            has no unit.
    """

    usd: str | int | float | Decimal | None = None
    """US dollars."""
    tokens: int | None = None
    """Input and output tokens together."""
    output_tokens: int | None = None
    """Generated tokens, thinking included."""
    thinking_tokens: int | None = None
    """Thinking tokens."""
    calls: int | None = None
    """Requests to models, retries included."""
    seconds: float | None = None
    """Wall-clock time from the first step; no call starts after it, and a running call is cut off."""

    def __new__(cls, *unitless: Any, **limits: Any) -> Budget:
        """Refuse a number without a unit, such as `Budget(5)`."""
        if unitless:
            raise BudgetInvalid(
                f"Budget({unitless[0]!r}) has no unit. Write Budget(usd={str(unitless[0])!r}), "
                f"Budget(tokens={unitless[0]!r}) or Budget(seconds={unitless[0]!r})."
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        if all(value is None for value in given.values()):
            raise BudgetInvalid(f"a budget needs at least one limit: {', '.join(given)}")
        for name, value in given.items():
            if value is not None:
                _check(name, value)

    @property
    def usd_nanos(self) -> int | None:
        """The money limit in nano-dollars; `None`: not set."""
        return None if self.usd is None else usd_nanos(self.usd)

    @functools.cached_property
    def limits(self) -> dict[str, int]:
        """The limits that a ledger counts, by name; `seconds` is missing, because it is a deadline, not a count."""
        named = {
            "usd_nanos": self.usd_nanos,
            "tokens": self.tokens,
            "output_tokens": self.output_tokens,
            "thinking_tokens": self.thinking_tokens,
            "calls": self.calls,
        }
        return {name: value for name, value in named.items() if value is not None}

    def same(self, other: Budget | None) -> bool:
        """Whether another budget has the same limits, however they are written."""
        return other is not None and (self.limits, self.seconds) == (other.limits, other.seconds)

    def to_dict(self) -> dict[str, str | int | float]:
        """The limits that are set, as plain data, with money as text."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) if name == "usd" else value for name, value in given.items() if value is not None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Budget:
        """The inverse of `to_dict`.

        Raises:
            BudgetInvalid: The data isn't a budget; the message lists the limits.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(data, dict) or not data.keys() <= known:
            raise BudgetInvalid(f"a budget has {', '.join(sorted(known))}; not {data!r}")
        return cls(**data)

    def __str__(self) -> str:
        """The limits as text, such as `$0.10 · 60 s`."""
        parts = [] if self.usd is None else [usd(self.usd_nanos)]
        for field in ("tokens", "output_tokens", "thinking_tokens", "calls"):
            value = getattr(self, field)
            if value is not None:
                parts.append(f"{value:,} {field.replace('_', ' ')}")
        if self.seconds is not None:
            parts.append(f"{self.seconds:g} s")
        return " · ".join(parts)


def written(limit: str, amount: int) -> str:
    """Source code of a budget of at least this amount, such as `Budget(usd="0.05")`, for error messages."""
    if limit != "usd_nanos":
        return f"Budget({limit}={amount:,})".replace(",", "_")
    dollars = Decimal(amount) / 10**9
    digits = Decimal(1).scaleb(min(-2, dollars.adjusted() - 1)) if amount else Decimal("0.01")
    return f'Budget(usd="{dollars.quantize(digits, ROUND_CEILING).normalize():f}")'


def _check(name: str, value: Any) -> None:
    example = f"Budget({name}={'0.10' if name == 'usd' else 1000})"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise BudgetInvalid(f"{name} must be a number, not {value!r}; for example {example}")
    if isinstance(value, str) and name != "usd":
        raise BudgetInvalid(f"{name} must be a number, not the text {value!r}; for example {example}")
    if isinstance(value, float) and name not in ("usd", "seconds"):
        raise BudgetInvalid(f"{name} must be a whole number, not {value!r}")
    try:
        amount: float | Decimal = usd_nanos(value) if name == "usd" or isinstance(value, str) else value
    except ValueError as error:
        raise BudgetInvalid(f"{error}; for example {example}") from None
    if isinstance(amount, float | Decimal) and not math.isfinite(amount):
        raise BudgetInvalid(f"{name} must be finite, not {value!r}")
    if amount <= 0:
        raise BudgetInvalid(f"{name} must be above zero, not {value!r}; leave it out to set no such limit")
    if amount > _LARGEST:
        raise BudgetInvalid(f"{name}={value!r} is absurdly large; leave it out to set no such limit")


_COUNTED = ("usd_nanos", "tokens", "output_tokens", "thinking_tokens", "calls")
_CALL = ("call_requests", "call_tokens", "call_input_tokens", "call_output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The amount left of each limit; `None`: that limit isn't set."""

    usd_nanos: int | None = None
    tokens: int | None = None
    output_tokens: int | None = None
    thinking_tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    call_requests: int | None = None
    """The requests that the rates allow in a minute, for which each waits."""
    call_tokens: int | None = None
    """The most that one request may be under the rates: input and output tokens together."""
    call_input_tokens: int | None = None
    """The same, of input tokens."""
    call_output_tokens: int | None = None
    """The same, of output tokens."""

    def _each(self, amount: Spend) -> Iterator[tuple[str, int, int]]:
        for name in _COUNTED:
            left = getattr(self, name)
            if left is not None:
                yield name, getattr(amount, name) or 0, left

    def shortage(self, amount: Spend) -> tuple[str, int, int] | None:
        """(limit, asked, left) of the first limit that an amount would exceed; `None` if it fits."""
        if self.seconds is not None and self.seconds <= 0:
            return ("seconds", 1, 0)
        return next(((name, asked, left) for name, asked, left in self._each(amount) if asked > left), None)

    def fits(self, amount: Spend) -> bool:
        """Whether an amount exceeds no limit."""
        return self.shortage(amount) is None

    def sends(self, requests: Iterable[Spend]) -> bool:
        """Whether each of these requests is small enough to leave under the rates, whatever has to be waited for."""
        limits = [(name.removeprefix("call_"), cap) for name in _CALL[1:] if (cap := getattr(self, name)) is not None]
        return not limits or all(getattr(each, name) <= cap for each in requests for name, cap in limits)

    @property
    def paced(self) -> bool:
        """Whether there is a rate."""
        return any(getattr(self, name) is not None for name in _CALL)

    def keeping(self, reserve: Budget) -> Room:
        """The room without a reserve that is kept back (never below zero)."""
        kept = {
            name: max(0, left - reserve.limits.get(name, 0))
            for name in _COUNTED
            if (left := getattr(self, name)) is not None
        }
        return replace(self, **kept)

    def within(self, other: Room | None) -> Room:
        """The room that both allow."""
        if other is None:
            return self
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in (*_COUNTED, "seconds", *_CALL)}
        both = {name: min((each for each in pair if each is not None), default=None) for name, pair in pairs.items()}
        return Room(**both)

    def shared(self, parts: int) -> Room:
        """An equal part of the counted limits, and the same time."""
        counted = {name: left // max(parts, 1) for name in _COUNTED if (left := getattr(self, name)) is not None}
        return replace(self, **counted)

    def plus(self, amount: Spend) -> Room:
        """The room with `amount` given back."""
        return replace(self, **{name: left + asked for name, asked, left in self._each(amount)})

    def minus(self, amount: Spend) -> Room:
        """The room with `amount` taken out (never below zero)."""
        left = {name: max(0, left - asked) for name, asked, left in self._each(amount)}
        return replace(self, **left)


def checked_budget(given: object) -> Budget:
    """The object itself, if it is a budget.

    Raises:
        BudgetInvalid: It isn't one.
    """
    if not isinstance(given, Budget):
        raise BudgetInvalid(f'budget must be a Budget, such as Budget(usd="0.10", seconds=60), not {given!r}')
    return given
