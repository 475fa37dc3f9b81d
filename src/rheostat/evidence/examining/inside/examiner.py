"""The examiner's process: runs the tests here, and the code under test in the other process.

A module of the workspace that isn't the tests' own is imported as a mirror (`mirrors`). Comparisons are made here, on
data; where only an object of the code's own class could say whether it equals something, nothing is proven.

Runs inside the sandbox: standard library and pytest only.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import importlib
import json
import logging
import os
import re
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.comparing import COUNTS, Comparing
    from rheostat.evidence.examining.inside.compiled import Compiled
    from rheostat.evidence.examining.inside.delegated import delegate
    from rheostat.evidence.examining.inside.equating import is_plain
    from rheostat.evidence.examining.inside.functions import ABOUT
    from rheostat.evidence.examining.inside.guards import guard, installed_places
    from rheostat.evidence.examining.inside.intact import Intact
    from rheostat.evidence.examining.inside.modules import Finder, SubjectModule, share_patches
    from rheostat.evidence.examining.inside.outcomes import Outcomes
    from rheostat.evidence.examining.inside.reading import Reading
else:
    from comparing import COUNTS, Comparing
    from compiled import Compiled
    from delegated import delegate
    from equating import is_plain
    from functions import ABOUT
    from guards import guard, installed_places
    from intact import Intact
    from modules import Finder, SubjectModule, share_patches
    from outcomes import Outcomes
    from reading import Reading

_FRAMES = (types.FrameType, types.CodeType, types.TracebackType, types.ModuleType)
_INWARD = ("gi_", "cr_", "ag_", "f_", "tb_", "co_", "func_")
_OF_NAMEDTUPLES = ("_asdict", "_field_defaults", "_fields", "_make", "_replace")
_OUTCOMES = ("pytest", "_pytest", "unittest", "hypothesis")
_OURS = re.compile(
    r"(?:PATH|HOME|TMPDIR|SHELL|IFS|ENV|CLASSPATH|LOCPATH|EDITOR|PAGER)$|PYTHON|PERL|RUBY|BASH|LUA|MAKE|GCONV|_?JAVA"
    r"|(?:PYTEST|LD|DYLD|GIT|NODE|JDK|GLIBC|MALLOC|TAR|AWK|GREP|DIFF|XDG)_"
)
"""Variables that would change what a program started by the tests does; the code can't set them here."""
_DUMPABLE, _MOST_SINCE_LOST = 4, 1_000


