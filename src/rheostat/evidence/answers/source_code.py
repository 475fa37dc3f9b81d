"""Find the code in a reply."""

from __future__ import annotations

import ast
import builtins
import re

from rheostat.evidence.answers.programming import defines, language_of
from rheostat.evidence.answers.text import Block, blocks
from rheostat.evidence.answers.values import Answer, answer_of

__all__ = ["code_in"]

_PYTHON = {"python", "py", "python3", "py3", "pycon", "ipython", ""}
_LINE = re.compile(
    r"^\s*(?:(?:async\s+)?def\s+\w+\s*\(|class\s+\w+|import\s+\w|from\s+[\w.]+\s+import\b|@\w|\w+\s*=[^=])", re.M
)
_TAGGED = re.compile(r"<(answer|final_answer|code|solution)>\s*\n?(.*?)(?:</\1>|\Z)", re.S | re.I)
_MOST_STUB_CHARS = 20_000
_STUB = re.compile(
    r"(?:```\w*\n)?((?:^[ \t]*(?:from|import|@)[^\n]*\n|[ \t]*\n)*+^[ \t]*def\s+\w+\s*\([\s\S]*?)(?:```|\Z)", re.M
)


def code_in(text: str, question: str = "") -> Answer | None:
    """The code of a reply, or `None`: the last block in the language asked for that defines what the question names.

    Blocks of helpers that it uses are put before it. A reply without a block may be code from some line on.
    """
    infos = language_of(question)
    found = _blocks(text)
    if infos is not None:
        own = [source for info, source in found if info in infos and source.strip()]
        own = own or [source for info, source in found if info == "" and source.strip()]
        defining = [source for source in own if defines(source)]
        return answer_of((defining or own)[-1], "code") if own else None
    own = [source for info, source in found if info in _PYTHON and source.strip()]
    named = [source for info, source in found if info in _PYTHON - {""} and source.strip()]
    trees = [(source, _tree(source)) for source in own]
    for wanted in (_functions, _names):
        good = [number for number, (_, tree) in enumerate(trees) if tree is not None and wanted(tree)]
        if good:
            return answer_of(_with_helpers(trees, _chosen(trees, good, question)), "code")
    parsing = [source for source, tree in trees if tree is not None and tree.body]
    for source in reversed(parsing or named or own):
        return answer_of(_completed(question, source) or source, "code")
    if found:
        return None
    tagged = list(_TAGGED.finditer(text))
    return _unfenced(tagged[-1][2] if tagged else text, question)


def _blocks(text: str, depth: int = 0) -> list[tuple[str, str]]:
    """(language, source) of all fenced blocks, including those inside a block of Markdown."""
    found = []
    for block in blocks(text):
        if block.fenced and block.info in ("markdown", "md") and depth < 2:
            found += _blocks(block.source, depth + 1)
        elif block.fenced:
            found.append(_whole(text, block))
    return found


def _chosen(trees: list[tuple[str, ast.Module | None]], good: list[int], question: str) -> int:
    """The number of the block to use: one that defines what the question names, no test, no earlier one's helper."""
    defined = {number: _names(tree) for number in good if (tree := trees[number][1]) is not None}
    own = [number for number in good if not _tests_only(trees[number][1])] or good
    asked = set(re.findall(r"\b([A-Za-z_]\w*)(?=\()|`([A-Za-z_]\w*)`", question))
    words = {word for pair in asked for word in pair if word} | set(
        re.findall(r"\b(?:def|class|function|named|called)\s+`?(\w+)", question)
    )
    own = [number for number in own if defined[number] & words] or own
    last = own[-1]
    for number in own[:-1]:
        tree = trees[number][1]
        if tree is not None and _missing(tree) & defined[last] and not defined[number] & defined[last]:
            return number
    return last


def _tests_only(tree: ast.Module | None) -> bool:
    if tree is None:
        return False
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return bool(named) and all(re.match(r"test_|Test", name) for name in named)


def _whole(text: str, block: Block) -> tuple[str, str]:
    """(language, source) of a block; one with a fence in a docstring extends to the first closing fence that parses."""
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
    source = block.source.replace("\r\n", "\n")
    if not source.lstrip().startswith(">>> "):
        return source
    return "".join(f"{line[4:]}\n" for line in source.split("\n") if line.startswith((">>> ", "... ", "...")))


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _functions(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)


def _names(tree: ast.Module) -> set[str]:
    """The names that a block defines at its top level."""
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


def _missing(tree: ast.Module) -> set[str]:
    """The names that a block uses and doesn't define."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {
        node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return used - _names(tree) - stored - arguments - set(dir(builtins))


def _with_helpers(trees: list[tuple[str, ast.Module | None]], chosen: int) -> str:
    """The chosen block preceded by the blocks that define what it uses; the nearest earlier blocks are tried first."""
    source, tree = trees[chosen]
    assert tree is not None, "only blocks that parse are chosen"  # noqa: S101
    missing = _missing(tree)
    parts = [source]
    for helper, other in [*reversed(trees[:chosen]), *trees[chosen + 1 :]]:
        if other is not None and missing & _names(other) and not _names(tree) & _names(other):
            parts.insert(0, helper.rstrip("\n"))
            missing -= _names(other)
    return "\n\n".join(parts) if len(parts) > 1 else source


def _completed(question: str, source: str) -> str | None:
    """The question's code with a body that continues it, or `None` if they don't fit together."""
    if not source[:1].isspace():
        return None
    for stub in _STUB.finditer(question[-_MOST_STUB_CHARS:]):
        whole = f"{stub[1].rstrip()}\n{source}"
        if (tree := _tree(whole)) is not None and _functions(tree):
            return whole
    return None


def _unfenced(text: str, question: str) -> Answer | None:
    """Code without a fence: from the first line that looks like code, as far as it parses."""
    text = text.replace("\r\n", "\n")
    if (completed := _completed(question, text)) is not None:
        return answer_of(completed, "code")
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
