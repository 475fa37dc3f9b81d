"""Compare answers: exactly for votes (`same`), leniently for verifiers (`compatible`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction

from rheostat.evidence.answers.expressions import looks_symbolic
from rheostat.evidence.answers.numbers import numbers_in, plain, read_number
from rheostat.evidence.answers.text import short_blanks, unwrapped
from rheostat.evidence.answers.values import MOST_CHARS, Answer, answer_of
from rheostat.evidence.forms import AnswerForm

__all__ = ["compatible", "grouped", "same"]


def same(a: str | Answer, b: str | Answer, form: AnswerForm | None = None) -> bool:
    """Whether two answers are exactly the same; an equivalence relation (docs/reference/answers.md, "Equality").

    Args:
        form: The form of both answers, if they are texts; `None`: the form that each looks like.
    """
    return key_of(a, form) == key_of(b, form)


def key_of(answer: str | Answer, form: AnswerForm | None = None) -> str:
    """The key of a bare answer; a text that isn't of the form is compared as text."""
    if isinstance(answer, Answer):
        return answer.key
    read = answer_of(answer, form) or answer_of(answer, "text")
    return read.key if read is not None else "text "


def compatible(reply: str | Answer, gold: str | Answer, form: AnswerForm | None = None) -> bool | None:
    """Whether an answer may pass for the right one. Unlike `same`, it forgives a unit that only one of the two has.

    Args:
        reply: The model's answer.
        gold: The answer that is known to be right.
        form: The form of both; `None`: the form that each looks like.

    Returns:
        `None` if it can't tell, because an expression isn't understood.
    """
    left, right = key_of(reply, form), key_of(gold, form)
    if left == right:
        return True
    ours, theirs = (each if isinstance(each, str) else each.text for each in (reply, gold))
    x, y = (None, None) if form in ("json", "code", "text", "choice", "date") else (_parts(ours), _parts(theirs))
    if x is not None and y is not None:
        return x[0] == y[0] and (not x[1] or not y[1])
    if "set" in (left.split(" ")[0], right.split(" ")[0]) and _members(left, ours) == _members(right, theirs):
        return True
    symbolic = any(looks_symbolic(each) for each in (ours, theirs))
    understood = all(each.startswith(("number", "expression", "list", "set", "date", "json")) for each in (left, right))
    if symbolic and not understood and form in (None, "number", "quantity") and not _in_words(ours, theirs):
        return None
    return False


def _members(key: str, text: str) -> list[str] | None:
    """The sorted members of a set or a list without brackets; `None` for others: `(2, 3)` is a point or an interval."""
    kind, _, rest = key.partition(" ")
    bare = kind == "set" or (kind == "list" and unwrapped(text)[:1] not in ("(", "[", "]"))
    return sorted(rest.split("; ")) if bare else None


def _in_words(*texts: str) -> bool:
    return any(len(re.findall(r"[A-Za-z]{4,}", re.sub(r"\\[a-z]+", "", text))) > 1 for text in texts)


_NO_UNIT = re.compile(
    r"^(?:or|and|to|th|st|nd|rd|x|in|on|of|not|is|isn|are|was|pi|e|i|over|half|halves|am|pm|a\.m|p\.m|squared|cubed|plus|minus"
    r"|times|lakhs?|crores?|score|mod|if|but|by|per|at|out|less|more|from|log|ln|sin|cos|tan|sqrt|root|factorial|infinity)\b"
    r"|(?:th|rd)s?$|\b(?:wrong|not|n't|or|out of|over)\b|[-+*/=^]",
    re.I,
)
"""Words after a number that change or deny it, so that they aren't a unit."""


def _parts(text: str) -> tuple[Fraction, str] | None:
    """(number, unit) as written; up to three unknown words after a number also count as a unit. `None`: no number."""
    if len(text) > MOST_CHARS:
        return None
    text = short_blanks(text)
    bare = re.sub(r"^\s*\\?[A-Za-z]\s*=\s*", "", unwrapped(text))
    whole = read_number(bare)
    if whole is not None:
        return whole.value, whole.unit
    shown = plain(bare)
    found = next(numbers_in(shown), None)
    if found is None or found.start > 0 or found.quantity.unit:
        return None
    after = shown[found.end :]
    words = re.fullmatch(r"[\s-]*(?:\\text\{)?\s*([A-Za-z][A-Za-z]*(?:[ -][A-Za-z]+){0,2}\.?)\s*\}?", after)
    if words is None or _NO_UNIT.search(words[1]):
        return None
    return found.quantity.value, words[1].casefold()


def grouped(answers: Iterable[str], equal: Callable[[str, str], bool]) -> list[int]:
    """For each answer, the index of the first answer that it is equal to."""
    firsts: list[tuple[int, str]] = []
    groups = []
    for number, answer in enumerate(answers):
        group = next((first for first, text in firsts if equal(text, answer)), number)
        if group == number:
            firsts.append((number, answer))
        groups.append(group)
    return groups
