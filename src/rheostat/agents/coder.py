"""`build_coder`: an agent that works on a repository until its tests pass, the budget is used up, or it is stuck.

look → think → (act → think)* → check → (correct → think | report). The tests run after every edit. Their failures go
back as evidence and determine the effort. The agent stops at green. Tests themselves can't be edited, and their result
is judged from outside the code's own process.

A model that wasn't trained on tool calls writes whole files in its answer instead (small models do better that way:
aider's "whole" edit format, https://aider.chat/docs/more/edit-formats.html).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from typing_extensions import Unpack

from rheostat.agents.desk import FAILURES_CHARS, PROTECTED, Desk
from rheostat.agents.nodes import AgentGraphState, AgentNodes, BudgetedGraph, NodeOptions
from rheostat.errors import BadInput
from rheostat.evidence.forms import Form
from rheostat.evidence.verifiers import as_verifier
from rheostat.flow import Effect, Flow
from rheostat.graph.ending import EndedBy, ended
from rheostat.graph.events import emit
from rheostat.graph.node import FlowNode
from rheostat.graph.state import KEY, read
from rheostat.judgement.policy import Caps
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.usage import usd
from rheostat.providers import Endpoint
from rheostat.sandbox import Sandbox

__all__ = ["CoderState", "Edits", "build_coder"]

Edits: TypeAlias = Literal["tools", "whole"]
"""How changes are made: with tools that edit, write and undo, or as whole files in fenced blocks of the answer."""

_SYSTEM = (
    "You mend Python code. Change the code so that the failing tests pass; make the smallest change that does it. Use "
    "edit_file with the exact old lines and the new ones. The tests run after every edit. Test files can't be changed."
)
_SYSTEM_WHOLE = (
    "You mend Python code: find the line that is wrong and change it so that the failing tests pass. Reply with the "
    "whole corrected file, in this form:\n\nfile: NAME.py\n```python\n(all of the file, nothing left out)\n```\n\n"
    "Change as little as possible. Test files can't be changed."
)
_PASSING = {True: "green", None: "unproven", False: ""}
_STUCK = {False: "The tests still fail", True: "The tests pass as before, but nothing was changed"}
_REPLY = Form("a reply", str)
"""The answer is the whole reply, since it holds the files. The tests judge, not what the reply says of them."""


class CoderState(AgentGraphState, total=False):
    """The agent's state, with the outcome of its work."""

    task: str
    """What to do, in words; if empty, the failing tests define it."""
    status: str
    """`green` (the tests pass, judged from outside the code's process, and the agent says that the work is done),
    `unproven` (they pass, but only where the code itself could make them pass), `stuck` (they fail or nothing was
    changed, and nothing is left to try), `cap` (the budget is used up)."""
    green_before: bool
    """The tests passed before any change: they can only be kept green, and don't show when the task is done."""
    report: str
    """A summary of the work, in words."""
    diff: str
    """All changes, as a unified diff."""


class CoderInput(TypedDict, total=False):
    """The input: a task, or nothing."""

    task: str


