"""Find the number or the date in a sentence, or in the text that a mark points at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from rheostat.evidence.answers.asides import without_asides
from rheostat.evidence.answers.dates import dates_in
from rheostat.evidence.answers.expressions import looks_symbolic
from rheostat.evidence.answers.numbers import Found, numbers_in, plain
from rheostat.evidence.answers.text import unwrapped
from rheostat.evidence.answers.values import Answer, Unit, answer_of
from rheostat.evidence.forms import AnswerForm

__all__ = ["date_in", "number_in", "starts_with_value"]

_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__|\$([^$\n]+)\$|\\\((.+?)\\\)")
_EQUALS = re.compile(r"(?<![<>=!])(?:=|≈|\\approx)(?!=)")
_ROUNDED = re.compile(r"(?<=\d)(?=\s?[A-Za-z]{1,4}\s?≈)(\s?[A-Za-z]{1,4})\s?≈.*")
"""A quantity repeated in another unit, as in `150 km ≈ 93 miles`."""
_LEAD = re.compile(
    r"^(?:approximately|about|around|roughly|exactly|equal to|a total of|only|just|simply|that|≈|~|=|\\approx)\s+", re.I
)
_COPULA = re.compile(
    r"\b(?:is|are|was|were|be|equals?|makes?|gives?|gets?|totals?|comes\s+to|namely)\b\s*:?\s*|:\s+", re.I
)
_REASON = re.compile(
    r"(?:,\s+|\s)(?:because|since|assuming|after|as\s+(?:he|she|it|they|there|we|you|each|all))\b|,\s+(?:since|as)\b",
    re.I,
)
_GOES_ON = re.compile(r",\s+(?:so|then|he|she|it|they|there|we|you|the|that|this|\$?-?\d)", re.I)
"""The main clause after a reason, as in "after eating 5, 15 are left"."""
_CONCLUDES = re.compile(r"\b(?:so|thus|therefore|hence|total|altogether)\b[^.!?()]*\d", re.I)
_COMPARED = re.compile(
    r"\s(?:out\s+of|of\s+(?:the|his|her|their)\s+(?:original|initial|total)|rather\s+than|instead\s+of|compared|than)\b|\s+not\s+(?=-?[\d$])",
    re.I,
)
_ASIDE = re.compile(
    r""",?\s+\(?i\.e\.|,\s+(?:that\s+is|with|not|down\s+from|up\s+from|from)\b
    |,\s+which(?!\s+(?:is|makes|gives|equals|means|brings|totals|leaves)\b(?!\s+(?:often|about|approx|roughly|rounded|why)))\b
    |\s+\(\s*(?=[^)]*\d)[^()]*\)|\s+\[(?=[^\]]*\d)[^\[\]]*\]|\s[—–]\s""",
    re.X | re.I,
)
_MAKING = re.compile(r",\s+(?:making|bringing|for a)\s+(?:the|a)\s+total\b", re.I)
_ADJUNCT = re.compile(
    r"(?:^|[\s(])(?:in|at|for|on|from|per|by|with|within|during|over|under|between|until|option|step|case|day|page|chapter"
    r"|(?<=\d)\s*\w*\s+of|each\s+of|all|out\s+of)\s+(?:the\s+|each\s+|every\s+|all\s+|only\s+|these\s+|those\s+)?[$€£]?$",
    re.I,
)
"""Words that make the number after them an adjunct ("in 2 hours", "for 3 children")."""
_DENIED = re.compile(r"(?:\bnot|n't)\s+-?[$\d][\d.,]*\s*$", re.I)
_PARTS = re.compile(r"\b(?:plus|minus|times|and)\b|\s\+\s", re.I)


def number_in(
    text: str,
    unit: Unit,
    form: AnswerForm,
    *,
    first: bool,
    total: bool = False,
    known: frozenset[Fraction] = frozenset(),
) -> Answer | None:
    """The number in a sentence that is its answer, or `None`.

    Args:
        unit: The unit that the question asks for.
        form: `number`: the value without its unit; `quantity`: with it, if it has one.
        first: Take the first number (after a mark) instead of the last one (by position).
        total: The question asks for a total.
        known: The numbers of the question: if a sentence has several numbers, one that isn't known is preferred.
    """
    text = without_asides(text).strip()
    for candidate in _wholes(text):
        whole = answer_of(candidate, form, unit=unit)
        if whole is not None:
            return whole
    clause = _ROUNDED.sub(r"\1", _main_clause(text, total=total))
    for candidate in _after_copula(clause):
        whole = answer_of(candidate, form, unit=unit)
        if whole is not None:
            return whole
    for candidate in _bold(clause):
        whole = answer_of(candidate, form, unit=unit)
        if whole is not None:
            return whole
    sides = _EQUALS.split(clause)
    if len(sides) > 1:
        whole = _prefix(sides[-1], unit, form)
        if whole is not None:
            return whole
        if looks_symbolic(unwrapped(sides[-1])) and not re.search(
            r"[A-Za-z]{3}", re.sub(r"\\[A-Za-z]+", "", sides[-1])
        ):
            return None
    shown = plain(clause)
    numbers = list(numbers_in(shown))
    main = _main(shown, numbers, unit)
    if first and starts_with_value(text) and not _adds_up(shown, numbers):
        main = numbers[:1]
    new = [found for found in main if found.quantity.value not in known]
    if not first and len(new) == 1 and len(main) > 1:
        main = new
    for found in main[-1:]:
        return answer_of(clause[found.start : found.end], form, unit=unit)
    return None


def _adds_up(shown: str, numbers: list[Found]) -> bool:
    """Whether the first of several numbers is only a part, as in "2 of blue plus 1 of white makes 3"."""
    if len(numbers) < 3 or not _PARTS.search(shown[numbers[0].end : numbers[1].start]):
        return False
    return re.search(r"\b(?:makes?|gives?|equals?|is|are|total)\b", shown[numbers[1].end :], re.I) is not None


def starts_with_value(text: str) -> bool:
    """Whether a text starts with a number."""
    bare = plain(_LEAD.sub("", text.lstrip(" *_$`\"'(\\\n")))
    return (found := next(numbers_in(bare[:200]), None)) is not None and found.start <= 1


def _wholes(text: str) -> Iterator[str]:
    bare = _LEAD.sub("", unwrapped(text))
    if not re.fullmatch(r"[^\s()]+\s+\([^()]*\d[^()]*\)", bare):  # "3 (2 + 1)" isn't a product
        yield bare
    before = re.split(
        r"\s+(?:because|since|which|as|where|when|so)\b|,\s+(?:which|because|since|so|in total|altogether)\b",
        bare,
        maxsplit=1,
    )[0]
    if before != bare:
        yield before


def _main_clause(text: str, *, total: bool) -> str:
    """The sentence up to its first subordinate clause, if that holds a number."""
    if not total and (making := _MAKING.search(text)) is not None and _has_number(text[: making.start()]):
        text = text[: making.start()]
    for cut in _ends(text):
        before = text[: cut.start()]
        if (
            _has_main_number(before)
            and not _DENIED.search(before)
            and not _EQUALS.search(text[cut.start() :].split("(")[0])
        ):
            return before if not cut[0].rstrip().endswith((")", "]")) else f"{before}{_main_tail(text[cut.end() :])}"
    parts = re.split(r":\s", text, maxsplit=1)
    if len(parts) == 2 and _has_number(parts[0]) and len(list(numbers_in(plain(parts[1])))) > 1 and "=" not in parts[1]:
        return parts[0] if _has_main_number(parts[0]) else text
    return text


def _ends(text: str) -> Iterator[re.Match[str]]:
    """The matches at which the main clause may end."""
    for cut in _REASON.finditer(text):
        if not _GOES_ON.search(text, cut.end()) and not _CONCLUDES.search(text, cut.end()):
            yield cut
    for cut in _COMPARED.finditer(text):
        rest = text[cut.end() :]
        if not _CONCLUDES.search(rest) and not re.search(rf"(?:{_COPULA.pattern})\$?-?\d", rest, re.I):
            yield cut
    yield from _ASIDE.finditer(text)


def _has_main_number(text: str) -> bool:
    shown = plain(text)
    return bool(_own(shown, list(numbers_in(shown))))


def _main_tail(text: str) -> str:
    return text if "=" in text or _COPULA.search(text) else ""


def _has_number(text: str) -> bool:
    return next(numbers_in(plain(text)), None) is not None


def _main(shown: str, numbers: list[Found], unit: Unit) -> list[Found]:
    """The numbers that aren't adjuncts; only those in the unit asked for, if there are any."""
    own = _own(shown, numbers)
    if unit[1]:
        named = [found for found in own or numbers if found.quantity.unit == unit[1]]
        if named:
            return named
    return own or numbers


