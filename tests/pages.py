"""The documentation as data: its pages, their blocks of code, and the commands that they tell a reader to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands", "links"]

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_SHELL = {"", "sh", "bash", "console", "text"}
_END = {"|", "||", "&&", ";", ">", ">>", "<", "&"}


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    kind: str
    """The text after the fence, such as `python no-run`."""
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def _tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, those in lists too."""
    for token in _tokens(page):
        if token.type == "fence" and token.map:
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content)


def links(page: Path) -> Iterator[str]:
    """The targets of links and pictures that are files of the repository, without their anchors."""
    for token in _tokens(page):
        target = str(token.attrs.get("href") or token.attrs.get("src") or "").partition("#")[0]
        if target and not re.match(r"[a-z]+:", target):
            yield target


def commands(page: Path, program: str) -> Iterator[tuple[str, list[str]]]:
    """(where, words) of each command of this program, in blocks for a shell and in code within text."""
    for token in _tokens(page):
        if token.type == "code_inline":
            yield from _words(page.name, token.content, program)
        elif token.type in ("fence", "code_block") and token.info.strip() in _SHELL:
            for number, line in enumerate(token.content.replace("\\\n", " ").splitlines(), start=token.map[0] + 2):
                yield from _words(f"{page.name}:{number}", line, program)


def _words(where: str, line: str, program: str) -> Iterator[tuple[str, list[str]]]:
    said = re.sub(r"^\s*(\$ )?((\w+=\S+|PATH=\S+) )*(\.venv/bin/)?", "", line)
    if not said.startswith(f"{program} "):
        return
    split = shlex.shlex(said, posix=True, punctuation_chars=True)
    split.whitespace_split = True
    words: list[str] = []
    for word in split:
        if word in _END:
            break
        words.append(word)
    yield where, words[1:]
