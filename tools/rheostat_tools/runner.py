"""Run the tests of a workspace on a copy of it, in a sandbox, and judge tests that pass again from outside."""

# ruff: noqa: PT028 - test_runner makes a tool and isn't a test

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat.errors import BadInput
from rheostat.evidence.examining import Examined, examine
from rheostat.sandbox import Ended, Limits, Running, Sandbox, choose, temporary_directory
from rheostat_tools.confine import ConfinedDirectory
from rheostat_tools.depending import depends_on
from rheostat_tools.pristine import Pristine
from rheostat_tools.report import Report
from rheostat_tools.terms import above_zero, shorten, terms

__all__ = ["test_runner"]

_KEPT_APART = {
    "bubblewrap": "In a sandbox (bubblewrap): no network, none of your files but the workspace",
    "namespaces": "In a sandbox (user namespaces): no network, none of your files but the workspace",
    "none": 'Without a sandbox (sandbox="none"): with all your rights',
}
_NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
_WANTS_PLUGINS = re.compile(
    rb"fixture '\w+' not found|unrecognized arguments|async def functions are not natively supported"
    rb"|Missing required plugins|Unknown config option|PytestUnknownMarkWarning|'\w+' not found in `markers`"
)
"""Pytest's messages if a plugin is missing."""
_SIDE_BY_SIDE = re.compile(r"-n\w*|--numprocesses(?:=.*)?|--dist(?:=.*)?|--boxed|--forked")
"""Options that run tests in other processes."""
_AT_FIRST = re.compile(r"-x|--exitfirst|--maxfail=.*|--sw|--stepwise")
"""Options that end a run at the first failure."""


def test_runner(
    workspace_root: str | os.PathLike[str],
    *,
    command: Sequence[str] = ("python", "-m", "pytest", "-q", "-x"),
    seconds: float = 60,
    memory_bytes: int = 1_000_000_000,
    most_output_chars: int = 4_000,
    sandbox: Sandbox = "auto",
    pristine: Pristine | None = None,
    changes: Callable[[], Mapping[str, bytes | None]] = dict,
) -> BaseTool:
    """A tool that runs one fixed command, and optionally one test of it, in the workspace.

    The command runs on a copy of the workspace, so that nothing that it writes is kept. It runs in a sandbox
    (`rheostat.sandbox`): it sees the system, this Python and the workspace, but no network, and no process, other file
    or environment variable of ours. Its memory, time, processes, files and output have limits.

    Tests that pass where the code can reach them prove nothing. Tests that pytest calls passed are judged again with
    the code in another process (`rheostat.evidence.examining`), and are PASSED only if they pass there too; otherwise
    they are NOT PROVEN, as is every command that isn't pytest. Pytest's plugins are loaded if the tests need one.

    The artifact of a result (`ToolMessage.artifact`) has the exit code, seconds, bytes of output, summary, sandbox and
    `passed` (`True`, `False`, or `None`: not proven).

    Args:
        workspace_root: The directory in which the command runs.
        command: The command; "python" is the running interpreter.
        seconds: The time limit of each run, after which all of its processes are killed.
        memory_bytes: The limit of the memory of all processes together.
        most_output_chars: The longest output of a call.
        sandbox: `auto` takes the best one that works here; `none` must be given explicitly.
        pristine: The initial tree, on which changes are judged; by default the current tree.
        changes: Returns the changes to the pristine tree, by path; changes of protected files are ignored.

    Raises:
        BadInput: The root isn't a directory, the command is empty, a limit isn't above zero, or the system isn't POSIX.
        SandboxMissing: There is no sandbox on this machine.
    """
    above_zero(seconds=seconds, memory_bytes=memory_bytes, most_output_chars=most_output_chars)
    if os.name != "posix":
        raise BadInput("test_runner needs a POSIX system")
    if isinstance(command, str) or not command or not all(isinstance(part, str) and part for part in command):
        raise BadInput(f"command must be a sequence of words, got {command!r}")
    files = ConfinedDirectory(workspace_root, most_file_bytes=1)
    if "/" in command[0]:
        command = (os.path.join(files.root, command[0]), *command[1:])
    kind = choose(sandbox)
    limits = Limits(seconds=seconds, memory_bytes=int(memory_bytes))

    def run_tests(target: str = "") -> tuple[str, dict[str, Any]]:
        """Run the tests of the workspace.

        The first line of the result is PASSED, FAILED (exit code N), NOT PROVEN or TIMED OUT after N s; then come the
        failures: the place, the lines that start with E say what was wrong, and a summary. Run it after each change.

        Args:
            target: One file, directory or test, such as tests/test_main.py or tests/test_main.py::test_add. Empty
                runs all tests.
        """
        words = [*command, *_target(files, target)]
        start = Pristine(files.root, command=command[1:]) if pristine is None else pristine
        try:
            ended, report, plain, examined, outside = _Run(words, start, changes(), limits, kind).both()
        finally:
            if start is not pristine:
                start.drop()
        passed: bool | None = plain
        if examined is not None and examined.passed is not True:
            passed = None
        artifact = {
            "exit_code": ended.exit_code, "seconds": ended.seconds, "output_bytes": ended.output_bytes,
            "summary": report.summary, "sandbox": ended.sandbox, "passed": passed,
        }  # fmt: skip
        said = _said(ended, report, plain, examined, seconds, most_output_chars)
        if examined is not None and examined.passed is False:
            said += f"\nOutside:\n{outside.text(passed=False, most_chars=most_output_chars // 2)}"
        return said, artifact

    tool = StructuredTool.from_function(
        run_tests,
        parse_docstring=True,
        response_format="content_and_artifact",
        metadata={**terms(seconds=2 * seconds, idempotent=False), "sandbox": kind},
    )
    tool.description += f"\n\n{_KEPT_APART[kind]}. It has {seconds:g} seconds."
    return tool


