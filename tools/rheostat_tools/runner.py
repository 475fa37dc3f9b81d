"""Runs the tests of a workspace: on a copy of it, in a sandbox, under limits."""

# ruff: noqa: PT028 - test_runner makes a tool and is no test

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat.errors import BadInput
from rheostat.sandbox import Ended, Limits, Running, Sandbox, choose
from rheostat_tools.confine import ConfinedDirectory
from rheostat_tools.copies import copied
from rheostat_tools.report import Report
from rheostat_tools.terms import above_zero, shorten, terms

__all__ = ["test_runner"]

_KEPT_APART = {
    "bubblewrap": "In a sandbox (bubblewrap): no network, none of your files but the workspace",
    "namespaces": "In a sandbox (user namespaces): no network, none of your files but the workspace",
    "none": 'Without a sandbox (sandbox="none"): with all your rights',
}


def test_runner(
    workspace_root: str | os.PathLike[str],
    *,
    command: Sequence[str] = ("python", "-m", "pytest", "-q", "-x"),
    seconds: float = 60,
    memory_bytes: int = 1_000_000_000,
    most_output_chars: int = 4_000,
    sandbox: Sandbox = "auto",
) -> BaseTool:
    """A tool that runs one fixed command, and optionally one test of it, in the workspace.

    The command runs on a copy of the workspace, so that nothing which it writes stays, in a sandbox
    (`rheostat.sandbox`): it sees the system, this Python and the workspace, no network, and no process, file or
    environment variable of ours. Its memory, time, processes, files and output have limits.

    The artifact of a result (`ToolMessage.artifact`) holds exit code, seconds, bytes of output and the sandbox.

    Args:
        workspace_root: Where the command runs.
        command: The command; "python" stands for the running interpreter.
        seconds: Time limit; after it everything that was started is killed.
        memory_bytes: Address space of each process, and memory of all.
        most_output_chars: What a call may return.
        sandbox: `auto` takes the best one that works here; `none` has to be written out.

    Raises:
        BadInput: the root is no directory, the command is empty, a limit isn't above zero, or this is no POSIX system.
        SandboxMissing: there is no sandbox on this machine.
    """
    above_zero(seconds=seconds, memory_bytes=memory_bytes, most_output_chars=most_output_chars)
    if os.name != "posix":
        raise BadInput("test_runner needs a POSIX system")
    if isinstance(command, str) or not command or not all(isinstance(part, str) and part for part in command):
        raise BadInput(f"command must be a sequence of words, got {command!r}")
    files = ConfinedDirectory(workspace_root, most_file_bytes=1)
    kind = choose(sandbox)
    limits = Limits(seconds=seconds, memory_bytes=int(memory_bytes))

    def run_tests(target: str = "") -> tuple[str, dict[str, Any]]:
        """Run the tests of the workspace.

        The first line of the result is PASSED, FAILED (exit code N) or TIMED OUT after N s; then come the failures:
        the place, the lines that start with E say what was wrong, and a summary. Run it after each change.

        Args:
            target: One file, directory or test, such as tests/test_main.py or tests/test_main.py::test_add. Empty
                runs all tests.
        """
        words = [*command, *_target(files, target)]
        report = Report(pytest=any(Path(word).name in ("pytest", "py.test") for word in words[:3]))
        with tempfile.TemporaryDirectory(prefix="rheostat-tree-", ignore_cleanup_errors=True) as place:
            shows = copied(files.root, place)
            directory = place if kind == "none" else files.root
            with Running(words, shows, directory=directory, limits=limits, sandbox=kind) as running:
                ended = running.watch(report.add)
        report.end()
        artifact = {
            "exit_code": ended.exit_code, "seconds": ended.seconds, "output_bytes": ended.output_bytes,
            "summary": report.summary, "sandbox": ended.sandbox,
        }  # fmt: skip
        return _said(ended, report, seconds, most_output_chars), artifact

    tool = StructuredTool.from_function(
        run_tests,
        parse_docstring=True,
        response_format="content_and_artifact",
        metadata={**terms(seconds=seconds, idempotent=False), "sandbox": kind},
    )
    tool.description += f"\n\n{_KEPT_APART[kind]}. It has {seconds:g} seconds."
    return tool


test_runner.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test where it is imported


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


def _said(ended: Ended, report: Report, seconds: float, most_chars: int) -> str:
    code = ended.exit_code
    passed = code == 0 and (report.ended or not report.pytest)
    first = "PASSED" if passed else f"FAILED (exit code {code})"
    if code is None:
        first = f"FAILED (stopped after {ended.output_bytes:,} bytes of output)" if ended.too_much else (
            f"TIMED OUT after {seconds:g} s"
        )  # fmt: skip
    if ended.sandbox == "none":
        first += ' [sandbox="none"]'
    rest = report.text(passed=passed, most_chars=most_chars)
    if code == 0 and not passed:
        rest = f"pytest did not come to its end: something left the process early, such as os._exit\n{rest}"
    if code is not None and code > 128 and code - 128 in set(signal.Signals):
        rest = f"ended by {signal.Signals(code - 128).name}\n{rest}"
    return shorten(f"{first}\n{rest}".strip(), most_chars + 100)
