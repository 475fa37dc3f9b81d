"""Find the JSON in a reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rheostat.evidence.answers.spoken import before_run_on, said
from rheostat.evidence.answers.text import blocks
from rheostat.evidence.answers.values import Answer, answer_of, parse_json

__all__ = ["candidates_in", "chosen", "json_in"]

_MOST_STARTS = 400
_MOST_TRIED = 20
"""The most values that are tried with a schema, each of which may take its time."""
_START = re.compile(r"[{\[]")
_LOOKS_LIKE = re.compile(r"\{\s*(?:[\"']|\w+\s*:|\}|//)|\[\s*(?:[{\[\"'\]]|-?\d)")


def json_in(text: str, fits: Callable[[str], bool] | None = None) -> Answer | None:
    """The JSON of a reply: the last value that fits the schema, else the last complete object or array.

    Args:
        fits: Whether a text of JSON fits the schema; `None`: there is no schema.
    """
    whole = answer_of(text, "json")
    if fits is None and whole is not None:
        return whole
    values, fenced = list(_values(text)), _fenced(text)
    if fits is not None and (found := chosen(_in_order(whole, values, fenced), fits)) is not None:
        return found
    if fenced:
        return fenced[-1]
    worthy = [answer for answer in values if not _citation(answer.value)]
    filled = [answer for answer in worthy if answer.value] or worthy
    return filled[-1] if filled else whole


def candidates_in(text: str) -> list[Answer]:
    """The values of JSON in a whole reply, in the order in which they are tried with a schema."""
    text = before_run_on(said(text).strip("\n").rstrip()).rstrip()
    return _in_order(answer_of(text, "json"), list(_values(text)), _fenced(text))


def chosen(candidates: Iterable[Answer], fits: Callable[[str], bool]) -> Answer | None:
    """The first value that fits the schema, or `None`."""
    return next((answer for answer in candidates if fits(answer.text)), None)


def _in_order(whole: Answer | None, values: list[Answer], fenced: list[Answer]) -> list[Answer]:
    last_first = [*reversed(fenced), *reversed(values)]
    return [*([] if whole is None else [whole]), *last_first][:_MOST_TRIED]


def _fenced(text: str) -> list[Answer]:
    found = [
        block.source.strip() for block in blocks(text) if block.fenced and block.info in ("json", "json5", "jsonc", "")
    ]
    return [answer for source in found if (answer := answer_of(source, "json")) is not None]


def _citation(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], int) and not isinstance(value[0], bool)


def _values(text: str) -> Iterator[Answer]:
    decoder = json.JSONDecoder()
    at = tried = 0
    while tried < _MOST_STARTS and (start := _START.search(text, at)) is not None:
        tried += 1
        try:
            _, end = decoder.raw_decode(text, start.start())
            parse_json(text[start.start() : end])
        except (ValueError, RecursionError):
            if not _LOOKS_LIKE.match(text, start.start()):
                at = start.end()
                continue
            ends = _balanced_end(text, start.start())  # broken or cut: a value inside it isn't the answer
            if ends is None:
                return
            at = ends
            continue
        answer = answer_of(text[start.start() : end], "json")
        if answer is not None:
            yield answer
        at = end


def _balanced_end(text: str, start: int) -> int | None:
    """The end of the brackets that open at `start`, ignoring brackets in strings; `None`: they aren't closed."""
    depth = 0
    for token in re.finditer(r'"(?:[^"\\\n]|\\.)*"|[{}\[\]]', text[start:]):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
            if not depth:
                return start + token.end()
    return None
