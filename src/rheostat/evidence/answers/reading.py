"""The one reader of answers: what a reply's final answer is, by form (docs/answers.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from rheostat.evidence.answers.found import choice_in, date_in, number_in, options_of
from rheostat.evidence.answers.marks import Marked, last_sentence, marked, refuses, without_checks
from rheostat.evidence.answers.numbers import numbers_in, plain
from rheostat.evidence.answers.source import code_in, json_in
from rheostat.evidence.answers.text import before_run_on, said, unwrapped
from rheostat.evidence.answers.units import implied_unit
from rheostat.evidence.answers.values import Answer, Unit, answer_of
from rheostat.evidence.forms import AnswerForm

__all__ = ["asked_form", "read_answer"]

_MOST_CHARS = 200_000
"""Of a reply, its end: an answer stands there."""
_LETTER = re.compile(
    r"\b(?:answer|reply|respond)\s+(?:only\s+)?with\s+(?:only\s+)?(?:the|a|one|just the)\s+(?:single\s+)?"
    r"(?:correct\s+)?letter\b|\bwhich (?:option|letter|of the following)\b",
    re.I,
)
_WHEN = re.compile(
    r"\b(?:when\s+(?:does|do|did|will|is|was|should|would|it|he|she|they|the"
    r"|\w+\s+(?:arrives?|ends?|leaves?|starts?|begins?|finishes))"
    r"|(?:at\s+)?what\s+(?:time|date|day)\b|on\s+(?:what|which)\s+(?:date|day)|what\s+is\s+the\s+date)\b",
    re.I,
)
_NUMBER = re.compile(
    r"\bhow\s+(?:many|much|far|long|old|tall|fast|heavy|big|high|deep)\b"
    r"|\b(?:calculate|compute|evaluate|simplify|sum of|product of|what is the (?:value|probability|area|volume|average"
    r"|total|number|percentage|remainder|result|difference|perimeter|length|speed|cost|price))\b"
    r"|\d\s*[-+*/×÷^]\s*\d|\bsolve\b.*=|=\s*\?",
    re.I,
)
_JSON = re.compile(
    r"\b(?:as|in|with|return|reply|give|output|produce|valid)\b[^.?!\n]{0,30}\bjson\b|\bjson (?:object|array)\b", re.I
)
_CODE = re.compile(
    r"\b(?:write|implement|complete|fix|debug|refactor)\b.{0,60}\b(?:function|class|method|program|script|code)\b"
    r"|```\w*\n\s*def ",
    re.I | re.S,
)
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_WHICH = re.compile(r"^\W*(?:in |on |at )?(?:who|whom|whose|what|which|where)\b", re.I)
_SHORT_CHARS = 300
_PLACEHOLDERS = {"N", "X", "…", "...", "NUMBER", "number", "[answer]", "<number>"}
_BREAKS_OFF = re.compile(r"(?:\w+[ ,]+){4,}\w+\s*\Z")
"""The end of a reply in the middle of a sentence."""


def asked_form(question: str) -> AnswerForm | None:
    """The form that a question asks for; `None`: it doesn't say."""
    if options_of(question) or (_LETTER.search(question) and re.search(r"\b[A-D]\b", question)):
        return "choice"
    if _CODE.search(question):
        return "code"
    if _JSON.search(question):
        return "json"
    if _WHEN.search(question) and not re.search(r"\bhow\s+(?:long|many|much)\b", question, re.I):
        return "date"
    return "number" if _NUMBER.search(question) else None


