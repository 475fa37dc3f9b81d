"""Ways of asking: how a task is put to a model. They are data, measured by `make bench-ask` (docs/benchmarks.md).

The way matters more than any thinking budget: on MultiArith a 0.5B model is hardly ever right when asked for the bare
number, but right in four cases of five when it may write its steps, or a small program that Python runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from rheostat.evidence.forms import AnswerForm
from rheostat.task import Kind

__all__ = ["STEP_END", "WAYS", "Way", "WayName", "ask", "begun", "correction", "finish", "next_step", "ways_for"]

WayName: TypeAlias = Literal["plain", "bare", "steps", "marked", "few-shot", "program", "function", "variables"]
_LIKE: dict[AnswerForm, AnswerForm] = {"quantity": "number", "choice": "text", "date": "text"}
_ENDS: dict[AnswerForm, str] = {
    "choice": 'End with a line "Answer: " and the letter.',
    "date": 'End with a line "Answer: …".',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of asking."""

    name: WayName
    told: dict[AnswerForm, str] = field(default_factory=dict)
    """The line added to the question, by form of the answer; empty: the question is sent as it is."""
    thought: Literal["none", "inline", "dial"] = "none"
    """The place of the thought: nowhere, in the reply before the answer, or under the model's thinking dial."""
    runs: Literal["", "program", "function"] = ""
    """The reply is Python: the answer is its output (`program`), or what `solution()` returns (`function`)."""
    examples: bool = False
    """Solved examples come first, because small models copy a format more easily than they follow instructions."""
    room_tokens: tuple[int, int] = (0, 0)
    """Tokens for writing if there is no thinking budget: (usually, for the last word). 0: the way writes no thought."""
    answer_tokens: int = 0
    """The most tokens of an answer that is a value; 0: as many as the operator allows."""

    def takes(self, form: AnswerForm) -> bool:
        """Whether this way can ask for an answer of this form."""
        return not self.runs or form in ("number", "quantity")

    def line(self, form: AnswerForm) -> str:
        """The line added to a question whose answer has this form; may be empty."""
        if form in self.told or not self.told:
            return self.told.get(form, "")
        return self.told.get(_LIKE.get(form, form), _ENDS.get(form, ""))

    def stops(self, form: AnswerForm) -> list[str] | None:
        """Stop sequences, because text after the code block would be paid for and thrown away; `None`: no stops."""
        return ["\n```\n"] if self.runs or (form == "code" and self.thought != "inline") else None


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
            room_tokens=(256, 256),
        ),
        Way(
            name="bare",
            told={"number": "Reply with the number only.", "code": _CODE, "json": _JSON},
            answer_tokens=48,
        ),
        Way(
            name="steps",
            told={
                "number": f"Solve this step by step. {_LINE}",
                "code": "First think about the approach in a few short sentences. Then write one Python code block.",
                "json": "First think in a few short sentences. Then reply with the JSON.",
                "text": 'Think step by step, in short sentences. End with a line "Answer: …".',
            },
            thought="inline",
            room_tokens=(256, 128),
            answer_tokens=48,
        ),
        Way(
            name="marked",
            told={
                "number": f"Think step by step, in short sentences. {_LINE}",
                "code": f"First think about the approach in a few short sentences. {_CODE}",
                "json": f"First think in a few short sentences. {_JSON}",
                "text": "First think step by step, in short sentences.",
            },
            thought="dial",
            examples=True,
            answer_tokens=48,
        ),
        Way(name="few-shot", thought="inline", examples=True, room_tokens=(256, 128), answer_tokens=48),
        Way(
            name="program",
            told={
                "number": "Write a short Python program that computes the answer and prints only the final number. "
                f"{_CODE}"
            },
            runs="program",
            room_tokens=(256, 160),
        ),
        Way(
            name="function",
            told={"number": f"Write a Python function `solution()` that returns the answer. {_CODE}"},
            runs="function",
            room_tokens=(256, 160),
        ),
        Way(
            name="variables",
            told={
                "number": "Write a Python function `solution()` that returns the answer, with a named variable for "
                f"each quantity in the problem. {_CODE}"
            },
            runs="function",
            room_tokens=(256, 160),
        ),
    )
}
"""All ways by name."""

_FINISH: dict[AnswerForm, str] = {
    "number": 'Now say only "Answer: " and the number.',
    "quantity": 'Now say only "Answer: " and the number with its unit.',
    "choice": 'Now say only "Answer: " and the letter.',
    "code": "Now reply with the one Python code block and nothing else.",
    "json": "Now reply with the JSON only.",
}
"""The user message after a thought that was closed without an answer, by form."""

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


