"""The process of the code under test: imports it and does what the examiner asks; it never decides a verdict.

Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import array
import builtins
import collections
import contextlib
import copy
import importlib
import io
import logging
import os
import random
import sys
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.delegated import originals
    from rheostat.evidence.examining.inside.derived import derived
    from rheostat.evidence.examining.inside.wire import Peer
else:
    from delegated import originals
    from derived import derived

    from wire import Peer

_MOST_SHOWN = 10_000


class Subject(Peer):
    """The side with the objects under test."""

    def __init__(self, fd: int, root: str) -> None:
        super().__init__(fd, "s", trusted=True)
        self._root = root
        self._said: list[list[str]] = []
        self._before: dict[tuple[int, str], Any] = {}
        self._library = originals()  # before the code can replace them

    # --- additional data of messages ----------------------------------------------------------------------------

    def aside(self) -> dict[str, Any]:
        said, self._said = self._said, []
        return {"said": said, "environment": self.environment()}

    def take_aside(self, aside: dict[str, Any]) -> None:
        if aside.get("environment") is not None:
            os.environ.clear()
            os.environ.update(aside["environment"])
            self.environment()
        if aside.get("directory"):
            os.chdir(aside["directory"])

    def say(self, kind: str, *words: str) -> None:
        """Queue text, a warning or a log record for the examiner's process."""
        self._said.append([kind, *words])

    # --- values -------------------------------------------------------------------------------------------------

    def encode_own(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            file = getattr(value, "__file__", None) or ""
            paths = [*getattr(value, "__path__", ())]
            if any(each.startswith(self._root) for each in (file, *paths)):
                return {"t": "subject", "n": value.__name__}
        return self._own(value)

    def decode_other(self, node: dict[str, Any]) -> Any:
        if node["t"] == "module":
            return importlib.import_module(node["n"])
        if node["t"] == "global":
            value: Any = importlib.import_module(node["m"])
            for name in node["n"].split("."):
                value = getattr(value, name)
            return value
        if node.get("coroutine"):
            return self._finished(super().decode_other(node))
        return super().decode_other(node)

    async def _finished(self, coroutine: Any) -> Any:
        return self.ask("finish", coroutine)

    # --- requests from the examiner -----------------------------------------------------------------------------

    def do_module(self, name: str, path: list[str], again: bool) -> dict[str, Any]:
        """Import or reload a module of the workspace, and describe it."""
        for place in reversed(path):
            if place not in sys.path:
                sys.path.insert(0, place)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        if again:
            module = importlib.reload(module)
        public = getattr(module, "__all__", None)
        names = [each for each in vars(module) if each[0] != "_"] if public is None else list(public)
        modules = [name for name, value in vars(module).items() if isinstance(value, types.ModuleType)]
        return {"all": names, "doc": module.__doc__, "names": list(vars(module)), "modules": modules}

    def do_global(self, module: str, name: str) -> Any:
        return getattr(sys.modules[module], name)

    def do_set_global(self, module: str, name: str, value: Any) -> None:
        self.do_set(sys.modules[module], name, value)

    def do_delete_global(self, module: str, name: str) -> None:
        self.do_delete(sys.modules[module], name)

    def do_set(self, target: Any, name: str, value: Any) -> None:
        if isinstance(target, type | types.ModuleType) and name in vars(target):
            self._before.setdefault((id(target), name), vars(target)[name])
        setattr(target, name, value)

    def do_delete(self, target: Any, name: str) -> None:
        """Restore an attribute to its value before `do_set`; else delete it."""
        if (id(target), name) in self._before:
            setattr(target, name, self._before.pop((id(target), name)))
        else:
            delattr(target, name)

    def do_patch(self, module: str, name: str, value: Any) -> None:
        """Apply a patch of the tests to a module that both sides have."""
        self.do_set(importlib.import_module(module), name, value)

    def do_unpatch(self, module: str, name: str) -> None:
        target = importlib.import_module(module)
        if (id(target), name) in self._before:
            self.do_delete(target, name)

    def do_seed(self, value: Any) -> None:
        random.seed(value)

    def do_finish(self, coroutine: Any) -> Any:
        """Run a coroutine to its end, in an event loop that is kept for later ones."""
        loop = getattr(self, "_loop", None)
        if loop is None:
            loop = self._loop = importlib.import_module("asyncio").new_event_loop()

        async def finished() -> Any:
            return await coroutine

        return loop.run_until_complete(finished())

    def do_state(self, target: Any) -> Any:
        """The content of an object by the names of its fields; `None` if its class hides the real fields."""
        fields: dict[str, Any] = {}
        for kind in reversed(type.mro(type(target))):
            own = type.__getattribute__(kind, "__dict__")
            for name, value in own.items():  # read from Python's own descriptors, not through the class's methods
                if isinstance(value, types.MemberDescriptorType):
                    with contextlib.suppress(AttributeError):
                        fields[name] = value.__get__(target)
                elif name == "__dict__" and isinstance(value, types.GetSetDescriptorType):
                    fields.update(value.__get__(target))
                elif name == "__dict__":
                    return None
        return fields

    def do_derive(self, name: str, bases: tuple[type, ...], sent: tuple[Any, ...]) -> tuple[int, list[str]]:
        """Make a class of the tests that derives from these bases."""
        kind, inherited = derived(name, bases, sent)
        return self._number(kind), inherited

    def do_of_bases(self, bases: tuple[type, ...], name: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Call the method that `super()` finds in these bases."""
        after = next(each for each in type(target).__mro__ if each in bases)
        found = next(
            vars(each)[name] for each in type(target).__mro__[type(target).__mro__.index(after) :] if name in vars(each)
        )
        return found.__get__(target, type(target))(*args, **dict(kwargs))

    def do_library(self, module: str, name: str, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]) -> Any:
        """Call one of Python's own functions that look into an object."""
        found = self._library[module, name](*args, **dict(kwargs))
        return list(found) if isinstance(found, types.GeneratorType) else found

    def do_copy(self, target: Any, deep: bool) -> Any:
        return copy.deepcopy(target) if deep else copy.copy(target)

    def do_plain(self, target: Any) -> tuple[str, Any] | None:
        """(class name, content) of an object that derives from one of Python's containers; else `None`."""
        for kind, content in _CONTENTS.items():
            if isinstance(target, kind):
                return kind.__name__, content(target)
        return None


_CONTENTS: dict[type, Callable[[Any], Any]] = {
    dict: lambda target: dict(dict.items(target)),
    list: lambda target: list(list.__iter__(target)),
    set: lambda target: set(set.__iter__(target)),
    type({}.keys()): set,
    type({}.items()): set,
    types.MappingProxyType: dict,
    array.array: list,
    types.SimpleNamespace: lambda target: dict(vars(target)),
    collections.ChainMap: dict,
    collections.UserDict: lambda target: target.data,
    collections.UserList: lambda target: target.data,
    collections.UserString: lambda target: target.data,
}


class _Said(io.TextIOBase):
    encoding = "utf-8"

    def __init__(self, subject: Subject, kind: str) -> None:
        self._subject, self._kind = subject, kind

    def write(self, text: str) -> int:
        self._subject.say(self._kind, str(text))
        return len(text)

    def writable(self) -> bool:
        return True


class _Asked(io.TextIOBase):
    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        return str(self._subject.ask("line"))

    def read(self, size: int | None = -1) -> str:
        return str(self._subject.ask("rest"))

    def readable(self) -> bool:
        return True


class _Logs(logging.Handler):
    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self._subject = subject

    def emit(self, record: logging.LogRecord) -> None:
        self._subject.say("log", record.name, str(record.levelno), record.getMessage()[:_MOST_SHOWN])


def main(order: dict[str, Any]) -> None:
    os.chdir(order["root"])
    subject = Subject(order["fd"], order["root"])
    sys.argv = ["pytest"]
    sys.stdout, sys.stderr = _Said(subject, "out"), _Said(subject, "err")
    sys.stdin = _Asked(subject)

    def asked(prompt: object = "", /) -> str:
        return str(subject.ask("input", str(prompt)))

    builtins.input = asked

    def shown(message: Any, category: Any, *_: Any, **__: Any) -> None:
        subject.say("warning", category.__name__, str(message))

    warnings.simplefilter("always")
    warnings.showwarning = shown
    logging.getLogger().addHandler(_Logs(subject))
    logging.getLogger().setLevel(1)
    subject.serve()
    os._exit(0)
