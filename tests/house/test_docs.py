"""What a reader copies from the documentation works: code runs, commands have these options, links lead somewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from pages import PAGES, ROOT, Block, blocks, commands, links
from rheostat.cli.app import whole

CODE = [block for page in PAGES for block in blocks(page) if block.kind == "python"]
COMMANDS = [
    (where, words)
    for page in PAGES
    for where, words in commands(page, "rheostat")
    if not {"[OPTIONS]", "COMMAND"} & set(words)  # how a command is used, not a command
]


def test_blocks_were_found() -> None:
    assert len(CODE) >= 30
    assert len(COMMANDS) >= 60


@pytest.mark.model
@pytest.mark.parametrize("block", CODE, ids=lambda block: block.id)
def test_code_runs(block: Block, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["agent.py"])
    monkeypatch.setattr("rheostat.providers.registry._adapters", _adapters())
    exec(compile(block.text, block.id, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own documentation


def _adapters() -> list[Any]:
    from rheostat.providers import registry

    return list(registry._adapters)


def _parse(words: list[str]) -> None:
    """Parse a command as the command line does, without running it or converting values."""
    command: Any = whole()
    context = typer.Context(command, info_name="rheostat")
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        below = command.get_command(context, words[0])
        assert below is not None, f"there is no command {words[0]!r}"
        command, words = below, words[1:]
        context = typer.Context(command, info_name=command.name, parent=context)
    _, left, _ = command.make_parser(context).parse_args(list(words))
    assert not left or hasattr(command, "get_command"), f"{left} is more than `{command.name}` takes"


@pytest.mark.parametrize(
    ("where", "words"), COMMANDS, ids=[f"{where}-{' '.join(words)[:40]}" for where, words in COMMANDS]
)
def test_commands_exist_with_these_options(where: str, words: list[str]) -> None:
    _parse(words)


@pytest.mark.parametrize("words", [["solve", "x", "--bugdet-usd", "1"], ["slove", "x"], ["models", "pull", "a", "b"]])
def test_a_wrong_command_is_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such option|no command|is more than"):
        _parse(words)


def test_make_targets_exist() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for where, words in commands(page, "make"):
            targets = {word for word in words if re.fullmatch(r"[a-z-]+", word)}
            assert targets <= known, f"{where}: there is no make {' '.join(targets - known)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Any) -> None:
    for target in links(page):
        assert (page.parent / target).exists(), target


def test_a_page_that_is_named_exists() -> None:
    """In messages, docstrings and comments."""
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tools/**/*.py"), *ROOT.glob("tests/*.py"), ROOT / "Makefile"]
    for file in files:
        for name in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or file.name == "tiny_gguf.py", f"{file}: {name}"  # a page of ggml's
