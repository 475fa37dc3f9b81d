"""Verdicts: pass, fail with a reason, or abstain; bad verifiers are refused where they are built."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rheostat import Exact, JsonSchema, Matches, MathsAnswer, PythonTests, Verdict, VerifierInvalid, as_verifier
from rheostat.evidence.verifiers import judged
from rheostat.sandbox import kinds


def test_python_tests_pass_and_fail_with_the_reason() -> None:
    tests = PythonTests("assert double(2) == 4\ndef test_more():\n    assert double(3) == 6")
    assert tests.check("def double(n): return 2 * n") == Verdict(True)
    refused = tests.check("def double(n): return n ** 2")  # right for 2, wrong for 3: only test_more sees it
    assert refused.passed is False
    assert "assert double(3) == 6: the sides are (9, 6)" in refused.reason
    assert "double" in tests.check("x = 1").reason  # NameError names what is missing


@pytest.mark.parametrize(
    ("code", "passed", "says"),
    [
        ("def f(:", False, "SyntaxError"),
        ("raise ValueError('no')", False, "ValueError: no"),
        ("raise NotImplementedError", False, "NotImplementedError"),
        ("'a'.foo()", False, "AttributeError"),
        ("undefined", False, "NameError"),
        # the interpreter's own limits say nothing of the code
        ("while True:\n    pass", None, "took more than"),
        ("x = [0]\nwhile True:\n    x = x + x", None, "MemoryError"),
        # what it doesn't know runs in a real one
        ("def f(n): return f(n + 1)\nf(0)", False, "RecursionError"),
        ("open('/etc/shadow').read()", False, "FileNotFoundError"),
        ("import os\nos.listdir('/var/log')", False, "Error"),
        ("import heapq", True, ""),
        ("from fractions import Fraction", True, ""),
        ("class A:\n    pass\nclass B(A):\n    pass", True, ""),
        ("def g():\n    yield 1", True, ""),
        ("print((3).bit_count())", True, ""),
        ("print(memoryview(b'a'))", True, ""),
        ("import heapq\nraise ValueError('no')", False, "ValueError: no"),
        ("import heapq\ndef f(: pass", False, "SyntaxError"),
        ("import heapq, no_such_module", False, "no_such_module"),
        ("import heapq, time\ntime.sleep(60)", None, "took more than"),
        ("import heapq, asyncio\nasyncio.run(asyncio.sleep(60))", None, "took more than"),
        ("import heapq\nx = bytearray(10**10)", False, "MemoryError"),
        ("import heapq, os\nos._exit(0)", False, "ended its process"),
    ],
)
def test_code_fails_or_cant_be_told_quickly(code: str, passed: bool | None, says: str) -> None:
    started = time.monotonic()
    verdict = PythonTests("assert True", seconds=0.5, memory_bytes=32 * 2**20).check(code)
    assert verdict.passed is passed, verdict
    assert says in verdict.reason
    assert time.monotonic() - started < 5


def test_without_a_sandbox_it_cant_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "why_not", lambda kind: f"no {kind} here")
    verdict = PythonTests("assert f() == 1").check("import heapq\ndef f(): return 1")
    assert verdict.passed is None
    assert "no bubblewrap here" in verdict.reason
    bare = PythonTests("assert f() == 1", sandbox="none").check("import heapq\ndef f(): return 1")
    assert (bare.passed, bare.reason) == (True, '[sandbox="none"]')


@pytest.mark.parametrize("tests", ["while True:\n    assert True", "for each in f():\n    assert each"])
def test_tests_that_loop_for_ever_end_too(tests: str) -> None:
    started = time.monotonic()
    verdict = PythonTests(tests, seconds=0.3).check("def f():\n    return [1] * 1_000_000")
    assert verdict.passed is not False
    assert time.monotonic() - started < 5  # a hundred thousand asserts alone took that
    assert verdict.passed or "can't be" in verdict.reason


def test_whatever_happens_to_a_verifier_is_a_verdict() -> None:
    def broken(answer: str) -> bool:
        raise RuntimeError("no network")

    assert judged(as_verifier(broken), "5") == Verdict(None, "the verifier failed: RuntimeError: no network")
    odd = judged(as_verifier(lambda answer: 3), "5")
    assert odd.passed is None
    assert "returned 3" in odd.reason
    assert judged(None, "5").passed is None


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: PythonTests("assert ("), "don't parse"),
        (lambda: PythonTests(f"assert {'-' * 100_000}1"), "don't parse"),
        (lambda: PythonTests("x = 1"), "no assert"),
        (lambda: PythonTests("assert 1", seconds=0), "above zero"),
        (lambda: JsonSchema("{"), "not JSON"),
        (lambda: JsonSchema("[" * 100_000), "not JSON"),
        (lambda: JsonSchema(f'{{"const": {"9" * 5_000}}}'), "not JSON"),
        (lambda: JsonSchema('{"not": ' * 900 + "true" + "}" * 900), "nested"),
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
        ("34", "3,4", False),
        ("3/2", "1 1/2", True),
        ("300000000", "3e8", True),
        ("-5", "−5", True),
        ("B", "b", True),
        ("11:15", "11:15 AM", True),
        ("18", "18 dollars", True),
        ("18 dollars", "18 euros", False),
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


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_what_is_no_number_of_json_is_refused(text: str) -> None:
    assert JsonSchema({}).check(text).passed is False


@pytest.mark.parametrize(
    "text",
    ['{"a": ' + "1" * 5_000 + "}", "x" * (1 << 21), '{"a":' * 900 + "1" + "}" * 900],
    ids=["digits", "size", "depth"],
)
def test_json_that_is_too_large_to_check_is_told_from_wrong_json(text: str) -> None:
    deep = {"$defs": {"n": {"properties": {"a": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
    verdict = JsonSchema(deep).check(text)
    assert verdict.passed is not False
    if len(text) > 5_000:
        assert verdict.passed is None
        assert verdict.reason