test_runner.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test in modules that import it


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


@dataclass
class _Run:
    """The run of a command on one state of the tree."""

    words: list[str]
    start: Pristine
    changes: Mapping[str, bytes | None]
    limits: Limits
    kind: Sandbox
    plugins: bool = False

    @property
    def bare(self) -> bool:
        return self.kind == "none"

    def both(self) -> tuple[Ended, Report, bool, Examined | None, Report]:
        """Run it in one process, and if it passes also judge it from outside; at the same time if a core is idle."""
        ended, report, plain, examined, outside = self._both()
        if plain and examined is not None and examined.passed and (left := self._left_out(report.summary, examined)):
            examined = Examined(None, left, examined.tests)
        return ended, report, plain, examined, outside

    def _both(self) -> tuple[Ended, Report, bool, Examined | None, Report]:
        stop, beside = threading.Event(), Report(pytest=True)
        with ThreadPoolExecutor(1) as pool:
            examining = pool.submit(self.outside, beside.add, stop) if _idle_core() else None
            try:
                ended, report, plain = self.in_one_process()
                if not plain:
                    stop.set()
            except BaseException:
                stop.set()
                raise
            if not plain or (examining is not None and not self.plugins):
                examined = examining.result() if plain and examining is not None else None
                beside.end()
                return ended, report, plain, examined, beside
            stop.set()
        after = Report(pytest=True)
        examined = self.outside(after.add, threading.Event())
        after.end()
        return ended, report, plain, examined, after

    def _left_out(self, summary: str, examined: Examined) -> str | None:
        """The reason if tests ran only in one process, or are gone or skipped since the changes; else `None`."""
        here = sum(int(count) for count in re.findall(r"(\d+) (?:passed|xpassed)\b", summary))
        ran = sum(outcome == "passed" for outcome in examined.tests.values())
        if ran < here:
            return f"{here} tests passed in one process, and only {ran} ran there"
        if not self.changes:
            return None
        words = [each for each in self.words if not _AT_FIRST.fullmatch(each)]
        unchanged = replace(self, words=[*words, "--collect-only"], changes={})
        if tuple(words) not in self.start.tests:
            self.start.tests[tuple(words)] = unchanged.outside(lambda output: None, threading.Event())
        at_start = self.start.tests[tuple(words)].collected
        if gone := sorted(at_start.keys() - examined.tests.keys()):
            return f"{gone[0]} is gone since the changes ({len(gone)} of {len(at_start)} tests)"
        if others := sorted(name for name in at_start if at_start[name] != examined.collected.get(name)):
            again = unchanged.outside(lambda output: None, threading.Event()).collected
            if other := next((name for name in others if at_start[name] == again.get(name)), None):
                return f"{other} has other parameters since the changes"
        if why := self._decided_by_the_code(self.start.tests[tuple(words)], examined):
            return why
        skipped = {name for name, outcome in examined.tests.items() if outcome == "skipped"}
        if skipped:
            before = replace(unchanged, words=words).outside(lambda output: None, threading.Event())
            if since := sorted(name for name in skipped if before.tests.get(name, "skipped") != "skipped"):
                return f"{since[0]} is skipped, and wasn't before the changes"
        return None

    def _decided_by_the_code(self, before: Examined, now: Examined) -> str | None:
        """The reason if the code decides which tests run, and it isn't known which ones ran at the start."""
        known, there = ({name.partition("::")[0] for name in each} for each in (before.collected, now.tests))
        for path in sorted((there | before.tests.keys()) & set(self.start.own) - known):
            source = Path(self.start.tree, path).read_bytes()
            if decides := depends_on(source, self.start.code):
                return f"{decides} decides on the tests of {path}, which couldn't be collected before the changes"
        return None

    def in_one_process(self) -> tuple[Ended, Report, bool]:
        """Run it as usual, and return whether it reports that the tests passed; a failure here is final."""
        words, pytest = self.words, _pytest_of(self.words) is not None
        while True:
            report, wanted = Report(pytest=pytest), False

            def take(output: bytes, report: Report = report) -> None:
                nonlocal wanted
                wanted = wanted or _WANTS_PLUGINS.search(output) is not None
                report.add(output)

            with temporary_directory("rheostat-tree-") as place:
                shows = self.start.lay_out(place, self.changes, bare=self.bare)
                running = Running(
                    words,
                    shows,
                    directory=place if self.bare else self.start.root,
                    limits=self.limits,
                    sandbox=self.kind,
                    variables={} if self.plugins or not pytest else _NO_PLUGINS,
                )
                with running:
                    ended = running.watch(take)
            report.end()
            if pytest and wanted and not self.plugins:
                self.plugins = True
                continue
            return ended, report, ended.exit_code == 0 and (report.ended or not pytest)

    def outside(self, output: Callable[[bytes], None], stop: threading.Event) -> Examined:
        """Run the same tests with the code in another process."""
        form = _pytest_of(self.words)
        if form is None:
            return Examined(None, f"{self.words[0]} isn't pytest", {})
        python, as_module, arguments = form
        if python is None:
            return Examined(None, f"there is no Python beside {self.words[0]}", {})
        arguments = [each for each in arguments if not _SIDE_BY_SIDE.fullmatch(each)]
        with temporary_directory("rheostat-tree-") as place:
            return examine(
                self.start.lay_out(place, self.changes, bare=self.bare),
                root=place if self.bare else self.start.root,
                own=self.start.own,
                changed=sorted(filter(self.start.is_data, self.changes)),
                python=python,
                root_on_path=as_module,
                limits=self.limits,
                sandbox=self.kind,
                arguments=[*arguments, "-p", "no:cacheprovider", "-p", "no:xdist"],
                output=output,
                variables={} if self.plugins else _NO_PLUGINS,
                stop=stop,
            )


