"""The process of the tests: runs them here, and has the code that they test run in the other process.

A module of the workspace that isn't the tests' own is imported as a mirror (`mirrors`). Comparisons are made here, on
data; where only an object of the code's own kind could say whether it equals something, nothing is proven.

Runs inside the sandbox: standard library and pytest only.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import importlib
import json
import logging
import os
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.mirrors import MirrorMeta, handle_of
    from rheostat.evidence.examining.inside.modules import Finder, SubjectModule, share_patches
    from rheostat.evidence.examining.inside.orders import order
    from rheostat.evidence.examining.inside.wire import Peer
else:
    from mirrors import MirrorMeta, handle_of
    from modules import Finder, SubjectModule, share_patches
    from orders import order

    from wire import Peer

_COMPARING = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
_OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift divmod"
_COMPUTING = {f"__{side}{name}__" for name in _OPERATORS.split() for side in ("", "r")}
_PLAIN = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)
_FRAMES = (types.FrameType, types.CodeType, types.TracebackType, types.ModuleType)
_INWARD = ("gi_", "cr_", "ag_", "f_", "tb_", "co_", "func_")
_OUTCOMES = ("pytest", "_pytest", "unittest")
_DUMPABLE, _MOST_COMPARED = 4, 1_000


class Examiner(Peer):
    """The side that judges."""

    def __init__(self, fd: int, root: str) -> None:
        super().__init__(fd, "e", trusted=False)
        self.root = root
        self.doubts: list[str] = []
        """Why what was said can't be taken for proven."""
        self._directory = ""
        self._named: set[int] = set()
        self._given: set[int] = set()
        self.known = set(sys.modules) | set(sys.stdlib_module_names)
        """Modules that aren't the workspace's, whatever lies there."""

    # --- what goes along ----------------------------------------------------------------------------------------

    def aside(self) -> dict[str, Any]:
        directory = os.getcwd()
        moved = directory if directory != self._directory else None
        self._directory = directory
        return {"environment": self.environment(), "directory": moved}

    def take_aside(self, aside: dict[str, Any]) -> None:
        if (changed := aside.get("environment")) is not None:
            kept = os.environ.get("PYTEST_CURRENT_TEST")
            os.environ.clear()
            os.environ.update({str(name): str(value) for name, value in changed.items()})
            if kept is not None:
                os.environ["PYTEST_CURRENT_TEST"] = kept
            self.environment()
        for kind, *words in aside.get("said") or ():
            if kind in ("out", "err"):
                (sys.stdout if kind == "out" else sys.stderr).write(str(words[0]))
            elif kind == "warning":
                category = getattr(builtins, str(words[0]), UserWarning)
                if isinstance(category, type) and issubclass(category, Warning):
                    warnings.warn(str(words[1]), category, stacklevel=2)
            elif kind == "log":
                logger = logging.getLogger(str(words[0]))
                if logger.isEnabledFor(int(words[1])):
                    logger.log(int(words[1]), "%s", words[2])

    # --- values -------------------------------------------------------------------------------------------------

    def _encoded(self, value: Any) -> Any:
        if isinstance(value, SubjectModule):
            return {"t": "module", "n": value.__name__}
        if isinstance(value, types.ModuleType):
            return {"t": "module", "n": value.__name__}
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
            home = sys.modules.get(module or "")
            file = getattr(home, "__file__", None) or ""
            if home is not None and getattr(home, name, None) is value and not file.startswith(self.root):
                return {"t": "global", "m": module, "n": name}
        return self._own(value)

    def decode_other(self, node: dict[str, Any]) -> Any:
        if node["t"] == "subject":
            return self._subject(str(node["n"]))
        if node.get("coroutine"):
            return self._finished(super().decode_other(node))
        return super().decode_other(node)

    def _subject(self, name: str) -> Any:
        """A module of the workspace, and no other."""
        found = None if name.split(".", maxsplit=1)[0] in self.known else importlib.import_module(name)
        if not isinstance(found, SubjectModule):
            raise AttributeError(f"{name} is no module of the code")
        return found

    async def _finished(self, coroutine: Any) -> Any:
        await asyncio.sleep(0)
        return self.ask("finish", coroutine)

    def real_class(self, module: str, name: str) -> type | None:
        found = super().real_class(module, name)
        if found is not None or module.split(".", maxsplit=1)[0] in ("pytest", "_pytest", "pluggy", "unittest"):
            return found
        there = vars(sys.modules[module]).get(name) if module in sys.modules else None
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        if isinstance(there, type) and issubclass(there, Exception) and not file.startswith(self.root):
            return there
        return None

    # --- comparing ----------------------------------------------------------------------------------------------

    def special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        other = args[0] if args else None
        if name in ("__eq__", "__ne__") and isinstance(target, dict | list | set) and handle_of(other) is None:
            content = self.ask("plain", target)
            return (content == other) is (name == "__eq__")
        if name in ("__eq__", "__ne__") and other is target:
            return name == "__eq__"
        said = super().special(target, name, args)
        if said is NotImplemented:
            return said
        mirrored = handle_of(other) is not None
        if name in ("__eq__", "__ne__") and mirrored:
            equal = said is (name == "__eq__")
            if equal is not self._alike_inside(target, other):
                self.doubt(f"{type(target).__name__}.{name} says so, and what the two objects hold says otherwise")
        elif not mirrored and (name in _COMPARING or (name in _COMPUTING and isinstance(said, _PLAIN))):
            self.doubt(f"only the code itself says what {type(target).__name__}.{name} of {_short(other)} is")
        elif (
            name in ("__exit__", "__aexit__")
            and args[:1]
            and args[0] is not None
            and issubclass(args[0], AssertionError)
        ):
            self.doubt(f"an assert of the tests failed within a {type(target).__name__} of the code's")
        elif name in ("__contains__", "__bool__") and handle_of(type(target)) not in self._named:
            self.doubt(f"only the code itself says what {name} of a {type(target).__name__} is")
        return said

    def _alike_inside(self, one: Any, other: Any, seen: set[tuple[int, int]] | None = None) -> bool:
        """Do two objects of the code's hold the same? Two that hold nothing say nothing."""
        seen = set() if seen is None else seen
        if one is other or (id(one), id(other)) in seen:
            return True
        seen.add((id(one), id(other)))
        if type(one) is not type(other) or len(seen) > _MOST_COMPARED:
            return False
        verb = "plain" if isinstance(one, dict | list | set) else "state"
        first, second = self.ask(verb, one), self.ask(verb, other)
        return (bool(first) or verb == "plain") and self._alike_data(first, second, seen)

    def _alike_data(self, one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
        if one is other or (id(one), id(other)) in seen:
            return True
        if handle_of(one) is not None and handle_of(other) is not None:
            return self._alike_inside(one, other, seen)
        if type(one) in (dict, list, tuple) and type(one) is type(other):
            seen.add((id(one), id(other)))
            if len(one) != len(other) or len(seen) > _MOST_COMPARED:
                return False
            if isinstance(one, dict):
                return one.keys() == other.keys() and all(self._alike_data(one[key], other[key], seen) for key in one)
            return all(self._alike_data(a, b, seen) for a, b in zip(one, other, strict=True))
        return handle_of(one) is None and handle_of(other) is None and bool(one == other)

    def doubt(self, why: str) -> None:
        """Something that can't be judged here."""
        if why not in self.doubts:
            self.doubts.append(why)

    def named(self, value: Any) -> Any:
        """A class that the tests name: its objects may say what they contain."""
        if type(value) is MirrorMeta:
            self._named.add(handle_of(value) or 0)
        return value

    # --- what the code under test may ask -----------------------------------------------------------------------

    def encode_own(self, value: Any) -> Any:
        node = self._encoded(value)
        if node["t"] == "object":
            self._given.add(node["h"])
        return node

    def _asked_of(self, target: Any, name: str = "") -> Any:
        """Only objects that the tests gave to the code, and nothing that leads behind them."""
        if self._numbers.get(id(target)) not in self._given or isinstance(target, _FRAMES):
            raise AttributeError("this wasn't given to the code")
        if name.startswith(("_", *_INWARD)):
            raise AttributeError(f"{name} of an object of the tests can't be seen from the code")
        return target

    def do_get(self, target: Any, name: str) -> Any:
        return getattr(self._asked_of(target, name), name)

    def do_set(self, target: Any, name: str, value: Any) -> None:
        if isinstance(target, type):
            raise AttributeError(f"{name} of a class of the tests can't be set from the code")
        setattr(self._asked_of(target, name), name, value)

    def do_delete(self, target: Any, name: str) -> None:
        raise AttributeError(f"{name} of an object of the tests can't be removed from the code")

    def do_call(self, target: Any, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]) -> Any:
        try:
            return super().do_call(self._asked_of(target), args, kwargs)
        except AssertionError as error:
            self.doubt(f"an assert of the tests failed where the code could swallow it: {str(error)[:200]}")
            raise

    def do_special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        return super().do_special(self._asked_of(target), name, args)

    def do_items_of(self, target: Any) -> list[Any]:
        return super().do_items_of(self._asked_of(target))

    def do_item(self, target: Any, key: Any) -> Any:
        return super().do_item(self._asked_of(target), key)

    def do_repr(self, target: Any) -> str:
        return super().do_repr(self._asked_of(target))

    def do_dir(self, target: Any) -> list[str]:
        return super().do_dir(self._asked_of(target))

    def exception(self, said: dict[str, Any]) -> BaseException:
        error = super().exception(said)
        if type(error).__module__.split(".", maxsplit=1)[0] in _OUTCOMES:
            self.doubt(f"the code raised {type(error).__name__}, which ends a test otherwise than by an assert")
        return error

    def do_input(self, prompt: str) -> str:
        return builtins.input(prompt)

    def do_line(self) -> str:
        return sys.stdin.readline()

    def do_rest(self) -> str:
        return sys.stdin.read()


