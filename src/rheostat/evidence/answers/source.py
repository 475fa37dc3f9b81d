"""Code and JSON in a reply."""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from rheostat.evidence.answers.text import Block, blocks
from rheostat.evidence.answers.values import Answer, answer_of, parse_json

__all__ = ["code_in", "json_in"]

_PYTHON = {"python", "py", "python3", "py3", "pycon", "ipython", ""}
_LANGUAGES = {
    "javascript": {"javascript", "js", "jsx"}, "typescript": {"typescript", "ts", "tsx"}, "rust": {"rust", "rs"},
    "sql": {"sql"}, "java": {"java"}, "c++": {"cpp", "c++", "cxx"},
    "c#": {"csharp", "cs", "c#"}, "go": {"go", "golang"},
    "bash": {"bash", "sh", "shell", "zsh"}, "ruby": {"ruby", "rb"}, "html": {"html"},
    "css": {"css"}, "regex": {"regex"}, "php": {"php"}, "kotlin": {"kotlin", "kt"}, "swift": {"swift"},
}  # fmt: skip
_LINE = re.compile(
    r"^\s*(?:(?:async\s+)?def\s+\w+\s*\(|class\s+\w+|import\s+\w|from\s+[\w.]+\s+import\b|@\w|\w+\s*=[^=])", re.M
)
_MOST_STARTS = 400


def code_in(text: str, question: str = "") -> Answer | None:
    """The code of a reply: the last block in the language asked for that defines something."""
    wanted = _wanted(question)
    found = [_whole(text, block) for block in blocks(text) if block.fenced]
    python = wanted is _PYTHON
    own = [source for info, source in found if info in wanted and source.strip()]
    if not python:
        own = own or [source for info, source in found if info == "" and source.strip()]
        return answer_of(own[-1], "code") if own else None
    named = [source for info, source in found if info in wanted - {""} and source.strip()]
    trees = [(source, _tree(source)) for source in own]
    for defines in (_functions, _names):
        good = [number for number, (_, tree) in enumerate(trees) if tree is not None and defines(tree)]
        if good:
            return answer_of(_with_helpers(trees, good[-1]), "code")
    parsing = [source for source, tree in trees if tree is not None and tree.body]
    if named or parsing or own:
        return answer_of((parsing or named or own)[-1], "code")
    return None if found else _unfenced(text)


def _wanted(question: str) -> set[str]:
    for name, infos in _LANGUAGES.items():
        if re.search(rf"(?<![\w]){re.escape(name)}(?![\w+#])", question, re.I) and not re.search(
            r"\bpython\b|```py", question, re.I
        ):
            if name in (
                "go",
                "c#",
                "java",
                "swift",
                "rust",
                "ruby",
                "sql",
                "bash",
                "html",
                "css",
                "regex",
            ) and not re.search(
                rf"\b(?:in|{re.escape(name)}\s+(?:function|code|program|script|query|class|method))\b", question, re.I
            ):
                continue
            return infos
    return _PYTHON


def _whole(text: str, block: Block) -> tuple[str, str]:
    """A block whose own text holds a fence (in a docstring) goes on to the closing fence with which it parses."""
    if block.info not in _PYTHON or _tree(block.source) is not None or not re.search(r"\"\"\"|'''", block.source):
        return block.info, _without_prompt(block)
    lines = text.replace("\r\n", "\n").split("\n")
    for end in range(block.lines[1], len(lines)):
        if re.match(r"\s*(?:```|~~~)", lines[end]):
            longer = "\n".join(lines[block.lines[0] + 1 : end])
            if _tree(longer) is not None:
                return block.info, longer
    return block.info, block.source


def _without_prompt(block: Block) -> str:
    return block.source.replace("\r\n", "\n")


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _functions(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)


def _names(tree: ast.Module) -> set[str]:
    """What a block defines at its top."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
    return names


def _with_helpers(trees: list[tuple[str, ast.Module | None]], chosen: int) -> str:
    """The chosen block after those before it that define what it uses."""
    source, tree = trees[chosen]
    assert tree is not None, "only what parses is chosen"  # noqa: S101
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {
        node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    missing = used - _names(tree) - stored - arguments - set(dir(builtins))
    parts = [source]
    for before, earlier in reversed(trees[:chosen]):
        if earlier is not None and missing & _names(earlier) and not _names(tree) & _names(earlier):
            parts.insert(0, before.rstrip("\n"))
            missing -= _names(earlier)
    return "\n\n".join(parts) if len(parts) > 1 else source


def _unfenced(text: str) -> Answer | None:
    """Code without a fence: from the first line that looks like it, as far as it parses."""
    text = text.replace("\r\n", "\n")
    first = _LINE.search(text)
    if first is None:
        return None
    lines = text[first.start() :].strip("\n").split("\n")
    for end in range(len(lines), 0, -1):
        source = "\n".join(lines[:end])
        tree = _tree(source)
        if tree is not None and _names(tree):
            return answer_of(source, "code")
        if len(lines) - end > 60:
            break
    return answer_of("\n".join(lines), "code") if re.match(r"\s*(?:def|class|import|from|@)\b", lines[0]) else None


def json_in(text: str, fits: Callable[[str], bool] | None = None) -> Answer | None:
    """The JSON of a reply: what fits the schema, else the last whole object or array.

    Args:
        fits: Does a text of JSON fit the schema?
    """
    whole = answer_of(text, "json")
    if whole is not None and (fits is None or fits(whole.text)):
        return whole
    found = [
        block.source.strip() for block in blocks(text) if block.fenced and block.info in ("json", "json5", "jsonc", "")
    ]
    fenced = [answer for source in found if (answer := answer_of(source, "json")) is not None]
    candidates = [*_values(text), *fenced]
    if fits is not None:
        fitting = [answer for answer in candidates if fits(answer.text)]
        if fitting:
            return fitting[-1]
    if fenced:
        return fenced[-1]
    worthy = [answer for answer in candidates if not _citation(answer.value)]
    return (worthy or candidates)[-1] if candidates else whole


def _citation(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)


def _values(text: str) -> Iterator[Answer]:
    decoder = json.JSONDecoder()
    at = tried = 0
    while tried < _MOST_STARTS and (start := re.compile(r"[{\[]").search(text, at)) is not None:
        tried += 1
        try:
            _, end = decoder.raw_decode(text, start.start())
            parse_json(text[start.start() : end])
        except json.JSONDecodeError as error:
            if error.pos >= len(text.rstrip()):  # it was cut: what is inside it isn't the answer
                return
            at = start.end()
            continue
        except (ValueError, RecursionError):
            at = start.end()
            continue
        answer = answer_of(text[start.start() : end], "json")
        if answer is not None:
            yield answer
        at = end
