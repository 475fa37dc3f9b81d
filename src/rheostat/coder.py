"""`build_coder`: works on a repository until its tests pass, the budget is used up, or it is stuck.

look → think → (act → think)* → check → (correct → think | report). The tests run after every edit, and their failures
go back as evidence; how much is thought follows from them. It stops at green. Tests themselves can't be edited.

A model that wasn't trained on tool calls writes whole files in its answer and calls nothing (small models do better so:
aider's "whole" edit format, https://aider.chat/docs/more/edit-formats.html).
"""

from __future__ import annotations

import asyncio
import fnmatch
import posixpath
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.graph import END, START, StateGraph

from rheostat.agent_nodes import AgentGraphState, AgentNodes, BudgetedGraph
from rheostat.budget import Budget
from rheostat.errors import BadInput
from rheostat.events import emit
from rheostat.evidence.forms import Form
from rheostat.evidence.verifiers import Verdict, as_verifier
from rheostat.graph.state import read
from rheostat.models import resolve
from rheostat.policy import Caps
from rheostat.providers import Endpoint
from rheostat.usage import usd
from rheostat_tools import Workspace, test_runner

__all__ = ["CoderState", "Edits", "build_coder"]

Edits: TypeAlias = Literal["tools", "whole"]
"""How a change is made: with tools that edit, write and undo; or by whole files in fenced blocks of the answer."""

PROTECTED = (
    "test_*.py", "*_test.py", "conftest.py", "pytest.py", "pluggy.py", "sitecustomize.py", "usercustomize.py",
    "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml", "pytest/*",
    "_pytest/*", "pluggy/*",
)  # fmt: skip
"""What a coder may not write: it would be the short way to green."""

