"""Read the exact value of a bare answer, and the key that equal answers share."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rheostat.evidence.answers.dates import read_date
from rheostat.evidence.answers.expressions import expression_key, looks_symbolic
from rheostat.evidence.answers.numbers import plain, read_number
from rheostat.evidence.answers.text import short_blanks, unwrapped
from rheostat.evidence.answers.units import Quantity
from rheostat.evidence.forms import AnswerForm

__all__ = ["MOST_CHARS", "Answer", "answer_of", "once", "parse_json"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read from a reply."""

    text: str
    """The answer as the model wrote it."""
    form: AnswerForm
    value: Any
    """The exact value; its type depends on the form (docs/reference/answers.md)."""
    key: str
    """A key that equal answers share."""


MOST_CHARS = 1_000
"""The longest text that is read as a value; a longer one is compared as text."""


def answer_of(
    text: str, form: AnswerForm | None = None, *, unit: tuple[Fraction, str] = (Fraction(1), "")
) -> Answer | None:
    """Read a text that is an answer and nothing else.

    Args:
        form: The form to read; `None`: the first of number, date, expression and text that fits.
        unit: (factor, unit) of a number without a unit, as `implied_unit` returns it.

    Returns:
        The answer, or `None` if the text isn't of this form.
    """
    whole = form in ("text", "json", "code")
    if not whole and len(text) > MOST_CHARS:
        return _text(text, unit) if form is None else None
    text = text if whole else short_blanks(text)
    readers = (_number, _date, _expression, _text) if form is None else (_READERS[form],)
    for each in readers:
        try:
            answer = each(text, unit)
        except (ValueError, ArithmeticError, RecursionError):  # too long, too large or too deep
            continue
        if answer is not None:
            return answer
    return None


Unit = tuple[Fraction, str]


def _number(text: str, unit: Unit) -> Answer | None:
    bare = _assigned(unwrapped(text))
    quantity = read_number(bare)
    if quantity is not None:
        return _of_quantity(text, quantity, unit)
    parts = _both_signs(bare) or _listed(plain(unwrapped(text) if "=" in bare else bare))
    if parts is None:
        return None
    found = [(_number(part, unit) if part.strip() else None) or _expression(part, unit) for part in parts[1]]
    if any(one is None for one in found):
        return None
    numbers = [one for one in found if one is not None]
    keys = [one.key for one in numbers]
    left, kind = parts[0], "list"
    names = {match[0] if (match := _ASSIGNED.match(unwrapped(part))) else "" for part in parts[1]}
    if left == "{" or (len(names) == 1 and names != {""}):  # x = 2 or x = 3
        kind, keys = "set", sorted(set(keys))
    elif len(names) > 1:
        keys = sorted(
            f"{unwrapped(part).partition('=')[0].strip()}={key}" for part, key in zip(parts[1], keys, strict=True)
        )
    elif left not in ("", "("):
        kind = f"list {left}"
    return Answer(_shown(text), "number", tuple(one.value for one in numbers), f"{kind} {'; '.join(keys)}")


def _of_quantity(text: str, quantity: Quantity, unit: Unit) -> Answer:
    if not quantity.unit and unit[1]:
        asked = Quantity(quantity.value * unit[0], unit[1])
        return Answer(_shown(text), "number", quantity.value, asked.key)
    if not quantity.unit or quantity.unit == "percent":
        value = quantity.value / (100 if quantity.unit else 1)
        return Answer(_shown(text), "number", value, quantity.key)
    number, base = quantity.key.split(" ", 1)
    return Answer(_shown(text), "quantity", (Fraction(number), base), quantity.key)


def _quantity(text: str, unit: Unit) -> Answer | None:
    return _number(text, unit)


_ASSIGNED = re.compile(r"^\s*\\?[A-Za-z](?:_\{?\w+\}?)?\s*(?:\([A-Za-z]\))?\s*=\s*(?=[^=])")


def _assigned(text: str) -> str:
    """The text without an assignment: `x = 5` is 5."""
    return unwrapped(_ASSIGNED.sub("", text, count=1))


def _both_signs(text: str) -> tuple[str, list[str]] | None:
    """The two values of `±3` or `3 \\pm \\sqrt2`, in the shape of `_listed`."""
    parts = re.split(r"\s*(?:±|\\pm(?![A-Za-z]))\s*", text)
    if len(parts) != 2 or not parts[1] or re.search(r"[,;=]", text):
        return None
    return "{", [
        f"{parts[0]} - {parts[1]}" if parts[0] else f"-{parts[1]}",
        f"{parts[0]} + {parts[1]}" if parts[0] else parts[1],
    ]


