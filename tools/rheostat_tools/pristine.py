"""Keep a repository in its initial state, to protect the files of its tests and to judge changes.

Files that a test run imports, reads or is configured by are protected: the tests, the files beside them, the settings
of the tools, and any module that would be imported in place of an installed one.
"""

from __future__ import annotations

import fnmatch
import glob
import importlib.util
import os
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence

from rheostat.evidence.examining import Examined
from rheostat.sandbox import Show, remove
from rheostat_tools.copies import change, copy_tree, link_environments, show
from rheostat_tools.read_by_tests import TEST_FOLDERS, ReadByTests, folders_of_tests
from rheostat_tools.settings_of_tests import SettingsOfTests

__all__ = ["PROTECTED", "Pristine"]

PROTECTED = (
    "test_*.py", "*_test.py", "test.py", "tests.py", "conftest.py", "pytest.py", "pluggy.py", "sitecustomize.py",
    "usercustomize.py",
    "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "setup.py", "pyproject.toml",
    "pytest/*", "_pytest/*", "pluggy/*", ".coveragerc", "noxfile.py", "*.pth", "*.egg-link", "*.dist-info/*",
    "*.egg-info/*", "*.pyc", "*.so", "*.pyd", ".env", "makefile", "gnumakefile", "justfile", "package.json",
    ".gitattributes",
)  # fmt: skip
"""Names of files that a coder may not write, because that could make tests pass without a fix."""


