"""The tree of commands, and the handling of errors."""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from rheostat.addresses import without_password
from rheostat.cli.safe_text import escape
from rheostat.errors import BudgetExceeded, RheostatError

__all__ = ["app", "run"]

_MODULES = {
    "solve": "solve",
    "agent": "agents",
    "code": "agents",
    "auto": "agents",
    "show": "show",
    "explain": "explain",
    "report": "report",
    "doctor": "doctor",
    "models": "models",
    "ledger": "ledger",
    "bench": "bench",
    "replay": "replay",
    "profile": "profile",
    "calibrate": "calibrate",
    "learn": "learn",
    "worth": "worth",
}
"""The module of each command: it has a function of that name, or an `app` of subcommands."""


class _Commands(TyperGroup):
    """Imports the module of the command that is run and no other: LangGraph alone takes a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"rheostat.cli.{_MODULES[cmd_name]}")
        made: typer.Typer | None = getattr(module, "app", None)
        if made is None:
            made = typer.Typer(add_completion=False)
            made.command(name=cmd_name)(getattr(module, cmd_name))
        command = typer.main.get_command(made)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="rheostat",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(version("rheostat"))
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Adaptive thinking under a hard budget: estimate difficulty, set effort, hold every call, settle its cost."""


def run() -> None:
    """Run a command; exit code 2 for bad input and missing parts, 3 for a budget that is too small."""
    try:
        app()
    except BudgetExceeded as error:
        _say("Budget", error)
        sys.exit(3)
    except RheostatError as error:
        _say("Error", error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _say(what: str, error: Exception) -> None:
    message = without_password(str(error))
    if "--json" in sys.argv:  # a caller that asked for JSON gets JSON
        sys.stdout.write(json.dumps({"error": type(error).__name__, "message": message}) + "\n")
    Console(stderr=True).print(f"[bold red]{what}:[/] {escape(message)}", highlight=False)