def _idle_core() -> bool:
    """Whether a core is idle now; a load average would be that of the last minute."""
    try:
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError):
        return False
    return running < len(os.sched_getaffinity(0))


def _pytest_of(words: Sequence[str]) -> tuple[str | None, bool, list[str]] | None:
    """(interpreter or `None`, whether pytest runs as a module, its arguments); `None`: the command isn't pytest."""
    name = Path(words[0]).name
    if re.fullmatch(r"python[\d.]*", name) and list(words[1:3]) == ["-m", "pytest"]:
        return words[0], True, list(words[3:])
    if name not in ("pytest", "py.test"):
        return None
    found = shutil.which(words[0])
    if found is None or Path(found).parent == Path(sys.prefix, "bin"):
        return "python", False, list(words[1:])
    beside = Path(found).with_name("python")
    return str(beside) if beside.exists() else None, False, list(words[1:])


def _said(ended: Ended, report: Report, plain: bool, examined: Examined | None, seconds: float, most_chars: int) -> str:
    code = ended.exit_code
    first = "PASSED" if plain else f"FAILED (exit code {code})"
    if examined is not None and examined.passed is not True:
        first = f"NOT PROVEN: the tests pass where the code can reach them, and judged outside of it: {examined.why}"
        if not report.pytest:
            first = "NOT PROVEN (exit code 0): only the command says that it passed. What pytest runs can be judged"
    if code is None:
        first = f"TIMED OUT after {seconds:g} s"
        if ended.too_much:
            first = f"FAILED (stopped after {ended.output_bytes:,} bytes of output)"
    if ended.sandbox == "none":
        first += ' [sandbox="none"]'
    rest = report.text(passed=plain, most_chars=most_chars)
    if code == 0 and not plain:
        rest = f"pytest did not come to its end: something left the process early, such as os._exit\n{rest}"
    if code is not None and code > 128 and code - 128 in set(signal.Signals):
        rest = f"ended by {signal.Signals(code - 128).name}\n{rest}"
    return shorten(f"{first}\n{rest}".strip(), most_chars + 100)
