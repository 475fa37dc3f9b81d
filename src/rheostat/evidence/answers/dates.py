"""Read dates and times with dateutil; parts that weren't written are never filled in from today's date."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from rheostat.errors import MissingExtra
from rheostat.evidence.answers.languages import MONTHS

__all__ = ["dates_in", "read_date"]

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DAY, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?", r"(?:1\d{3}|20\d{2}|21\d{2})"
_CLOCK = (
    r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?(?:\s?[ap]\.?m\b\.?)?|(?:0?\d|1[0-2])\.[0-5]\d\s?[ap]\.?m\b\.?"
    r"|\b1?\d\s?[ap]\.?m\b\.?|\b(?:noon|midnight)\b"
)
_UTC = r"(?:\s?(?:Z|UTC|GMT)(?!\w))?"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})(?!\w))?"
_ELSEWHERE = "|".join(MONTHS)
_DATE = re.compile(
    rf"""(?<![\w.:/-])(?:
        (?P<iso>{_YEAR}-\d{{2}}(?:-\d{{2}})?)
      | (?P<unspaced>{_YEAR}\s?年\s?\d{{1,2}}\s?月(?:\s?\d{{1,2}}\s?日)?)
      | (?P<foreign>(?:[1-9]|[12]\d|3[01])(?:er|\.|º)?\s+(?:de\s+)?(?:{_ELSEWHERE})(?:\s+(?:de\s+)?{_YEAR})?)
      | (?P<slashed>\d{{1,2}}[/.-]\d{{1,2}}[/.-]{_YEAR}|{_YEAR}[/.]\d{{1,2}}[/.]\d{{1,2}})
      | (?P<worded>(?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?
        |{_MONTH}\s+(?:the\s+)?{_DAY}(?!\d)(?:,?\s+{_YEAR})?|{_MONTH},?\s+{_YEAR})
    )(?:(?:T|,?\s+(?:at\s+)?)(?P<at>(?:{_CLOCK}){_ZONE}))?(?![\w:/-])
    |(?<![\w.:/-])(?P<clock>(?:{_CLOCK}){_UTC})(?:\s+on\s+(?P<on>{_YEAR}-\d{{2}}-\d{{2}}|{_DAY}\s+{_MONTH}(?:,?\s+{_YEAR})?|{_MONTH}\s+{_DAY}(?!\d)(?:,?\s+{_YEAR})?))?(?![\w:/])""",
    re.X | re.I,
)
_ENGLISH = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_WEEKDAY = re.compile(r"^(?:on\s+)?(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?\s+", re.I)


def dates_in(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, ISO 8601) for all dates and times in a text, from left to right."""
    for match in _DATE.finditer(text):
        iso = _iso(match)
        if iso is not None:
            yield match.start(), match.end(), iso


def read_date(text: str) -> str | None:
    """The ISO 8601 form of a text that is a date, a time or both; `None`: it isn't one, or it is ambiguous."""
    shown = _WEEKDAY.sub("", text.strip()).rstrip(".") if not re.search(r"[ap]\.m\.$", text.strip()) else text.strip()
    match = _DATE.fullmatch(shown)
    return _iso(match) if match is not None else None


def _iso(match: re.Match[str]) -> str | None:
    day, clock = (
        match["iso"] or match["slashed"] or match["worded"] or match["foreign"] or match["unspaced"] or match["on"],
        match["at"] or match["clock"],
    )
    try:
        when = _day(day) if day else ""
        if when is None:
            return None
        return f"{when}{_clock(clock, when)}" if clock else when
    except (ValueError, OverflowError):
        return None


def _day(text: str) -> str | None:
    if unspaced := re.fullmatch(r"(\d{4})\D+(\d{1,2})\s?月(?:\s?(\d{1,2})\s?日)?", text):
        return _day("-".join(part.zfill(2) for part in unspaced.groups() if part))
    if slashed := re.fullmatch(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})|(\d{4})[/.](\d{1,2})[/.](\d{1,2})", text):
        first, second, third = (int(part) for part in slashed.groups() if part)
        if first > 31:
            return datetime.date(first, second, third).isoformat()
        if first <= 12 and second <= 12 and first != second:
            return None  # ambiguous: the day or the month may come first
        month, day = (first, second) if second > 12 or first == second else (second, first)
        return datetime.date(third, month, day).isoformat()
    if re.fullmatch(r"\d{4}-\d{2}", text):
        return text if 1 <= int(text[5:]) <= 12 else None
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return datetime.date.fromisoformat(text).isoformat()
    for number, names in enumerate(MONTHS):
        text = re.sub(rf"(?<!\w)(?:{names})(?!\w)", _ENGLISH[number], text, flags=re.I)
    text = re.sub(r"\bde\b|(?<=\d)(?:er\b|º)", " ", text)
    return _parsed(re.sub(r"\b(?:the|of)\b|(?<=\d)(?:st|nd|rd|th)\b", " ", text, flags=re.I))


def _parsed(text: str) -> str:
    """Parse a text with two different defaults: a part that differs wasn't written."""
    try:
        from dateutil import parser
    except ImportError:
        raise MissingExtra("answers that are dates", "verifiers") from None
    grounds = (datetime.datetime(1972, 1, 1), datetime.datetime(2004, 2, 2))  # leap years
    one, two = (parser.parse(text, default=ground) for ground in grounds)
    year = f"{one.year:04}" if one.year == two.year else "-"
    if one.day != two.day:
        return f"{year}-{one.month:02}"
    return f"{year}-{one.month:02}-{one.day:02}"


def _clock(text: str, day: str) -> str:
    word = re.sub(r"^(\d{1,2})\.(?=\d\d)", r"\1:", text.strip().lower())
    if word in ("noon", "midnight"):
        return "T12:00" if word == "noon" else "T00:00"
    match = re.match(r"(\d{1,2})(?::(\d{2})(?::(\d{2}))?)?\s?(?:([ap])\.?m\b\.?)?\s?(.*)$", word, re.S)
    if match is None or re.search(r"[+-](?:1[5-9]|[2-9]\d|\d\d:?[6-9])", match[5]):
        raise ValueError(text)
    hour, minute, second = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if match[4]:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + (12 if match[4] == "p" else 0)
    time = datetime.time(hour % 24 if hour < 25 else hour, minute, second)
    zone = match[5].upper()
    if zone and len(day) == len("2024-01-01") and day[0] != "-":
        moment = datetime.datetime.fromisoformat(f"{day}T{time}+00:00")
        if offset := re.fullmatch(r"([+-])(\d{2}):?(\d{2})", zone):
            moved = datetime.timedelta(hours=int(offset[2]), minutes=int(offset[3]))
            moment = moment - moved if offset[1] == "+" else moment + moved
        if moment.date().isoformat() == day:
            return f"T{moment:%H:%M}{f':{second:02}' if second else ''}Z"
        return f"T{time:%H:%M}{f':{second:02}' if second else ''}{zone}"  # a different day in UTC: keep it as written
    shown = f"T{time:%H:%M}{f':{second:02}' if second else ''}"
    return f"{shown}{'Z' if zone in ('Z', 'UTC', 'GMT') else zone}"
