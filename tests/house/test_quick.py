"""What is imported, and when: a second of SDKs is paid for where they are used. The modules are looked at, no clock."""

from __future__ import annotations

import subprocess
import sys

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
        command = cli._load(name)
        said = " ".join((command.help or "").split())
        assert said.startswith(" ".join(text.rstrip(".").split()[:3])), (name, text, said[:80])
        assert name in listed
