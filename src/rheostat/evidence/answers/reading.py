"""Read the final answer of a reply, by form (docs/reference/answers.md)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from rheostat.evidence.answers.asides import (
    breaks_off,
    explained_at,
    hypothetical,
    is_placeholder,
    last_sentences,
    refuses,
    without_asides,
)
from rheostat.evidence.answers.asked import asked_form, options_of
from rheostat.evidence.answers.choices import choice_in, judged_option
from rheostat.evidence.answers.expressions import looks_symbolic
from rheostat.evidence.answers.found import date_in, number_in, starts_with_value
from rheostat.evidence.answers.json_values import json_in
from rheostat.evidence.answers.marks import Marked, correction, marked
from rheostat.evidence.answers.numbers import numbers_in, plain
from rheostat.evidence.answers.source_code import code_in
from rheostat.evidence.answers.spoken import before_run_on, said
from rheostat.evidence.answers.text import unwrapped
from rheostat.evidence.answers.units import implied_unit
from rheostat.evidence.answers.values import Answer, Unit, answer_of
from rheostat.evidence.forms import AnswerForm

__all__ = ["read"]

_MOST_QUESTION = 4_000
_MOST_SENTENCES = 200
"""The most sentences that are searched, from the end."""
_HEAD_CHARS = 200
"""The beginning of a line in which an option letter is looked for."""
_TOTAL = re.compile(r"\b(?:total|altogether|in all|combined)\b", re.I)
_CHANCE = re.compile(r"\b(\d{1,9})\s+(?:in|out\s+of)\s+([1-9]\d{0,8})\b")
_FOOTNOTE = re.compile(r"(?<=[\w.!?*)])\s?\[\^?\d{1,3}\](?!\()")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_WHICH = re.compile(r"^\W*(?:in |on |at )?(?:who|whom|whose|what|which|where)\b", re.I)
_SHORT_CHARS = 300
_CONCLUDES = re.compile(
    r"\b(?:so|should|therefore|thus|correct|hence|total|it's|it\s+is|gives?|makes?|get)\b|[=*]|^\W*[\d$]", re.I
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The answer to look for in one reply."""

    form: AnswerForm
    given: bool
    """The caller gave the form: a reply without that form has no answer."""
    question: str
    unit: Unit
    options: dict[str, str]
    known: frozenset[Fraction] = frozenset()
    """The numbers of the question."""
    total: bool = False
    """The question asks for a total."""

    @classmethod
    def of(cls, form: AnswerForm, question: str, unit: Unit, *, given: bool) -> _Asked:
        """Read a question once, for all the texts that are searched."""
        known = frozenset(found.quantity.value for found in numbers_in(plain(question[-_MOST_QUESTION:])))
        return cls(form, given, question, unit, options_of(question), known, _TOTAL.search(question) is not None)

    @property
    def numeric(self) -> bool:
        return self.form in ("number", "quantity")

    def read(self, text: str, *, first: bool) -> Answer | None:
        """The answer of this form in a sentence, or `None`."""
        if self.numeric:
            return number_in(text, self.unit, self.form, first=first, total=self.total, known=self.known)
        if self.form == "date":
            return date_in(text, first=first)
        return choice_in(text, self.options, first=first)

    def whole(self, text: str) -> Answer | None:
        """The answer of a text that is of this form and nothing else; else `None`."""
        if self.form == "choice":
            return None
        return answer_of(text, self.form, unit=self.unit)


def read(
    reply: str,
    form: AnswerForm | None,
    *,
    question: str = "",
    hint: AnswerForm | None = None,
    fits: Callable[[str], bool] | None = None,
    marked_only: bool = False,
) -> Answer | None:
    """Read the final answer of a reply, as `read_answer` does for a short one."""
    text = said(reply).strip("\n").rstrip()
    if not text.strip():
        return None
    wanted = form or asked_form(question) or hint
    if wanted in ("code", "json"):
        text = before_run_on(text).rstrip()
        found = code_in(text, question) if wanted == "code" else json_in(text, fits)
        return found if found is not None or form is not None else _text(text, question, marked_only=marked_only)
    text = _field(before_run_on(text).strip())
    unit = implied_unit(question) if question else (Fraction(1), "")
    if wanted in (None, "text"):
        if form is None and (marked_value := _marked_value(text, unit)) is not None:
            return marked_value
        return _text(text, question if form is None else "", marked_only=marked_only)
    if form is None and wanted == "number":
        wanted = "quantity"
    asked = _Asked.of(wanted, question, unit, given=form is not None)
    marks = list(marked(text))
    for mark in marks:
        answer = _of_mark(mark, asked)
        if answer is not None:
            return answer
    if not asked.given and (other := _other(marks, asked)) is not None:
        return other
    if marks or marked_only or refuses(text):
        return None
    answer = _by_position(text, asked)
    if answer is None and not asked.given:
        return _otherwise(text, asked)
    return answer


_FIELDS = ("final_answer", "answer", "result", "value")


