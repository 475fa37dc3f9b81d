"""The commands' tree, and how errors end."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from rheostat.cli import bench, ledger, models, solve
from rheostat.errors import BudgetExceeded, RheostatError

__all__ = ["app", "run"]

app = typer.Typer(
    name="rheostat",
    help="Adaptive thinking under a hard budget: how hard is it, how much may the model think, what may it cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(name="solve")(solve.solve)
app.add_typer(models.app, name="models")
app.add_typer(ledger.app, name="ledger")
app.add_typer(bench.app, name="bench")


def run() -> None:
    """Run a command; exit 2 for bad input and missing things, 3 for a budget that was too small."""
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
    Console(stderr=True).print(f"[bold red]{what}:[/] {escape(str(error))}", highlight=False)