def _own(shown: str, numbers: list[Found]) -> list[Found]:
    return [found for found in numbers if not _adjunct(shown[max(0, found.start - 40) : found.start])]


def _adjunct(before: str) -> bool:
    return _ADJUNCT.search(before) is not None and not re.search(
        r"\b(?:leav(?:es?|ing)\s+(?:\w+\s+){0,2}|left\s+)with\s+\S{0,2}$", before, re.I
    )


def _after_copula(clause: str) -> Iterator[str]:
    places = list(_COPULA.finditer(clause))
    for place in reversed(places[-3:]):
        rest = clause[place.end() :].strip()
        if rest:
            yield _LEAD.sub("", unwrapped(rest))


def _bold(clause: str) -> Iterator[str]:
    for match in reversed(list(_BOLD.finditer(clause))):
        yield next(part for part in match.groups() if part)


def _prefix(text: str, unit: Unit, form: AnswerForm) -> Answer | None:
    """The value at the start of the last side of an equation."""
    text = text.strip(" *$")
    for candidate in (text, re.split(r"\$|\\\)|\\\]", text)[0]):
        whole = answer_of(candidate, form, unit=unit)
        if whole is not None:
            return whole
    found = next(numbers_in(plain(text)), None)
    return None if found is None or found.start > 1 else answer_of(text[found.start : found.end], form, unit=unit)


def date_in(text: str, *, first: bool) -> Answer | None:
    """The first or the last date, time or year in a sentence, or `None`."""
    text = without_asides(text)
    for cut in _ends(text):
        if next(dates_in(text[: cut.start()]), None) is not None:
            text = text[: cut.start()]
            break
    found = list(dates_in(text)) or [
        (year.start(), year.end(), year[0])
        for year in re.finditer(r"(?<![\w.:/-])(?:1[1-9]|20|21)\d\d(?![\w:/-])", text)
    ]
    for start, end, _ in found[:1] if first else found[-1:]:
        return answer_of(text[start:end], "date")
    return None