def _field(text: str) -> str:
    """The answer field of a reply that is a JSON object with one; else the text itself."""
    bare = re.sub(r"\A```(?:json)?\s*|\s*```\Z", "", text)
    if not (bare.startswith("{") and bare.endswith("}")):
        return text
    found = answer_of(bare, "json")
    held = next((found.value[name] for name in _FIELDS if name in found.value), None) if found is not None else None
    return text if held is None or isinstance(held, dict | list | bool) else str(held)


def _of_mark(mark: Marked, asked: _Asked) -> Answer | None:
    """The answer that a mark points at, or the one that corrects it later."""
    if is_placeholder(unwrapped(mark.text)) or (not mark.exact and refuses(mark.text)):
        return None
    whole = asked.whole(mark.text) if mark.exact else None
    if whole is None and mark.exact and asked.numeric:
        whole = _last_side(mark.text, asked)
        if whole is None and _unread_expression(mark.text):
            return None
    if whole is None:
        whole = asked.read(mark.text, first=True)
        if not mark.exact and asked.numeric and not _plainly(mark, asked):
            whole = _by_position(f"{mark.text}\n{_block(mark)}", asked) or whole
    tail = mark.rest if mark.exact or not mark.rest else mark.rest[_after(mark) :]
    again = correction(tail) if whole is not None and tail else None
    if again is not None:
        for sentence in last_sentences(without_asides(again)):
            corrected = asked.read(sentence, first=False)
            if corrected is not None and _CONCLUDES.search(sentence):
                return corrected
    return whole


def _last_side(text: str, asked: _Asked) -> Answer | None:
    """The value after the last equals sign of an equation in a box (`9 + 9 = 18`)."""
    _, equals, last = unwrapped(text).rpartition("=")
    if re.search(r",|;|\b(?:or|and)\b", text):
        return None
    return asked.whole(last.strip()) if equals else None


def _after(mark: Marked) -> int:
    """The end of the value at the start of a mark's rest; 0 if there is none."""
    value = re.match(r"[\s*$]*[A-Ja-j\d.,:]*\d*", mark.rest)
    return value.end() if value is not None else 0


def _plainly(mark: Marked, asked: _Asked) -> bool:
    """Whether a mark points at a value, not at a sentence that works one out."""
    if _LIST.match(mark.rest):
        return False
    if starts_with_value(mark.text) or asked.whole(mark.text) is not None:
        return True
    return _numbers(mark.text) == 1 and _numbers(without_asides(_block(mark))) == 0


_LIST = re.compile(r"[\s*]*(?:[-*•]|\d{1,2}[.)])\s[^\n]+\n\s*(?:[-*•]|\d{1,2}[.)])\s")
"""A list of two or more items."""


def _numbers(text: str) -> int:
    return sum(1 for _ in numbers_in(plain(text)))


def _block(mark: Marked) -> str:
    """The rest of the paragraph after the sentence that a mark points at."""
    rest = re.split(r"\n\s*\n(?!(?i:\W*(?:in\s+)?total))", mark.rest.lstrip(), maxsplit=1)[0]
    at = rest.find(mark.text[-40:]) if mark.text else -1
    return rest[at + len(mark.text[-40:]) :].lstrip(" .*") if at >= 0 else rest


