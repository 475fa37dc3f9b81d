"""Verdicts: pass, fail with a reason, or abstain; bad verifiers are refused where they are built."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat import Exact, JsonSchema, Matches, MathsAnswer, PythonTests, Verdict, VerifierInvalid, as_verifier
from rheostat.prompts import answer_key, ask, extract
from rheostat.evidence.verifiers import maths_key


def test_python_tests_pass_and_fail_with_the_reason() -> None:
    tests = PythonTests("assert double(2) == 4\ndef test_more():\n    assert double(3) == 6")
    assert tests.check("def double(n): return 2 * n") == Verdict(True)
    refused = tests.check("def double(n): return n ** 2")  # right for 2, wrong for 3: only test_more sees it
    assert refused.passed is False
    assert "assert 9 == 6" in refused.reason
    assert "double" in tests.check("x = 1").reason  # NameError names what is missing


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("while True:\n    pass", "TimeoutError"),
        ("x = [0]\nwhile True:\n    x = x + x", "MemoryError"),
        ("def f(n): return f(n + 1)\nf(0)", "RecursionError"),
        ("open('/etc/passwd').read()", "PermissionError"),
        ("import os\nos.listdir('/')", "PermissionError"),
        ("def f(:", "SyntaxError"),
        ("raise ValueError('no')", "ValueError: no"),
    ],
)
def test_code_that_misbehaves_is_refused_quickly(code: str, says: str) -> None:
    started = time.monotonic()
    verdict = PythonTests("assert True", seconds=0.5, memory_bytes=32 * 2**20).check(code)
    assert verdict.passed is False
    assert says in verdict.reason
    assert time.monotonic() - started < 5


def test_tests_that_loop_for_ever_end_too() -> None:
    verdict = PythonTests("while True:\n    assert True", seconds=0.3).check("x = 1")
    assert verdict.passed is False
    assert "the tests failed" in verdict.reason


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: PythonTests("assert ("), "don't parse"),
        (lambda: PythonTests("x = 1"), "no assert"),
        (lambda: PythonTests("assert 1", seconds=0), "above zero"),
        (lambda: JsonSchema("{"), "not JSON"),
        (lambda: JsonSchema("[1]"), "an object"),
        (lambda: JsonSchema({"type": "strnig"}), "not a valid JSON Schema"),
        (lambda: Matches("("), "regular expression"),
        (lambda: MathsAnswer(" "), "needs a value"),
        (lambda: as_verifier(3), "a function of the answer"),
    ],
)
def test_a_bad_verifier_is_refused_at_once(build: Any, says: str) -> None:
    with pytest.raises(VerifierInvalid, match=says):
        build()


def test_schema_names_the_faults_by_their_path() -> None:
    schema = JsonSchema({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    assert schema.check('{"n": 3}') == Verdict(True)
    assert "$.n" in schema.check('{"n": "3"}').reason
    assert "'n' is a required property" in schema.check("{}").reason
    assert "not valid JSON" in schema.check("n = 3").reason


@pytest.mark.parametrize(
    ("expected", "answer", "passed"),
    [
        ("18", "$18.00", True),
        ("1,000", "1000", True),
        ("0.75", "3/4", True),
        ("3/4", r"\frac{3}{4}", True),
        ("18", "19", False),
        ("2*x + 2", "2(x+1)", True),
        ("sqrt(8)", r"2\sqrt{2}", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        ("9^99999999", "7^99999999", None),  # would never end: refused by its look
        ("1", "x" * 500, None),
    ],
)
def test_maths_is_compared_as_maths(expected: str, answer: str, passed: bool | None) -> None:
    verdict = MathsAnswer(expected).check(answer)
    if passed is None:
        assert verdict.passed is not True
    else:
        assert verdict.passed is passed
    assert expected not in verdict.reason or verdict.passed is None  # the value isn't given away


def test_text_verifiers() -> None:
    assert Exact("Paris").check(" paris ").passed
    assert not Exact("Paris").check("London").passed
    assert "Paris" not in Exact("Paris").check("London").reason
    assert Matches(r"\d{4}").check("1999").passed
    assert not Matches(r"\d{4}").check("in 1999").passed


def test_any_function_is_a_verifier() -> None:
    def check(answer: str) -> bool | str | None:
        return {"good": True, "bad": False, "odd": "it is odd"}.get(answer)

    verifier = as_verifier(check)
    assert verifier is not None
    assert [verifier.check(word).passed for word in ("good", "bad", "odd", "?")] == [True, False, False, None]
    assert verifier.check("odd").reason == "it is odd"


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "${}", "{}.0", "{}.", " {} ", "{}%"]))
def test_equal_numbers_share_a_key(number: int, form: str) -> None:
    assert maths_key(form.format(number)) == maths_key(f"{number:,}")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 18.", "18"),
        ("She makes 9 * 2 = 18 dollars. The answer is 9 * 2 = 18 dollars.", "18"),
        ("so **Answer:** $1,234.50 in all", "$1,234.50"),
        (r"Therefore \(\boxed{42}\).", "42"),
        ("It takes 3 bolts", "3"),
        ("The answer is N.", None),
        ("The answer is x = 2y + 1", "2y + 1"),
        ("I don't know", None),
        ("", None),
        ("   \n", None),
    ],
)
def test_a_number_is_found_where_the_model_put_it(text: str, answer: str | None) -> None:
    assert extract(text, "number") == answer


def test_code_and_json_are_found() -> None:
    assert extract("Here:\n```python\ndef f():\n    return 1\n```\nDone.", "code") == "def f():\n    return 1"
    assert extract("```python\ndef f():\n    return 1", "code") == "def f():\n    return 1"  # cut by a stop sequence
    assert extract("def f(): return 1", "code") == "def f(): return 1"
    assert extract("I can't do that", "code") is None
    assert extract('Sure: {"a": [1, 2]} ok?', "json") == '{"a": [1, 2]}'
    assert answer_key('{"b":1,"a":2}', "json") == answer_key('{"a": 2, "b": 1}', "json")


def test_the_reason_goes_back_to_the_model_and_the_examples_only_to_small_ones() -> None:
    plain = ask("2 + 2?", "number", thinking=True, refused=[("5", "5 is not right")])
    assert [message["role"] for message in plain] == ["user", "assistant", "user"]
    assert "5 is not right" in plain[-1]["content"]
    shown = ask("2 + 2?", "number", thinking=True, example=lambda thought, answer: f"<t>{thought}</t>{answer}")
    assert len(shown) == 5
    assert shown[1]["content"].startswith("<t>")
    assert shown[-1]["content"] == "2 + 2?"


@given(st.text(max_size=300), st.sampled_from(["number", "code", "json", "text"]))
def test_any_reply_can_be_read(text: str, form: Any) -> None:
    answer = extract(text, form)
    assert answer is None or isinstance(answer_key(answer, form), str)
