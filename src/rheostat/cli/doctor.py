"""`rheostat doctor`: what this machine has, and how to install what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TypeAlias

import typer
from packaging.requirements import Requirement
from rich.table import Table

from rheostat.cli.safe_text import visible
from rheostat.cli.said import Json
from rheostat.cli.screen import Screen, tell_json
from rheostat.errors import BadInput, RheostatError, SandboxMissing
from rheostat.local import CATALOGUE, model_path
from rheostat.sandbox import choose, why_not

__all__ = ["doctor"]

_EXTRAS = {
    "local": ("xllamacpp", "the embedded model"),
    "verifiers": ("pydantic_monty", "PythonTests, maths, JSON Schema"),
    "agents": ("langchain", "create_agent and the middleware"),
    "postgres": ("psycopg", "budgets shared by several machines"),
    "otel": ("opentelemetry.sdk", "traces and metrics"),
    "gpu": ("torch", "transformers in this process"),
}
_TESTED = ("langgraph", "langchain-core", "langchain-openai", "langchain-anthropic", "openai", "anthropic")
_KEY = re.compile(r"(ANTHROPIC|OPENAI|GOOGLE|GEMINI|DEEPSEEK|OPENROUTER|XAI|GROQ)_API_KEY|AWS_(PROFILE|ACCESS_KEY_ID)")
_ALWAYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
"""Those that are listed even where they aren't set."""

_Row: TypeAlias = tuple[str, bool | None, str]
"""The part; whether it is there (None: missing, but optional); what it is, or how to get it."""


def doctor(as_json: Json = False) -> None:
    """Show what this machine has: sandbox, versions, optional parts, models, keys, prices, database.

    Nothing is sent or started, and no key is shown. Exit status 1 if there is no sandbox for code that a model wrote,
    or an installed version is outside of those that are supported.
    """
    rows = [
        _version(), *_versions(), *_sandboxes(), *_parts(), *_models(), *_keys(), _prices(), _postgres(), _gate(),
    ]  # fmt: skip
    if as_json:
        tell_json([{"what": what, "there": there, "note": note} for what, there, note in rows])
    else:
        table = Table("part", "there", "note", box=None)
        for what, there, note in rows:
            table.add_row(what, {True: "yes", False: "no", None: "-"}[there], visible(note))
        Screen().print(table)
    if any(there is False and not what.startswith("  ") for what, there, _ in rows):
        raise typer.Exit(1)


def _version() -> _Row:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return "rheostat", True, f"{version('rheostat')} on {system}, {sys.prefix}"


def _versions() -> list[_Row]:
    """The versions of the packages that requests go through, beside those that we are tested with."""
    wanted = {each.name: each.specifier for each in map(Requirement, requires("rheostat") or ()) if each.marker is None}
    rows: list[_Row] = []
    for name in _TESTED:
        there, supported = version(name), wanted[name]
        fits = supported.contains(there, prereleases=True)
        note = f"{there} (supported: {supported})" + ("" if fits else f": pip install '{name}{supported}'")
        rows.append((name, fits, note))
    return rows


def _prices() -> _Row:
    """How old the list prices are that limits in dollars are reckoned with."""
    from rheostat.money import price_list

    try:
        most, age = price_list.max_age_days(), price_list.age_days()
        note = f"{price_list.origin()}: {age} days old" + (f", {most} allowed" if most else "")
    except BadInput as wrong:
        return "prices", False, str(wrong)
    too_old = most is not None and age > most
    return "prices", not too_old, f"{note}: rheostat prices update" if too_old else note


def _postgres() -> _Row:
    """Whether there is a database server on this machine; it is asked for nothing."""
    found = shutil.which("psql") or shutil.which("postgres")
    note = found or "none here; a ledger for several machines is at postgresql://USER@HOST/DATABASE"
    return "postgres", found is not None or None, note


def _gate() -> _Row:
    """Whether every request would be seen where it leaves, as a hard budget needs."""
    from rheostat.calling.instrument import install_gate, installed, remove_gate

    before = installed()
    try:
        install_gate()
        note = "sees the requests of httpx, httpx2 and what is built on them"
        return "gate", True, note
    except RheostatError as wrong:
        return "gate", False, str(wrong)
    finally:
        if not before:
            remove_gate()


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
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # the package above it
            there = False
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
    found = sorted({*_ALWAYS, *(name for name in os.environ if _KEY.fullmatch(name))})
    return [(name, bool(os.environ.get(name)) or None, "set" if os.environ.get(name) else "not set") for name in found]
