"""Record which tests were collected, with which parameters, and how each one ended.

Runs inside the sandbox, in the examiner: standard library and pytest only.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.equating import is_plain
    from rheostat.evidence.examining.inside.mirrors import handle_of
    from rheostat.evidence.examining.inside.modules import Finder, SubjectModule
else:
    from equating import is_plain
    from mirrors import handle_of
    from modules import Finder, SubjectModule

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Outcomes:
    """A pytest plugin that records the outcome of each test.

    Args:
        finder: The finder of the workspace's modules, which goes first from then on.
        whole: All tests of each module are asked for.
    """

    def __init__(self, examiner: Any, finder: Finder, *, whole: bool) -> None:
        self._examiner, self._finder, self._whole = examiner, finder, whole
        self.tests: dict[str, str] = {}
        """`passed`, `failed` or `skipped` by the test's name."""
        self.collected: dict[str, str] = {}
        """A digest of its parameters, as far as they are plain data, by the name of each collected test."""

    def pytest_configure(self) -> None:
        """Put our finder before pytest's, so that a file which the code adds later isn't imported as a test."""
        sys.meta_path.remove(self._finder)
        sys.meta_path.insert(0, self._finder)

    def pytest_plugin_registered(self, plugin: Any) -> None:
        """Doubt a plugin, such as a conftest, with hooks that are the code's."""
        names = vars(plugin) if isinstance(plugin, types.ModuleType) else {"pytest_": plugin}
        for name, value in names.items():
            if handle_of(value) is not None and name.startswith("pytest_"):
                self._examiner.doubt(f"{name} is a function of the code's")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Record all tests, and doubt a test that the code replaced or took away."""
        for item in items:
            self.collected[item.nodeid] = _digest(getattr(getattr(item, "callspec", None), "params", {}))
            if handle_of(getattr(item, "obj", None)) is not None:
                self._examiner.doubt(f"{item.nodeid} is a function of the code's")
        if self._whole:
            there = {(os.path.realpath(item.path), word) for item in items for word in item.nodeid.split("::")[1:]}
            there = {(path, word.partition("[")[0]) for path, word in there}
            for path, name in self._in_the_hands_of_the_code():
                if (path, name) not in there:
                    where = os.path.basename(path)
                    self._examiner.doubt(f"{name} of {where} is in the hands of the code, and doesn't run")

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.tests.get(report.nodeid)
        if report.failed or before is None or (report.skipped and before == "passed"):
            self.tests[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.tests[report.nodeid or "."] = "failed"

    def _in_the_hands_of_the_code(self) -> Iterator[tuple[str, str]]:
        """(path, name) of each test whose decorators or bases come from the code."""
        for module in list(sys.modules.values()):
            path = os.path.realpath(getattr(module, "__file__", None) or "/")
            if path not in self._finder.own or isinstance(module, SubjectModule):
                continue
            with open(path, "rb") as stream:
                source = ast.parse(stream.read())
            for test in ast.walk(source):
                if isinstance(test, _DEFINITIONS) and _is_test(test):
                    used = [*test.decorator_list, *getattr(test, "bases", ())]
                    if any(_of_the_code(vars(module), each) for each in used):
                        yield path, test.name


def _is_test(node: Any) -> bool:
    if isinstance(node, ast.ClassDef):
        return any(_is_test(each) for each in node.body)
    return isinstance(node, _DEFINITIONS) and node.name.startswith("test")


def _of_the_code(names: dict[str, Any], decorator: ast.expr) -> bool:
    while isinstance(decorator, ast.Call | ast.Attribute):
        decorator = decorator.func if isinstance(decorator, ast.Call) else decorator.value
    found = names.get(decorator.id) if isinstance(decorator, ast.Name) else None
    return isinstance(found, SubjectModule) or handle_of(found) is not None


def _digest(params: dict[str, Any]) -> str:
    said = repr(sorted((name, _in_order(value)) for name, value in params.items() if is_plain(value)))
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()


def _in_order(value: Any) -> Any:
    """A text of plain data that doesn't depend on the order of sets, which differs between processes."""
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(map(repr, map(_in_order, value)))
    if isinstance(value, list | tuple):
        return type(value).__name__, [_in_order(each) for each in value]
    if isinstance(value, dict):
        return "dict", [(_in_order(key), _in_order(each)) for key, each in value.items()]
    return repr(value)
