"""Read numbers by one grammar, which is also used to compare them (docs/reference/answers.md, "Numbers")."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rheostat.evidence.answers.units import CURRENCIES, UNIT_AFTER, Quantity, scaled

__all__ = ["Found", "number_at", "numbers_in", "plain", "read_number"]

_MOST_DIGITS, _MOST_EXPONENT = 400, 400
"""Numbers beyond these limits are compared as text."""

_SAME_WIDTH = {
    **dict.fromkeys("−–‐‑﹣－﹘", "-"), **dict.fromkeys("⁄∕／", "/"), "＋": "+", "．": ".", "，": ",", "％": "%",
    **dict.fromkeys("\u00a0\u202f\u2009\u2007\u2008\u205f\u3000", " "),
    "＄": "$", "’": "'", "：": ":", "＝": "=", "∶": ":",
}  # fmt: skip
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
_AS_DIGITS = str.maketrans(_SUPERSCRIPTS, "0123456789+-")


def plain(text: str) -> str:
    """Replace variants of digits, signs and spaces by ASCII, character by character, so that spans stay valid."""
    if text.isascii():
        return text
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    if char in _SAME_WIDTH:
        return _SAME_WIDTH[char]
    if not char.isascii() and unicodedata.category(char) == "Nd":
        return str(unicodedata.digit(char))
    return char


_VULGAR = {char: Fraction(unicodedata.numeric(char)).limit_denominator(10) for char in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_WHOLE = r"""(?:
    [1-9]\d{0,2}(?:,\d{3})+(?![\d])(?!,\d) | [1-9]\d?(?:,\d{2})+,\d{3}(?!\d)
  | [1-9]\d{0,2}(?:\ \d{3})+(?!\ ?\d)(?![/\d]) | [1-9]\d{0,2}(?:'\d{3})+(?!\d) | [1-9]\d{0,2}(?:_\d{3})+(?!\d)
  | [1-9]\d{0,2}(?:(?:\{,\}|,?\\[,;!\ ]|\{,\}\\!)\d{3})+(?!\d)
  | \d+ )"""
_FRAC = r"\\[dtc]?frac(?:\s*\{\s*(?P<{0}n>-?\d+)\s*\}\s*\{\s*(?P<{0}d>\d+)\s*\}|\s*(?P<{0}sn>\d)\s*(?P<{0}sd>\d))"


def _frac(name: str) -> str:
    return _FRAC.replace("{0}", name)


_UNSPACED = "\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"
"""Scripts without spaces between words: Japanese, Chinese, Korean."""
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]}}%.])[-+]\s?|\b(?:minus|negative)\s+)?
    (?P<money>(?:US|A|C|NZ|HK|S)?\\?\$\s?|[€£¥₹₩]\s?|\b(?:USD|EUR|GBP|JPY|INR|CNY|CHF)\s)?
    (?P<inner>-)?
    (?:
        (?P<vulgar>[¼½¾⅐-⅞])
      | {_frac("f")}
      | (?:(?<![\w.])|(?<=[$])|(?<=[a-z]\ )|(?<=[{_UNSPACED}])|(?<=\d[hm]))
        (?P<comma>\d{{1,3}}(?:\.\d{{3}})*,\d\d(?=\s?(?:€|EUR\b|[Ee]uros?\b)))?(?P<whole>{_WHOLE})?(?P<part>(?<!\d)\.\d+|(?<=\d)\.\d+)?(?!\.\d)
        (?:
            (?P<exp>[eE][-+]?\d{{1,4}}(?!\d)|\s?(?:×|x|X|\*|·|⋅|\\times|\\cdot)\s?10\s?(?:(?:\^|\*\*)\s?[{{(]?\s?[-+]?\d{{1,4}}\s?[}})]?|[{_SUPERSCRIPTS}]+))
          | \s?(?P<mvulgar>[¼½¾⅐-⅞])
          | \s?(?:and\ )?{_frac("m")}
          | \ (?:and\ )?(?P<pn>\d+)\s?/\s?(?P<pd>\d+)(?![\d/.])
          | \s?/\s?(?P<over>{_WHOLE})(?![\d/])(?!\.\d)
        )?
    )
    (?!\d|(?:st|nd|rd|th)\b|:\d|-\d|/\d)
    (?P<size>(?:\s?-?\s?(?:hundred|thousand|million|billion|trillion|dozen)s?\b)*)
    (?P<short>\s?(?:k|K|m|M|mn|mio|bn|B|tn|T)(?![\w]))?
    """,
    re.X,
)
_SIZES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_SHORT = {"k": 3, "m": 6, "mn": 6, "mio": 6, "bn": 9, "b": 9, "tn": 12, "t": 12}
_CURRENCY_WORDS = r"dollars?|euros?|pence|cents?|rupees?|yen|yuan|francs?|bucks|USD|EUR|GBP|JPY|INR|CNY|CHF"

_ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}


def _grammar() -> str:
    """A pattern of English number words, in which "two five" and "one and two" aren't single numbers."""
    ones = "|".join(word for word, value in _ONES.items() if 0 < value < 10)
    teens = "|".join(word for word, value in _ONES.items() if value > 9)
    small = rf"(?:(?:{'|'.join(_TENS)})(?:[-\s]+(?:{ones}))?|{teens}|{ones})\b"
    then = r",?\s+(?:and\s+)?"
    number = rf"(?:(?:{small}|a)\s+hundred\b(?:{then}{small})?|{small})"
    for size in ("thousand", "million", "billion"):
        number = (
            rf"(?:(?:(?:{small}|a)\s+hundred\b(?:{then}{small})?|{small}|a)\s+{size}\b(?:{then}{number})?|{number})"
        )
    return rf"{number}|zero\b|a(?=\s+dozen\b)"


_WORDS = re.compile(
    rf"(?P<sign>\b(?:minus|negative)\s+)?\b(?P<words>{_grammar()})(?P<unit>\s+dozen\b)?"
    rf"(?![-\s]+(?:(?:hundred|thousand|million|billion)s?|{'|'.join([*_ONES, *_TENS])})\b)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A number in a text, with its span."""

    start: int
    end: int
    quantity: Quantity


_AND_MORE = re.compile(r"\s*,?\s*(?:and\s+)?(?=\d)")
_INCHES = re.compile(r"\s?(?:in\b\.?|\"|″)")
_STARTS = re.compile(r"[-+.\d$€£¥₹₩\\¼½¾⅐-⅞]|\b[A-Za-z]")
_FEET = re.compile(r"(?<![\w.])(\d{1,2})['′]\s?(\d{1,2})(?:\"|″|'')(?!\w)")
_HALF = re.compile(r"\b(?:(?P<half>half\s+an?)|an?)(?=\s)", re.I)
_AND_HALF = re.compile(r"\s+and\s+(?:a|one)\s+half\b", re.I)
_SKIPPED = re.compile(r"[^\W\d_]+|\d[\d.,:/-]*|.", re.S)


def _int(text: str) -> int:
    digits = re.sub(r"\D", "", text)
    if len(digits) > _MOST_DIGITS:
        raise ValueError("too long")
    return int(digits or "0")


def _value(match: re.Match[str]) -> Fraction:
    group = match.groupdict()
    if group["vulgar"]:
        value = _VULGAR[group["vulgar"]]
    elif group["comma"]:
        value = Fraction(group["comma"].replace(".", "").replace(",", "."))
    elif group["fn"] or group["fsn"]:
        value = Fraction(int(group["fn"] or group["fsn"]), _int(group["fd"] or group["fsd"]))
    else:
        value = Fraction(_int(group["whole"] or ""))
        if group["part"]:
            digits = group["part"][1:]
            value += Fraction(_int(digits), 10 ** len(digits))
        if group["exp"]:
            exponent = int(
                re.split(r"[eE^(*{⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]|10(?=[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻])", _exponent(group["exp"]))[-1].strip(" })")
            )
            if abs(exponent) > _MOST_EXPONENT:
                raise ValueError("too large")
            value *= Fraction(10) ** exponent
        elif group["mvulgar"]:
            value += _VULGAR[group["mvulgar"]]
        elif top := group["mn"] or group["msn"] or group["pn"]:
            value += Fraction(_int(top), _int(group["md"] or group["msd"] or group["pd"]))
        elif group["over"]:
            value /= Fraction(_int(group["over"]))
    for size in re.findall(r"[a-z]+", group["size"] or ""):
        value *= _SIZES[size.rstrip("s")]
    if group["short"] and group["money"]:
        value *= Fraction(10) ** _SHORT[group["short"].strip().lower()]
    negative = sum(
        bool(sign and sign.strip() in ("-", "minus", "negative")) for sign in (group["sign"], group["inner"])
    )
    return -value if negative % 2 else value


def _exponent(text: str) -> str:
    power = re.search(rf"10([{_SUPERSCRIPTS}]+)$", text)
    return f"e{power[1].translate(_AS_DIGITS)}" if power else text.replace("^", "e").replace("**", "e")


def _in_words(text: str) -> Fraction:
    total = part = Fraction(0)
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in _ONES or word in _TENS:
            part += _ONES.get(word, _TENS.get(word, 0))
        elif word == "hundred":
            part = (part or Fraction(1)) * 100
        elif word in _SIZES:
            total, part = total + (part or Fraction(1)) * _SIZES[word], Fraction(0)
    return total + part


def number_at(text: str, start: int = 0, parts: int = 4) -> Found | None:
    """The number with its unit at this place of a `plain` text; `parts`: how many more may follow (1 hour 35 min)."""
    if (tall := _FEET.match(text, start)) is not None:
        return Found(start, tall.end(), Quantity(int(tall[1]) + Fraction(int(tall[2]), 12), "foot"))
    if (half := _HALF.match(text, start)) is not None and (of := UNIT_AFTER.match(text, half.end())) is not None:
        whole = half["half"] is None
        if not whole or _AND_HALF.match(text, of.end()):
            return _with_unit(text, start, half.end(), Fraction(1) if whole else Fraction(1, 2), "", parts)
    match = _NUMBER.match(text, start)
    if match is not None and _is_number(match):
        try:
            value = _value(match)
        except (ValueError, ZeroDivisionError):
            return None
        end = match.end() if match["money"] or not match["short"] else match.start("short")
        unit = CURRENCIES.get((match["money"] or "").strip(" \\").upper(), "")
        return _with_unit(text, match.start(), end, value, unit, parts)
    words = _WORDS.match(text, start)
    if words is not None:
        value = _in_words(words["words"])
        if words["unit"]:
            value = (value or Fraction(1)) * 12
        if words["sign"]:
            value = -value
        return _with_unit(text, words.start(), words.end(), value, "", parts)
    return None


def _is_number(match: re.Match[str]) -> bool:
    return any(match[name] for name in ("vulgar", "fn", "fsn", "whole", "part", "comma"))


def _with_unit(text: str, start: int, end: int, value: Fraction, unit: str, parts: int) -> Found:
    """A number with the unit that follows it; several quantities in a row (1 hour 35 minutes) are added."""
    if unit:
        return Found(start, end, Quantity(value, unit))
    if (more_half := _AND_HALF.match(text, end)) is not None:
        value, end = _and_half(value), more_half.end()
    after = UNIT_AFTER.match(text, end)
    if after is None:
        return Found(start, end, Quantity(value, ""))
    after_end = after.end()
    if (more_half := _AND_HALF.match(text, after_end)) is not None:
        value, after_end = _and_half(value), more_half.end()
    found = Found(start, after_end, scaled(value, after))
    more = _AND_MORE.match(text, found.end)
    following = number_at(text, more.end(), parts - 1) if more and parts and found.quantity.compound else None
    if following is not None and found.quantity.unit == "foot" and (inches := _INCHES.match(text, following.end)):
        following = Found(following.start, inches.end(), Quantity(following.quantity.value, "inch"))
    if (
        following is not None
        and found.quantity.unit == "hour"
        and re.search(r"\d\s?m$", text[following.start : following.end])
    ):
        following = Found(following.start, following.end, Quantity(following.quantity.value, "minute"))
    if following is not None and following.quantity.compound:
        total = found.quantity.plus(following.quantity)
        if total is not None:
            return Found(start, following.end, total)
    return found


def _and_half(value: Fraction) -> Fraction:
    return value + (Fraction(1, 2) if value >= 0 else Fraction(-1, 2))


def numbers_in(text: str) -> Iterator[Found]:
    """Yield all numbers of a `plain` text, from left to right."""
    at = 0
    while (start := _STARTS.search(text, at)) is not None:
        at = start.start()
        if text[at : at + 2] == "- " and re.search(r"[A-Za-z]\s*$", text[max(0, at - 8) : at]):
            at += 2  # a dash after a word
            continue
        found = number_at(text, at)
        if found is not None and _stands_alone(text, found) and text[at : found.end].lower() != "one":
            yield found
            at = max(found.end, at + 1)
        else:
            skip = _SKIPPED.match(text, at)
            at = skip.end() if skip else at + 1


def _stands_alone(text: str, found: Found) -> bool:
    """Whether a number isn't part of a word, a range, a ratio, a date, a version or an index."""
    before = text[max(0, found.start - 2) : found.start]
    if (
        re.search(r"[<>≤≥]\s?$|(?:[\w][-:/.]|[\w\\^_])$", before)
        and text[found.start] not in "$€£¥₹₩¼½¾⅓⅔"
        and not (re.search(rf"[{_UNSPACED}]$", before))
    ):
        return False
    return not re.match(r"[A-Za-z_]\w*\(|[A-Za-z0-9_^!]", text[found.end : found.end + 2])


def read_number(text: str) -> Quantity | None:
    """The quantity of a text that is a number, with or without a unit, and nothing else; else `None`."""
    shown = plain(text).strip()
    found = number_at(shown)
    return found.quantity if found is not None and shown[found.end :].strip() in ("", ".") else None
