"""Run tests against code that a model wrote, in a sandbox."""

from __future__ import annotations

import ast

from rheostat.errors import MissingExtra, VerifierInvalid
from rheostat.verifiers.verdict import AnswerForm, Verdict

__all__ = ["PythonTests"]


class PythonTests:
    """Asserts that the answer's code must satisfy.

    The code runs in pydantic-monty: a Python subset in a worker process without files, network or environment, under
    limits of time, memory and recursion. `tests` is a piece of Python: top-level asserts, and functions named
    `test_*`, which are called in order.

    Args:
        tests: Python source.
        seconds: Execution time for the code and for the tests, each.
        memory_bytes: Heap of the sandbox.

    Raises:
        VerifierInvalid: the tests don't parse or test nothing, or a limit isn't positive.
        MissingExtra: pydantic-monty isn't installed.
    """

    form: AnswerForm | None = "code"

    def __init__(self, tests: str, *, seconds: float = 2.0, memory_bytes: int = 128 * 2**20) -> None:
        try:
            import pydantic_monty  # noqa: F401 - fail where the verifier is built, not at the first answer
        except ImportError:
            raise MissingExtra("PythonTests", "verifiers") from None
        if seconds <= 0 or memory_bytes <= 0:
            raise VerifierInvalid(f"limits must be above zero: seconds={seconds}, memory_bytes={memory_bytes}")
        try:
            tree = ast.parse(tests)
        except (SyntaxError, ValueError) as error:
            raise VerifierInvalid(f"the tests don't parse: {error}") from None
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
        if not any(isinstance(node, ast.Assert | ast.Call) for node in ast.walk(tree)) and not calls:
            raise VerifierInvalid("the tests hold no assert and no test_ function")
        self.tests = tests
        """The source, as given."""
        self.seconds = seconds
        self.memory_bytes = memory_bytes
        self._run = f"{tests}\n{calls}None\n"

    def check(self, answer: str) -> Verdict:
        """Run the code, then the tests."""
        from pydantic_monty import CollectString, Monty, MontyCrashedError, MontyError

        limits = {"max_feed_duration_secs": self.seconds, "max_memory": self.memory_bytes}
        out = CollectString(max_bytes=1 << 20)
        with (
            Monty(request_timeout=self.seconds + 5, feed_duration_limit_grace=1.0) as pool,
            pool.checkout(script_name="answer.py", limits=limits) as session,  # type: ignore[arg-type]  # its TypedDict
        ):
            for source, what in ((f"{answer}\nNone\n", "the code"), (self._run, "the tests")):
                try:
                    session.feed_run(source, print_callback=out)
                except MontyCrashedError:
                    return Verdict(False, f"{what} crashed the sandbox")
                except MontyError as error:
                    return Verdict(False, f"{what} failed: {_explain(error)}")
        return Verdict(True)


def _explain(error: Exception) -> str:
    """The end of the traceback: the line that failed and what it said."""
    display = getattr(error, "display", None)
    text = display() if callable(display) else str(error)
    lines = [line for line in str(text).splitlines() if line.strip() and "python-input" not in line]
    return "\n".join(line[:200] for line in lines[-4:] if not line.startswith("Traceback"))
