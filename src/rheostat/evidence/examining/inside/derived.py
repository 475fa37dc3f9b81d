"""Make classes of the tests that derive from classes of the code, one on each side.

In the code's process, a class is made whose methods call the tests' functions. Its mirror in the examiner has these
functions themselves; above them, `super()` finds the methods of the bases, which ask the code's process.

Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

_WRAPPED = {"staticmethod": staticmethod, "classmethod": classmethod}
_NOT_SENT = {"__module__", "__qualname__", "__classcell__", "__doc__", "__annotations__", "__dict__", "__weakref__"}


def derive(meta: type, peer: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """Make the mirror of a class that the tests derive from mirrored classes."""
    cell = namespace.pop("__classcell__", None)
    sent = tuple((key, *_sent(value)) for key, value in namespace.items() if key not in _NOT_SENT)
    handle, inherited = peer.ask("derive", name, bases, sent)
    above = {key: _of_bases(bases, key) for key in inherited if str(key).isidentifier() and key[:1] != "_"}
    above["__init__"] = _of_bases(bases, "__init__")
    own = {key: value for key, value in namespace.items() if key not in ("__dict__", "__weakref__")}
    marks = {"_peer_self": peer, "_peer_handle": handle}
    make: Any = type.__new__
    between = make(meta, name, bases, {**above, **marks})
    kind = make(meta, name, (between,), {**own, **marks})
    peer.known_as(handle, kind)
    if cell is not None:
        cell.cell_contents = kind
    return kind


def derived(name: str, bases: tuple[type, ...], sent: tuple[Any, ...]) -> tuple[type, list[str]]:
    """Make the class itself, in the code's process; return it and the names of its bases' methods."""

    def fill(namespace: dict[str, Any]) -> None:
        for key, how, *values in sent:
            if how in _WRAPPED:
                namespace[key] = _WRAPPED[how](values[0])
            else:
                namespace[key] = property(*values) if how == "property" else values[0]

    kind = types.new_class(name, bases, {}, fill)
    return kind, [each for base in bases for each in dir(base) if callable(getattr(base, each, None))]


def _sent(value: Any) -> tuple[Any, ...]:
    if isinstance(value, property):
        return "property", value.fget, value.fset, value.fdel
    if isinstance(value, staticmethod | classmethod):
        return type(value).__name__, value.__func__
    return "value", value


def _of_bases(bases: tuple[type, ...], name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        peer = type.__getattribute__(type(self), "_peer_self")
        return peer.ask("of_bases", bases, name, self, args, tuple(kwargs.items()))

    method.__name__ = name
    return method
