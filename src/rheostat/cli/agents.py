"""`rheostat agent`, `rheostat code`, `rheostat auto`: agents under a hard budget, with a live view."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from rheostat.agents.autonomous import build_autonomous
from rheostat.agents.coder import build_coder
from rheostat.agents.nodes import build_agent
from rheostat.cli.agent_view import AgentView
from rheostat.cli.fetch import ensure_model
from rheostat.cli.safe_text import escape
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
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
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
    result = _watch(graph, {"messages": [("user", _task(task))]}, AgentView(task, model, budget), as_json=as_json)
    last = result["messages"][-1].text if result.get("messages") else ""
    found = read(result)
    stopped = found["thinking"].get("stopped")
    _print({"answer": last, "stopped": stopped, "spend": found["spend"]}, last, ok=not stopped, as_json=as_json)


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
    as_json: Json = False,
) -> None:
    """Work on a repository until its tests pass. Test files are never changed; the diff is printed.

    Exit code 0: the tests pass, judged from outside of the code's own process; 1: they don't, or it isn't proven.
    Files are changed in place: start from a clean git tree.

    Examples:

        rheostat code examples/bugs/discount --model qwen2.5-coder-1.5b

        rheostat code . "Parsing dates fails in leap years" --model openai:gpt-6-sol --budget-usd 0.50
    """
    asked = parse_effort(effort)
    try:
        command = shlex.split(test_command)
    except ValueError as error:
        raise BadInput(f"--test-command {test_command!r}: {error}") from None
    at = _ready(model, quiet=as_json)
    budget = _budget(at, budget_usd, budget_tokens, seconds)
    graph = build_coder(
        at,
        root,
        budget=budget,
        effort=asked,
        command=command,
        test_seconds=test_seconds,
        sandbox=cast("Sandbox", sandbox),
    ).compile()
    result = _watch(graph, {"task": task}, AgentView(task or f"fix {root}", model, budget), as_json=as_json)
    shown = {**{name: result.get(name) for name in ("status", "report", "diff")}, "spend": read(result)["spend"]}
    text = f"{shown['report']}\n\n{shown['diff']}"
    _print(shown, text, ok=shown["status"] == "green", as_json=as_json)


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
    result = _watch(graph, {"task": _task(task)}, view, as_json=as_json, config=config)
    while interrupts := graph.get_state(config).interrupts:
        question = interrupts[0].value
        typer.echo(f"{question['used']:.0%} of the budget is used. Next: {'; '.join(question['next'])}", err=True)
        answer = typer.prompt('"go on", "stop", or an instruction', default="go on", err=True)
        result = _watch(graph, Command(resume=answer), view, as_json=as_json, config=config)
    shown = {**{name: result.get(name) for name in ("status", "report", "done")}, "spend": read(result)["spend"]}
    _print(shown, str(shown["report"]), ok=shown["status"] == "done", as_json=as_json)


def _task(task: str) -> str:
    if not task.strip():
        raise BadInput("the task is empty: say what to do")
    return task


def _watch(graph: Any, inputs: Any, view: AgentView, *, as_json: bool, config: Any = None) -> dict[str, Any]:
    """Run with a live view on a terminal; Ctrl-C ends the run with its last state."""
    console = Console(stderr=True)
    live = Live(view, console=console, refresh_per_second=8) if console.is_terminal and not as_json else None
    result: dict[str, Any] = {}
    with live or contextlib.nullcontext(), contextlib.suppress(KeyboardInterrupt):
        for mode, chunk in graph.stream(inputs, config, stream_mode=["custom", "values"]):
            if mode == "custom":
                view.feed(chunk)
            else:
                result = chunk
    return result


def _print(shown: dict[str, Any], text: str, *, ok: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(shown, default=str))
    else:
        console = Console()
        console.print(
            Panel(escape(text), border_style="green" if ok else "yellow", title=shown.get("status") or "answer")
        )
        if shown.get("stopped"):
            console.print(f"[dim]stopped:[/] {escape(str(shown['stopped']))}", highlight=False)
        if shown.get("spend"):
            console.print(f"[dim]spend:[/] {spend_line(shown['spend'])}", highlight=False)
    raise typer.Exit(0 if ok else 1)
