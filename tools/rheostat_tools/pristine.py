"""A repository as it was at the start: which of its files say what is wanted, and a tree to judge changes on.

What a test run imports, reads or is configured by isn't a source to be changed: the tests, what lies beside them, the
settings of the tools, and whatever would be imported in place of something installed.
"""

from __future__ import annotations

import ast
import fnmatch
import glob
import importlib.util
import os
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from rheostat.sandbox import Show, remove
from rheostat_tools.copies import change, copy_tree, link_environments, show

__all__ = ["PROTECTED", "Pristine"]

PROTECTED = (
    "test_*.py", "*_test.py", "test.py", "tests.py", "conftest.py", "pytest.py", "pluggy.py", "sitecustomize.py",
    "usercustomize.py",
    "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "setup.py", "pyproject.toml",
    "pytest/*", "_pytest/*", "pluggy/*", ".coveragerc", "noxfile.py", "*.pth", "*.egg-link", "*.dist-info/*",
    "*.egg-info/*", "*.pyc", "*.so", "*.pyd", ".env", "makefile", "gnumakefile", "justfile", "package.json",
    ".gitattributes",
)  # fmt: skip
"""Names of files that a coder may not write: it would be the short way to green."""

_TEST_FOLDERS = frozenset({
    "test", "tests", "__tests__", "fixtures", "testdata", "test_data", "snapshots", "__snapshots__",
})  # fmt: skip
_MOST_READ_BYTES = 1_000_000


class Pristine:
    """The tree at the start.

    Args:
        root: The repository, without links.
        protected: Patterns of names that can't be changed, beside what the tests are made of.
        command: How the tests are run: the files that it names are the tests' own.
    """

    def __init__(self, root: str, protected: Sequence[str] = PROTECTED, *, command: Sequence[str] = ()) -> None:
        self.root = root
        """The repository."""
        words = [os.path.normpath(word.partition("::")[0]) for word in command]
        named = [glob.escape(word) for word in words if os.path.isfile(os.path.join(root, word))]
        self._patterns = tuple(pattern.casefold() for pattern in (*protected, *named))
        self.tree = tempfile.mkdtemp(prefix="rheostat-start-")
        """A copy of it, as it was."""
        self._remove = weakref.finalize(self, remove, self.tree)
        self._environments = copy_tree(root, self.tree)
        names = [
            os.path.relpath(os.path.join(folder, name), self.tree)
            for folder, _, files in os.walk(self.tree)
            for name in files
        ]
        self._there = {name.casefold() for name in names}
        self._read_by_tests = self._mentioned([name for name in names if self._is_of_tests(name)])
        self.own = [name for name in names if name.endswith(".py") and self.why_protected(name) is not None]
        """Modules that are the tests' own."""
        self._kept_as_they_are = _uppermost([name for name in names if self.why_protected(name) is not None])

    def why_protected(self, path: str) -> str | None:
        """Why a file can't be changed or made; None: it can.

        Args:
            path: From the root on, resolved.
        """
        said = path.casefold()
        if self._is_of_tests(path):
            return "it says what is wanted"
        if said not in self._there:
            return self._why_not_new(path)
        if not said.endswith(".py") and os.path.basename(said) in self._read_by_tests:
            return "the tests read it"
        return None

    def _is_of_tests(self, path: str) -> bool:
        said = path.casefold()
        name = said.rpartition("/")[2]
        if any(fnmatch.fnmatchcase(each, pattern) for each in (name, said) for pattern in self._patterns):
            return True
        return any(
            fnmatch.fnmatchcase(said, f"*/{pattern}") for pattern in self._patterns if "/" in pattern
        ) or not _TEST_FOLDERS.isdisjoint(said.split("/")[:-1])

    def _why_not_new(self, path: str) -> str | None:
        """A new file may be a module of the repository's own, and nothing that stands in for something else."""
        folder, _, name = path.rpartition("/")
        module = name.partition(".")[0] if name.endswith(".py") else ""
        if name == "__init__.py":
            beside = os.path.join(self.tree, folder)
            if not folder or (os.path.isdir(beside) and any(self._is_of_tests(each) for each in os.listdir(beside))):
                return "it would change how the tests are imported"
            module = folder.rpartition("/")[2]
            folder = folder.rpartition("/")[0]
        at_top = folder in ("", "src", "lib") or not os.path.isfile(os.path.join(self.tree, folder, "__init__.py"))
        if module and at_top and self._is_installed(module):
            return f"it would be imported instead of the installed {module}"
        if name.casefold() in self._read_by_tests and not module:
            return "the tests read it"
        return None

    def _is_installed(self, module: str) -> bool:
        if module in sys.stdlib_module_names or module in sys.builtin_module_names:
            return True
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return False
        places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec is not None else []
        return any(f"{os.sep}site-packages{os.sep}" in place for place in places)

    def _mentioned(self, tests: list[str]) -> set[str]:
        """Names of files that stand in the tests' sources."""
        found: set[str] = set()
        for name in tests:
            path = Path(self.tree, name)
            if not name.endswith(".py") or path.stat().st_size > _MOST_READ_BYTES:
                continue
            try:
                tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
                    found.add(node.value.rpartition("/")[2].casefold())
        return found

    def lay_out(self, place: str, changes: Mapping[str, bytes | None], *, bare: bool) -> list[Show]:
        """A fresh copy with changes: what to show of it in a sandbox. What is protected is there to be read.

        Args:
            place: An empty directory.
            changes: Contents by their paths; those of protected files aren't taken.
            bare: It is used without a sandbox.
        """
        copy_tree(self.tree, place)
        change(place, {path: content for path, content in changes.items() if self.why_protected(path) is None})
        shown = show(self.root, place, self._environments)
        if bare:
            link_environments(self.root, place, self._environments)
        return [*shown, *(Show(f"{self.root}/{path}", "read", f"{place}/{path}") for path in self._kept_as_they_are)]

    def drop(self) -> None:
        """Remove the copy."""
        self._remove()


def _uppermost(paths: list[str]) -> list[str]:
    """The folders of tests, and what is protected outside of them."""
    found: set[str] = set()
    for path in paths:
        parts = path.split("/")
        folder = next((n for n, part in enumerate(parts[:-1]) if part.casefold() in _TEST_FOLDERS), None)
        found.add(path if folder is None else "/".join(parts[: folder + 1]))
    return sorted(found)
