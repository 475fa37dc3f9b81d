"""Outline a Python source: its definitions, imports and uses of names."""

from __future__ import annotations

import ast
import functools
import re
import symtable
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["Outline", "defined_in", "outline", "parses", "syntax_error"]

_DEFINED = re.compile(
    r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)|^([A-Za-z_]\w*)[ \t]*(?::[^=\n]+)?=(?!=)", re.MULTILINE
)
_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)
_REAL_BODY_LINES = 2
"""The length above which a body is a real one, for which `pass` is no substitute."""

_MOST_SCOPES = 1_000
"""symtable takes a time that grows with the square of this number; beyond it, every name counts as used."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of a source."""

    members: dict[str, frozenset[str]]
    """The names defined at top level; for a class with the names of its members, otherwise with an empty set."""
    imported: dict[str, str]
    """Imported name → its module; the name `*` for a star import."""
    steps: int
    """The number of top-level statements that neither define nor import anything."""
    functions: frozenset[str]
    """The names of functions and methods: `f` and `C.f`."""
    hollow: frozenset[str]
    """The functions whose body is `...`."""
    empty: frozenset[str]
    """The functions whose body is `pass`, a docstring, or raises NotImplementedError."""
    long: frozenset[str]
    """The functions with a body of more than two lines."""
    globals_used: frozenset[str]
    """Names that are read and must be global or builtin."""
    attributes: frozenset[tuple[str, str]]
    """(`x`, `y`) for each `x.y`."""
    last: tuple[str, int] = ("", 0)
    """The name defined by the last top-level statement, and the number of its lines."""


@dataclass(slots=True)
class _Found:
    members: dict[str, frozenset[str]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    functions: dict[str, _Function] = field(default_factory=dict)
    steps: int = 0


def parses(text: str) -> bool:
    """Whether a text is valid Python."""
    return not syntax_error(text)


@functools.lru_cache(maxsize=8)
def syntax_error(text: str) -> str:
    """Why a text isn't valid Python, with the line; empty: it is valid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except _ERRORS as error:
        return f"{type(error).__name__}: {str(error)[:80]}"
    return ""


@functools.lru_cache(maxsize=8)
def defined_in(text: str) -> frozenset[str]:
    """The names defined at the top level of a source, even of one that doesn't parse."""
    tree = _tree(text)
    if tree is None:
        return frozenset(one or other for one, other in _DEFINED.findall(text))
    found = _Found()
    _take(tree.body, found)
    return frozenset(found.members)


@functools.lru_cache(maxsize=4)
def outline(text: str) -> Outline | None:
    """The outline of a source; `None`: it doesn't parse, or nests too deep."""
    tree = _tree(text)
    if tree is None:
        return None
    found = _Found()
    _take(tree.body, found)
    bodies = {name: _body(function) for name, function in found.functions.items()}
    return Outline(
        found.members,
        found.imported,
        found.steps,
        functions=frozenset(bodies),
        hollow=frozenset(name for name, body in bodies.items() if all(map(_is_ellipsis, body))),
        empty=frozenset(name for name, body in bodies.items() if all(map(_says_nothing, body))),
        long=frozenset(
            name
            for name, body in bodies.items()
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= _REAL_BODY_LINES
        ),
        globals_used=frozenset(_globals_used(text)),
        attributes=frozenset(
            (node.value.id, node.attr)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ),
        last=_last(tree),
    )


def _tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except _ERRORS:
        return None


def _take(body: Iterable[ast.stmt], found: _Found) -> None:
    for node in body:
        if isinstance(node, _Function):
            found.members[node.name] = frozenset()
            found.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            inner = _Found()
            _take(node.body, inner)
            found.members[node.name] = frozenset(inner.members)
            found.functions |= {f"{node.name}.{name}": each for name, each in inner.functions.items()}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.imported |= _imported(node)
        elif names := list(_assigned(node)):
            found.members |= dict.fromkeys(names, frozenset())
        elif isinstance(node, ast.If | ast.Try | ast.With):
            found.steps += 1
            for part in ("body", "orelse", "finalbody"):
                inner = _Found()
                _take(getattr(node, part, ()), inner)
                found.members |= inner.members
                found.imported |= inner.imported
                found.functions |= inner.functions
        elif not _is_docstring(node):
            found.steps += 1


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    if isinstance(node, ast.Import):
        return {each.asname or each.name.split(".")[0]: each.name for each in node.names}
    return {each.asname or each.name: node.module or each.name for each in node.names}


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        for each in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            if isinstance(each, ast.Name):
                yield each.id
    if type(node).__name__ == "TypeAlias":  # Python 3.12
        yield from (each.id for each in ast.iter_child_nodes(node) if isinstance(each, ast.Name))


def _body(function: _Function) -> list[ast.stmt]:
    return function.body[1:] if len(function.body) > 1 and _is_docstring(function.body[0]) else function.body


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _says_nothing(node: ast.stmt) -> bool:
    return (
        _is_ellipsis(node)
        or isinstance(node, ast.Pass)
        or _is_docstring(node)
        or (isinstance(node, ast.Raise) and _names_not_implemented(node.exc))
    )


def _names_not_implemented(raised: ast.expr | None) -> bool:
    called = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(called, ast.Name) and called.id == "NotImplementedError"


def _last(tree: ast.Module) -> tuple[str, int]:
    if not tree.body:
        return "", 0
    node = tree.body[-1]
    name = getattr(node, "name", None) or next(_assigned(node), "")
    return str(name), (node.end_lineno or node.lineno) - node.lineno + 1


def _globals_used(text: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tables = [symtable.symtable(text, "", "exec")]
    except _ERRORS:
        return
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if len(table.get_children()) > _MOST_SCOPES:
            yield from table.get_identifiers()
            continue
        for symbol in table.get_symbols():
            at_top = table.get_type() == "module"
            if symbol.is_referenced() and (symbol.is_global() or at_top) and not (at_top and symbol.is_assigned()):
                yield symbol.get_name()