class Examiner(Comparing):
    """The side that judges.

    Args:
        order: The file descriptors of the connection (`fd`) and of the result (`result`), the `root`, and the `token`
            that shows that a result is the examiner's.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        super().__init__(order["fd"], "e", trusted=False)
        self.root = order["root"]
        self._result, self._token = order["result"], order["token"]
        self._messages_since_lost = 0
        self._directory = ""
        self._given: set[int] = set()
        self.known = set(sys.modules) | set(sys.stdlib_module_names)
        """Modules that don't belong to the workspace, whatever files it has."""

    def tell(self, **found: Any) -> NoReturn:
        """Write the result, and end the process."""
        sys.stdout.flush()
        said = {"doubts": self.doubts, "ended": self.ended, "lost": self.lost, "token": self._token}
        with os.fdopen(self._result, "w") as result:
            json.dump(found | said, result)
        os._exit(0)

    def _receive(self) -> dict[str, Any]:
        self._messages_since_lost += bool(self.lost)
        if self._messages_since_lost > _MOST_SINCE_LOST:  # the verdict is lost: don't go on for ever
            self.tell(tests={}, collected={}, code=1, status="failed", why="")
        return super()._receive()

    # --- additional data of messages ----------------------------------------------------------------------------

    def aside(self) -> dict[str, Any]:
        directory = os.getcwd()
        moved = directory if directory != self._directory else None
        self._directory = directory
        return {"environment": self.environment(), "directory": moved}

    def take_aside(self, aside: dict[str, Any]) -> None:
        if (changed := aside.get("environment")) is not None:
            kept = {name: value for name, value in os.environ.items() if _OURS.match(name)}
            os.environ.clear()
            os.environ.update({str(name): str(value) for name, value in changed.items() if not _OURS.match(str(name))})
            os.environ.update(kept)
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
        """A module of the workspace.

        Raises:
            AttributeError: It is another module.
        """
        found = None if name.split(".", maxsplit=1)[0] in self.known else importlib.import_module(name)
        if not isinstance(found, SubjectModule):
            raise AttributeError(f"{name} isn't a module of the code")
        return found

    async def _finished(self, coroutine: Any) -> Any:
        await importlib.import_module("asyncio").sleep(0)
        return self.ask("finish", coroutine)

    def real_class(self, module: str, name: str) -> type | None:
        found = super().real_class(module, name)
        if found is not None or module.split(".", maxsplit=1)[0] in (*_OUTCOMES, "pluggy"):
            return found
        home = sys.modules.get(module)
        if home is None or isinstance(home, SubjectModule):
            return None
        there, file = vars(home).get(name), getattr(home, "__file__", None) or ""
        if not isinstance(there, type) or there.__module__.split(".", maxsplit=1)[0] in _OUTCOMES:
            return None
        if issubclass(there, Exception) and not file.startswith(self.root):
            return there
        return None

    # --- requests from the code under test ----------------------------------------------------------------------

    def encode_own(self, value: Any) -> Any:
        node = self._encoded(value)
        home = type(value).__module__.split(".", maxsplit=1)[0]
        of_pytest = home in ("pytest", "_pytest", "pluggy") and type(value).__name__ != "NotSetType"
        of_mock = isinstance(value, _kind("unittest.mock", "_ANY"))
        if of_pytest or of_mock or isinstance(value, _kind("unittest", "TestCase")):
            self.doubt(f"a {type(value).__name__} of the tests was given to the code")
        if node["t"] == "object":
            self._given.add(node["h"])
        return node

    def _asked_of(self, target: Any, name: str = "") -> Any:
        """The object itself, if the tests gave it to the code and the name doesn't lead to its internals.

        Raises:
            Unsupported: The tests never gave it to the code.
            AttributeError: The name is hidden from the code.
        """
        if name.startswith(("_", *_INWARD)) and not (name in _OF_NAMEDTUPLES and isinstance(target, tuple | type)):
            raise AttributeError(f"{name} of an object of the tests can't be seen from the code")
        if self._numbers.get(id(target)) not in self._given or isinstance(target, _FRAMES):
            raise self.unsupported(
                f"the code asked for {name or 'a result'} of a {type(target).__name__} not given to it"
            )
        return target

    def do_get(self, target: Any, name: str) -> Any:
        if name in ABOUT and isinstance(said := getattr(target, name), str | None):
            return said
        self._asked_of(target, name)
        if _keeps_count(target, name):
            self.doubt(f"the code takes {name} of a {type(target).__name__} of the tests")
        return getattr(target, name)

    def do_set(self, target: Any, name: str, value: Any) -> None:
        if isinstance(target, type):
            raise AttributeError(f"{name} of a class of the tests can't be set from the code")
        self._asked_of(target, name)
        decides = isinstance(getattr(type(target), name, None), property)  # such as return_value and side_effect
        of_mock = isinstance(target, _kind("unittest.mock", "NonCallableMock")) and (decides or not is_plain(value))
        if of_mock or _keeps_count(target, name) or callable(getattr(type(target), name, None)):
            self.doubt(f"the code sets {name} of a {type(target).__name__} of the tests")
        setattr(target, name, value)

    def do_delete(self, target: Any, name: str) -> None:
        raise AttributeError(f"{name} of an object of the tests can't be removed from the code")

    def do_call(self, target: Any, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]) -> Any:
        return super().do_call(self._asked_of(target), args, kwargs)

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

    def described(self, error: BaseException, depth: int = 0) -> dict[str, Any]:
        said = super().described(error, depth)
        if "yours" not in said and (isinstance(error, AssertionError) or _ends_a_test(error)):
            self.doubt(f"an assert of the tests failed where the code could swallow it: {str(error)[:200]}")
        return said

    def exception(self, said: dict[str, Any]) -> BaseException:
        error = super().exception(said)
        if _ends_a_test(error):
            self.doubt(f"the code raised {type(error).__name__}, which ends a test otherwise than by an assert")
        return error

    def do_finish(self, coroutine: Any) -> Any:
        """Run a coroutine of the tests that the code awaits, if it ends without waiting for anything else."""
        self._asked_of(coroutine)
        with contextlib.closing(coroutine):
            try:
                while coroutine.send(None) is None:
                    pass
            except StopIteration as done:
                return done.value
        raise self.unsupported("the code awaits something of the tests that waits for something else")

    def do_input(self, prompt: str) -> str:
        return builtins.input(prompt)

    def do_line(self) -> str:
        return sys.stdin.readline()

    def do_rest(self) -> str:
        return sys.stdin.read()


def _kind(module: str, name: str) -> Any:
    """A class of a module; no class, of which nothing is an instance, if nobody has imported that module."""
    return getattr(sys.modules.get(module), name, ())


def _ends_a_test(error: BaseException) -> bool:
    homes = {kind.__module__.split(".", maxsplit=1)[0] for kind in type(error).__mro__}
    return not homes.isdisjoint(_OUTCOMES) or isinstance(error, _kind("unittest", "SkipTest"))


def _keeps_count(target: Any, name: str) -> bool:
    """Whether a name is one by which a mock tells how it was called."""
    return isinstance(target, _kind("unittest.mock", "NonCallableMock")) and (
        name in COUNTS or name.startswith("assert")
    )


def keep_apart() -> None:
    """Keep other processes of the same user from reading this process's memory."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)


def main(order: dict[str, Any]) -> None:
    keep_apart()
    import pytest

    for name in getattr(importlib.import_module("_pytest.config"), "default_plugins", ()):
        importlib.import_module(f"_pytest.{name}")  # after `guard`, it takes longer
    os.chdir(order["root"])
    examiner = Examiner(order)
    finder = Finder(examiner, order["own"], Compiled(installed_places(order["root"])))
    outcomes = Outcomes(examiner, finder, whole=not any("::" in word for word in order["arguments"]))
    share_patches(examiner)
    delegate(examiner.ask)
    guard(order["root"], finder.own, examiner.unsupported)
    reading = Reading(order["root"], order["changed"])
    sys.meta_path.insert(0, finder)
    if order["root_on_path"]:
        sys.path.insert(0, order["root"])
    sys.argv = ["pytest", *order["arguments"]]
    intact = Intact()
    finder.decides = intact.remember
    code = int(pytest.main(order["arguments"], plugins=[outcomes]))
    for doubt in (*reading.doubts(), *intact.doubts()):
        examiner.doubt(doubt)
    examiner.tell(code=code, tests=outcomes.tests, collected=outcomes.collected)
