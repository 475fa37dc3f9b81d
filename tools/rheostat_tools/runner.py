"""Runs the tests of a workspace, kept apart and under limits."""

# ruff: noqa: PT028 - test_runner makes a tool and is no test

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat.errors import BadInput
from rheostat_tools.confine import ConfinedDirectory
from rheostat_tools.isolation import Isolation, isolation
from rheostat_tools.report import Report
from rheostat_tools.terms import above_zero, shorten, terms

__all__ = ["test_runner"]

_CAGE = str(Path(__file__).with_name("_cage.py"))
_MOST_FILE_BYTES = 200_000_000
_MOST_PROCESSES = 128
_GRACE_SECONDS = 2.0


def test_runner(
    workspace_root: str | os.PathLike[str],
    *,
    command: Sequence[str] = ("python", "-m", "pytest", "-q", "-x"),
    seconds: float = 60,
    memory_bytes: int = 1_000_000_000,
    most_output_chars: int = 4_000,
) -> BaseTool:
    """A tool that runs one fixed command, and optionally one test of it, in the workspace.

    The command gets its own session, limits of memory, time, file size and processes, a closed stdin, and an
    environment of PATH, HOME, TMPDIR, LANG and PYTHONDONTWRITEBYTECODE only. Where Linux allows it (`unshare`), it
    runs without network and sees no process but its own; elsewhere the tool's description and `metadata["isolation"]`
    say that it doesn't. Files are not confined: the tests can read and write what the user can.

    The artifact of a result (`ToolMessage.artifact`) holds exit code, seconds, bytes of output and isolation.

    Args:
        workspace_root: Where the command runs.
        command: The command; "python" stands for the running interpreter.
        seconds: Time limit; after it everything that was started is killed.
        memory_bytes: Address space of each process.
        most_output_chars: What a call may return.

    Raises:
        BadInput: the root is no directory, the command is empty, a limit isn't above zero, or this is no POSIX system.
    """
    above_zero(seconds=seconds, memory_bytes=memory_bytes, most_output_chars=most_output_chars)
    if os.name != "posix":
        raise BadInput("test_runner needs a POSIX system")
    if isinstance(command, str) or not command or not all(isinstance(part, str) and part for part in command):
        raise BadInput(f"command must be a sequence of words, got {command!r}")
    files = ConfinedDirectory(workspace_root, most_file_bytes=1)
    fixed = [sys.executable if command[0] == "python" else command[0], *command[1:]]
    apart = isolation()
    limits = {"seconds": seconds + _GRACE_SECONDS, "memory_bytes": memory_bytes}

    def run_tests(target: str = "") -> tuple[str, dict[str, Any]]:
        """Run the tests of the workspace.

        The first line of the result is PASSED, FAILED (exit code N) or TIMED OUT after N s; then come the failures:
        the place, the lines that start with E say what was wrong, and a summary. Run it after each change.

        Args:
            target: One file, directory or test, such as tests/test_main.py or tests/test_main.py::test_add. Empty
                runs all tests.
        """
        words = [*fixed, *_target(files, target)]
        return _run(words, files.root, limits=limits, seconds=seconds, apart=apart, most_output_chars=most_output_chars)

    tool = StructuredTool.from_function(
        run_tests,
        parse_docstring=True,
        response_format="content_and_artifact",
        metadata={**terms(seconds=seconds, idempotent=False), "isolation": _described(apart)},
    )
    network = "The tests have no network" if not apart.network else "The tests can reach the network"
    tool.description += f"\n\n{network}, and {seconds:g} seconds."
    return tool


test_runner.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test where it is imported


def _described(apart: Isolation) -> dict[str, bool]:
    return {"network": apart.network, "other_processes": apart.processes}


def _target(files: ConfinedDirectory, target: str) -> list[str]:
    target = target.strip()
    if not target:
        return []
    if target[0] in "-@":
        raise ToolException("target is a path or a test, not an option: it can't start with - or @")
    if not target.isprintable() or len(target) > 500:
        raise ToolException("target is a path or a test, such as tests/test_main.py::test_add, on one line")
    path, separator, test = target.partition("::")
    inside = files.locate(path)
    if not path or not os.path.lexists(os.path.join(files.root, inside)):
        raise ToolException(f"no file or directory {path!r} in the workspace. list_files shows what there is.")
    return [f"{inside}{separator}{test}"] if inside[0] not in "-@" else [f"./{inside}{separator}{test}"]


def _run(
    words: list[str],
    root: str,
    *,
    limits: dict[str, float],
    seconds: float,
    apart: Isolation,
    most_output_chars: int,
) -> tuple[str, dict[str, Any]]:
    order = {"command": words, "file_bytes": _MOST_FILE_BYTES, "processes": _MOST_PROCESSES, **limits}
    report = Report(pytest=any(Path(word).name in ("pytest", "py.test") for word in words[:3]))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rheostat-run-", ignore_cleanup_errors=True) as home:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = subprocess.Popen(  # noqa: S603 - the command is fixed where the tool is built
            [*apart.prefix, sys.executable, "-I", "-S", _CAGE, json.dumps(order)],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with process:
            try:
                code = _watch(process, report, began + seconds)
                if code is not None and code < 0:
                    code = 128 - code  # the cage itself was killed
            finally:
                _end(process, graceful=apart.processes)
    report.end()
    artifact = {
        "exit_code": code,
        "seconds": round(time.monotonic() - began, 3),
        "output_bytes": report.bytes,
        "summary": report.summary,
        "isolation": _described(apart),
    }
    passed = code == 0 and (report.ended or not report.pytest)
    first = "PASSED" if passed else f"FAILED (exit code {code})"
    if code is None:
        first = f"TIMED OUT after {seconds:g} s"
    rest = report.text(passed=passed, most_chars=most_output_chars)
    if code == 0 and not passed:
        rest = f"pytest did not come to its end: something left the process early, such as os._exit\n{rest}"
    if code is not None and code > 128 and code - 128 in set(signal.Signals):
        rest = f"ended by {signal.Signals(code - 128).name}\n{rest}"
    return shorten(f"{first}\n{rest}".strip(), most_output_chars + 100), artifact


def _watch(process: subprocess.Popen[bytes], report: Report, deadline: float) -> int | None:
    """Read until the command is over: its exit code, or None when the time is up."""
    stream = process.stdout
    assert stream is not None  # noqa: S101 - asked for above
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            over = process.poll() is not None
            if selector.select(timeout=0 if over else min(left, 0.1)):
                output = os.read(stream.fileno(), 1 << 16)
                report.add(output)
                if output:
                    continue
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=max(0.0, deadline - time.monotonic()))
                return None
            if over:
                return process.returncode
    return None


def _end(process: subprocess.Popen[bytes], *, graceful: bool) -> None:
    """End the whole group. Without a process namespace the cage first ends those who left the group."""
    if process.returncode is not None and process.returncode >= 0 and sys.platform == "linux":
        return  # the cage ended on its own terms, and nothing outlives it
    if graceful:
        with contextlib.suppress(OSError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_SECONDS)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
