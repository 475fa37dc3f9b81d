"""No answer freezes an evaluator: each has limits of time and memory, and says "can't tell" where they end it."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from conftest import in_loop
from rheostat import Budget, JsonSchema, Matches, MathsAnswer, PythonTests, Verifier, build_solver
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


def test_the_event_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an answer is read, compared and judged that takes all of its time."""

    async def longest_pause(graph: Any) -> float:
        worst, done = 0.0, False

        async def beat() -> None:
            nonlocal worst
            last = time.monotonic()
            while not done:
                await asyncio.sleep(0.01)
                worst, last = max(worst, time.monotonic() - last), time.monotonic()

        task = asyncio.ensure_future(beat())
        await graph.ainvoke({"question": "Simplify the fraction. Give the answer as an expression."})
        done = True
        await task
        return worst

    reply = Turn(text=f"The answer is ${SLOW_FRACTION}$.")
    with simulated(*[reply] * 6) as server:
        graph = build_solver(CHAT.at(server), budget=Budget(usd="5"), verifier=MathsAnswer("x+1")).compile()
        assert in_loop(longest_pause(graph)) < 1.5


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
