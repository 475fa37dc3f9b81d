"""Run tests against code that a model wrote, in a sandbox."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from rheostat.errors import MissingExtra, SandboxMissing, VerifierInvalid
from rheostat.evidence.examining import examine_source
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.verifiers.asserts import Asserts, Examiner
from rheostat.evidence.verifiers.verdict import Verdict
from rheostat.sandbox import Limits, Sandbox, choose
from rheostat.sandbox.embedded import MOST_CODE_CHARS, Ran, embedded_python, run_embedded

__all__ = ["PythonTests"]

_LIMITS = ("MemoryError", "memory limit", "too much time or memory")
"""Signs of a limit that a real interpreter would also reach."""
_OTHERWISE = re.compile(r"\b(?:TypeError|AttributeError|StopIteration|RuntimeError|NotImplementedError)\b")
"""Exceptions that a real interpreter might not raise."""
_VACUOUS = (
    "no assert was reached: only what stands at the top, or in a function test_* or one that is called, is run, "
    "and a loop over nothing asserts nothing"
)
_START_SECONDS, _INTERPRETER_BYTES = 1.0, 400_000_000
"""The time and the memory that a real interpreter needs for itself."""


class PythonTests:
    """Asserts that the answer's code must satisfy.

    The code runs in pydantic-monty: a Python subset in a worker process without files, network or environment, under
    limits of time, memory and recursion. `tests` is a piece of Python: top-level asserts, and functions named
    `test_*`, which are called in order.

    Both sides of each assert come out of the sandbox as data and are compared here, so that the code can neither
    redefine what the tests call nor lie in an `__eq__`.

    Code that this interpreter doesn't support (heapq, generators, most of the library), and tests that can't be
    compared that way, run in a real one: the tests in one sandboxed process, the code in another
    (`rheostat.evidence.examining`). The verdict is "can't tell" if the machine has no sandbox, and where only the code
    itself could say whether it is right.

    Args:
        tests: Python source.
        seconds: The time limit of the code, and of the tests.
        memory_bytes: The limit of the sandbox's heap.
        sandbox: The sandbox of the real interpreter; `none` must be given explicitly, and is named in the reasons.

    Raises:
        VerifierInvalid: The tests don't parse or test nothing, or a limit isn't positive.
        MissingExtra: pydantic-monty isn't installed.
    """

    form: AnswerForm | None = "code"

    def __init__(
        self, tests: str, *, seconds: float = 2.0, memory_bytes: int = 128 * 2**20, sandbox: Sandbox = "auto"
    ) -> None:
        if not embedded_python():  # fail here, not at the first answer
            raise MissingExtra("PythonTests", "verifiers")
        if seconds <= 0 or memory_bytes <= 0:
            raise VerifierInvalid(f"limits must be above zero: seconds={seconds}, memory_bytes={memory_bytes}")
        try:
            tree = ast.parse(tests)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise VerifierInvalid(f"the tests don't parse: {error or type(error).__name__}") from None
        functions = [
            node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        called = {
            node.func.id
            for statement in tree.body
            for node in ast.walk(statement)
            if not isinstance(statement, ast.FunctionDef)
            and isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
        }
        calls = "".join(f"{name}()\n" for name in functions if name not in called)
        asserts = any(isinstance(node, ast.Assert) for node in ast.walk(tree))
        within = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        acts = any(
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) for node in _at_the_top(tree, within)
        )
        if not (asserts or acts or calls):
            raise VerifierInvalid(
                "the tests have no assert, no test_ function and no call at top level, so that nothing would run "
                "(methods of a class and async functions don't)"
            )
        self.tests = tests
        """The source, as given."""
        self.seconds = seconds
        self.memory_bytes = memory_bytes
        self.sandbox = sandbox
        self._asserts = Asserts(f"{tests}\n{calls}None\n")
        self._source = f"{tests}\n{calls}"

    def check(self, answer: str) -> Verdict:
        """Run the code, then the tests: passed, failed, or can't tell."""
        if len(answer) > MOST_CODE_CHARS:
            return Verdict(None, f"{len(answer):,} characters of code; the most that is run is {MOST_CODE_CHARS:,}")
        verdict, sure = self._embedded(answer)
        if sure:
            return verdict
        return self._really(answer, verdict)

    def _embedded(self, answer: str) -> tuple[Verdict, bool]:
        """The verdict of the embedded interpreter, and whether a real one would surely agree.

        It isn't sure about code that it can't run, about types and iterators, and about the order of sets.
        """
        examiner = Examiner(self._asserts, answer)
        if examiner.unjudged is not None:
            return Verdict(None, f"can't be judged: {examiner.unjudged}"), False
        ran = run_embedded(
            (f"{answer}\nNone\n", examiner.source),
            seconds=self.seconds,
            memory_bytes=self.memory_bytes,
            host={f"{examiner.name}_call": examiner.judge},
        )
        verdict = _verdict(examiner, ran)
        if verdict.passed is None:
            return verdict, any(limit in verdict.reason for limit in _LIMITS)
        return verdict, verdict.passed or not (examiner.reordered or _OTHERWISE.search(verdict.reason))

    def _really(self, answer: str, embedded: Verdict) -> Verdict:
        """The verdict of a real interpreter, where the embedded one isn't sure."""
        limits = Limits(seconds=2 * self.seconds + _START_SECONDS, memory_bytes=self.memory_bytes + _INTERPRETER_BYTES)
        try:
            kind = choose(self.sandbox)
            examined = examine_source(answer, self._source, limits=limits, sandbox=kind)
        except SandboxMissing as missing:
            return Verdict(None, f"{embedded.reason}; and {missing}")
        note = ' [sandbox="none"]' if kind == "none" else ""
        if examined.passed is None:
            return Verdict(None, f"can't be judged: {examined.why}{note}")
        if examined.passed and (meant := self._asserts.meant) and not meant & set(map(int, examined.tests)):
            return Verdict(None, _VACUOUS)
        left = [said for number, said in self._asserts.must_run.items() if str(number) not in examined.tests]
        if examined.passed and left:
            return Verdict(False, f"the tests ended before {left[0]}{note}")
        return Verdict(examined.passed, "" if examined.passed and not note else f"{examined.why}{note}".strip())


def _at_the_top(tree: ast.AST, within: Any) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, within):
            yield node
            yield from _at_the_top(node, within)


def _verdict(examiner: Examiner, ran: Ran) -> Verdict:
    if examiner.unjudged is not None:
        return Verdict(None, f"can't be judged: {examiner.unjudged}")
    if examiner.failure is not None:
        return Verdict(False, f"the tests failed: AssertionError: {examiner.failure}")
    if ran.status == "done" and examiner.missed is not None:
        return Verdict(False, f"the tests ended before {examiner.missed}")
    if ran.status == "done":
        return Verdict(None, _VACUOUS) if examiner.vacuous else Verdict(True)
    what, why = ("the code", "the tests")[ran.part], examiner.explained(ran.why)
    if ran.status == "failed":
        return Verdict(False, f"{what} failed: {why}")
    return Verdict(None, f"{what} can't be run in the embedded interpreter: {why}")