def _listed(text: str) -> tuple[str, list[str]] | None:
    """(opening bracket, parts) of a list, tuple, interval or set of two or more."""
    text = re.sub(r"\\(?:left|right)\s?", "", text).replace("\\{", "{").replace("\\}", "}").strip()
    left = ""
    if text[:1] in ("(", "[", "{") and text[-1:] in (")", "]", "}"):
        left, text = text[0] if text[0] + text[-1] in ("()", "[]", "{}") else text[0] + text[-1], text[1:-1]
    comma = r"[,;]\s+" if re.search(r",\s", text) else "[,;]"  # "1,000, 2,000" has two parts
    text = re.sub(r"\\text\s*\{\s*(or|and)\s*\}", r" \1 ", text)
    if re.search(r"\s+or\s+", text) and "=" not in text:
        return None
    parts = re.split(rf"\s*(?:\s+or\s+|[,;]\s+and\s+|{comma}|\s+and\s+|\\text\s*\{{\s*and\s*\}}|、)\s*", text)
    return (left, parts) if len(parts) > 1 or left in ("{", "[") else None


def _expression(text: str, unit: Unit) -> Answer | None:
    bare = _assigned(unwrapped(text))
    if not looks_symbolic(bare):
        return None
    key = expression_key(bare)
    if key is None:
        return None
    if key.startswith("number "):
        return _of_quantity(text, Quantity(Fraction(key[7:]), ""), unit)
    return Answer(_shown(text), "number", bare, key)


def _date(text: str, unit: Unit) -> Answer | None:
    bare = unwrapped(text)
    iso = bare if re.fullmatch(r"(?:1\d|20|21)\d\d", bare) else read_date(bare)
    return None if iso is None else Answer(_shown(text), "date", iso, f"date {iso}")


_CHOICE = re.compile(r"^(?:option|choice|answer)?\s*[(\[]?\s*([A-Z])\s*[)\].:]?$", re.I)


def _choice(text: str, unit: Unit) -> Answer | None:
    bare = unwrapped(text)
    letters = [_CHOICE.match(part.strip()) for part in re.split(r"\s*(?:,|;|&|\band\b)\s*", bare) if part.strip()]
    if not letters or not all(letters):
        return None
    value = ", ".join(sorted({letter[1].upper() for letter in letters if letter}))
    return Answer(_shown(text), "choice", value, f"choice {value}")


def _text(text: str, unit: Unit) -> Answer | None:
    bare = unwrapped(text)
    key = " ".join(unicodedata.normalize("NFC", plain(bare)).casefold().split())
    return Answer(_shown(text), "text", bare, f"text {key}") if bare else None


def _shown(text: str) -> str:
    return unwrapped(text)


def parse_json(text: str) -> Any:
    """Parse JSON with exact numbers (`int` or `Decimal`).

    Raises:
        ValueError: The text isn't JSON, is nested too deeply, repeats a name in an object or has a NaN or an infinity.
    """
    try:
        return json.loads(
            text, parse_float=Decimal, parse_int=_exact_int, parse_constant=_no_constant, object_pairs_hook=once
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _exact_int(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 400 else Decimal(digits)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs.

    Raises:
        ValueError: A name is there twice: of such an object each reader sees another value.
    """
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("an object has the same name twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} isn't valid JSON")


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value)
    number = value if isinstance(value, Decimal) else Decimal(value)
    if not number:
        return "0"
    sign, digits, exponent = number.as_tuple()  # `normalize` would round to the context's precision
    shown = "".join(map(str, digits)).rstrip("0")
    return f"{'-' if sign else ''}{shown}e{int(exponent) + len(digits) - len(shown)}"


def _json(text: str, unit: Unit) -> Answer | None:
    try:
        value = parse_json(text)
        return Answer(text.strip(), "json", value, f"json {_canonical(value)}")
    except (ValueError, RecursionError, ArithmeticError):
        return None


def _code(text: str, unit: Unit) -> Answer | None:
    source = text.strip("\n").rstrip()
    if not source.strip():
        return None
    try:
        return Answer(source, "code", source, f"code {ast.dump(ast.parse(source))}")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Answer(source, "code", source, f"code {source}")


def _any_number(text: str, unit: Unit) -> Answer | None:
    return _number(text, unit) or _expression(text, unit)


def _plain_number(text: str, unit: Unit) -> Answer | None:
    """Read a number whose value is without its unit; the key keeps the unit."""
    answer = _any_number(text, unit)
    if answer is None or answer.form == "number":
        return answer
    quantity = read_number(_assigned(unwrapped(text)))
    return answer if quantity is None else replace(answer, form="number", value=quantity.value)


_READERS: dict[AnswerForm, Callable[[str, Unit], Answer | None]] = {
    "number": _plain_number, "quantity": _any_number, "date": _date, "choice": _choice, "text": _text, "json": _json,
    "code": _code,
}  # fmt: skip
