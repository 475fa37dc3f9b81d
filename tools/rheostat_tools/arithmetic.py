"""The calculator's numbers: exact fractions, or approximations of 100 digits that are marked as such."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, DivisionByZero, InvalidOperation, Overflow, Underflow
from fractions import Fraction

__all__ = ["FUNCTIONS", "MOST_BITS", "OPERATORS", "Number", "constant", "number", "show"]

MOST_BITS = 14_000
"""The largest numerator and denominator, because Python refuses to print integers above 4,300 digits (14,284 bits)."""

_TRAPS = [InvalidOperation, DivisionByZero, Overflow, Underflow]
_WORKING = Context(prec=100, Emax=4_000, Emin=-4_000, traps=_TRAPS)
_SHOWN = Context(prec=30, Emax=9_999, Emin=-9_999)
_PI = "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"


@dataclass(frozen=True)
class Number:
    """An intermediate value of an expression."""

    value: Fraction
    """The number, or an approximation of it."""
    exact: bool = True
    """Whether the value is exact."""


_INEXACT = Number(Fraction(0), exact=False)


def number(value: Fraction, *parts: Number) -> Number:
    """The result of an operation on `parts`, which is exact only if all of them are.

    Raises:
        OverflowError: It has too many digits.
    """
    exact = all(part.exact for part in parts)
    if not exact:
        value = Fraction(_decimal(value))
    _bounded(value.numerator.bit_length(), value.denominator.bit_length())
    return Number(value, exact)


def constant(text: str) -> Number:
    """The number of a decimal literal, `pi` or `e`.

    Raises:
        OverflowError: The literal has too many digits.
    """
    if text == "pi":
        return Number(Fraction(_PI), exact=False)
    if text == "e":
        return Number(Fraction(_WORKING.exp(Decimal(1))), exact=False)
    try:
        literal = Decimal(text.replace("_", ""))
    except DecimalException:
        raise OverflowError(text[:60]) from None
    if not literal:
        return Number(Fraction(0))  # else 0e999999999 is computed as 0 * 10**999999999
    if abs(literal.adjusted()) > MOST_BITS // 4:
        raise OverflowError(text[:60])
    return number(Fraction(literal))


def show(result: Number) -> str:
    """The number as a person would write it."""
    value = result.value
    if not result.exact:
        return f"≈ {_digits(value)}"
    if value.denominator == 1:
        return str(value.numerator)
    for places in range(1, 61):
        if 10**places % value.denominator == 0:
            digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
            return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    exact = f"{value.numerator}/{value.denominator}"
    if len(exact) > 200:
        return f"≈ {_digits(value)} (as a fraction it has {len(exact) - 1:,} digits)"
    return f"{exact} ≈ {_digits(value)}"


def _digits(value: Fraction) -> str:
    shown = _SHOWN.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(_SHOWN)
    return f"{shown:f}" if -10 <= shown.adjusted() <= 30 else f"{shown}"


def _decimal(value: Fraction) -> Decimal:
    try:
        return _WORKING.divide(Decimal(value.numerator), Decimal(value.denominator))
    except DecimalException:
        raise OverflowError("a number above 10**4000 or below 10**-4000") from None


def _bounded(*bits: int) -> None:
    if max(bits) > MOST_BITS:
        raise OverflowError(f"a number of {max(bits):,} bits")


def _whole(name: str, part: Number, *, most: int | None = None) -> int:
    if not part.exact or part.value.denominator != 1:
        raise ValueError(f"{name} needs whole numbers, got {show(part)[:60]}")
    whole = part.value.numerator
    if most is not None and whole < 0:
        raise ValueError(f"{name} needs whole numbers from zero up, got {whole}")
    if most is not None and whole > most:
        raise OverflowError(f"{name} of a number above {most:,}")
    return whole


def _power(base: Number, exponent: Number) -> Number:
    if base.exact and exponent.exact and exponent.value.denominator == 1:
        times = exponent.value.numerator
        bits = max(base.value.numerator.bit_length(), base.value.denominator.bit_length())
        _bounded((bits - 1) * abs(times))  # a lower bound of its size, at least half of it
        return number(base.value**times)
    if base.value < 0 and exponent.value.denominator != 1:
        raise ValueError("a negative number to a power that isn't whole has no real value")
    if base.value == 0:
        if exponent.value < 0:
            raise ZeroDivisionError
        return number(Fraction(exponent.value == 0), base)
    if exponent.exact and exponent.value == Fraction(1, 2):
        return _sqrt(base)
    try:
        power = _WORKING.power(_decimal(base.value), _decimal(exponent.value))
    except DecimalException:
        raise OverflowError("a power above 10**4000 or below 10**-4000") from None
    return number(Fraction(power), _INEXACT)


def _sqrt(part: Number) -> Number:
    if part.value < 0:
        raise ValueError("sqrt of a negative number has no real value")
    over, under = math.isqrt(part.value.numerator), math.isqrt(part.value.denominator)
    if part.exact and (over**2, under**2) == (part.value.numerator, part.value.denominator):
        return number(Fraction(over, under))
    return number(Fraction(_WORKING.sqrt(_decimal(part.value))), _INEXACT)


def _round(part: Number, digits: Number | None = None) -> Number:
    places = 0 if digits is None else _whole("round", digits)
    if abs(places) > 1_000:
        raise OverflowError("round to more than 1,000 digits")
    return number(Fraction(round(part.value, places)))


def _factorial(part: Number) -> Number:
    return number(Fraction(math.factorial(_whole("factorial", part, most=1_550))))


def _gcd(*parts: Number) -> Number:
    return number(Fraction(math.gcd(*(_whole("gcd", part) for part in parts))))


def _comb(n: Number, k: Number) -> Number:
    top, chosen = _whole("comb", n, most=2**MOST_BITS), _whole("comb", k, most=2**MOST_BITS)
    fewer = min(chosen, top - chosen)
    if fewer > 0:
        _bounded(min(top, fewer * top.bit_length(), 2 * MOST_BITS))
    return number(Fraction(math.comb(top, chosen)))


def _exactly(function: Callable[[Fraction, Fraction], Fraction | int]) -> Callable[[Number, Number], Number]:
    return lambda left, right: number(Fraction(function(left.value, right.value)), left, right)


OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: _exactly(operator.add),
    ast.Sub: _exactly(operator.sub),
    ast.Mult: _exactly(operator.mul),
    ast.Div: _exactly(operator.truediv),
    ast.FloorDiv: _exactly(operator.floordiv),
    ast.Mod: _exactly(operator.mod),
    ast.Pow: _power,
}
"""The operators between two numbers."""

FUNCTIONS: dict[str, tuple[int, int, Callable[..., Number]]] = {
    "min": (1, 100, lambda *parts: min(parts, key=lambda part: part.value)),
    "max": (1, 100, lambda *parts: max(parts, key=lambda part: part.value)),
    "abs": (1, 1, lambda part: Number(abs(part.value), part.exact)),
    "round": (1, 2, _round),
    "sqrt": (1, 1, _sqrt),
    "factorial": (1, 1, _factorial),
    "gcd": (1, 100, _gcd),
    "comb": (2, 2, _comb),
}
"""(fewest arguments, most arguments, function) by name."""
