"""Ways of asking: how a task is put to a model. Data, measured by `make bench-ask` (docs/benchmarks.md).

The way moves more than any thinking budget: on MultiArith a 0.5B model is right in 8 % of cases when it is asked for the
bare number, in 73 % when it may write its steps or a small program that Python runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from rheostat.evidence.forms import AnswerForm

__all__ = ["FINISH", "STOP", "WAYS", "Thought", "Way", "WayName", "ask", "way_of"]

WayName: TypeAlias = Literal["plain", "bare", "steps", "marked", "few-shot", "program", "function"]
Thought: TypeAlias = Literal["none", "inline", "dial"]
"""Where the thought goes: nowhere, into the reply before the answer, or to the model's thinking dial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of asking."""

    name: WayName
    told: dict[AnswerForm, str] = field(default_factory=dict)
    """What is added to the question, by form of the answer; nothing: the question as it is."""
    thought: Thought = "none"
    runs: Literal["", "program", "function"] = ""
    """The reply is Python: the answer is what it prints, or what `solution()` returns."""
    examples: bool = False
    """Solved examples are shown first: small models copy a format more easily than they follow one."""
    answer_tokens: dict[AnswerForm, int] = field(default_factory=dict)
    """The most tokens of a reply of this form that isn't thought."""

    def takes(self, form: AnswerForm) -> bool:
        """Can an answer of this form be asked for so?"""
        return form in ("number", "quantity") if self.runs else not self.examples or form in EXAMPLES


_CODE = "Reply with one Python code block and nothing else."
_JSON = "Reply with JSON only."
_LINE = 'End with a line "Answer: " and the number.'

WAYS: dict[WayName, Way] = {
    way.name: way
    for way in (
        Way(
            name="plain",
            told={"number": 'End with a line "Answer: …".', "code": _CODE, "json": _JSON},
            thought="dial",
        ),
        Way(
            name="bare",
            told={"number": "Reply with the number only.", "code": _CODE, "json": _JSON},
            answer_tokens={"number": 48},
        ),
        Way(
            name="steps",
            told={
                "number": f"Solve this step by step. {_LINE}",
                "code": "First think about the approach in a few short sentences. Then write one Python code block.",
                "json": f"First think in a few short sentences. Then reply with the JSON.",
                "text": "First think step by step, in short sentences.",
            },
            thought="inline",
        ),
        Way(name="marked", thought="dial", examples=True, answer_tokens={"number": 48}),
        Way(name="few-shot", thought="inline", examples=True),
        Way(
            name="program",
            told={"number": f"Write a short Python program that computes the answer and prints only the final number. {_CODE}"},
            runs="program",
            answer_tokens={"number": 320},
        ),
        Way(
            name="function",
            told={"number": f"Write a Python function `solution()` that returns the answer. {_CODE}"},
            runs="function",
            answer_tokens={"number": 256},
        ),
    )
}
"""By name."""

STOP: dict[AnswerForm, list[str]] = {"code": ["\n```\n"]}
"""Where an answer ends: what a model says after the code block is paid for and thrown away."""

FINISH: dict[AnswerForm, str] = {
    "number": 'Now say only "Answer: " and the number.',
    "code": "Now reply with the one Python code block and nothing else.",
    "json": "Now reply with the JSON only.",
}
"""What is said after a thought that was closed without an answer."""
_FINISH = "Now give only the final answer."

EXAMPLES: dict[AnswerForm, tuple[tuple[str, str, str], ...]] = {
    "number": (
        (
            "A box holds 12 pens. Ann buys 3 boxes and gives 7 pens away. How many pens does she have?",
            "3 boxes hold 3 * 12 = 36 pens. Ann gives 7 away, so she has 36 - 7 = 29 pens.",
            "Answer: 29",
        ),
        (
            "Ben earns $15 an hour. He works 4 hours on Monday and half as long on Tuesday. "
            "How many dollars does he earn?",
            "On Tuesday he works 4 / 2 = 2 hours. In all he works 4 + 2 = 6 hours. He earns 6 * 15 = 90 dollars.",
            "Answer: 90",
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
"""(question, thought, answer) by form."""


def finish(form: AnswerForm) -> str:
    """What is said after a thought that was closed without an answer."""
    return FINISH.get(form, _FINISH)


def ask(
    question: str,
    form: AnswerForm,
    way: Way,
    *,
    schema: dict[str, Any] | None = None,
    refused: Sequence[tuple[str, str]] = (),
    marks: Callable[[str, str], str] | None = None,
) -> list[dict[str, Any]]:
    """The messages of a call.

    Args:
        schema: The JSON Schema of the answer, shown to the model.
        refused: The last refused answers with the verifier's reasons: evidence to correct on.
        marks: How the model writes (thought, answer), where its dial has marks for a thought.
    """
    messages: list[dict[str, Any]] = []
    for shown, thought, answer in EXAMPLES.get(form, ()) if way.examples else ():
        said = f"{thought}\n{answer}" if marks is None or way.thought != "dial" else marks(thought, answer)
        messages += [{"role": "user", "content": shown}, {"role": "assistant", "content": said}]
    parts = [question.strip()]
    if schema is not None:
        parts.append(f"JSON Schema of the answer: {json.dumps(schema, separators=(',', ':'))}")
    parts.append(way.told.get(form, ""))
    messages.append({"role": "user", "content": "\n".join(part for part in parts if part)})
    for answer, reason in refused:
        shown = f"```python\n{answer}\n```" if form == "code" else answer
        again = finish(form).removeprefix("Now ").capitalize()
        messages += [
            {"role": "assistant", "content": shown},
            {"role": "user", "content": f"That was checked and is not right: {reason}\nCorrect it. {again}"},
        ]
    return messages
