"""Recognise the modules that only help tests, by what they are: checks, expected values, or neighbours of tests.

In a flat repository a module and a helper look alike, and a module that can't be changed is worse than a helper that
can. So a helper needs a sign of its own, and no source may import it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

__all__ = ["Helpers"]

_HELPER = re.compile(r"tests?[_-]?(?:util|help|support|lib|common|data|case|base|tool|fixture)\w*")
_HINTS = re.compile(r"test|assert|check|helper|util|fixture|common|support|expect|case")
_TELLING = re.compile(r"expect|wanted|golden|oracle|ground_?truth|reference|fixture", re.IGNORECASE)
"""Words for what tests compare with."""
_TELLING_CONSTANT = re.compile(rf"{_TELLING.pattern}|answer|cases\b|truth", re.IGNORECASE)
_TOOLS = frozenset({"pytest", "_pytest", "unittest", "hypothesis", "numpy.testing", "pandas.testing"})
_MOST_READ_BYTES = 1_000_000


class Helpers:
    """Tells which modules are helpers.

    Args:
        root: The tree.
        names: The paths of all its files, relative to the root.
        is_test: Whether a path belongs to the tests.
        named: Folders that the settings or the command name as the place of tests, in lower case.
    """

    def __init__(
        self, root: str, names: Collection[str], is_test: Callable[[str], bool], named: Collection[str] = ()
    ) -> None:
        self._root, self._is_test, self._named = root, is_test, named
        self._modules = [name for name in names if name.endswith(".py")]
        self._stems = {_stem(name) for name in self._modules if is_test(name)}

    def parsed(self, name: str) -> ast.Module | None:
        """The syntax tree of a module, unless it is too large or can't be read."""
        path = Path(self._root, name)
        try:
            return ast.parse(path.read_bytes()) if path.stat().st_size <= _MOST_READ_BYTES else None
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    def is_helper(self, name: str) -> bool:
        """Whether a module that tests import contains only checks, or has the name and the contents of a helper."""
        tree = self.parsed(name)
        if tree is None:
            return False
        if _HELPER.fullmatch(_stem(name)) or _only_checks(tree):
            return True
        uses = {each for node in ast.walk(tree) for each in _named(node)}
        return _HINTS.search(_stem(name)) is not None and not uses.isdisjoint(_TOOLS)

    def say_what_is_wanted(self, imports: Mapping[str, Collection[str]], own: Collection[str]) -> set[str]:
        """Modules with expected values, or that lie among tests, which only the tests import.

        Args:
            imports: The modules that each module of the tests imports.
            own: The modules that belong to the tests.
        """
        found = set()
        for name in {each for several in imports.values() for each in several}.difference(own):
            others = [set(several) - {name, *own} for several in imports.values() if name in several]
            if not all(others) or self._has_its_test(name):
                continue
            if self._tells(name) or self._lies_among_tests(name, others):
                found.add(name)
        return {name for name in found if not self.imported(name, own)}

    def _has_its_test(self, name: str) -> bool:
        """Whether a test is named after a module, which is then what is tested."""
        return any(_stem(name) in stem for stem in self._stems)

    def _tells(self, name: str) -> bool:
        if _TELLING.search(_stem(name)):
            return True
        tree = self.parsed(name)
        constants = _constants(tree) if tree is not None else None
        return constants is not None and any(_TELLING_CONSTANT.search(each) for each in constants)

    def _lies_among_tests(self, name: str, others: list[set[str]]) -> bool:
        """Whether the tests in a module's folder test what lies elsewhere, of which the module knows nothing."""
        folder = name.rpartition("/")[0]
        if not folder:
            return False
        beside = [each for each in self._modules if each.startswith(f"{folder}/") and _stem(each) != "__init__"]
        tests = sum(map(self._is_test, beside))
        mostly = 2 * tests >= len(beside) or folder.casefold() in self._named
        elsewhere = all(any(not each.startswith(f"{folder}/") for each in several) for several in others)
        tree = self.parsed(name)
        outside = [each for each in self._modules if not each.startswith(f"{folder}/")]
        known = {part for each in outside for part in each.removesuffix(".py").split("/")}
        uses = {each for node in ast.walk(tree) for each in _named(node)} if tree is not None else known
        return bool(tests) and mostly and elsewhere and uses.isdisjoint(known)

    def imported(self, name: str, own: Collection[str] = ()) -> bool:
        """Whether a module is imported by another one that isn't among these."""
        says = re.compile(rf"^\s*(?:from|import)\s[^#\n]*\b{re.escape(_stem(name))}\b".encode(), re.MULTILINE)
        for each in self._modules:
            if each not in own and each != name:
                try:
                    if says.search(Path(self._root, each).read_bytes()):
                        return True
                except OSError:
                    continue
        return False


def _stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".py").casefold()


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (node.module.partition(".")[0], node.module)


def _constants(tree: ast.Module) -> list[str] | None:
    """The names that a module sets, if it has nothing but data; else `None`."""
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            return None
    return names


def _only_checks(tree: ast.Module) -> bool:
    """Whether a module's functions all assert and return nothing, and it has no classes."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = any(isinstance(node, ast.ClassDef | ast.AsyncFunctionDef) for node in tree.body)
    return bool(functions) and not others and all(_is_check(function) for function in functions)


def _is_check(function: ast.FunctionDef) -> bool:
    within = list(ast.walk(function))
    gives = any(
        isinstance(node, ast.Yield | ast.YieldFrom) or (isinstance(node, ast.Return) and node.value) for node in within
    )
    return not gives and any(isinstance(node, ast.Assert) for node in within)