def _short(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, _PLAIN) else f"a {type(value).__name__}"


class _Outcomes:
    """A plugin of pytest's that notes what became of each test."""

    def __init__(self, examiner: Examiner, finder: Finder) -> None:
        self.examiner, self.finder = examiner, finder
        self.tests: dict[str, str] = {}
        """passed, failed or skipped, by the test's name."""

    def pytest_configure(self) -> None:
        """Before pytest's own way to import tests, so that nothing is taken for one that came later."""
        sys.meta_path.remove(self.finder)
        sys.meta_path.insert(0, self.finder)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """A test that the code has put something else in place of is none."""
        for item in items:
            if handle_of(getattr(item, "obj", None)) is not None:
                self.examiner.doubt(f"{item.nodeid} is a function of the code's")

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.tests.get(report.nodeid)
        if report.failed or before is None or (report.skipped and before == "passed"):
            self.tests[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.tests[report.nodeid or "."] = "failed"


def main(order: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)
    import pytest

    sys.pycache_prefix = "/nonexistent"  # compiled tests beside the tests may be the code's
    os.chdir(order["root"])
    examiner = Examiner(order["fd"], order["root"])
    finder = Finder(examiner, order["own"])
    outcomes = _Outcomes(examiner, finder)
    share_patches(examiner)
    sys.meta_path.insert(0, finder)
    if order["root_on_path"]:
        sys.path.insert(0, order["root"])
    sys.argv = ["pytest", *order["arguments"]]
    code = int(pytest.main(order["arguments"], plugins=[outcomes]))
    told = {"code": code, "tests": outcomes.tests, "doubts": examiner.doubts, "ended": examiner.ended}
    sys.stdout.flush()
    with os.fdopen(order["result"], "w") as result:
        json.dump(told, result)
    os._exit(0)


if __name__ == "__main__":
    main(order(sys.argv[1]))
