"""What is imported, and when: a second of SDKs is paid for where they are used. The modules are looked at, no clock."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from rheostat.cli import app as cli

HEAVY = {
    "openai", "anthropic", "langchain_openai", "langchain_anthropic", "google", "boto3", "torch", "transformers",
    "numpy", "scipy", "sklearn", "sympy", "matplotlib", "pint", "psycopg", "xllamacpp", "jinja2", "opentelemetry",
    "typer", "rich",
}  # fmt: skip


def modules_after(program: str) -> set[str]:
    code = f"{program}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_the_middleware_brings_nothing_heavy_with_it() -> None:
    ours, langchains = modules_after("from rheostat import AdaptiveThinking"), modules_after("import langchain.agents")
    assert not (ours - langchains) & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["no-such-command"]])
def test_help_imports_no_command(words: list[str]) -> None:
    program = f"import sys; sys.argv = ['rheostat', *{words}]\nfrom rheostat.cli import main\n"
    loaded = modules_after(f"{program}try:\n    main()\nexcept SystemExit: pass\n")
    assert not loaded & (HEAVY - {"typer", "rich"})
    assert not loaded & {"langgraph", "langchain", "genai_prices", "orjson"}


def test_the_list_of_commands_is_what_the_commands_say() -> None:
    """The first words of each: the list can't be made of the commands themselves without importing all of them."""
    listed = CliRunner().invoke(cli.app, ["--help"]).output
    for name, (_, text) in cli.COMMANDS.items():
        command = cli.load(name)
        said = " ".join((command.help or "").split())
        assert said.startswith(" ".join(text.rstrip(".").split()[:3])), (name, text, said[:80])
        assert name in listed


def leaves(name: str) -> list[tuple[str, Any]]:
    command = cli.load(name)
    inner = getattr(command, "commands", None) or {}
    return [(f"{name} {each}", found) for each, found in inner.items()] or [(name, command)]


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_can_say_it_in_json_and_teaches(name: str) -> None:
    for words, command in leaves(name):
        options = {option for each in command.params for option in each.opts}
        assert "--json" in options, words
        assert len((command.help or "").split()) >= 4, words
        assert all(each.help for each in command.params if each.name != "help"), words


@pytest.mark.parametrize(
    ("words", "offered"),
    [("rheostat so", "solve"), ("rheostat solve --budget-u", "--budget-usd"), ("rheostat ledger reco", "reconcile")],
)
def test_a_shell_completes(words: str, offered: str) -> None:
    asked = {"_RHEOSTAT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    code = "import sys; sys.argv = ['rheostat']\nfrom rheostat.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert offered in done.stdout.split()
