"""Import modules of the workspace into the examiner, and share the patches of modules that both sides have.

Runs inside the sandbox: standard library and pytest only.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib.abc
import importlib.machinery
import os
import random
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.readers import FileReader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.reading import files_below
else:
    from reading import files_below


_namespace: Any = vars(types.ModuleType)["__dict__"].__get__


class _Names(Mapping[str, Any]):
    """The names of a module that runs in the other process; pytest and mock look here for what they replace."""

    def __init__(self, module: SubjectModule) -> None:
        self._module = module

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        names = self._module._examiner.ask("dir", self._module)
        return iter([name for name in map(str, names) if name[:2] != "__"])

    def __len__(self) -> int:
        return len([*self])


class SubjectModule(types.ModuleType):
    """The mirror of a module that runs in the other process."""

    _examiner: Any
    _finder: Any

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return _Names(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__version__", "__author__"):
            raise AttributeError(name)
        value = self._examiner.ask("global", self.__name__, name)
        return self._examiner.named(value, name) if self._finder.named(name) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, types.ModuleType):
            super().__setattr__(name, value)
        else:
            self._examiner.ask("set_global", self.__name__, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _namespace(self):
            super().__delattr__(name)
        else:
            self._examiner.ask("delete_global", self.__name__, name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the workspace that aren't the tests' own.

    Args:
        own: Paths of the tests' files, relative to the root.
        compiled: Finds installed modules.
    """

    def __init__(self, examiner: Any, own: Sequence[str], compiled: Any) -> None:
        self._examiner, self._compiled = examiner, compiled
        self.own = {os.path.realpath(os.path.join(examiner.root, path)) for path in own}
        """Real paths of the tests' files."""
        self._tops = {path.split("/", maxsplit=1)[0].removesuffix(".py") for path in own}
        self._imported: set[str] = set()
        self._at_start = {
            os.path.realpath(path) for path in files_below(examiner.root) if path.endswith((".py", ".so"))
        }
        self._starred: list[str] | None = None
        self.decides: Callable[[str], None] = lambda name: None
        """Called with the name of a module of which an outcome may depend, once it is imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        top = name.split(".", maxsplit=1)[0]
        if name == "unittest.mock":
            return self._mock(path)
        if top in self._examiner.known and top not in self._tops:
            return self._outside(name) if path is None else None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        origin = spec.origin if spec is not None else None
        inside = origin is not None and origin.startswith(f"{self._examiner.root}/")
        if spec is None or origin is None or not inside or "/site-packages/" in origin:
            return None
        real = os.path.realpath(origin)
        if real in self.own:
            return None
        if real not in self._at_start:
            raise self._examiner.unsupported(f"{origin} wasn't there when the tests began")
        spec.loader = self
        return spec

    def _mock(self, path: Any) -> Any:
        """The spec of `unittest.mock`, whose patches are shared as soon as a test imports it."""
        spec = self._compiled.find_spec("unittest.mock", path)
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            _share_mocks(self._examiner, module)
            self.decides(module.__name__)

        spec.loader.exec_module = exec_module
        return spec

    def _outside(self, name: str) -> Any:
        """The spec of a module from outside the workspace, even if the workspace now has a file of that name."""
        if name in sys.builtin_module_names or importlib.machinery.FrozenImporter.find_spec(name) is not None:
            return None
        root = self._examiner.root
        places = [place for place in sys.path if not os.path.abspath(place or ".").startswith(root)]
        spec = self._compiled.find_spec(name, places) or importlib.machinery.PathFinder.find_spec(name, places)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def create_module(self, spec: Any) -> Any:
        module = SubjectModule(spec.name)
        types.ModuleType.__setattr__(module, "_examiner", self._examiner)
        types.ModuleType.__setattr__(module, "_finder", self)
        return module

    def exec_module(self, module: Any) -> None:
        path = [place for place in map(os.path.abspath, sys.path) if place.startswith(self._examiner.root)]
        again = module.__name__ in self._imported
        found = self._examiner.ask("module", module.__name__, path, again)
        self._imported.add(module.__name__)
        public, modules = {str(name) for name in found["all"]}, {str(name) for name in found["modules"]}
        taken_by_star = self._taken(public)
        module.__all__ = sorted(
            public - {name for name in taken_by_star if name in modules and name in self._examiner.known}
        )
        module.__doc__ = found["doc"]
        for taken in taken_by_star & set(module.__all__):
            self._examiner.doubt(f"{taken} means another thing in the tests, by a star import of {module.__name__}")

    def get_resource_reader(self, name: str) -> FileReader:
        """The reader of the files beside a module, which are there for the tests as well."""
        return FileReader(types.SimpleNamespace(path=sys.modules[name].__file__))  # type: ignore[arg-type]

    def get_data(self, path: str) -> bytes:
        """The content of a file beside a module."""
        with open(path, "rb") as stream:
            return stream.read()

    def named(self, name: str) -> bool:
        """Whether the tests use a name themselves, because a star import brings in every name."""
        starred = self._sources_with_stars()
        return not starred or any(re.search(rf"\b{re.escape(name)}\b", source) for source in starred)

    def _sources_with_stars(self) -> list[str]:
        if self._starred is None:
            self._starred = []
            for path in self.own:
                with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as stream:
                    source = stream.read()
                    self._starred += [source] * ("import *" in source)
        return self._starred

    def _taken(self, public: set[str]) -> set[str]:
        """Names that tests with a star import use as Python's or another module's, and that this module defines too."""
        found: set[str] = set()
        for source in self._sources_with_stars():
            with contextlib.suppress(SyntaxError, ValueError, RecursionError):
                nodes = list(ast.walk(ast.parse(source)))
                used = {node.id for node in nodes if isinstance(node, ast.Name)}
                imported = {
                    (alias.asname or alias.name).partition(".")[0]
                    for node in nodes
                    if isinstance(node, ast.Import | ast.ImportFrom)
                    for alias in node.names
                }
                found |= public & used & (imported | set(dir(builtins)))
        return found


def _of_both(target: Any, name: str) -> bool:
    return isinstance(target, types.ModuleType) and not isinstance(target, SubjectModule) and name[:2] != "__"


def _put(examiner: Any, target: Any, name: str) -> None:
    if _of_both(target, name):
        examiner.ask("patch", target.__name__, name, vars(target).get(name))


def share_patches(examiner: Any) -> None:
    """Send patches and seeds that the tests apply to modules of both processes to the code's process as well."""
    import pytest

    patching: Any = pytest.MonkeyPatch
    setting, undoing = patching.setattr, patching.undo

    def set_attribute(self: Any, *args: Any, **kwargs: Any) -> None:
        count = len(self._setattr)
        setting(self, *args, **kwargs)
        for target, name, _ in self._setattr[count:]:
            _put(examiner, target, name)

    def undo(self: Any) -> None:
        shared = [(target.__name__, name) for target, name, _ in self._setattr if _of_both(target, name)]
        undoing(self)
        for module, name in shared:
            examiner.ask("unpatch", module, name)

    patching.setattr, patching.undo = set_attribute, undo
    if (mock := sys.modules.get("unittest.mock")) is not None:  # else `Finder` does it later
        _share_mocks(examiner, mock)
    chance: Any = random
    seeding = chance.seed

    def seed(value: Any = None, *args: Any) -> None:
        seeding(value, *args)
        examiner.ask("seed", value)

    chance.seed = seed


def _share_mocks(examiner: Any, module: Any) -> None:
    """The same for `unittest.mock`."""
    mocked: Any = vars(module)["_patch"]
    entering, leaving = mocked.__enter__, mocked.__exit__

    def enter(self: Any) -> Any:
        value = entering(self)
        _put(examiner, self.target, self.attribute)
        return value

    def leave(self: Any, *args: Any) -> Any:
        target, name = self.target, self.attribute
        value = leaving(self, *args)
        if _of_both(target, name):
            examiner.ask("unpatch", target.__name__, name)
        return value

    mocked.__enter__, mocked.__exit__ = enter, leave