_SYSTEM = (
    "You mend Python code. Change the code so that the failing tests pass; make the smallest change that does it. Use "
    "edit_file with the exact old lines and the new ones. The tests run after every edit. Test files can't be changed."
)
_SYSTEM_WHOLE = (
    "You mend Python code: find the line that is wrong and change it so that the failing tests pass. Reply with the "
    "whole corrected file, in this form:\n\nfile: NAME.py\n```python\n(all of the file, nothing left out)\n```\n\n"
    "Change as little as possible. Test files can't be changed."
)
_NO_FILE = (
    "There is no whole file in your reply. Write 'file: NAME.py' and beneath it the whole corrected file between "
    "```python and ```."
)
_SAME_FILE = (
    "{path} is as it was before: nothing in it was changed. Find the line that is wrong, and write it differently."
)
_BLOCK = re.compile(r"(?:^([^\n]*\w\.\w+[`*: ]*)\n+)?^```[\w+-]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PATH = re.compile(r"^\W*(file\b|path\b)?\W*?(?:.*[\s`*])?([\w./-]+\.\w+)[`*: ]*$", re.IGNORECASE)
_UNCHANGED = "Nothing was changed yet. The tests pass as they are; do what was asked for, and keep them passing."
_NOT_OURS = {"venv", "node_modules", "site-packages", "__pycache__"}
_STUCK = {False: "The tests still fail", True: "The tests pass as before, but nothing was changed"}
_NO_TESTS, _NO_COMMAND = 5, 127
"""Exit codes: of pytest, that it found no tests; of a shell, that there is no such command."""
_SHOWN_CHARS = 6_000
_FAILURES_CHARS = 1_500


_REPLY = Form("a reply", str)
"""All of it: the files are in it, and the tests are judged and not what is said of them."""


class CoderState(AgentGraphState, total=False):
    """The agent's state, and what came of the work."""

    task: str
    """What is to be done, in words; may be empty: then the failing tests say it."""
    status: str
    """`green` (the tests pass, and what was asked for is said to be done), `stuck` (they don't, or nothing was changed,
    and nothing is left to try), `cap` (the budget is used up)."""
    green_before: bool
    """The tests passed before anything was changed: they can't say what was asked for, they can only be kept green."""
    report: str
    """What was done, in words."""
    diff: str
    """All changes, as a unified diff."""


class CoderInput(TypedDict, total=False):
    """What a caller gives: nothing, or a task."""

    task: str


def _path_in(line: str, there: list[str]) -> str:
    """The file that a line above a block names: one that is there, or one that stands alone or after `file:`."""
    match = _PATH.match(line)
    if match is None:
        return ""
    said, path = match[1], match[2]
    alone = line.strip(" `*#:") == path
    return path if said or alone or path.removeprefix("./") in there else ""


class _Desk:
    """The workspace with its tests: every edit is tried at once."""

    def __init__(self, root: Path, tests: BaseTool, protected: Sequence[str]) -> None:
        self.workspace, self._root = Workspace(root), root
        self._tests, self._protected = tests, protected

    def run_tests(self) -> tuple[bool, str]:
        """(passed, what was said)."""
        said = str(self._tests.invoke({}))
        return said.startswith("PASSED"), said

    def check(self, _: str) -> Verdict:
        """Something was changed, and the tests pass."""
        passed, said = self.run_tests()
        if passed and not self.workspace.changed:
            return Verdict(False, _UNCHANGED)
        return Verdict(passed, said[:_FAILURES_CHARS])

    def tools(self) -> list[BaseTool]:
        """All of them; in a repository that is shown whole at once only those that change something."""
        named = {tool.name: tool for tool in self.workspace.tools()}
        edits = [self._tried(named.pop(name)) for name in ("edit_file", "write_file", "undo")]
        return edits if self.small() else [*edits, *named.values(), self._tests]

    def small(self) -> bool:
        """All of its Python can be shown at once."""
        left = _SHOWN_CHARS
        for path in self._root.rglob("*.py"):
            if not path.is_file() or any(
                part[0] == "." or part in _NOT_OURS for part in path.relative_to(self._root).parts
            ):
                continue
            left -= path.stat().st_size
            if left < 0:
                return False
        return True

    def take(self, answer: str) -> Verdict:
        """Write the whole files of an answer, and run the tests."""
        there = self._files()
        mine = [path for path in there if path.endswith(".py") and not self._is_protected(path)]
        found = [(_path_in(line, there), text) for line, text in _BLOCK.findall(answer) if text.strip()]
        blocks = [(path, text) for path, text in found if path]
        if not blocks and len(mine) == len(found) == 1:
            blocks = [(mine[0], found[0][1])]
        # tests that are told again do no harm
        blocks = [block for block in blocks if not self._is_protected(block[0])] or blocks
        if not blocks:
            return Verdict(False, _NO_FILE)
        try:
            for path, _ in blocks:
                self._check_protected(path)
            before = {path: (self._root / path).read_text(encoding="utf-8") for path, _ in blocks if path in mine}
            for path, text in blocks:
                if before.get(path) != text:
                    self.workspace.write_file(path, text)
        except (ToolException, ValueError) as refused:
            return Verdict(False, str(refused))
        passed, said = self.run_tests()
        said = said[:_FAILURES_CHARS]
        if not passed and all(before.get(path) == text for path, text in blocks):
            said = f"{_SAME_FILE.format(path=blocks[0][0])}\n{said}"
        return Verdict(passed, said)

    def answer_tokens(self) -> int:
        """The most that an answer with all the files needs: a model that has lost its way goes on for ever."""
        return 512 + sum((self._root / path).stat().st_size for path in self._python_files()) // 2

    def _is_protected(self, path: str) -> bool:
        inside = posixpath.normpath(path)
        return any(fnmatch.fnmatch(each, pattern) for pattern in self._protected for each in (Path(path).name, inside))

    def _check_protected(self, path: str) -> None:
        if self._is_protected(path):
            raise ToolException(f"{path} can't be changed: it says what is wanted. Change the code that it tests.")

    def _tried(self, tool: BaseTool) -> BaseTool:
        """The same tool, followed by a run of the tests: a failure is an error with the failures as evidence."""

        def work(**arguments: Any) -> tuple[str, dict[str, Any]]:
            self._check_protected(str(arguments.get("path", "")))
            done = str(tool.invoke(arguments))
            passed, said = self.run_tests()
            emit("verdict", passed=passed, reason=said[:_FAILURES_CHARS])
            if not passed:
                raise ToolException(f"{done}\nThe tests now: {said[:_FAILURES_CHARS]}")
            return f"{done}\nThe tests now: {said.splitlines()[0]}", {"tests": "passed"}

        async def awork(**arguments: Any) -> tuple[str, dict[str, Any]]:
            return await asyncio.to_thread(work, **arguments)

        return StructuredTool.from_function(
            work, awork, name=tool.name, description=tool.description, args_schema=tool.args_schema,
            response_format="content_and_artifact",
        )  # fmt: skip

    def _files(self) -> list[str]:
        return [line.rsplit(" (", 1)[0] for line in self.workspace.list_files().splitlines()]

    def _python_files(self) -> list[str]:
        return [path for path in self._files() if path.endswith(".py")]

    def first_look(self, task: str) -> tuple[bool, str]:
        """(the tests pass already, what the model is told: what is to be changed stands nearest to its reply).

        Raises:
            BadInput: the tests can't be run, so that nobody could say when the work is done.
        """
        passed, said = self.run_tests()
        if said.startswith((f"FAILED (exit code {_NO_TESTS})", f"FAILED (exit code {_NO_COMMAND})")):
            raise BadInput(
                f"the tests of {self._root} can't be run, so nothing could tell when the work is done: {said[:300]}\n"
                "Name the command that runs them, or write a test first."
            )
        shown, left = [], _SHOWN_CHARS
        for path in sorted(self._python_files(), key=lambda path: ("test" in path, path)):
            try:
                text = (self._root / path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if len(text) <= left:
                shown.append(f"file: {path}\n```python\n{text}```")
                left -= len(text)
        wanted = task.strip() or "Some tests of this repository fail. Make them pass."
        listing = "\n\n".join(reversed(shown)) or "\n".join(self._files())
        return passed, f"The tests now:\n{said[:_FAILURES_CHARS]}\n\nThe files:\n{listing}\n\n{wanted}"


def build_coder(
    model: str | BaseChatModel | Endpoint,
    root: str | Path,
    *,
    budget: Budget,
    command: Sequence[str] = ("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
    test_seconds: float = 60.0,
    protected: Sequence[str] = PROTECTED,
    correct: bool = True,
    edits: Edits | None = None,
    **options: Any,
) -> StateGraph[CoderState, None, CoderInput, CoderState]:
    """A graph that works on a repository until its tests pass.

    Args:
        model: A chat model or its name.
        root: The repository. Nothing outside of it is read or written by the model's tools; the tests themselves run
            with your rights, without network where the system allows it.
        budget: Hard limits of each run.
        command: How the tests are run.
        test_seconds: The most that one run of the tests may take.
        protected: Names of files that can't be changed.
        correct: False: one edit, and no failure goes back (for comparison).
        edits: `tools` or `whole` (files in the answer); by default `whole` for a small repository and a model that
            wasn't trained on tool calls.
        options: As in `AgentNodes`.

    Returns:
        An uncompiled graph: `invoke({"task": "…"})`; the result has `status`, `report`, `diff`, `rheostat`.

    Raises:
        BadInput: no such directory.
    """
    where = Path(root)
    if not where.is_dir():
        raise BadInput(f"no directory at {root}: give the root of a repository")
    if edits is not None and edits not in get_args(Edits):
        raise BadInput(f"edits is {' or '.join(get_args(Edits))}; not {edits!r}")
    desk = _Desk(where, test_runner(where, command=tuple(command), seconds=test_seconds), protected)
    endpoint = resolve(model)
    if edits is None:
        edits = "whole" if desk.small() and getattr(endpoint.chat, "calls_by_schema", False) else "tools"

    whole = edits == "whole"
    own = {"caps": Caps(answer_tokens=desk.answer_tokens())} if whole else {}
    nodes = AgentNodes(
        endpoint, [] if whole else desk.tools(), budget=budget,
        **{"verifier": as_verifier(desk.take if whole else desk.check, _REPLY),
           "system_prompt": _SYSTEM_WHOLE if whole else _SYSTEM,
           "most_corrections": 3 if correct else 0, **own, **options},
    )  # fmt: skip

    def look(state: CoderState) -> dict[str, Any]:
        passed, told = desk.first_look(state.get("task") or "")
        emit("step", name="look", text=told[-_FAILURES_CHARS:])
        nothing_to_do = passed and not (state.get("task") or "").strip()
        return {
            "messages": [HumanMessage(told)], "status": "green" if nothing_to_do else "", "report": "", "diff": "",
            "green_before": passed,
        }  # fmt: skip

    def report(state: CoderState) -> dict[str, Any]:
        passed, said = desk.run_tests()
        thinking = read(state)["thinking"]
        over = thinking.get("stopped") or thinking.get("last_word")
        unfinished = over and state.get("green_before")  # the tests can't tell
        done = passed and (state["status"] == "green" or (desk.workspace.changed and not unfinished))
        status = "green" if done else "cap" if over else "stuck"
        text = _report(state, status, said, desk.workspace.changed)
        emit("report", status=status, text=text)
        return {"status": status, "report": text, "diff": desk.workspace.diff()}

    graph = BudgetedGraph(CoderState, input_schema=CoderInput)
    graph.add_node("look", look)
    graph.add_node("report", report)
    for name, node in (("estimate", nodes.estimate), ("think", nodes.think), ("act", nodes.act),
                       ("check", nodes.verify), ("correct", nodes.correct)):  # fmt: skip
        graph.add_node(name, node)
    graph.add_edge(START, "look")
    graph.add_conditional_edges("look", _after_look, ["report", "estimate"])
    graph.add_edge("estimate", "think")
    graph.add_conditional_edges("think", _after_think, ["act", "check"])
    graph.add_conditional_edges("act", _after_act(correct), ["think", "report"])
    graph.add_conditional_edges(
        "check", lambda s: "report" if nodes.after_verify(s) == END else "correct", ["correct", "report"]
    )
    graph.add_edge("correct", "think")
    graph.add_edge("report", END)
    return graph


def _after_look(state: CoderState) -> str:
    return "report" if state["status"] == "green" else "estimate"


def _after_think(state: CoderState) -> str:
    return "act" if AgentNodes.after_think(state) == "act" else "check"


def _after_act(correct: bool) -> Callable[[CoderState], str]:
    def route(state: CoderState) -> str:
        newest = []
        for message in reversed(state["messages"]):
            if not isinstance(message, ToolMessage):
                break
            newest.append(message)
        passed = any(isinstance(m.artifact, dict) and m.artifact.get("tests") == "passed" for m in newest)
        edited = any(m.name in ("edit_file", "write_file") for m in newest)
        green = passed and not state.get("green_before")
        return "report" if green or (edited and not correct) else "think"

    return route


def _report(state: CoderState, status: str, said: str, changed: list[str]) -> str:
    steps = sum(isinstance(m, AIMessage) for m in state.get("messages", []))
    run = read(state)["run"]
    words = {
        "green": "The tests pass", "stuck": _STUCK[said.startswith("PASSED")],
        "cap": "The budget is used up, and the work isn't done",
    }  # fmt: skip
    cost = f"{usd(run.get('usd_nanos'))}, {run.get('output_tokens', 0):,} tokens written" if run else "nothing spent"
    files = ", ".join(changed) or "nothing"
    text = f"{words[status]}: {steps} steps, {cost}. Changed: {files}."
    return text if status == "green" else f"{text}\n{said[:_FAILURES_CHARS]}"
