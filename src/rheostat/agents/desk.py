"""The repository that a coder works on: what is shown, what may be changed, and how the tests judge.

Every run of the tests starts from a fresh copy: the tree as it was when the work began, with the coder's changes to
sources in it. The files that make up the tests are never the coder's (`rheostat_tools.pristine`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat.errors import BadInput
from rheostat.evidence.verifiers import Verdict
from rheostat.graph.events import emit
from rheostat.sandbox import Sandbox, choose
from rheostat_tools import Workspace, test_runner
from rheostat_tools.confine import shown
from rheostat_tools.edits import Edit, Refused, Whole, edits_of
from rheostat_tools.journal import Journal
from rheostat_tools.pristine import PROTECTED, Pristine

__all__ = ["FAILURES_CHARS", "PROTECTED", "Desk"]

FAILURES_CHARS = 1_500
"""The characters of a test run's output that are shown."""

_NO_FILE = (
    "There is no whole file in your reply. Write 'file: NAME.py' and beneath it the whole corrected file between "
    "```python and ```."
)
_SAME_FILE = (
    "{path} is as it was before: nothing in it was changed. Find the line that is wrong, and write it differently."
)
_UNCHANGED = "Nothing was changed yet. The tests pass as they are; do what was asked for, and keep them passing."
_CANT_RUN = ("FAILED (exit code 5)", "FAILED (exit code 127)")
"""Pytest found no tests; a shell found no such command."""
_SHOWN_CHARS = 6_000
_COUNTED = re.compile(r"(\d+) (passed|failed|skipped|xfailed|xpassed|deselected)")
_CALL = {"type": "tool_call", "id": "tests", "name": "run_tests", "args": {}}


