"""Start the examiner and the subject, and read the examiner's result."""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rheostat.sandbox import Ended, Limits, Running, Sandbox, Show, temporary_directory
from rheostat.sandbox.processes import handed

__all__ = ["Examined", "examine", "examine_source"]

_INSIDE = str(Path(__file__).with_name("inside"))
_AT = "/run/examining"
_MOST_RESULT_BYTES = 50_000_000
_NO_END = "the examination didn't come to its end"
_BOOT = """\
import sys
place, name, number = sys.argv[1:]
sys.path.insert(0, place)
script, told = __import__(name), __import__("orders").order(number)
sys.path.remove(place)
ours = [name for name, module in sys.modules.items() if (getattr(module, "__file__", None) or "").startswith(place)]
for name in ours:
    del sys.modules[name]
script.main(told)
"""
"""Runs one of our scripts, and hides its modules, because the code may have modules of the same names."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The result of an examination."""

    passed: bool | None
    """`True`: all tests that ran passed, and none is in doubt. `False`: a test failed. `None`: it can't tell."""
    why: str
    """The reason of `False` and `None`."""
    tests: Mapping[str, str]
    """`passed`, `failed` or `skipped` by pytest's name of the test."""
    collected: Mapping[str, str] = field(default_factory=dict)
    """A digest of its parameters by the name of each collected test."""


def examine(
    tree: Sequence[Show],
    *,
    root: str,
    own: Sequence[str],
    arguments: Sequence[str],
    changed: Sequence[str] = (),
    root_on_path: bool = True,
    python: str = "python",
    limits: Limits,
    sandbox: Sandbox = "auto",
    output: Callable[[bytes], None] = lambda text: None,
    variables: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> Examined:
    """Run pytest on a tree, with the code under test in another process.

    Args:
        tree: A copy of the tree, with the tests' own files readable. Both sides see it.
        root: The place of the tree inside the sandbox.
        own: Paths of the tests' own files, relative to the root. Every other module of the tree is code under test.
        arguments: The arguments of pytest.
        changed: Paths of data that the code's author has changed or removed, relative to the root. If the tests read
            it, nothing is proven.
        root_on_path: Put the root on `sys.path`, as `python -m pytest` does and `pytest` doesn't.
        python: An interpreter that has pytest; "python" is the running one.
        output: Called with the output of pytest.
        stop: Set it to give up.

    Raises:
        SandboxMissing: There is no sandbox on this machine.
    """
    order = {
        "own": list(own), "arguments": list(arguments), "root_on_path": root_on_path, "changed": list(changed),
    }  # fmt: skip
    ended, told = _both("examiner", order, tree, root, python, limits, sandbox, output, variables, stop)
    if ended.exit_code is None:
        return Examined(None, f"the examination took more than {limits.seconds:g} s", {})
    return _examined(told)


def examine_source(
    code: str, tests: str, *, limits: Limits, sandbox: Sandbox = "auto", python: str = "python"
) -> Examined:
    """Run tests that are plain asserts, with the code under test in another process.

    Args:
        code: Python source under test.
        tests: Python source of the tests, which sees the names of the code.

    Returns:
        If the tests passed, `tests` has the asserts that held, by their numbers in the order of `ast.walk`.

    Raises:
        SandboxMissing: There is no sandbox on this machine.
    """
    with temporary_directory("rheostat-code-") as place:
        Path(place, "answer.py").write_text(code, encoding="utf-8", errors="surrogatepass")
        root = place if sandbox == "none" else "/home/code"
        tree = [Show(root, "read", place)]
        ended, told = _both(
            "plain", {"tests": tests}, tree, root, python, limits, sandbox, lambda text: None, None, None
        )
    if ended.exit_code is None:
        return Examined(None, f"it took more than {limits.seconds:g} s", {})
    if told is None:
        return Examined(None, _NO_END, {})
    if told["lost"]:
        return Examined(None, str(told["lost"]), {})
    if told["ended"]:
        return Examined(False, "the code ended its process before the tests were done", {})
    if told["status"] == "failed":
        return Examined(False, str(told["why"]), {})
    if told["doubts"]:
        return Examined(None, "; ".join(told["doubts"][:3]), {})
    return Examined(True, "", {str(number): "passed" for number in told["reached"]})


def _both(
    script: str,
    order: dict[str, Any],
    tree: Sequence[Show],
    root: str,
    python: str,
    limits: Limits,
    sandbox: Sandbox,
    output: Callable[[bytes], None],
    variables: Mapping[str, str] | None,
    stop: threading.Event | None,
) -> tuple[Ended, dict[str, Any] | None]:
    """Run the examiner's script with the subject beside it; return its end and its result, if it wrote one."""
    token = secrets.token_hex(16)
    ours, theirs = socket.socketpair()
    inside = Show(_AT, "read", _INSIDE)
    place = _INSIDE if sandbox == "none" else _AT
    options: dict[str, Any] = {"directory": root, "limits": limits, "sandbox": sandbox, "variables": variables}
    with contextlib.ExitStack() as kept:
        options["temporary"] = kept.enter_context(temporary_directory("rheostat-tmp-"))
        result = kept.enter_context(tempfile.TemporaryFile())  # a pipe would be full after some hundred tests
        for end in (ours, theirs):
            kept.callback(end.close)
        first = kept.enter_context(handed({"root": root, "fd": theirs.fileno()}))
        told = {"root": root, "fd": ours.fileno(), "result": result.fileno(), "token": token, **order}
        second = kept.enter_context(handed(told))
        subject = Running(
            _script(python, place, "subject", first),
            [inside, *tree],
            output=False,
            keep_fds=[theirs.fileno(), first],
            **options,
        )
        with subject:
            theirs.close()
            examiner = Running(
                _script(python, place, script, second),
                [inside, *tree],
                keep_fds=[ours.fileno(), result.fileno(), second],
                **options,
            )
            with examiner:
                ours.close()
                ended = examiner.watch(output, stop=stop)
        result.seek(0)
        return ended, _result(result.read(_MOST_RESULT_BYTES), token)


def _result(raw: bytes, token: str) -> dict[str, Any] | None:
    """The result, if it is whole and the examiner's own: a link that the code made may lead tests to its pipe."""
    try:
        told = json.loads(raw)
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.get("token") == token else None


def _script(python: str, place: str, name: str, order: int) -> list[str]:
    _compile()
    return [python, "-P", "-E", "-c", _BOOT, place, name, str(order)]


@functools.cache
def _compile() -> None:
    """Compile our scripts, as an import would; inside, where nothing can be written, each run would have to."""
    compileall.compile_dir(_INSIDE, maxlevels=0, quiet=2)


def _examined(told: dict[str, Any] | None) -> Examined:
    if told is None:
        return Examined(None, _NO_END, {})
    tests, collected = told["tests"], told["collected"]
    if told["lost"]:
        return Examined(None, told["lost"], tests, collected)
    failed = [name for name, outcome in tests.items() if outcome == "failed"]
    if told["ended"]:
        return Examined(False, "the process of the code under test ended before the tests did", tests, collected)
    if failed:
        return Examined(False, f"{failed[0]} failed", tests, collected)
    if told["code"] != 0:
        return Examined(False, f"pytest ended with code {told['code']}", tests, collected)
    if told["doubts"]:
        return Examined(None, "; ".join(told["doubts"][:3]), tests, collected)
    if "passed" not in tests.values():
        return Examined(None, "no test passed", tests, collected)
    return Examined(True, "", tests, collected)
