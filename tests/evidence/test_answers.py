"""How an answer is read and compared: a corpus that a person can read, properties, and ways of asking."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat import Form, compatible, read_answer, same
from rheostat.evidence.answers import Answer, answer_of
from rheostat.evidence.asking import WAYS, ask, ways_for
from rheostat.evidence.expected import Expected
from rheostat.evidence.running import worked_out

DATA = Path(__file__).parents[1] / "data"
UNITS = {"m": "meter", "s": "second", "kg": "kilogram"}


def lines(name: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
    assert len(rows) > 300
    return rows


def shown(answer: Answer) -> str:
    value = answer.value
    if answer.form == "json":
        return answer.key.removeprefix("json ")
    if isinstance(value, tuple) and isinstance(value[1], str):
        return f"{value[0]} {value[1]}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def by_kind(rows: list[dict[str, Any]]) -> list[Any]:
    grouped = itertools.groupby(rows, key=lambda row: row["kind"])
    return [pytest.param(list(own), id=kind) for kind, own in grouped]


@pytest.mark.parametrize("rows", by_kind(lines("answers.jsonl")))
def test_answers_are_read_by_structure(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        answer = read_answer(row["reply"], row["form"], question=row.get("question", ""))
        if "text" in row:
            assert (answer.text if answer else None) == row["text"], row
        if row.get("value") is not None:
            assert answer is not None, row
            number, _, unit = row["value"].partition(" ")
            wanted = f"{number} {UNITS[unit]}" if unit in UNITS else row["value"]
            if answer.form == "json":
                assert json.loads(answer.text) == json.loads(row["value"]), row
            else:
                assert shown(answer) == wanted, row


@pytest.mark.parametrize("rows", by_kind(lines("pairs.jsonl")))
def test_pairs_are_equal_or_not(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        a, b, form = row["a"], row["b"], row["form"]
        assert same(a, b, form) is same(b, a, form) is row["same"], row
        if row["same"]:
            assert compatible(a, b, form) is True, row
        elif "compatible" in row:
            assert compatible(a, b, form) is row["compatible"], row


BARE = sorted({row[side] for row in lines("pairs.jsonl") if row["form"] is None for side in ("a", "b")})


@given(st.sampled_from(BARE), st.sampled_from(BARE), st.sampled_from(BARE))
def test_same_is_an_equivalence(a: str, b: str, c: str) -> None:
    assert same(a, a)
    assert same(a, b) == same(b, a)
    if same(a, b) and same(b, c):
        assert same(a, c)
    if same(a, b):
        assert compatible(a, b) is True
    x, y = answer_of(a), answer_of(b)
    if x and y and isinstance(x.value, Fraction) and isinstance(y.value, Fraction) and x.form == y.form == "number":
        assert same(a, b) == (x.value == y.value)


@given(st.fractions(max_denominator=10**6), st.sampled_from(["{}", " {} ", "**{}**", "${}$", "x = {}", "{}."]))
def test_a_fraction_is_itself_however_it_is_wrapped(number: Fraction, wrap: str) -> None:
    assert same(wrap.format(number), str(number))
    assert not same(wrap.format(number), str(number + 1))


@given(st.integers(-(10**12), 10**12), st.sampled_from([",", " ", "\u202f", "'", "_", "{,}", "\\,"]))
def test_thousands_are_thousands(number: int, separator: str) -> None:
    written = f"{number:,}".replace(",", separator)
    assert same(written, str(number)), written
    read = read_answer(f"So the answer is {written}.", "number")
    assert read is not None
    assert read.value == number


@given(
    st.text(max_size=300),
    st.sampled_from(["number", "quantity", "choice", "date", "text", "json", "code", None]),
    st.text(max_size=60),
)
def test_any_reply_can_be_read(text: str, form: Any, question: str) -> None:
    answer = read_answer(text, form, question=question)
    assert answer is None or (answer.text and same(answer, answer))


@pytest.mark.parametrize(
    "text",
    [
        "9^{9-0+9^{9}}", "((99!)!)", "(x+y+z+w)^{200}", "\\binom{100000}{50000}", "9" * 5000, "1e999999999", "(" * 5000,
        "\\frac{" * 500, "<think>" * 3000, "```\n" * 3000, "{" * 5000, "[" * 5000, "\\boxed{" * 2000, "a=" * 3000,
        "1," * 5000, "answer is " * 3000, "x^" * 100, "**" * 5000, "(A) " * 2000, "- " * 5000, "1 1/" * 2000,
        "((((((x^2)^2)^2)^2)^2)^2)^2", "\\sqrt{" * 40 + "2" + "}" * 40, "1/0", "x^{-1000000}", "0^{-1}", "\\frac{1}{0}",
    ],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_no_reply_takes_long_to_read(text: str) -> None:
    for form in ("number", "json", "code", "choice", "date", "text", None):
        read_answer(text, form)  # type: ignore[arg-type]  # of the list above
        read_answer(f"The answer is {text}", form)  # type: ignore[arg-type]  # of the list above
    assert same(text, text)
    assert not same(text, f"{text} or not")


@pytest.mark.parametrize(
    "question",
    [
        "Complete:\n" + "\n" * 3_000 + "x", "import a\n" * 2_000, "def f(" * 2_000, "```\n" * 2_000, "A) x " * 3_000,
        "How many? " * 2_000, " \n" * 3_000, "write a " * 2_000, "1 hour " * 2_000, "(A) " * 2_000, "`a` " * 3_000,
    ],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_no_question_takes_long_to_read(question: str) -> None:
    for form in ("number", "json", "code", "choice", "date", "text", None):
        read_answer("    return a + 1", form, question=question)  # type: ignore[arg-type]  # of the list above
        read_answer("The answer is 5.\n\nSo 5.", form, question=question)  # type: ignore[arg-type]  # of the list above


# --- forms, units, ways ---------------------------------------------------------------------------------------------


def test_votes_count_the_unit_that_was_asked_for() -> None:
    question = "Pens cost $2 each. How many dollars do 9 pens cost?"
    keys = {
        read_answer(f"The answer is {said}.", question=question).key for said in ("18", "$18", "18 dollars", "$18.00")
    }  # type: ignore[union-attr]  # each has one
    assert len(keys) == 1
    minutes = [
        read_answer(f"Answer: {said}", question="How many minutes does it take?")
        for said in ("95", "1 hour 35 minutes")
    ]
    assert same(minutes[0], minutes[1])  # type: ignore[arg-type]  # each has one


def test_a_form_of_ones_own_is_one_object() -> None:
    move = Form(
        "chess move",
        lambda reply: reply.split()[-1] or None,
        lambda a, b: a.strip("+#") == b.strip("+#"),
        "Reply with a move.",
    )
    expected = Expected.of("What does White play?", "chat", None, move)
    first, second = expected.read("I would play Nf3+"), expected.read("<think>e4?</think>Nf3")
    assert first is not None
    assert second is not None
    assert first.text == "Nf3+"
    assert expected.same(first.key, second.key)
    assert expected.votable
    assert "Reply with a move." in ask("?", "text", WAYS["bare"], told=expected.told)[-1]["content"]


def test_a_model_that_thinks_gets_the_question_as_it_is() -> None:
    (way,) = ways_for("maths", "number", thinks=True, thinking=True, runs=True)
    messages = ask("What is 2 + 2?", "number", way)
    assert messages == [{"role": "user", "content": 'What is 2 + 2?\nEnd with a line "Answer: …".'}]
    assert ask("Tell me a story.", "text", way) == [{"role": "user", "content": "Tell me a story."}]


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("form", ["number", "quantity", "choice", "date", "text"])
def test_a_model_that_cant_think_is_never_asked_maths_without_room_to_write(form: Any, thinking: bool) -> None:
    for measured in ((), ("bare",), ("bare", "program"), ("function", "program", "steps")):
        ways = ways_for("maths", form, thinks=False, measured=measured, thinking=thinking, runs=True)  # type: ignore[arg-type]  # names
        assert ways
        assert all(way.room_tokens[1] >= 128 for way in ways), ways
        if thinking:
            assert ways[0].thought == "inline"
        without = ways_for("maths", form, thinks=False, measured=measured, thinking=thinking, runs=False)  # type: ignore[arg-type]  # names
        assert not any(way.runs for way in without)


def test_a_question_that_is_asked_anew_names_what_was_refused() -> None:
    [message] = ask("2 + 2?", "number", WAYS["program"], refused=[("5", "it is odd")], anew=True)
    assert message["content"].startswith("2 + 2?\nThe answer 5 was checked and is not right: it is odd\n")


def test_the_reason_goes_back_to_the_model_with_room_to_write() -> None:
    messages = ask("2 + 2?", "number", WAYS["steps"], refused=[("5", "5 is not right")])
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "5 is not right" in messages[-1]["content"]
    assert "step by step" in messages[-1]["content"]
    shown = ask("2 + 2?", "number", WAYS["marked"], marks=lambda thought, answer: f"<t>{thought}</t>{answer}")
    assert len(shown) == 5
    assert shown[1]["content"].startswith("<t>")
    assert shown[-1]["content"] == "2 + 2?"


@pytest.mark.parametrize(
    ("reply", "runs", "answer", "why"),
    [
        ("```python\nprint(3 * 12 - 7)\n```", "program", "29", ""),
        ("```python\ndef solution():\n    pens = 36\n    return pens - 7", "function", "29", ""),
        ("```python\ndef pens():\n    return 36 - 7\n```", "function", "29", ""),
        ("```python\ndef solution():\n    return 36 - 7\n```", "program", "29", ""),
        ("```python\nprint(0.1 + 0.2)\n```", "program", "0.3", ""),
        ("```python\nprint('Pens:')\nprint(29)\n```", "program", "29", ""),
        ("```python\nprint(1 / 0)\n```", "program", None, "ZeroDivisionError"),
        ("```python\nwhile True:\n    pass\n```", "program", None, "TimeoutError"),
        ("```python\nx = 3\n```", "program", None, "printed nothing"),
        ("```python\nprint('Error: division by zero in line 3')\n```", "program", None, "reported an error"),
        ("```python\ndef solution():\n    return 'ValueError: 404'\n```", "function", None, "reported an error"),
        ("It is 29.", "program", None, "no Python"),
        ("```python\ndef solution():\n    return [1, [2.50, '3']]\n```", "function", "1, 2.5, 3", ""),
        (
            "```python\ndef solution():\n    x = []\n    for _ in range(40): x = [x, x]\n    return x",
            "function",
            None,
            "could not be run",
        ),
    ],
)
def test_python_works_the_answer_out(reply: str, runs: Any, answer: str | None, why: str) -> None:
    got, said = worked_out(reply, runs)
    assert got == answer
    assert why in said
