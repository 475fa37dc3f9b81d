"""When two recorded answers are equal: numbers by value, everything else as folded text."""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal
from typing import Any

__all__ = ["key_of", "right"]

_LARGEST_EXPONENT = 100_000
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def key_of(answer: Any) -> str | None:
    """The key of an answer: equal answers have equal keys. `None`: it is no answer.

    A number and a numeric text are equal by value: 39.0, "39", "39.00"; "1,234" is 1234. Other texts are compared
    without their case and without surrounding or repeated white space. Lists and objects are compared as JSON. `null`
    and blank text are no answer.
    """
    if answer is None:
        return None
    if isinstance(answer, bool):
        return str(answer).casefold()
    if isinstance(answer, int | float):
        return _number(repr(answer)) or str(answer)
    if not isinstance(answer, str):
        return "json " + json.dumps(answer, sort_keys=True, default=str)
    text = " ".join(answer.split())
    if not text:
        return None
    return _number(text) or text.casefold()


def right(answer: Any, gold: Any) -> bool:
    """Whether an answer equals the gold answer, or one of them if gold is a list. No answer is never right."""
    key = key_of(answer)
    if key is None:
        return False
    return key == key_of(gold) or (isinstance(gold, list) and key in {key_of(each) for each in gold})


def _number(text: str) -> str | None:
    plain = text.replace(",", "") if _THOUSANDS.fullmatch(text) else text
    if "_" in plain:  # Python's own digit separator; in an answer it is text
        return None
    try:
        value = Decimal(plain)
    except (ArithmeticError, ValueError):
        return None
    if not value.is_finite() or abs(value.adjusted()) > _LARGEST_EXPONENT:
        return None
    # Precise enough to drop zeros and no digit; Decimal's default would round long numbers until they are equal.
    exact = Context(prec=max(28, len(plain))).normalize(value)
    return "number " + str(abs(exact) if exact == 0 else exact)
