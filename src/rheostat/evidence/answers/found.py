"""The answer in the text that a mark points at, or in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rheostat.evidence.answers.dates import dates_in
from rheostat.evidence.answers.marks import without_checks
from rheostat.evidence.answers.numbers import numbers_in, plain
from rheostat.evidence.answers.text import unwrapped
from rheostat.evidence.answers.values import Answer, Unit, answer_of
from rheostat.evidence.forms import AnswerForm

__all__ = ["choice_in", "date_in", "number_in", "options_of"]

_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__|\$([^$\n]+)\$|\\\((.+?)\\\)")
_EQUALS = re.compile(r"(?<![<>=!])(?:=|≈|\\approx)(?!=)")
_LEAD = re.compile(
    r"^(?:approximately|about|around|roughly|exactly|equal to|a total of|only|just|simply|that|≈|~|=|\\approx)\s+", re.I
)


def number_in(text: str, unit: Unit, form: AnswerForm, *, first: bool) -> Answer | None:
    """A number in a sentence.

    Args:
        form: `number`: without its unit as a value; `quantity`: with it, if it has one.
        first: The first one counts (after a mark); else the last one (by position).
    """
    text = without_checks(text).strip()
    for candidate in _candidates(text):
        whole = answer_of(candidate, form, unit=unit)
        if whole is not None:
            return whole
    sides = _EQUALS.split(text)
    if len(sides) > 1:
        whole = _prefix(sides[-1], unit, form)
        if whole is not None:
            return whole
    numbers = list(numbers_in(plain(text)))
    for found in numbers[:1] if first else numbers[-1:]:
        return answer_of(text[found.start : found.end], form, unit=unit)
    return None


def _candidates(text: str) -> list[str]:
    bare = _LEAD.sub("", unwrapped(text))
    bold = [next(part for part in match.groups() if part) for match in _BOLD.finditer(text)]
    before = re.split(
        r"\s+(?:because|since|which|as|where|when|so)\b|,\s+(?:which|because|since|so|in total|altogether)\b",
        bare,
        maxsplit=1,
    )[0]
    return [bare, before, *reversed(bold)]


def _prefix(text: str, unit: Unit, form: AnswerForm) -> Answer | None:
    """What the last side of an equation begins with."""
    text = text.strip(" *$")
    for candidate in (text, re.split(r"\$|\\\)|\\\]", text)[0]):
        whole = answer_of(candidate, form, unit=unit)
        if whole is not None:
            return whole
    found = next(numbers_in(plain(text)), None)
    return None if found is None or found.start > 1 else answer_of(text[found.start : found.end], form, unit=unit)


def date_in(text: str, *, first: bool) -> Answer | None:
    """A date or a time in a sentence."""
    found = list(dates_in(without_checks(text)))
    for start, end, _ in found[:1] if first else found[-1:]:
        return answer_of(text[start:end], "date")
    return None


_OPTION = re.compile(r"(?:(?<=\s)|(?<=^)|(?<=\())\(?([A-Za-z])\s*[).:]\s+(?=\S)", re.M)


def options_of(question: str) -> dict[str, str]:
    """The options that a question offers, by letter; empty: it offers none."""
    found = list(_OPTION.finditer(question))
    for start, opening in enumerate(found):
        if opening[1].upper() != "A":
            continue
        run = [opening]
        for option in found[start + 1 :]:
            if ord(option[1]) == ord(run[-1][1]) + 1:
                run.append(option)
        if len(run) > 1:
            ends = [option.start() for option in run[1:]] + [len(question)]
            texts = [question[option.end() : end].strip(" \n,;.(") for option, end in zip(run, ends, strict=True)]
            return {option[1].upper(): text.split("\n")[0].strip() for option, text in zip(run, texts, strict=True)}
    return {}


def choice_in(text: str, options: dict[str, str], *, first: bool) -> Answer | None:
    """The letter of an option in a sentence; by the option's text, if it is that and nothing else."""
    bare = unwrapped(_LEAD.sub("", unwrapped(text)))
    letters: Sequence[str] = list(options) or [chr(code) for code in range(ord("A"), ord("K"))]
    whole = answer_of(bare, "choice")
    if whole is not None and all(letter in letters for letter in whole.value.split(", ")):
        return whole
    named = [letter for letter, said in options.items() if said and unwrapped(said).casefold() == bare.casefold()]
    if len(named) == 1:
        return Answer(bare, "choice", named[0], f"choice {named[0]}")
    any_of = "".join(letters)
    leading = re.match(
        rf"(?:option|choice|answer)?\s*\(?\**([{any_of}])\**\s*(?:[).:,–—-]|\bbecause\b|\bsince\b|$)", bare, re.I
    )
    if leading and (leading[1].isupper() or re.match(rf"\(?\s*{leading[1]}\s*[).:]", bare)):
        both = re.match(rf"\(?[{any_of}]\)?\s+or\s+\(?[{any_of}]\b", bare)
        return None if both else answer_of(leading[1], "choice")
    if re.match(rf"\(?[{any_of}]\)?\s+or\s+\(?[{any_of}]\b", bare):
        return None
    standing = re.findall(
        rf"\(([{any_of}])\)|\*\*([{any_of}])[).:*]|\b(?:option|choice)\s+\(?([{any_of}])\b|\b([{any_of}])\)", text
    )
    flat = [next(part for part in groups if part) for groups in standing]
    if not flat:
        flat = [
            letter for letter in re.findall(rf"(?<![\w'-])([{any_of}])(?![\w'-])", bare) if letter not in ("A", "I")
        ]
    if flat and len(set(flat)) == 1:
        return answer_of(flat[0], "choice")
    return answer_of(flat[0] if first else flat[-1], "choice") if flat else None