def build_coder(
    model: str | BaseChatModel | Endpoint,
    root: str | Path,
    *,
    budget: Budget,
    command: Sequence[str] = ("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
    test_seconds: float = 60.0,
    protected: Sequence[str] = PROTECTED,
    sandbox: Sandbox = "auto",
    correct: bool = True,
    edits: Edits | None = None,
    journal: str | Path | None = None,
    **options: Unpack[NodeOptions],
) -> StateGraph[CoderState, None, CoderInput, CoderState]:
    """Build a graph that works on a repository until its tests pass.

    Args:
        model: A chat model or its name.
        root: The repository. The model's tools read and write nothing outside it. Its tests run on a copy in a sandbox
            (docs/explanation/security.md).
        budget: Hard limits of each run.
        command: The command that runs the tests.
        test_seconds: The time limit of one test run.
        protected: Patterns of files that can't be changed, besides those that make up the tests.
        sandbox: `auto` takes the best one that works on this machine; `none` must be given explicitly, and is shown in
            every test result.
        correct: False allows one edit and sends no failure back (for comparison).
        edits: `tools` or `whole` (files in the answer); by default `whole` for a small repository and a model that
            wasn't trained on tool calls.
        journal: A file that keeps what the sources were before the first change. With it and a checkpointer a run goes
            on in another process, after Ctrl-C or a crash, and its diff has all changes.
        options: As in `AgentNodes`.

    Returns:
        An uncompiled graph: `invoke({"task": "…"})`; the result has `status`, `report`, `diff`, `rheostat`.

    Raises:
        BadInput: no such directory, or an unknown kind of edits.
        SandboxMissing: this machine has no sandbox, and `none` wasn't given.
    """
    where = Path(root)
    if not where.is_dir():
        raise BadInput(f"no directory at {root}: give the root of a repository")
    if edits is not None and edits not in get_args(Edits):
        raise BadInput(f"edits must be {' or '.join(get_args(Edits))}, not {edits!r}")
    desk = Desk(
        where, tuple(command), test_seconds=test_seconds, protected=protected, sandbox=sandbox,
        journal=None if journal is None else Path(journal),
    )  # fmt: skip
    endpoint = resolve(model)
    if edits is None:
        edits = "whole" if desk.small() and getattr(endpoint.chat, "calls_by_schema", False) else "tools"

    whole = edits == "whole"
    own: NodeOptions = {
        "verifier": as_verifier(desk.take if whole else desk.check, _REPLY),
        "system_prompt": _SYSTEM_WHOLE if whole else _SYSTEM,
        "most_corrections": 3 if correct else 0,
    }
    if whole:
        own["caps"] = Caps(answer_tokens=desk.answer_tokens())
    own.update(options)
    nodes = AgentNodes(endpoint, [] if whole else desk.tools(), budget=budget, **own)

    def look(state: CoderState) -> dict[str, Any]:
        passed, told = desk.first_look(state.get("task") or "")
        emit("step", name="look", text=told[-FAILURES_CHARS:])
        nothing_to_do = passed is not False and not (state.get("task") or "").strip()
        return {
            "messages": [HumanMessage(told)], "status": _PASSING[passed] if nothing_to_do else "", "report": "",
            "diff": "", "green_before": passed is not False,
        }  # fmt: skip

    def report(state: CoderState) -> Flow[dict[str, Any]]:
        passed, said = yield Effect(desk.run_tests, lambda: asyncio.to_thread(desk.run_tests))
        thinking = read(state)["thinking"]
        over = thinking.get("stopped") or thinking.get("last_word")
        unfinished = over and state.get("green_before")  # green tests don't prove it done
        done = passed is not False and (state["status"] or (desk.workspace.changed and not unfinished))
        status = _PASSING[passed] if done else "cap" if over else "stuck"
        text = _report(state, status, said, desk.workspace.changed)
        emit("report", status=status, text=text)
        by: EndedBy = "answer" if status in ("green", "unproven") else "budget" if status == "cap" else "stop"
        before = read(state)["end"]  # it names the limit
        end = before if by == before.get("by") == "budget" else {**ended(by, text.partition("\n")[0])}
        readings = (yield from nodes.core.finish(state))[KEY] if read(state)["run"] else {}
        return {"status": status, "report": text, "diff": desk.workspace.diff(), KEY: {**readings, "end": end}}

    graph = BudgetedGraph(CoderState, input_schema=CoderInput)
    graph.add_node("look", look)
    graph.add_node("report", FlowNode("report", report))
    for name, node in (
        ("estimate", nodes.estimate),
        ("think", nodes.think),
        ("act", nodes.act),
        ("check", nodes.verify),
        ("correct", nodes.correct),
    ):
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
    return "report" if state["status"] else "estimate"


def _after_think(state: CoderState) -> str:
    return "act" if AgentNodes.after_think(state) == "act" else "check"


def _after_act(correct: bool) -> Callable[[CoderState], str]:
    def route(state: CoderState) -> str:
        newest = []
        for message in reversed(state["messages"]):
            if not isinstance(message, ToolMessage):
                break
            newest.append(message)
        passed = any(isinstance(m.artifact, dict) and m.artifact.get("tests") for m in newest)
        edited = any(m.name in ("edit_file", "write_file") for m in newest)
        green = passed and not state.get("green_before")
        return "report" if green or (edited and not correct) else "think"

    return route


def _report(state: CoderState, status: str, said: str, changed: list[str]) -> str:
    steps = sum(isinstance(m, AIMessage) for m in state.get("messages", []))
    run = read(state)["run"]
    words = {
        "green": "The tests pass", "unproven": "The tests pass, but only where the code itself could make them",
        "stuck": _STUCK[said.startswith(("PASSED", "NOT PROVEN"))],
        "cap": "The budget is used up, and the work isn't done",
    }  # fmt: skip
    cost = f"{usd(run.get('usd_nanos'))}, {run.get('output_tokens', 0):,} tokens written" if run else "nothing spent"
    files = ", ".join(changed) or "nothing"
    text = f"{words[status]}: {steps} steps, {cost}. Changed: {files}."
    return text if status == "green" else f"{text}\n{said[:FAILURES_CHARS]}"
