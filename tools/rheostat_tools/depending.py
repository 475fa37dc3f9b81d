"""Find what decides in a source whether and with what its tests run, if the code under test has a say in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["depends_on"]

_MARKS = {"skipif": 0, "xfail": 0, "parametrize": 1}
"""Marks of pytest, with the number of the argument that decides."""


def depends_on(source: bytes, modules: frozenset[str]) -> str | None:
    """The first expression that decides on tests by a value of one of these modules; `None`: there is none.

    Args:
        source: The source of a module with tests.
        modules: The names of the code's modules, without their packages.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    names = {name for node in ast.walk(tree) for name in _imported(node, modules)}
    for node in _deciding(tree):
        if any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(node)):
            return ast.unparse(node)[:100]
    return None


def _imported(node: ast.AST, modules: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (
            alias.asname or alias.name.partition(".")[0]
            for alias in node.names
            if not modules.isdisjoint(alias.name.split("."))
        )
    elif isinstance(node, ast.ImportFrom):
        inside = node.level > 0 or not modules.isdisjoint((node.module or "").split("."))
        yield from (alias.asname or alias.name for alias in node.names if inside or alias.name in modules)


def _deciding(tree: ast.Module) -> Iterator[ast.expr]:
    """Conditions of skips and of definitions of tests, and parameters that aren't a list in the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and (node in tree.body or any(map(_skips, ast.walk(node)))):
            yield node.test
        if isinstance(node, ast.For) and node in tree.body:
            yield node.iter
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MARKS:
            given = [*node.args[_MARKS[node.func.attr] :][:1], *(word.value for word in node.keywords)]
            yield from (each for each in given if not isinstance(each, ast.List | ast.Tuple))


def _skips(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and "skip" in ast.unparse(node.func).lower()
