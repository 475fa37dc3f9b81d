"""Find the files that tests depend on, by their sources: their own folders, imported helpers, and data files.

Nothing is run, so a name that is put together at run time isn't found.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from rheostat_tools.helpers import Helpers

__all__ = ["TEST_FOLDERS", "ReadByTests", "folders_of_tests"]

TEST_FOLDERS = frozenset(
    {"test", "tests", "__tests__", "fixtures", "testdata", "test_data", "snapshots", "__snapshots__"}
)
"""Folders whose files all belong to the tests."""

_DATA_FOLDERS = frozenset(
    {
        "samples",
        "sample",
        "cases",
        "golden",
        "goldens",
        "expected",
        "data",
        "inputs",
        "input",
        "outputs",
        "output",
        "snippets",
        "corpus",
    }
)
_LIKE_TESTS = re.compile(r"specs?|testing|e2e|tests?[_-].+|.+[_-]tests?|(?:unit|integration|functional)(?:tests?)?")
"""Names of folders that belong to the tests if they contain a test."""
_TEST = re.compile(r"test_.*\.py|.*_test\.py|tests?\.py")
_FIELD = re.compile(r"\{[^{}/]*\}|%(?:\(\w+\))?[#0\- +]?\d*(?:\.\d+)?[sdrifgx]")
_PATTERN = re.compile(r"(?:[\w.*?!-]+/)*[\w*?!.-]*[\w*?]\.(?=[*?]*\w)[\w*?]+")
"""A name with wildcards and a telling extension."""


def folders_of_tests(names: Iterable[str]) -> frozenset[str]:
    """Folders, in lower case, that have a name like one of tests and contain a test.

    Args:
        names: The paths of all files, relative to the root.
    """
    found: set[str] = set()
    for name in names:
        *parts, file = name.casefold().split("/")
        if parts and _TEST.fullmatch(file):
            found |= {"/".join(parts[: n + 1]) for n, part in enumerate(parts) if _LIKE_TESTS.fullmatch(part)}
    return frozenset(found)


class ReadByTests:
    """The files that the tests of a tree import and read.

    Args:
        root: The tree.
        names: The paths of all its files, relative to the root.
        tests: Those of them that belong to the tests.
        named: Folders that the settings or the command name as the place of tests, in lower case.
    """

    def __init__(self, root: str, names: Sequence[str], tests: Sequence[str], named: Iterable[str] = ()) -> None:
        self._modules: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if name.endswith(".py"):
                self._modules[_module(name).rpartition("/")[2]].append(name)
        own, waiting = set(tests), [name for name in tests if name.endswith(".py")]
        self._files: set[str] = set()
        self._patterns: set[str] = set()
        self._all_folders = _folders(names)
        imports: dict[str, set[str]] = {}
        helpers = self.modules = Helpers(root, names, own.__contains__, frozenset(named))
        """The modules of the tree."""
        said: set[str] = set()
        while waiting:
            name = waiting.pop()
            tree = helpers.parsed(name)
            if tree is None:
                continue
            said |= self._strings(tree, os.path.dirname(name))
            imports[name] = set(self._imported(tree))
            plugins = {each for word in _plugins(tree) for each in self._of_that_name(word)}
            found = {each for each in imports[name] - own if helpers.is_helper(each)} | (plugins - own)
            if not waiting and not found:
                found = helpers.say_what_is_wanted(imports, own)
            own |= found
            waiting += sorted(found)
        self.helpers = frozenset(own.difference(tests))
        """Modules that only help tests: they contain only checks, or have the name and the contents of a helper."""
        code = {os.path.dirname(name) for name in names if name.endswith(".py") and name not in own}
        imported = {os.path.dirname(name).casefold() for each in imports.values() for name in each}
        self._folders = [folder for folder in self._all_folders if _ends(folder, said) and not _holds(folder, code)]
        self._of_data = [
            folder
            for folder in self._all_folders
            if folder.rpartition("/")[2] in _DATA_FOLDERS and _ends(folder, said) and folder not in imported
        ]

    def reads(self, path: str) -> bool:
        """Whether a test names a file that isn't a module, by its name, a pattern or its folder.

        Python files count as data if their folder has a name like one of data, and no test imports from it.
        """
        said = path.casefold()
        if any(said.startswith(f"{each}/") for each in self._of_data):
            return True
        if said.endswith(".py"):
            return False
        if said.rpartition("/")[2] in self._files or any(said.startswith(f"{each}/") for each in self._folders):
            return True
        return any(fnmatch.fnmatchcase(said, each) or fnmatch.fnmatchcase(said, f"*/{each}") for each in self._patterns)

    def _strings(self, tree: ast.Module, folder: str) -> set[str]:
        """Record the files and patterns in the strings of a source, and return possible names of folders."""
        said: set[str] = set()
        beside: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [str(each.value) if isinstance(each, ast.Constant) else "*" for each in node.values]
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = _FIELD.sub("*", node.value)
            else:
                continue
            text = text.casefold()
            if not text or len(text) > 300 or "\n" in text:
                continue
            if "*" in text or "?" in text:
                pattern = text.lstrip("./")
                if _PATTERN.fullmatch(pattern):
                    bare = "/" not in pattern.strip("*/")
                    (beside if bare else self._patterns).add(pattern)
                text = text.partition("*")[0].rpartition("/")[0]
            elif "." in text:
                self._files.add(text.rpartition("/")[2])
            said.add(text.strip("./"))
        if not any(_ends(each, said) for each in self._all_folders):  # else the pattern is for that folder
            self._patterns |= {f"{folder.casefold()}/{pattern}".lstrip("/") for pattern in beside}
        return said

    def _imported(self, tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            words: list[str] = []
            if isinstance(node, ast.Import):
                words = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                words = [module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)]
            for word in filter(None, words):
                yield from self._of_that_name(word)

    def _of_that_name(self, word: str) -> Iterator[str]:
        path = word.replace(".", "/")
        for name in self._modules.get(path.rpartition("/")[2], ()):
            if f"/{_module(name)}".endswith(f"/{path}"):
                yield name


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__")


def _plugins(tree: ast.Module) -> Iterator[str]:
    """The modules that a source makes plugins of pytest."""
    for node in tree.body:
        targets = (
            {each.id for each in node.targets if isinstance(each, ast.Name)} if isinstance(node, ast.Assign) else ()
        )
        if isinstance(node, ast.Assign) and "pytest_plugins" in targets:
            said = (each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant))
            yield from (each for each in said if isinstance(each, str))


def _folders(names: Iterable[str]) -> list[str]:
    found: set[str] = set()
    for name in names:
        parts = name.casefold().split("/")[:-1]
        found |= {"/".join(parts[: n + 1]) for n in range(len(parts))}
    return sorted(found)


def _ends(folder: str, said: set[str]) -> bool:
    parts = folder.split("/")
    return any("/".join(parts[n:]) in said for n in range(len(parts)))


def _holds(folder: str, code: set[str]) -> bool:
    """Whether a folder also has code; templates and queries beside the code that uses them are sources."""
    return any(each.casefold() == folder or each.casefold().startswith(f"{folder}/") for each in code)
