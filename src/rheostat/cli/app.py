"""The tree of commands, and the handling of errors."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from rheostat.addresses import without_password
from rheostat.cli.screen import Screen, guard, labelled, tell, tell_json
from rheostat.cli.statuses import BAD_INPUT, BUDGET, DONE, INTERRUPTED, PROVIDER, UNSOLVED
from rheostat.cli.texts import texts_last
from rheostat.errors import BudgetExceeded, ProviderFailed, RheostatError

__all__ = ["COMMANDS", "app", "load", "run", "whole"]

COMMANDS = {
    "solve": ("solve", "Answer one question under a hard budget."),
    "agent": ("agents", "Run an agent with a calculator, a sandboxed Python and, if you name one, a directory."),
    "code": ("agents", "Work on a repository until its tests pass."),
    "auto": ("agents", "Work on a long task in steps, each with an allowance, and report."),
    "fleet": ("fleet", "Run many tasks under one hard cap, over night and over machines."),
    "show": ("show", "Show what happened in a run of the solver: every candidate, as a tree."),
    "report": ("report", "Write what a run, a thread or an account did as one HTML page."),
    "explain": ("explain", "Show the plan of each call of a run, its reasons and its outcome."),
    "worth": ("worth", "Show what right answers cost, and what fixed arms would have cost."),
    "ledger": ("ledger", "Inspect a ledger, and settle unknown calls."),
    "learn": ("learn", "Learn from the verdicts of past runs how often each arm is right."),
    "calibrate": ("calibrate", "Measure arms on your own tasks under a hard cap, and write a profile."),
    "profile": ("profile", "How often each arm is right on each kind of task, and what it costs."),
    "prices": ("prices", "The list prices of hosted models: their age, and newer ones."),
    "replay": ("replay", "Run a strategy over recorded samples, without a model."),
    "capacity": ("capacity", "How many GPUs, or which rate limits, users need whose model thinks."),
    "bench": ("bench", "Measure accuracy, tokens and cost of adaptive and fixed thinking."),
    "models": ("models", "Small real models that run on your own machine."),
    "doctor": ("doctor", "Show what this machine has, and how to install what is missing."),
}
"""The module of each command, which has a function of that name or an `app` of subcommands; and what it is for."""


class _Commands(TyperGroup):
    """Imports the module of the command that is run and no other: LangGraph alone takes a second.

    Lists and completions show each command's name, and what it is for.
    """

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, with what follows it."""
        name, found, rest = super().resolve_command(ctx, args)
        if found is None or name is None:
            return name, found, rest
        command = load(name)
        return name, command, texts_last(command, rest)


def load(name: str) -> Any:
    """A command, imported."""
    module = importlib.import_module(f"rheostat.cli.{COMMANDS[name][0]}")
    made: typer.Typer | None = getattr(module, "app", None)
    if made is None:
        made = typer.Typer(add_completion=False)
        made.command(name=name)(getattr(module, name))
    command = typer.main.get_command(made)
    command.name = name
    return command


def whole() -> Any:
    """The tree with every command imported, for pages and checks."""
    command: Any = typer.main.get_command(app)
    command.commands = {name: load(name) for name in COMMANDS}
    return command


app = typer.Typer(
    name="rheostat",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit status: 0 done; 1 not solved, cut or refused; 2 bad input; 3 the budget ended it; 4 the provider "
    "failed; 130 Ctrl-C.",
)


def _version(asked: bool) -> None:
    if asked:
        tell(version("rheostat"))
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Adaptive thinking under a hard budget: estimate difficulty, set effort, hold every call, settle its cost."""


def run() -> None:
    """Run a command; errors that a user can do something about are one line, with an exit status of their own."""
    guard()
    try:
        status = app(standalone_mode=False)
    except BudgetExceeded as error:
        _end("Budget", error, BUDGET)
    except ProviderFailed as error:
        _end("Provider", error, PROVIDER)
    except RheostatError as error:
        _end("Error", error, BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except typer.Abort:
        tell("Aborted.", err=True)
        sys.exit(UNSOLVED)
    except Exception as error:
        _explained(error)
        raise
    sys.exit(status or DONE)


def _explained(error: Exception) -> None:
    """End with one line, if the exception is the user's to mend: of the arguments, a file or a provider."""
    if callable(wrong := getattr(error, "format_message", None)):  # typer's own; it has no public class for all of them
        context = getattr(error, "ctx", None)
        if context is not None and wrong():
            tell(f"{context.get_usage()}\nHelp: {context.command_path} --help", err=True)
        _end("Error", error, BAD_INPUT, wrong())
    if line := _of_provider(error):
        _end("Provider", error, PROVIDER, line)
    if isinstance(error, OSError):  # such as a name that is too long
        _end("Error", error, BAD_INPUT, "" if error.filename is None else f"{error.filename}: {error.strerror}")


def _of_provider(error: Exception) -> str:
    """The line that was noted on an exception of a provider's client."""
    from rheostat.providers.failures import line_of

    return line_of(error)


def _end(what: str, error: Exception, status: int, message: str = "") -> None:
    message = without_password(message or str(error))
    if "--json" in sys.argv:  # a caller that asked for JSON gets JSON
        tell_json({"error": type(error).__name__, "message": message})
    Screen(err=True).print(labelled(what, message, "bold red"), soft_wrap=True)
    sys.exit(status)