STEP_END = "\n\n"
"""The end of a step of an answer that is searched step by step: a blank line."""
_END = "Now give only the final answer."


def finish(form: AnswerForm) -> str:
    """The user message after a thought that was closed without an answer."""
    return _FINISH.get(form, _END)


def correction(reason: str) -> str:
    """The user message after a refused answer."""
    return f"That was checked and is not right: {reason}\nCorrect it."


def refusal(answer: str, reason: str, form: AnswerForm) -> str:
    """The line about a refused answer, beside a question asked anew; code would be copied, and isn't repeated."""
    named = "An earlier answer" if form in ("code", "json") else f"The answer {answer}"
    return f"{named} was checked and is not right: {reason}"


def begun(text: str) -> str:
    """The beginning of a reply, as it is sent back to be continued."""
    return f"{text.rstrip()}{STEP_END}"


def next_step(form: AnswerForm) -> str:
    """The user message after the beginning of a reply, for models that can't continue it themselves."""
    return f"Write only the next step, and stop after it. If nothing is left to do: {_FINISH.get(form, _END)}"


def ways_for(
    kind: Kind,
    form: AnswerForm,
    *,
    thinks: bool,
    measured: Sequence[WayName] = (),
    thinking: bool,
    runs: bool,
) -> tuple[Way, ...]:
    """The ways in which the samples of a task are asked, in turn: different ways vote better than repetitions.

    Args:
        thinks: The model thinks by itself, so that it gets the question as it is.
        measured: The best ways of this model for this kind of task, the best first.
        thinking: The plan has a thinking budget.
        runs: Python can be run.
    """
    if thinks:
        return (WAYS["plain"],)
    ways = [WAYS[name] for name in measured if WAYS[name].takes(form) and (runs or not WAYS[name].runs)]
    if form in ("json", "code", "text") and (kind != "maths" or form != "text"):
        return (WAYS["marked"],) if thinking else tuple(ways or [WAYS["bare"]])
    ways = [way for way in ways if way.room_tokens[0]] or [WAYS["steps"]]
    if thinking:  # ways that write a thought come first
        with_thought = [way for way in ways if way.thought != "none"] or [WAYS["steps"]]
        return (*with_thought, *(way for way in ways if way.thought == "none"))
    return tuple(ways)


def ask(
    question: str,
    form: AnswerForm,
    way: Way,
    *,
    schema: dict[str, Any] | None = None,
    refused: Sequence[tuple[str, str]] = (),
    marks: Callable[[str, str], str] | None = None,
    told: str = "",
    anew: bool = False,
) -> list[dict[str, Any]]:
    """Build the messages of a call.

    Args:
        schema: The JSON Schema of the answer, shown to the model.
        refused: The last refused answers with the verifier's reasons, as evidence for a correction.
        anew: The model has other ways of asking, or copies what it is shown: name the refused answers beside the
            question, instead of going on from them. Of the problems of MultiArith that the 0.5B failed at first, it
            then solved 10 of 10 in the next ways; shown its own reply, at most 3 of 8 (docs/how-to/strategy.md).
        marks: Writes (thought, answer) in the model's own format, if its dial has marks for a thought.
        told: The caller's own line about the form of the answer, which replaces the way's line.
    """
    messages: list[dict[str, Any]] = []
    marked = way.thought == "dial"
    examples = EXAMPLES.get(form, ()) if way.examples and (marks is not None or not marked) else ()
    for shown, thought, answer in examples:
        said = marks(thought, answer) if marks is not None and marked else f"{thought}\n{answer}"
        messages += [{"role": "user", "content": shown}, {"role": "assistant", "content": said}]
    parts = [question.strip()]
    if anew:
        parts += [refusal(answer, reason, form) for answer, reason in refused]
        refused = ()
    if schema is not None:
        parts.append(f"JSON Schema of the answer: {json.dumps(schema, separators=(',', ':'))}")
    line = told or ("" if examples else way.line(form))
    parts.append(line)
    messages.append({"role": "user", "content": "\n".join(part for part in parts if part)})
    for answer, reason in refused:
        shown = f"```python\n{answer}\n```" if form == "code" else answer
        again = line or finish(form).removeprefix("Now ").capitalize()
        messages += [
            {"role": "assistant", "content": shown},
            {"role": "user", "content": f"{correction(reason)} {again}"},
        ]
    return messages
