"""`rheostat agent`, `rheostat code`, `rheostat auto`: agents under a hard budget, with a live view."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from langchain_core.messages import AIMessage
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from rheostat.agents.autonomous import build_autonomous
from rheostat.agents.coder import build_coder
from rheostat.agents.nodes import build_agent
from rheostat.cli.agent_view import AgentView
from rheostat.cli.fetch import ensure_model
from rheostat.cli.kept import KeptRun
from rheostat.cli.safe_text import one_line, visible
from rheostat.cli.said import Json
from rheostat.cli.screen import Screen, labelled, tell, tell_json
from rheostat.cli.statuses import INTERRUPTED, status_of
from rheostat.cli.view import spend_line
from rheostat.errors import BadInput
from rheostat.graph.state import read
from rheostat.local import DEFAULT_MODEL
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.providers import Endpoint
from rheostat.sandbox import Sandbox
from rheostat.task import parse_effort
from rheostat_tools import Workspace, calculator, python_tool

__all__ = ["agent", "auto", "code"]

Model = Annotated[str, typer.Option(help="A local model, a GGUF file, PROVIDER:MODEL, or the URL of a server.")]
Usd = Annotated[str | None, typer.Option("--budget-usd", help="Limit in US dollars, such as 0.50.")]
Tokens = Annotated[int | None, typer.Option("--budget-tokens", help="Limit in tokens, input and output together.")]
Seconds = Annotated[float | None, typer.Option(help="Limit in seconds.")]
Effort = Annotated[str, typer.Option(help="A preset (auto, fast, balanced, thorough) or a fixed level (none … max).")]
Files = Annotated[Path | None, typer.Option(help="A directory that the agent may read and change.")]

_DEFAULT_TOKENS, _DEFAULT_SECONDS = 60_000, 300.0


def _budget(at: Endpoint, usd: str | None, tokens: int | None, seconds: float | None) -> Budget:
    money_binds = usd is not None and not (at.price is not None and at.price.free)
    if not money_binds and tokens is None and seconds is None:
        tokens, seconds = _DEFAULT_TOKENS, _DEFAULT_SECONDS
    return Budget(usd=usd, tokens=tokens, seconds=seconds)


def _general_tools(files: Path | None) -> list[Any]:
    if files is not None and not files.is_dir():
        raise BadInput(f"no directory at {files}: --files names a directory that the agent may read and change")
    return [calculator(), python_tool(), *(Workspace(files).tools() if files else [])]


def _ready(model: str, *, quiet: bool) -> Endpoint:
    ensure_model(model, quiet=quiet)
    return resolve(model)


def agent(
    task: Annotated[str, typer.Argument(help="What to do.")],
    model: Model = DEFAULT_MODEL,
    files: Files = None,
    budget_usd: Usd = None,
    budget_tokens: Tokens = None,
    seconds: Seconds = None,
    effort: Effort = "auto",
    as_json: Json = False,
) -> None:
    """Run an agent with a calculator, a sandboxed Python and, if you name one, a directory.

    If you set no limit that binds (dollars don't bind a free model), the run gets 60,000 tokens and 300 seconds.

    Examples:

        rheostat agent "What is 17 % of 2,340, in whole cents?"

        rheostat agent "Summarise notes.txt" --files . --model anthropic:claude-sonnet-5-5 --budget-usd 0.10
    """
    asked, at = parse_effort(effort), _ready(model, quiet=as_json)
    budget = _budget(at, budget_usd, budget_tokens, seconds)
    graph = build_agent(
        at,
        _general_tools(files),
        budget=budget,
        effort=asked,
        system_prompt="Use the tools to work the task out, then give the answer.",
    ).compile()
    inputs = {"messages": [("user", _task(task))]}
    watch = Watch(AgentView(task, model, budget), as_json=as_json)
    with asyncio.Runner() as runner:
        interrupted = watch.run(runner, watch.follow(graph, inputs))
    result = watch.state
    last = result["messages"][-1] if result.get("messages") else None
    answer = last.text if isinstance(last, AIMessage) else ""
    end = read(result)["end"]
    shown = {"answer": answer, "end": end, "spend": read(result)["spend"]}
    _print(shown, answer, done=end.get("by") == "answer", interrupted=interrupted, as_json=as_json)


def code(
    root: Annotated[Path, typer.Argument(help="The repository.", metavar="DIR")],
    task: Annotated[str, typer.Argument(help="The problem; if left out, the failing tests define it.")] = "",
    model: Model = DEFAULT_MODEL,
    test_command: Annotated[
        str, typer.Option(help="Runs the tests; in the repository's environment: '.venv/bin/python -m pytest -q -x'.")
    ] = "python -m pytest -q -x",
    test_seconds: Annotated[float, typer.Option(help="Time limit of one test run, in seconds.")] = 60.0,
    sandbox: Annotated[
        str, typer.Option(help="Sandbox of the tests: auto, bubblewrap, namespaces; none gives them all your rights.")
    ] = "auto",
    budget_usd: Usd = None,
    budget_tokens: Tokens = None,
    seconds: Seconds = None,
    effort: Effort = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that Ctrl-C or a crash ended here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Work on a repository until its tests pass. Test files are never changed; the diff is printed.

    Exit status 0: the tests pass, judged from outside of the code's own process; 1: they don't, or it isn't proven; 3:
    the budget is used up. Files are changed in place: start from a clean git tree. Ctrl-C keeps them and prints the
    diff; with --resume the run goes on, with its model and what is left of its budget, and with as many seconds again.

    Examples:

        rheostat code examples/bugs/discount --model qwen2.5-coder-1.5b

        rheostat code . "Parsing dates fails in leap years" --model openai:gpt-6-sol --budget-usd 0.50

        rheostat code . --resume
    """
    if not root.is_dir():
        raise BadInput(f"no directory at {root}: give the root of a repository")
    kept = KeptRun(root)
    if resume:
        if task:
            raise BadInput("--resume goes on with its own task: leave the task out")
        said = kept.settings()
        task, model, test_command, sandbox, effort = (said[name] for name in _KEPT)
        test_seconds, budget = said["test_seconds"], Budget.from_dict(said["budget"])
    try:
        command = shlex.split(test_command)
    except ValueError as error:
        raise BadInput(f"--test-command {test_command!r}: {error}") from None
    asked, at = parse_effort(effort), _ready(model, quiet=as_json)
    if not resume:
        budget = _budget(at, budget_usd, budget_tokens, seconds)
        kept.begin({
            **dict(zip(_KEPT, (task, model, test_command, sandbox, effort), strict=True)),
            "test_seconds": test_seconds, "budget": budget.to_dict(),
        })  # fmt: skip
    watch = Watch(AgentView(task or f"fix {root}", model, budget), as_json=as_json)

    async def work() -> None:
        async with kept.opened() as (ledger, saver):
            graph = build_coder(
                at,
                root,
                budget=budget,
                effort=asked,
                command=command,
                test_seconds=test_seconds,
                sandbox=cast("Sandbox", sandbox),
                journal=kept.journal,
                ledger=ledger,
            ).compile(checkpointer=saver)
            begun = bool((await graph.aget_state(kept.config)).values)  # else it was stopped before its first step
            if begun:
                await kept.more_seconds(graph, ledger, budget)
            await watch.follow(graph, None if begun else {"task": task}, kept.config)

    with asyncio.Runner() as runner:
        interrupted = watch.run(runner, work())
    result = watch.state
    found = read(result)
    if interrupted and found["run"]:
        found["spend"] = kept.reading(found["run"]["account"])
    shown = {name: result.get(name) for name in ("status", "report", "diff")}
    if interrupted:
        shown.update(status="interrupted", report="Interrupted: the files are as they are now.", diff=kept.diff())
    else:
        kept.end()
    shown.update(end=found["end"], spend=found["spend"])
    hint = f"to go on: rheostat code {shlex.quote(str(root))} --resume" if interrupted else ""
    green = shown["status"] == "green"
    text = f"{shown['report']}\n\n{shown['diff']}"
    _print(shown, text, done=green, proven=green, interrupted=interrupted, as_json=as_json, hint=hint)


_KEPT = ("task", "model", "test_command", "sandbox", "effort")
"""The arguments of a run that --resume goes on with, beside its budget."""


def auto(
    task: Annotated[str, typer.Argument(help="What to do.")],
    model: Model = DEFAULT_MODEL,
    files: Files = None,
    check_in: Annotated[list[float] | None, typer.Option(help="Ask me at this fraction of the budget.")] = None,
    budget_usd: Usd = None,
    budget_tokens: Tokens = None,
    seconds: Seconds = None,
    effort: Effort = "auto",
    as_json: Json = False,
) -> None:
    """Work on a long task in steps, each with an allowance; end with a report that is paid for in advance.

    Examples:

        rheostat auto "Compare the drafts and write a better one" --files drafts --budget-usd 1 --check-in 0.5
    """
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    asked, at = parse_effort(effort), _ready(model, quiet=as_json)
    budget = _budget(at, budget_usd, budget_tokens, seconds)
    graph = build_autonomous(at, _general_tools(files), budget=budget, effort=asked, check_in=check_in or ()).compile(
        checkpointer=InMemorySaver()
    )
    view = AgentView(task, model, budget)
    config: Any = {"configurable": {"thread_id": "1"}}
    watch = Watch(view, as_json=as_json)
    with asyncio.Runner() as runner:
        interrupted = watch.run(runner, watch.follow(graph, {"task": _task(task)}, config))
        while not interrupted and (interrupts := graph.get_state(config).interrupts):
            question = interrupts[0].value
            tell(
                one_line(f"{question['used']:.0%} of the budget is used. Next: {'; '.join(question['next'])}"), err=True
            )
            answer = typer.prompt('"go on", "stop", or an instruction', default="go on", err=True)
            interrupted = watch.run(runner, watch.follow(graph, Command(resume=answer), config))
    result = watch.state
    found = read(result)
    shown = {name: result.get(name) for name in ("status", "report", "done")}
    report = str(shown["report"] or "\n".join(each["result"] for each in result.get("done") or ()) or "nothing yet")
    shown.update(end=found["end"], spend=found["spend"])
    _print(shown, report, done=shown["status"] == "done", interrupted=interrupted, as_json=as_json)


def _task(task: str) -> str:
    if not task.strip():
        raise BadInput("the task is empty: say what to do")
    return task


class Watch:
    """Runs a graph on an event loop, so that Ctrl-C cuts the call in flight; with a live view on a terminal.

    Args:
        view: Takes the events.
    """

    def __init__(self, view: AgentView, *, as_json: bool) -> None:
        self._view, self._as_json = view, as_json
        self.state: dict[str, Any] = {}
        """The last state that was seen."""

    async def follow(self, graph: Any, inputs: Any, config: Any = None) -> None:
        """Run the graph to its end or its next interrupt."""
        async for mode, chunk in graph.astream(inputs, config, stream_mode=["custom", "values"]):
            if mode == "custom":
                self._view.feed(chunk)
            else:
                self.state = chunk

    def run(self, runner: asyncio.Runner, work: Coroutine[Any, Any, None]) -> bool:
        """Run this to its end; returns whether Ctrl-C ended it."""
        console = Screen(err=True)
        shown = console.is_terminal and not self._as_json
        try:
            with Live(self._view, console=console, refresh_per_second=8) if shown else contextlib.nullcontext():
                runner.run(work)
        except KeyboardInterrupt:
            return True
        return False


def _print(
    shown: dict[str, Any],
    text: str,
    *,
    done: bool,
    interrupted: bool,
    as_json: bool,
    proven: bool = False,
    hint: str = "",
) -> None:
    """Print the result, how it ended and what it cost, and exit with the status of that."""
    end = {"by": "user", "why": "Ctrl-C"} if interrupted else shown.get("end") or {}
    if as_json:
        tell_json({**shown, "end": end})
    else:
        console = Screen()
        title = "interrupted" if interrupted else shown.get("status") or "answer"
        console.print(Panel(visible(text), border_style="green" if done else "yellow", title=Text(one_line(title))))
        if end.get("by") not in (None, "answer"):
            console.print(labelled(f"ended by {end['by']}", end["why"]))
        if shown.get("spend"):
            console.print(labelled("spend", spend_line(shown["spend"])))
        if hint:
            console.print(one_line(hint), style="dim")
    raise typer.Exit(INTERRUPTED if interrupted else status_of(end, done=done, proven=proven))
