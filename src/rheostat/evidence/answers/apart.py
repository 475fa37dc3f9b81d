"""Read an answer here if the reply is short and plain, else in a process of its own, in bounded time.

A regular expression can't be stopped, and nothing else in the process runs meanwhile. Of a paragraph each takes
microseconds; of a long text that was made for it, hours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from rheostat.errors import MissingExtra
from rheostat.evidence.answers.json_values import candidates_in, chosen
from rheostat.evidence.answers.reading import read
from rheostat.evidence.answers.spoken import said
from rheostat.evidence.answers.text import ends_of
from rheostat.evidence.answers.values import Answer, answer_of
from rheostat.evidence.forms import AnswerForm
from rheostat.sandbox.worker import TooMuch, Worker

__all__ = ["read_answer", "without_thoughts"]

_MOST_CHARS = 200_000
"""Only the end of a longer reply is read, because the answer stands there."""
_MOST_QUESTION = 20_000
_SHORT_CHARS = 1_000
_ODD = re.compile(r"[\W_]{40}")
"""Forty characters without a letter or a digit."""


def read_answer(
    reply: str,
    form: AnswerForm | None = None,
    *,
    question: str = "",
    hint: AnswerForm | None = None,
    fits: Callable[[str], bool] | None = None,
    marked_only: bool = False,
) -> Answer | None:
    """Read the final answer of a reply.

    Args:
        reply: The whole text of the model's reply.
        form: The form that the caller needs: a reply without it has no answer. `None`: the form that the question
            asks for and the reply has.
        question: The question, from which the options, the unit and the form are read.
        hint: The most likely form, used if `form` is `None` and the question doesn't say.
        fits: Whether a text of JSON fits the schema; `None`: there is no schema.
        marked_only: The reply was cut off, so that only a marked answer counts.

    Returns:
        The answer, or `None` if there is none (which is never a vote), or it takes more than five seconds to find.

    Raises:
        MissingExtra: Reading this answer needs the extra `verifiers`, which isn't installed.
    """
    reply, question = reply[-_MOST_CHARS:], ends_of(question, _MOST_QUESTION)
    if _is_short(reply) and _is_short(question):
        return read(reply, form, question=question, hint=hint, fits=fits, marked_only=marked_only)
    if fits is not None:
        found = chosen(filter(None, map(_unpacked, _asked("candidates", reply) or [])), fits)
        if found is not None:
            return found
    told = _asked("read", reply, form, question, hint, marked_only)
    return None if told is None else _unpacked(told)


def without_thoughts(reply: str) -> str | None:
    """The reply without its thoughts; `None`: it takes more than five seconds to find them."""
    reply = reply[-_MOST_CHARS:]
    told: str | None = said(reply) if _is_short(reply) else _asked("said", reply)
    return told


def _is_short(text: str) -> bool:
    return len(text) <= _SHORT_CHARS and _ODD.search(text) is None


def _asked(what: str, *arguments: Any) -> Any:
    try:
        told = json.loads(_WORKER.ask(json.dumps([what, *arguments])) or "null")
    except TooMuch:
        return None
    if isinstance(told, dict) and "missing" in told:
        raise MissingExtra(told["missing"], "verifiers")
    return told


def worked(order: str) -> str:
    """The result of an order, as JSON. Runs in the worker process."""
    what, reply, *more = json.loads(order)
    try:
        if what == "said":
            return json.dumps(said(reply))
        if what == "candidates":
            return json.dumps([_packed(each) for each in candidates_in(reply)])
        form, question, hint, marked_only = more
        found = read(reply, form, question=question, hint=hint, marked_only=marked_only)
        return json.dumps(None if found is None else _packed(found))
    except MissingExtra as missing:
        return json.dumps({"missing": missing.what})


_FIRST = ["read", "The answer is 5 km. It was on 5 May 2020.", "quantity", "", None, False]
_WORKER = Worker(__name__, "worked", seconds=5.0, memory_bytes=2_000_000_000, first=json.dumps(_FIRST))


def _packed(answer: Answer) -> list[Any]:
    value = None if answer.form == "json" else _plain(answer.value)
    return [answer.text, answer.form, value, answer.key]


def _unpacked(packed: list[Any]) -> Answer | None:
    text, form, value, key = packed
    return answer_of(text, "json") if form == "json" else Answer(text, form, _exact(value), key)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return {"fraction": str(value)} if isinstance(value, Fraction) else value


def _exact(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_exact(each) for each in value)
    return Fraction(value["fraction"]) if isinstance(value, dict) else value
