"""The tree of commands, and the handling of errors."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from rheostat.addresses import without_password
from rheostat.cli import agents, bench, doctor, explain, ledger, models, solve
from rheostat.cli.safe_text import escape
from rheostat.errors import BudgetExceeded, RheostatError

__all__ = ["app", "run"]

app = typer.Typer(
    name="rheostat",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(name="solve")(solve.solve)
app.command(name="agent")(agents.agent)
app.command(name="code")(agents.code)
app.command(name="auto")(agents.auto)
app.command(name="explain")(explain.explain)
app.command(name="doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.add_typer(ledger.app, name="ledger")
app.add_typer(bench.app, name="bench")


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