class Pristine:
    """The tree in its initial state.

    Args:
        root: The real path of the repository.
        protected: Patterns of names that can't be changed, beside the files of the tests.
        command: The command of the tests; the files that it names belong to the tests.
        originals: What files were that have been changed since, by their names; `None`: there was no such file.
    """

    def __init__(
        self,
        root: str,
        protected: Sequence[str] = PROTECTED,
        *,
        command: Sequence[str] = (),
        originals: Mapping[str, bytes | None] | None = None,
    ) -> None:
        self.root = root
        """The path of the repository."""
        words = [os.path.normpath(word.partition("::")[0]) for word in command]
        named = [glob.escape(word) for word in words if os.path.isfile(os.path.join(root, word))]
        self._test_folders: frozenset[str] = frozenset()
        self.tree = tempfile.mkdtemp(prefix="rheostat-start-")
        """The path of a copy of the initial tree."""
        self.tests: dict[tuple[str, ...], Examined] = {}
        """The tests that a command finds in it, once they have been collected."""
        self._remove = weakref.finalize(self, remove, self.tree)
        self._environments = copy_tree(root, self.tree)
        change(self.tree, originals or {})
        settings = SettingsOfTests(self.tree, command)
        self._patterns = tuple(pattern.casefold() for pattern in (*protected, *named, *settings.patterns))
        names = [
            os.path.relpath(os.path.join(folder, name), self.tree)
            for folder, _, files in os.walk(self.tree)
            for name in files
        ]
        self._there = {name.casefold() for name in names}
        self._helpers: frozenset[str] = frozenset()
        self._is_data: dict[str, bool] = {}
        self._test_folders = folders_of_tests(names)
        of_tests = [name for name in names if self._is_of_tests(name)]
        self._read = ReadByTests(self.tree, names, of_tests, settings.folders)
        self._helpers = frozenset(name.casefold() for name in self._read.helpers)
        self._add_where_links_lead()
        protected_modules = [name for name in names if name.endswith(".py") and self.why_protected(name) is not None]
        self.own = [name for name in protected_modules if self.why_protected(self._led_to(name)) is not None]
        """The modules that belong to the tests, but not their links to sources."""
        self._own_modules = {_module(name) for name in self.own}
        self.code = frozenset(_module(name) for name in names if name.endswith(".py") and name not in self.own)
        """The names of the other modules, without their packages."""
        kept = {self._folder_of_tests(name) or name for name in names if self.why_protected(name) is not None}
        self._kept = sorted(kept)
        self._above = sorted({"/".join(path.split("/")[:n]) for path in kept for n in range(1, path.count("/") + 1)})

    def why_protected(self, path: str) -> str | None:
        """Why a file can't be changed or created; `None`: it can.

        Args:
            path: The resolved path, relative to the root.
        """
        said = path.casefold()
        if self._is_of_tests(path):
            return "it says what is wanted"
        if said not in self._there:
            return self._why_not_new(path)
        return "the tests read it" if self._read.reads(path) else None

    def _add_where_links_lead(self) -> None:
        """Protect the tests and data that a protected link leads to; tests may also have links to sources."""
        files, folders = set(), set()
        for folder, below, names in os.walk(self.tree):
            for at in (os.path.join(folder, name) for name in (*below, *names)):
                if not os.path.islink(at):
                    continue
                link = os.path.relpath(at, self.tree)
                target = self._led_to(link)
                if target == "." or target.startswith("../"):
                    continue
                if os.path.isdir(at):
                    if self._folder_of_tests(f"{link}/it") is not None and self._has_only_tests(target):
                        folders.add(target.casefold())
                elif self.why_protected(link) is not None and self._has_only_tests(target, link):
                    files.add(target.casefold())
        self._helpers |= files
        self._test_folders |= folders

    def _led_to(self, path: str) -> str:
        return os.path.relpath(os.path.realpath(os.path.join(self.tree, path)), os.path.realpath(self.tree))

    def _has_only_tests(self, target: str, link: str = "") -> bool:
        """Whether a link leads to no source: to data, to a test, to a helper, or to a folder of such ones."""
        if link:
            named = self._is_named_as_of_tests(link) or self._is_named_as_of_tests(target)
            return named or not target.endswith(".py") or self._read.modules.is_helper(target)
        below = [name for _, _, names in os.walk(os.path.join(self.tree, target)) for name in names]
        modules = [name for name in below if name.endswith(".py")]
        return not modules or any(map(self._is_named_as_of_tests, modules))

    def is_data(self, path: str) -> bool:
        """Whether a file that can be changed isn't code: no module, or one that was there and that nothing imports."""
        if self.why_protected(path) is not None:
            return False
        if path not in self._is_data:
            unused = path.casefold() in self._there and not self._read.modules.imported(path)
            self._is_data[path] = not path.endswith(".py") or unused
        return self._is_data[path]

    def _is_of_tests(self, path: str) -> bool:
        if path.casefold() in self._helpers or self._folder_of_tests(path) is not None:
            return True
        return self._is_named_as_of_tests(path)

    def _is_named_as_of_tests(self, path: str) -> bool:
        said = path.casefold()
        name = said.rpartition("/")[2]
        if any(fnmatch.fnmatchcase(each, pattern) for each in (name, said) for pattern in self._patterns):
            return True
        return any(fnmatch.fnmatchcase(said, f"*/{pattern}") for pattern in self._patterns if "/" in pattern)

    def _folder_of_tests(self, path: str) -> str | None:
        """The uppermost folder above a file that belongs to the tests, or `None`."""
        parts = path.split("/")
        for n, part in enumerate(parts[:-1], 1):
            folder = "/".join(parts[:n])
            if part.casefold() in TEST_FOLDERS or folder.casefold() in self._test_folders:
                return folder
        return None

    def _why_not_new(self, path: str) -> str | None:
        """Why a file can't be created: it would replace another module or be read by the tests; `None`: it can."""
        folder, _, name = path.rpartition("/")
        module = name.partition(".")[0] if name.endswith(".py") else ""
        if name == "__init__.py":
            beside = os.path.join(self.tree, folder)
            if not folder or (os.path.isdir(beside) and any(self._is_of_tests(each) for each in os.listdir(beside))):
                return "it would change how the tests are imported"
            module = folder.rpartition("/")[2]
            folder = folder.rpartition("/")[0]
        if module in self._own_modules and module != "__init__":
            return "it could be imported instead of one of the tests'"
        at_top = folder in ("", "src", "lib") or not os.path.isfile(os.path.join(self.tree, folder, "__init__.py"))
        if module and at_top and self._is_installed(module):
            return f"it would be imported instead of the installed {module}"
        return "the tests read it" if self._read.reads(path) else None

    def _is_installed(self, module: str) -> bool:
        if module in sys.stdlib_module_names or module in sys.builtin_module_names:
            return True
        installed = (glob.escape(os.path.join(self.root, each)) for each in self._environments)
        places = [f"{each}/lib/python*/site-packages/{module}" for each in installed]
        if any(glob.glob(f"{place}{ending}") for place in places for ending in ("", ".py")):
            return True
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return False
        found = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec is not None else []
        return any(f"{os.sep}site-packages{os.sep}" in place for place in found)

    def lay_out(self, place: str, changes: Mapping[str, bytes | None], *, bare: bool) -> list[Show]:
        """Make a fresh copy with changes, and return its entries for a sandbox, in which protected files are read-only.

        Args:
            place: An empty directory.
            changes: Contents by path (`None`: removed); changes of protected files are ignored.
            bare: The copy is used without a sandbox.
        """
        copy_tree(self.tree, place)
        change(place, {path: content for path, content in changes.items() if self.why_protected(path) is None})
        shown = show(self.root, place, self._environments)
        if bare:
            link_environments(self.root, place, self._environments)
        # a mount can't be moved away itself, but moves with a folder above it, so mount those too
        shown += [Show(f"{self.root}/{path}", "write", f"{place}/{path}") for path in self._above]
        return [*shown, *(Show(f"{self.root}/{path}", "read", f"{place}/{path}") for path in self._kept)]

    def drop(self) -> None:
        """Remove the copy."""
        self._remove()


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").rpartition("/")[2]
