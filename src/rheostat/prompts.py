"""How a task is put to a model, and how the answer is found in the reply.

One table: for each form of answer, what is asked for and how it is read. The wording is short on purpose: it is
paid for with every call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from rheostat.effort import Kind
from rheostat.verifiers import AnswerForm, JsonSchema, Verifier, maths_key

__all__ = ["ANSWER_TOKENS", "FINISH", "STOP", "answer_form", "answer_key", "ask", "extract", "votable"]

_FORM_OF_KIND: dict[Kind, AnswerForm] = {"maths": "number", "code": "code"}

_ASK: dict[AnswerForm, str] = {
    "number": 'End with: "The answer is N."',
    "code": "Reply with one Python code block and nothing else.",
    "json": "Reply with JSON only.",
    "text": "",
}
_THINK: dict[AnswerForm, str] = {
    "number": "Think step by step, in short sentences.",
    "code": "First think about the approach in a few short sentences.",
    "json": "First think in a few short sentences.",
    "text": "First think step by step, in short sentences.",
}
ANSWER_TOKENS: dict[AnswerForm, int] = {"number": 48}
"""The most tokens of an answer of this form: a longer one is a thought in disguise, beside the budget for thought."""

STOP: dict[AnswerForm, list[str]] = {"code": ["\n```\n"]}
"""Where an answer ends: what a model says after the code block is paid for and thrown away."""

FINISH: dict[AnswerForm, str] = {
    "number": 'Now say only "The answer is" and the number.',
    "code": "Now reply with the one Python code block and nothing else.",
    "json": "Now reply with the JSON only.",
    "text": "Now give only the final answer.",
}
"""The second phase of two-phase thinking: what is said after the scratchpad was closed."""


def answer_form(kind: Kind, verifier: Verifier | None) -> AnswerForm:
    """The form of the answer: the verifier's if it has one, else by the kind of task."""
    return (verifier.form if verifier is not None else None) or _FORM_OF_KIND.get(kind, "text")


def votable(kind: Kind, form: AnswerForm) -> bool:
    """Can answers be compared, so that they can vote? Code, prose and chat can't."""
    return form in ("number", "json") or (form == "text" and kind in ("facts", "science"))


_EXAMPLES: dict[AnswerForm, tuple[tuple[str, str, str], ...]] = {
    "number": (
        (
            "A box holds 12 pens. Ann buys 3 boxes and gives 7 pens away. How many pens does she have?",
            "3 boxes hold 3 * 12 = 36 pens. Ann gives 7 away, so she has 36 - 7 = 29 pens.",
            "The answer is 29.",
        ),
        (
            "Ben earns $15 an hour. He works 4 hours on Monday and half as long on Tuesday. "
            "How many dollars does he earn?",
            "On Tuesday he works 4 / 2 = 2 hours. In all he works 4 + 2 = 6 hours. He earns 6 * 15 = 90 dollars.",
            "The answer is 90.",
        ),
    ),
    "code": (
        (
            "Write a Python function `evens(numbers: list[int]) -> list[int]` that returns the even numbers in order.",
            "Go through the numbers and keep those whose remainder by 2 is 0. A list comprehension keeps the order.",
            "```python\ndef evens(numbers: list[int]) -> list[int]:\n"
            "    return [n for n in numbers if n % 2 == 0]\n```",
        ),
    ),
}
"""(question, thought, answer): shown to small models, which copy a format more easily than they follow one."""


def ask(
    question: str,
    form: AnswerForm,
    *,
    thinking: bool,
    verifier: Verifier | None = None,
    refused: Sequence[tuple[str, str]] = (),
    example: Callable[[str, str], str] | None = None,
) -> list[dict[str, Any]]:
    """The messages of a call.

    Args:
        thinking: Ask for a thought first (the plan has thinking tokens).
        refused: The last refused answers with the verifier's reasons: evidence to correct on.
        example: How the model writes (thought, answer); given, the task is shown by examples.
    """
    examples = _EXAMPLES.get(form, ()) if example is not None else ()
    parts = [question.strip()]
    if isinstance(verifier, JsonSchema):
        parts.append(f"JSON Schema of the answer: {json.dumps(verifier.schema, separators=(',', ':'))}")
    if thinking and not examples:
        parts.append(_THINK[form])
    if not examples:
        parts.append(_ASK[form])
    messages: list[dict[str, Any]] = []
    for shown, thought, answer in examples:
        messages.append({"role": "user", "content": shown})
        said = example(thought, answer) if thinking and example is not None else answer
        messages.append({"role": "assistant", "content": said})
    messages.append({"role": "user", "content": "\n".join(part for part in parts if part)})
    for answer, reason in refused:
        shown = f"```python\n{answer}\n```" if form == "code" else answer
        messages.append({"role": "assistant", "content": shown})
        again = FINISH[form].removeprefix("Now ").capitalize()
        messages.append(
            {"role": "user", "content": f"That was checked and is not right: {reason}\nCorrect it. {again}"}
        )
    return messages


_FENCE = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:```|\Z)", re.S)
_SAID = re.compile(r"answer(?:\s+is|\s*:|\s*=)\s*:?\s*\**\s*(.+)", re.I)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
_NUMERAL = re.compile(r"[-+]?\$?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?%?")


def extract(text: str, form: AnswerForm) -> str | None:
    """The final answer in a reply, or `None` if there is none (which is never a vote)."""
    text = text.strip()
    if not text:
        return None
    if form == "number":
        return _extract_number(text)
    if form == "code":
        blocks = [body for _, body in _FENCE.findall(text) if body.strip()]
        if blocks:
            return str(max(blocks, key=len)).strip("\n")
        return text if re.search(r"^\s*(?:(?:def|class|import|from)\b|@\w|\w+\s*=)", text, re.M) else None
    if form == "json":
        return _extract_json(text)
    return text


def _extract_number(text: str) -> str | None:
    boxed = _BOXED.findall(text)
    if boxed:
        return str(boxed[-1]).strip() or None
    said = _SAID.findall(text)
    if said:
        # "3 * 60 = 180 meters" says 180; "18 dollars" says 18; "2x + 1" and "\\sqrt{2}" are themselves
        tail = str(said[-1]).splitlines()[0].rsplit("=", 1)[-1].strip(" .*")
        if re.search(r"\d[abnxyz]\b|\\[a-z]|\^", tail):
            return tail.strip("$ ")
        numbers = _NUMERAL.findall(tail)
        return str(numbers[0]).strip() if numbers else None
    numbers = _NUMERAL.findall(text)
    return str(numbers[-1]).strip() if numbers else None


def _extract_json(text: str) -> str | None:
    fenced = [body for _, body in _FENCE.findall(text)]
    for candidate in (*fenced, text):
        starts = [at for at in (candidate.find("{"), candidate.find("[")) if at >= 0]
        for at in sorted({0, *starts}):
            try:
                value, _ = json.JSONDecoder().raw_decode(candidate[at:].lstrip())
            except (json.JSONDecodeError, RecursionError):
                continue
            return json.dumps(value)
    return text


def answer_key(answer: str, form: AnswerForm) -> str:
    """A key that equal answers share."""
    if form == "number":
        return maths_key(answer)
    if form == "json":
        try:
            return json.dumps(json.loads(answer), sort_keys=True)
        except (json.JSONDecodeError, RecursionError):
            return answer.strip()
    return re.sub(r"\W+", " ", answer.casefold()).strip()
