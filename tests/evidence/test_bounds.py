"""No answer freezes an evaluator: each has limits of time and memory, and says "can't tell" where they end it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import in_loop
from rheostat import (
    Budget,
    JsonSchema,
    Matches,
    MathsAnswer,
    PythonTests,
    Verifier,
    build_solver,
    compatible,
    read_answer,
    same,
)
from rheostat.evidence.answers import apart, asked_form
from rheostat.sandbox.worker import TooMuch, Worker
from rheostat.testing.server import Turn
from wire import CHAT, simulated

SLOW_FRACTION = r"\frac{\frac{(y+d)}{(2-\sqrt{a+b})^{2}}}{(\frac{b}{2}+(\sin(x)+\sqrt{2}))}"
HOSTILE: dict[str, tuple[Verifier, str]] = {
    "a tower of powers": (MathsAnswer("5"), r"9^{9-0+9^{9}}"),
    "a large binomial": (MathsAnswer("5"), r"\binom{100000000}{5000000}"),
    "factorials of factorials": (MathsAnswer("5"), "((99!)!)"),
    "a sum to the 200th": (MathsAnswer("5"), "(x+y+z+w)^{200}"),
    "roots in fractions": (MathsAnswer("x"), SLOW_FRACTION),
    "an exponent of nine digits": (MathsAnswer("5"), "1e-999999999"),
    "a number of 100,000 digits": (MathsAnswer("5"), "9" * 100_000),
    "nested roots": (MathsAnswer("5"), r"\sqrt{" * 500 + "2" + "}" * 500),
    "a pattern that runs away": (JsonSchema({"type": "string", "pattern": "^(a+)+$"}), json.dumps("a" * 50 + "!")),
    "a name that runs away": (
        JsonSchema({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}),
        json.dumps({"a" * 50 + "!": 1}),
    ),
    "a schema that refers to itself": (JsonSchema({"$ref": "#"}), "1"),
    "deep JSON": (JsonSchema({"type": "array"}), "[" * 100_000 + "]" * 100_000),
    "a number of 5,000 digits": (JsonSchema({"type": "integer"}), "5" * 5_000),
    "an infinite multiple": (JsonSchema({"multipleOf": 0.01}), "1e400"),
    "a match that runs away": (Matches(r"(a|a)*(b|b)*c"), "ab" * 5_000),
    "a match that runs away slower": (Matches(r"(x+x+)+y"), "x" * 5_000),
    "10 MB of code": (PythonTests("assert f() == 1"), "x = 1\n" * 1_700_000),
    "deep code": (PythonTests("assert f() == 1"), "f = " + "(" * 50_000 + "1" + ")" * 50_000),
    "a list that doubles itself": (
        PythonTests("assert f() == 1", seconds=0.3),
        "def f():\n    x = []\n    for _ in range(40): x = [x, x]\n    return x",
    ),
    "a sleep": (PythonTests("assert f() == 1", seconds=0.3), "import heapq, time\ndef f(): time.sleep(100); return 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_no_answer_freezes_a_verifier(what: str) -> None:
    verifier, answer = HOSTILE[what]
    began = time.monotonic()
    verdict = verifier.check(answer)
    assert verdict.passed is not True
    assert verdict.reason
    assert time.monotonic() - began < 15


async def longest_pause(work: Awaitable[Any]) -> float:
    """The longest time in seconds in which the event loop did nothing else."""
    worst, done = 0.0, False

    async def beat() -> None:
        nonlocal worst
        last = time.monotonic()
        while not done:
            await asyncio.sleep(0.01)
            worst, last = max(worst, time.monotonic() - last), time.monotonic()

    task = asyncio.ensure_future(beat())
    await work
    done = True
    await task
    return worst


def test_the_event_loop_goes_on() -> None:
    """While an answer is read, compared and judged that takes all of its time."""
    reply = Turn(text=f"The answer is ${SLOW_FRACTION}$.")
    with simulated(*[reply] * 6) as server:
        graph = build_solver(CHAT.at(server), budget=Budget(usd="5"), verifier=MathsAnswer("x+1")).compile()
        asked = {"question": "Simplify the fraction. Give the answer as an expression."}
        assert in_loop(longest_pause(graph.ainvoke(asked))) < 1.5


LONG = {
    "blanks": (" " * 150_000 + "5", "number"),
    "lines": ("\n\t" * 50_000 + "x", "code"),
    "fences": ("```\n" * 40_000, "number"),
    "marks": ("the answer to " * 10_000, "number"),
    "headings": ("## Problem\n-" * 10_000, "text"),
    "channels": ("<|start|>assistant<|channel|>a" * 5_000, "number"),
    "thoughts": ("<think>a</think>```\n" * 5_000, "choice"),
    "stars": ("5" + "*" * 150_000, "choice"),
    "dashes in a short reply": ("5 " + "-" * 990, "number"),
    "blanks in a short reply": ("5" + " " * 980 + "m", "number"),
}  # fmt: skip


@pytest.mark.parametrize("what", LONG)
def test_no_reply_stops_the_event_loop(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart._WORKER, "seconds", 1.0)
    reply, form = LONG[what]
    read = partial(read_answer, reply, form, question="How many dollars?\nA) 1\nB) 2")  # type: ignore[arg-type]
    assert in_loop(longest_pause(asyncio.to_thread(read))) < 1.0


def test_a_question_of_any_size_is_looked_at_in_no_time() -> None:
    began = time.monotonic()
    for question in ("\n" * 200_000, "what is the " * 20_000, "why-" * 50_000, "(A) " * 50_000):
        assert asked_form(f"{question} How many?") == "number"
        assert asked_form(f"How many?{question}") in ("number", "choice")
    assert same("5" + " " * 900 + "x", "5 x")
    assert compatible("1" + " or" * 300, "1") is False
    assert time.monotonic() - began < 5


def test_a_long_reply_is_read_like_a_short_one() -> None:
    """In the worker, too: forms, units, lists, schemas, and what is missing."""
    long = "We think about it for a while.\n" * 100
    for end, form in (
        ("The answer is 1 hour 30 min.", "quantity"), ("x = 1/3 or x = 2", "number"), ("(B) two", "choice"),
        ("It was on 5 May 2020.", "date"), ('{"a": [1.50, "é"]}', "json"), ("```python\nx = 1\n```", "code"),
        ("**Answer:** red", "text"),
    ):  # fmt: skip
        question = "Which?\n(A) one\n(B) two" if form == "choice" else ""
        wanted = read_answer(end, form, question=question)  # type: ignore[arg-type]  # of the list above
        found = read_answer(f"{long}{end}", form, question=question)  # type: ignore[arg-type]  # of the list above
        assert found is not None
        assert found == wanted
    schema = JsonSchema({"required": ["a"]})
    found = read_answer(f'{long}```json\n{{"a": 1}}\n```\nand not {{"b": 2}}', "json", fits=schema.fits)
    assert found is not None
    assert found.value == {"a": 1}


def test_a_schema_fetches_nothing_and_trusts_no_name_twice(tmp_path: Path) -> None:
    elsewhere = tmp_path / "schema.json"
    elsewhere.write_text("{}")
    verdict = JsonSchema({"$ref": elsewhere.as_uri()}).check("1")
    assert verdict.passed is None
    assert "Unresolvable" in verdict.reason
    assert JsonSchema({"properties": {"a": {"const": 1}}}).check('{"a": 2, "a": 1}').passed is False


def test_a_worker_that_is_killed_cannot_tell_and_the_next_one_can() -> None:
    worker = Worker("json.encoder", "py_encode_basestring", seconds=5.0, memory_bytes=1_000_000_000)
    assert worker.ask("a") == '"a"'
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert worker.ask("b") == '"b"'
    sleeps = Worker("fractions", "Fraction", seconds=0.2, memory_bytes=1_000_000_000)
    with pytest.raises(TooMuch):
        sleeps.ask("1")  # a result that isn't text ends it
    missing = Worker("no_such_module", "f", seconds=5.0, memory_bytes=1_000_000_000)
    with pytest.raises(TooMuch):
        missing.ask("1")


def test_a_worker_does_not_outlive_the_process_that_asked() -> None:
    """Not even in a regular expression that never ends."""
    code = """