def _unread_expression(text: str) -> bool:
    """Whether a text is mathematics that isn't understood, so that no number in it is the answer."""
    bare = unwrapped(text)
    words = re.findall(r"[A-Za-z]{3,}", re.sub(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\[A-Za-z]+", "", bare))
    relation = re.search(
        r"[<>≤≥≠∪∩∈±]|\\(?:le|ge|leq|geq|ne|neq|lt|gt|pm|cup|cap|in|binom|begin|overline|sum|int|prod|text)(?![A-Za-z])",
        bare,
    )
    return not words and (relation is not None or looks_symbolic(bare)) and not bare.startswith("=")


def _other(marks: list[Marked], asked: _Asked) -> Answer | None:
    """A marked answer whose form isn't the one that the question seemed to ask for; it keeps its own form."""
    for mark in marks:
        bare = unwrapped(mark.text)
        if asked.options:
            choice = choice_in(bare, asked.options, first=True)
            if choice is not None:
                return choice
        if is_placeholder(bare) or refuses(mark.text):
            continue
        for form in ("number", "date") if asked.form != "quantity" else ("date",):
            whole = answer_of(bare, form, unit=asked.unit)
            if whole is not None:
                return whole
        if asked.form == "date" and (number := number_in(bare, asked.unit, "quantity", first=True)) is not None:
            return number
        if bare:
            return answer_of(_without_reason(bare), "text")
    return None


def _otherwise(text: str, asked: _Asked) -> Answer | None:
    """An answer of another form, for a reply without a value of the form that the question seemed to ask for."""
    if asked.numeric:
        ratio = re.search(r"(?<![\d:.])\d+\s?:\s?\d+(?:\s?:\s?\d+)*(?![\d:])", next(last_sentences(text), ""))
        return answer_of(ratio[0], "text") if ratio else None
    if asked.form == "date" and (number := _by_position(text, replace(asked, form="quantity"))):
        return number
    return None if asked.form == "choice" else _text(text, asked.question, marked_only=False)


def _marked_value(text: str, unit: Unit) -> Answer | None:
    """A marked answer, or a whole reply, that is a number or a date although no such form was asked for."""
    mark = next(marked(text), None)
    bare = mark.text if mark is not None else text
    answer = answer_of(bare, unit=unit) if len(bare) < _SHORT_CHARS else None
    return answer if answer is not None and answer.form != "text" else None


def _by_position(text: str, asked: _Asked) -> Answer | None:
    """The answer of a reply without marks: one that stands alone in front, else the last sentence's that has one."""
    if breaks_off(text):
        return None
    if asked.numeric and re.search(r"\b(?:probability|chances?|odds|likely)\b", asked.question, re.I):
        chance = _CHANCE.search(next(last_sentences(text), ""))
        if chance is not None:
            value = Fraction(int(chance[1]), int(chance[2]))
            return Answer(chance[0], "number", value, f"number {value}")
    if asked.form == "date":
        bold = [found for part in _BOLD.findall(text) if (found := date_in(part, first=False)) is not None]
        if len(bold) == 1:
            return bold[0]
    if (first := _in_front(text, asked)) is not None:
        return first
    shorter = without_asides(text)
    explained = explained_at(shorter)
    if explained is not None:
        answer = _in_sentences(shorter[:explained], asked)
        if answer is not None and answer.value not in asked.known:
            return answer
    return _in_sentences(shorter, asked) or _in_sentences(text, asked)


def _in_front(text: str, asked: _Asked) -> Answer | None:
    """The answer before an explanation: a first line or sentence that is only a value ("3 bolts.", "C. Canberra")."""
    if asked.form == "choice":
        judged = judged_option(text, asked.options)
        if judged is not None:
            return judged
        line, _, rest = text.partition("\n")
        head = re.match(
            r"^\W*(?:option\s+)?(?:\(?[A-Ja-j]\)?[).:](?=[\s*]|$)|\(?[A-J]\)?\**\s+[–—-]\s|\**[A-J]\*\*)",
            line[:_HEAD_CHARS],
        )
        clause = re.split(r"[,.]\s", line, maxsplit=1)[0].strip(" *")
        by_words = [
            letter for letter, words in asked.options.items() if unwrapped(words).casefold() == clause.casefold()
        ]
        if len(by_words) == 1:
            return Answer(clause, "choice", by_words[0], f"choice {by_words[0]}")
        enumerates = re.search(r"^\W*\(?[B-J][).:]", rest, re.M) if head else None
        return choice_in(line, asked.options, first=True) if head and not enumerates else None
    sentences = list(last_sentences(text))
    if len(sentences) < 2:
        return None
    line = text.split("\n", 1)[0].strip()
    front = sentences[-1]
    for candidate in (line, front):
        bare = unwrapped(candidate)
        if asked.whole(bare) is not None and not re.match(r"\d+[.)]\s+\S", candidate):
            return asked.whole(bare)
    if asked.numeric and re.fullmatch(r"\W*[\d.,]+\s+[a-z]{2,20}\W*", front):
        return asked.read(front, first=True)
    return None


def _in_sentences(text: str, asked: _Asked) -> Answer | None:
    if asked.form == "choice":
        text = re.sub(r"(?<=\w\s[A-J])\.\s+(?=[A-Z])", "\n", text)
    for said_last in itertools.islice(last_sentences(_FOOTNOTE.sub("", text)), _MOST_SENTENCES):
        sentence = said_last.partition(" but ")[2] if hypothetical(said_last) else said_last
        sentence = re.sub(r"^[-*•–—]\s+(?=\S)", "", sentence)
        if not sentence:
            continue
        bold = _BOLD.findall(sentence)
        if not asked.numeric:
            for part in reversed(bold):
                if (answer := asked.read(part, first=False)) is not None:
                    return answer
        answer = asked.read(sentence, first=False)
        if answer is not None:
            return answer
    return None


def _text(text: str, question: str, *, marked_only: bool) -> Answer | None:
    for mark in marked(text):
        bare = _without_reason(without_asides(mark.text).strip())
        if not is_placeholder(unwrapped(bare)) and (answer := answer_of(bare, "text")) is not None:
            return answer
    if marked_only or next(marked(text), None) is not None or _only_refuses(text):
        return None
    if question and _WHICH.search(question) and len(text) < _SHORT_CHARS:
        bold = _BOLD.findall(text)
        if len(bold) == 1:
            return answer_of(bold[0], "text")
    return answer_of(text, "text")


def _only_refuses(text: str) -> bool:
    return len(text) < _SHORT_CHARS and refuses(text)


def _without_reason(text: str) -> str:
    """A marked answer in words, without the reason that follows it."""
    bare = re.split(r"(?:,\s*|\s+)(?:because|since|as it|for the reason)\b|,\s+(?:which|where)\b", text, maxsplit=1)[
        0
    ].strip()
    bold = re.fullmatch(r"\*\*([^*\n]+)\*\*", bare)
    return bold[1] if bold else bare