def read_answer(
    reply: str,
    form: AnswerForm | None = None,
    *,
    question: str = "",
    hint: AnswerForm | None = None,
    fits: Callable[[str], bool] | None = None,
    marked_only: bool = False,
) -> Answer | None:
    """The final answer of a reply.

    Args:
        reply: All that the model wrote.
        form: What the caller can use: a reply without it has no answer. `None`: whatever was asked for and said.
        question: What was asked: its options, the unit and the form that it wants.
        hint: The form that is most likely, where `form` is None and the question doesn't say.
        fits: Does a text of JSON fit the schema?
        marked_only: The reply was cut: only a marked answer is one.

    Returns:
        `None`: there is no answer (which is never a vote).
    """
    text = said(reply[-_MOST_CHARS:]).strip()
    if not text:
        return None
    wanted = form or asked_form(question) or hint
    if wanted == "code":
        found = code_in(text, question)
        return found if found is not None or form is not None else _text(text, marked_only=marked_only)
    if wanted == "json":
        found = json_in(text, fits)
        return found if found is not None or form is not None else _text(text, marked_only=marked_only)
    text = before_run_on(text).strip()
    unit = implied_unit(question) if question else (Fraction(1), "")
    options = options_of(question)
    if wanted in (None, "text"):
        if form is None and (marked_value := _marked_value(text, unit)) is not None:
            return marked_value
        bold = _BOLD.findall(text) if form is None and _short_fact(text, question) else []
        return _text(bold[0] if len(bold) == 1 else text, marked_only=marked_only)
    if form is None and wanted == "number":
        wanted = "quantity"
    read = _reader(wanted, unit, options)
    marks = list(marked(text))
    for mark in marks:
        answer = _exact(mark, wanted, unit) or read(mark.text, True)
        if answer is not None:
            return answer
    if form is None:
        other = _other(marks, wanted, unit, options)
        if other is not None:
            return other
    if marks or marked_only or refuses(text):
        return None
    return _by_position(text, read)


def _reader(form: AnswerForm, unit: Unit, options: dict[str, str]) -> Callable[[str, bool], Answer | None]:
    if form in ("number", "quantity"):
        return lambda text, first: number_in(text, unit, form, first=first)
    if form == "date":
        return lambda text, first: date_in(text, first=first)
    return lambda text, first: choice_in(text, options, first=first)


def _exact(mark: Marked, form: AnswerForm, unit: Unit) -> Answer | None:
    return answer_of(mark.text, form, unit=unit) if mark.exact and form != "choice" else None


def _other(marks: list[Marked], wanted: AnswerForm, unit: Unit, options: dict[str, str]) -> Answer | None:
    """A marked answer that is of another form than the question looks like: it stays what it is."""
    for mark in marks:
        bare = unwrapped(mark.text)
        if options:
            choice = choice_in(bare, options, first=True)
            if choice is not None:
                return choice
        for form in ("number", "date") if wanted != "quantity" else ("date",):
            whole = answer_of(bare, form, unit=unit)
            if whole is not None:
                return whole
        if wanted == "date" and (number := number_in(bare, unit, "quantity", first=True)) is not None:
            return number
        if bare and bare not in _PLACEHOLDERS and not refuses(mark.text):
            return answer_of(bare, "text")
    return None


def _short_fact(text: str, question: str) -> bool:
    return bool(_WHICH.search(question)) and len(text) < _SHORT_CHARS and next(marked(text), None) is None


def _marked_value(text: str, unit: Unit) -> Answer | None:
    """A marked answer, or a whole reply, that is a number or a date though nothing said so."""
    mark = next(marked(text), None)
    bare = mark.text if mark is not None else text
    answer = answer_of(bare, unit=unit) if len(bare) < _SHORT_CHARS else None
    return answer if answer is not None and answer.form != "text" else None


def _by_position(text: str, read: Callable[[str, bool], Answer | None]) -> Answer | None:
    if _BREAKS_OFF.search(text[-200:]) and next(numbers_in(plain(next(last_sentence(text), ""))), None) is None:
        return None
    for sentence in last_sentence(without_checks(text)):
        bold = re.findall(r"\*\*([^*\n]+)\*\*", sentence)
        for part in reversed(bold):
            if (answer := read(part, False)) is not None:
                return answer
        answer = read(sentence, False)
        if answer is not None:
            return answer
    return None


def _text(text: str, *, marked_only: bool) -> Answer | None:
    for mark in marked(text):
        if (answer := answer_of(_first_words(mark.text), "text")) is not None:
            return answer
    return None if marked_only else answer_of(text, "text")


def _first_words(text: str) -> str:
    """A marked answer in words: without a reason that follows."""
    return without_checks(text).strip()
