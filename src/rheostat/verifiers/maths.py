"""Are two mathematical answers equal? By math-verify (LaTeX and expressions), numbers by exact fractions first."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from fractions import Fraction

from rheostat.errors import MissingExtra, VerifierInvalid
from rheostat.verifiers.verdict import AnswerForm, Verdict

__all__ = ["MathsAnswer", "maths_key", "same_maths"]

_MAX_CHARS = 200
_POWER = re.compile(r"(\^|\*\*)\s*\{?\s*\(?\s*\d{4,}|!\s*!|\d{4,}\s*!|(\^|\*\*)[^+\-=]*(\^|\*\*)")
"""Towers and huge powers: comparing these symbolically may never end."""


def _number(text: str) -> Fraction | None:
    """`$1,234.50`, `12 %`, `3/4` or `\\frac{3}{4}` as an exact fraction."""
    plain = re.sub(r"\\[d]?frac\{(-?\d+)\}\{(-?\d+)\}", r"\1/\2", text)
    plain = re.sub(r"[\s,$€£%]|\\[$%,!]|\\(?:text|mathrm)\{[^}]*\}", "", plain).rstrip(".")
    if not re.fullmatch(r"[-+]?(\d{1,60}(\.\d{0,60})?|\.\d{1,60})(/\d{1,60})?", plain):
        return None
    try:
        numerator, _, denominator = plain.partition("/")
        return Fraction(numerator) / Fraction(denominator or 1)
    except ZeroDivisionError:
        return None


def maths_key(text: str) -> str:
    """A key that equal numbers share (`1,000.0` and `$1000`); other expressions keep their text without spaces."""
    number = _number(text)
    return str(number) if number is not None else re.sub(r"\s+", "", text).casefold()


def same_maths(a: str, b: str) -> bool | None:
    """Equal, not equal, or `None`: can't tell (too long, or symbolic without math-verify's help).

    math-verify's own timeouts need signals, which only the main thread has; so what could run for ever is refused
    here by its look instead.
    """
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        return x == y
    if any(len(text) > _MAX_CHARS or _POWER.search(text) for text in (a, b)):
        return None
    try:
        import math_verify
    except ImportError:
        raise MissingExtra("comparing expressions", "verifiers") from None
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    left, right = (math_verify.parse(f"${text}$", parsing_timeout=None) for text in (a, b))
    if not left or not right:
        return None
    return bool(math_verify.verify(left, right, timeout_seconds=None))


@dataclass(frozen=True, slots=True)
class MathsAnswer:
    """The answer must equal a known value (a check that *you* have, never the benchmark's gold answer).

    Raises:
        VerifierInvalid: the value is empty.
    """

    expected: str
    form: AnswerForm | None = field(default="number")

    def __post_init__(self) -> None:
        if not str(self.expected).strip():
            raise VerifierInvalid("MathsAnswer needs a value to compare with")

    def check(self, answer: str) -> Verdict:
        """Equal, not equal, or abstain. The reason doesn't give the value away."""
        same = same_maths(answer, str(self.expected))
        if same is None:
            return Verdict(None, f"can't compare {answer[:80]!r} mathematically")
        return Verdict(same, "" if same else f"{answer.strip()[:80]} is not right")