import sys, threading, time
from rheostat.sandbox.worker import Worker
worker = Worker("rheostat.evidence.verifiers.schema", "checked", seconds=2.0, memory_bytes=2_000_000_000)
worker.ask(sys.argv[1])
threading.Thread(target=worker.ask, args=(sys.argv[2],), daemon=True).start()
time.sleep(0.3)
print(worker._process.pid, flush=True)
time.sleep(60)
"""
    orders = [json.dumps(['{"pattern": "^(a+)+$"}', json.dumps("a" * number + "!")]) for number in (1, 60)]
    with subprocess.Popen([sys.executable, "-c", code, *orders], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        worker = int(owner.stdout.readline())
        owner.kill()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")


def test_a_worker_has_limits_and_comes_back() -> None:
    worker = Worker("json.encoder", "py_encode_basestring", seconds=1.0, memory_bytes=1_000_000_000)
    assert worker.ask("é\n") == '"é\\n"'
    began = time.monotonic()
    slow = Worker("time", "sleep", seconds=0.5, memory_bytes=1_000_000_000)
    with pytest.raises(TooMuch, match=r"more than 0\.5 s"):
        slow.ask("x")  # it raises in its process
    assert time.monotonic() - began < 10
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(worker.ask, map(str, range(200)))) == [f'"{n}"' for n in range(200)]