class Desk:
    """The workspace with its tests, which run after every edit.

    Args:
        root: The repository.
        command: The command that runs its tests.
        test_seconds: The time limit of one test run.
        protected: Patterns of files that can't be changed, besides the tests.
        sandbox: The sandbox that the tests run in.
        journal: A file that keeps what the sources were, so that another process can go on.

    Raises:
        SandboxMissing: there is no sandbox on this machine.
    """

    def __init__(
        self,
        root: Path,
        command: Sequence[str],
        *,
        test_seconds: float,
        protected: Sequence[str],
        sandbox: Sandbox,
        journal: Path | None = None,
    ) -> None:
        self._journal = Journal(journal)
        self.workspace = Workspace(root, journal=self._journal)
        """The files that the model reads and changes."""
        self._root, self._protected = root, protected
        self._start: Pristine | None = None
        self._last: tuple[dict[str, bytes | None], tuple[bool | None, str]] | None = None
        self._options: dict[str, Any] = {"command": command, "seconds": test_seconds, "sandbox": choose(sandbox)}
        self._tests = test_runner(root, **self._options)

    def begin(self) -> None:
        """Take the present tree as the one that changes are judged on."""
        self._journal.begin()
        self._keep_start()

    def _keep_start(self) -> Pristine:
        """Keep the tree as it was at the start; after a restart the journal tells how."""
        if self._start is not None:
            self._start.drop()
        command = self._options["command"][1:]
        originals = self._journal.originals
        start = Pristine(self.workspace.root, self._protected, command=command, originals=originals)
        self._tests = test_runner(self._root, **self._options, pristine=start, changes=self._changes)
        self._start, self._last = start, None
        return start

    def run_tests(self) -> tuple[bool | None, str]:
        """Run the tests: (passed, or None if not proven; output). Reuses the last result while nothing changes."""
        if self._start is None:
            self._keep_start()
        changes = self._changes()
        if self._last is not None and self._last[0] == changes:
            return self._last[1]
        passed, said = self._run_tests()
        self._last = (changes, (passed, said))
        return passed, said

    def _run_tests(self) -> tuple[bool | None, str]:
        reply: ToolMessage = self._tests.invoke(_CALL)
        said = str(reply.content)
        passed: bool | None = reply.artifact["passed"]
        counted = {kind: int(count) for count, kind in _COUNTED.findall(reply.artifact["summary"])}
        if "counted" not in self._journal.notes:
            self._journal.note(counted=counted)
        if passed and (why := self._fewer(counted)):
            return None, f"NOT PROVEN: {why}\n{said}"
        return passed, said

    def _fewer(self, counted: dict[str, int]) -> str | None:
        """The complaint if fewer tests ran than at the start; `None`: as many ran."""
        ran, before = (
            sum(each.get(kind, 0) for kind in ("passed", "failed", "xpassed"))
            for each in (counted, self._journal.notes.get("counted", {}))
        )
        return f"only {ran} tests ran, and {before} did at the start" if ran < before else None

    def _lacks(self, said: str) -> bool:
        """Whether the interpreter has no such module as the command names, which looks like tests that fail."""
        words = list(self._options["command"])
        module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
        return bool(module) and re.search(rf"No module named '?{re.escape(module)}\b", said) is not None

    def check(self, _: str) -> Verdict:
        """The verdict of the tests; they pass only if something was changed."""
        passed, said = self.run_tests()
        if passed is not False and not self.workspace.changed:
            return Verdict(False, _UNCHANGED)
        return Verdict(passed, said[:FAILURES_CHARS])

    def tools(self) -> list[BaseTool]:
        """The model's tools; in a small repository, which is shown whole, only those that edit."""
        named = {tool.name: tool for tool in self.workspace.tools()}
        edits = [self._tried(named.pop(name)) for name in ("edit_file", "write_file", "undo")]
        if self.small():
            return edits

        def run_tests(target: str = "") -> str:
            return str(self._tests.invoke({"target": target}))

        tests = StructuredTool.from_function(
            run_tests,
            description=self._tests.description,
            args_schema=self._tests.args_schema,
            metadata=self._tests.metadata,
        )
        return [*edits, *named.values(), tests]

    def small(self) -> bool:
        """Whether all of its Python can be shown at once."""
        return sum(size for path, size in self.workspace.files() if path.endswith(".py")) <= _SHOWN_CHARS

    def take(self, answer: str) -> Verdict:
        """Make the edits of an answer, and run the tests."""
        there = [path for path, _ in self.workspace.files()]
        edits = self._meant(self.workspace.named(edits_of(answer, there)), there)
        if not edits:
            return Verdict(False, _NO_FILE)
        try:
            for edit in edits:
                if edit.path:
                    self._check_protected(edit.path)
            changed = self.workspace.apply(edits)
        except ToolException as refused:
            return Verdict(False, str(refused))
        passed, said = self.run_tests()
        said = said[:FAILURES_CHARS]
        if passed is False and not changed:
            said = f"{_SAME_FILE.format(path=edits[0].path)}\n{said}"
        return Verdict(passed, said)

    def answer_tokens(self) -> int:
        """The most tokens that an answer with all the files needs: a model may otherwise never stop."""
        return 512 + sum(size for path, size in self.workspace.files() if path.endswith(".py")) // 2

    def _meant(self, edits: list[Edit], there: list[str]) -> list[Edit]:
        """The edits that name a file or can only mean one; beside these, edits of protected files are dropped."""
        mine = [path for path in there if path.endswith(".py") and self._why_protected(path) is None]
        if not any(edit.path for edit in edits) and len(mine) == 1:
            edits = [replace(edit, path=mine[0]) if isinstance(edit, Whole) else edit for edit in edits]
        meant = [edit for edit in edits if edit.path or isinstance(edit, Refused)]
        changing = [edit for edit in meant if isinstance(edit, Refused) or self._why_protected(edit.path) is None]
        return changing or meant

    def _why_protected(self, path: str) -> str | None:
        start = self._start or self._keep_start()
        try:
            return start.why_protected(self.workspace.locate(path))
        except ToolException as outside:
            return str(outside)

    def _check_protected(self, path: str) -> None:
        if why := self._why_protected(path):
            raise ToolException(f"{path} can't be changed: {why}. Change the code that is tested.")

    def _changes(self) -> dict[str, bytes | None]:
        """The present contents of the files that the coder changed."""
        found: dict[str, bytes | None] = {}
        for path in self.workspace.changed:
            try:
                found[path] = self.workspace.content(path)
            except ToolException:  # another program put something else in its place
                found[path] = None
        return found

    def _tried(self, tool: BaseTool) -> BaseTool:
        """The same tool, followed by a test run; failing tests become an error with the failures as evidence."""

        def work(**arguments: Any) -> tuple[str, dict[str, Any]]:
            if "path" in arguments:
                self._check_protected(str(arguments["path"]))
            done = str(tool.invoke(arguments))
            passed, said = self.run_tests()
            emit("verdict", passed=passed, reason=said[:FAILURES_CHARS])
            if passed is False:
                raise ToolException(f"{done}\nThe tests now: {said[:FAILURES_CHARS]}")
            return f"{done}\nThe tests now: {said.splitlines()[0]}", {"tests": "passed" if passed else "not proven"}

        async def awork(**arguments: Any) -> tuple[str, dict[str, Any]]:
            return await asyncio.to_thread(work, **arguments)

        return StructuredTool.from_function(
            work,
            awork,
            name=tool.name,
            description=tool.description,
            args_schema=tool.args_schema,
            response_format="content_and_artifact",
        )

    def first_look(self, task: str) -> tuple[bool | None, str]:
        """Run the tests and write the first message: (whether they pass already, the message).

        The files to be changed come last in the message, nearest to the reply.

        Raises:
            BadInput: the tests can't be run, so nothing could tell when the work is done.
        """
        self.begin()
        passed, said = self.run_tests()
        if said.startswith(_CANT_RUN) or self._lacks(said):
            raise BadInput(
                f"the tests of {self._root} can't be run, so nothing could tell when the work is done: {said[:300]}\n"
                "Name the command that runs them, install what it names, or write a test first."
            )
        blocks, left = [], _SHOWN_CHARS
        files = [path for path, size in self.workspace.files() if path.endswith(".py") and size <= left]
        for path in sorted(files, key=lambda path: (path not in said, "test" in path, path)):
            try:
                text = self.workspace.text(path)
            except ToolException:
                continue
            if len(text) <= left:
                blocks.append((path, _block(path, text)))
                left -= len(text)
        blocks.sort(key=lambda each: ("test" in each[0], each[0]), reverse=True)
        listing = "\n\n".join(text for _, text in blocks)
        if not self.small() or not listing:
            listing = f"{self.workspace.list_files()}\n\n{listing}".strip()
        wanted = task.strip() or "Some tests of this repository fail. Make them pass."
        return passed, f"The tests now:\n{said[:FAILURES_CHARS]}\n\nThe files:\n{listing}\n\n{wanted}"


def _block(path: str, text: str) -> str:
    """A file for the model, in a fence that nothing in the file ends."""
    fence = max(["```", *(f"{each}`" for each in re.findall("`{3,}", text))], key=len)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"file: {shown(path)}\n{fence}python\n{text}{end}{fence}"
