"""`rheostat doctor`: what this machine has, and how to install what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rheostat.errors import SandboxMissing
from rheostat.local import CATALOGUE, model_path
from rheostat.sandbox import choose, why_not

_EXTRAS = {
    "local": ("xllamacpp", "the embedded model"),
    "verifiers": ("pydantic_monty", "PythonTests, maths, JSON Schema"),
    "agents": ("langchain", "create_agent and the middleware"),
    "postgres": ("psycopg", "budgets shared by several machines"),
    "gpu": ("torch", "transformers in this process"),
}
_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")

_Row: TypeAlias = tuple[str, bool | None, str]
"""The part; whether it is there (None: missing, but optional); what it is, or how to get it."""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")] = False) -> None:
    """Show what this machine has: sandbox, optional parts, models, keys. Nothing is sent or started.

    Exit code 1 if there is no sandbox for code that a model wrote.
    """
    rows = [_version(), *_sandboxes(), *_parts(), *_models(), *_keys()]
    if as_json:
        typer.echo(json.dumps([{"what": what, "there": there, "note": note} for what, there, note in rows]))
    else:
        table = Table("part", "there", "note", box=None)
        for what, there, note in rows:
            table.add_row(what, {True: "yes", False: "no", None: "-"}[there], escape(note))
        Console().print(table)
    if any(what == "sandbox" and not there for what, there, _ in rows):
        raise typer.Exit(1)


def _version() -> _Row:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return "rheostat", True, f"{version('rheostat')} on {system}, {sys.prefix}"


def _sandboxes() -> list[_Row]:
    try:
        first: _Row = ("sandbox", True, f"{choose()} runs the code that a model wrote (docs/explanation/security.md)")
    except SandboxMissing as missing:
        first = ("sandbox", False, str(missing))
    reasons = ((kind, why_not(kind)) for kind in ("bubblewrap", "namespaces"))
    return [first, *((f"  {kind}", reason is None, reason or "works") for kind, reason in reasons)]


def _parts() -> list[_Row]:
    rows: list[_Row] = []
    for extra, (module, use) in _EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        note = f"{use}: {_version_of(module)}" if there else f"{use}: pip install 'rheostat[{extra}]'"
        rows.append((f"extra {extra}", there or None, note))
    return rows


def _version_of(module: str) -> str:
    try:
        return version(module.replace("_", "-"))
    except PackageNotFoundError:
        return "installed"


def _models() -> list[_Row]:
    rows: list[_Row] = []
    for model in CATALOGUE.values():
        path = model_path(model)
        there = path.is_file()
        rows.append(
            (f"model {model.name}", there or None, str(path) if there else f"rheostat models pull {model.name}")
        )
    return rows


def _keys() -> list[_Row]:
    """Whether a key is set; never the key itself."""
    return [(name, bool(os.environ.get(name)) or None, "set" if os.environ.get(name) else "not set") for name in _KEYS]
