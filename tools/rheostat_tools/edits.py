"""Find the edits in an answer: whole files, search/replace blocks and unified diffs, in fences or without.

A whole file is a fenced block under its name, in the file's language or in none. Search/replace blocks and diffs are in
`rheostat_tools.hunks`. Whether a block really is a whole file depends on the existing file: `rheostat_tools.whole`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath

from rheostat_tools.changes import Edit, Insert, Refused, Replace, Whole
from rheostat_tools.fences import Block, blocks, is_python, path_above, path_in_comment, path_in_info, without_thoughts
from rheostat_tools.hunks import diff, holds_searches, is_diff, searches, starts_diff
from rheostat_tools.outline import parses

__all__ = ["Edit", "Insert", "Refused", "Replace", "Whole", "edits_of"]

_DIFFS = frozenset({"diff", "patch", "udiff"})
_TYPED = frozenset(
    {
        "bash",
        "sh",
        "shell",
        "console",
        "zsh",
        "shell-session",
        "terminal",
        "powershell",
        "cmd",
        "pycon",
        "pytb",
        "python-repl",
        "output",
        "out",
        "stdout",
        "stderr",
        "log",
        "text-output",
        "traceback",
    }
)
_TYPED_SUFFIXES = (".sh", ".bash", ".zsh", ".md", ".txt", ".rst", ".log", ".ps1", ".bat")
"""A block of commands or output is a file only with one of these suffixes."""
_MAY_SHOW_EDITS = (".md", ".markdown", ".rst", ".txt", ".adoc", ".html")
"""In a file with such a suffix a diff or a search/replace block is an example, unless the block begins with it."""

_LANGUAGES = {
    "json": "json jsonc json5 jsonl ipynb", "yaml": "yaml yml", "yml": "yaml yml", "toml": "toml lock",
    "javascript": "js jsx mjs cjs", "js": "js jsx mjs cjs", "typescript": "ts tsx", "ts": "ts tsx", "html": "html htm",
    "xml": "xml svg", "css": "css scss less", "sql": "sql", "ini": "ini cfg conf env", "markdown": "md", "md": "md",
    "go": "go", "rust": "rs", "java": "java", "c": "c h", "cpp": "cc cpp cxx h hpp", "csv": "csv tsv",
    "ruby": "rb", "php": "php",
}  # fmt: skip
"""Language → suffixes of its files; a block in another language under a file's name isn't that file."""

_CAME_OUT = re.compile(
    r"^(?:Traceback \(most recent call last\):|={3,} .* ={3,}$|>>> |\$ |[ \t]+File \"[^\"]+\", line \d+|[ │]*[├└]──)",
    re.MULTILINE,
)
_AFTER = re.compile(
    r"\W{0,8}(?:and |then |now )?(?:after|afterwards|new|now|with|by|to|becomes|into|fixed|corrected|should be)\b"
    r"[^.]{0,40}\W{0,8}",
    re.IGNORECASE,
)
"""The text between the two blocks of "in m.py, change … to …"."""


def edits_of(answer: str, there: Sequence[str] = ()) -> list[Edit]:
    """The edits of an answer, in order, except those in `<think>`.

    Args:
        answer: The whole text of the model's answer.
        there: The paths of existing files.
    """
    lines = without_thoughts(answer.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    found: list[Edit] = []
    known = frozenset(there)
    last, path = 0, ""
    for block in blocks(lines):
        loose = lines[last : block.begin]
        found += _loose(loose, known)
        last = block.end
        above = next((line for line in reversed(loose) if line.strip()), "")
        goes_on = path if _AFTER.fullmatch(above) else ""
        named = path_in_info(block.info, known)
        path = named if named in known else path_above(loose, known) or named or goes_on
        if block.text.strip():
            found += _edits_in(block, path, known)
        elif path and not block.closed:
            found.append(Refused(path, "the reply was cut: its last block isn't closed"))
        elif path and path not in known and _fits(block.language, path, came_out=False):
            found.append(Whole(path, ""))
    return found + _loose(lines[last:], known)


def _edits_in(block: Block, path: str, known: AbstractSet[str]) -> list[Edit]:
    text = block.text
    lines = text.split("\n")
    python = (path.endswith(".py") or is_python(block.language)) and parses(text)
    may_show = path.lower().endswith(_MAY_SHOW_EDITS)
    begin = next(n for n, line in enumerate(lines) if line.strip())
    read = lines[begin : begin + 1] if may_show else lines
    if not python and holds_searches(read):
        return searches(lines, path, known)
    said_so = block.language in _DIFFS
    if said_so and path.endswith((".diff", ".patch")) and path not in known:
        return [Whole(path, text, block.closed)]
    read = lines[begin : begin + 2] if may_show else lines
    if (said_so or not python) and is_diff(read, said_so):
        return diff(lines, path, known, cut=not block.closed)
    if not path and (path := path_in_comment(lines[0], known)):
        text = text.partition("\n")[2]
    if not text.strip() or not _fits(block.language, path, came_out=not python and _CAME_OUT.search(text) is not None):
        return []
    return [Whole(path, text, block.closed)]


def _fits(language: str, path: str, *, came_out: bool) -> bool:
    """Whether a block in this language can be the whole of this file."""
    if language in _TYPED:
        return path.endswith(_TYPED_SUFFIXES)
    suffix = PurePosixPath(path).suffix.lower()
    if not path or suffix == ".py":
        return (not language and not came_out) or is_python(language) or language == "code"
    if is_python(language):
        return suffix[1:] not in " ".join(_LANGUAGES.values()).split()
    return suffix[1:] in _LANGUAGES[language].split() if language in _LANGUAGES and suffix else True


def _loose(lines: Sequence[str], known: AbstractSet[str]) -> list[Edit]:
    """Edits outside of fences: diffs with their headers, search/replace blocks, patches."""
    if holds_searches(lines):
        return searches(lines, "", known)
    begin = next((n for n in range(len(lines)) if starts_diff(lines, n)), None)
    return [] if begin is None else diff(lines[begin:], "", known, prose=True)
