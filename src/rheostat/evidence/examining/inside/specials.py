"""Special methods and names of a mirror's class, which make Python ask the owner.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

FORWARDED = tuple(
    f"__{name}__"
    for words in (
        "call len iter next getitem setitem delitem contains bool eq ne lt le gt ge hash repr str format int float",
        "index round abs neg pos invert add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub",
        "rmul rtruediv rfloordiv rmod rpow rmatmul rand ror rxor iadd isub imul itruediv ifloordiv imod ipow iand ior",
        "ixor divmod rdivmod enter exit aenter aexit aiter anext reversed bytes fspath missing length_hint trunc floor",
        "ceil complex get set delete set_name",
    )
    for name in words.split()
)
"""Special methods that are forwarded to an object's owner."""


def peer_of(mirror: Any) -> Any:
    kind = mirror if isinstance(mirror, type) else type(mirror)
    return type.__getattribute__(kind, "_peer_self")


def defines(kind: type, name: str) -> bool:
    for each in kind.__mro__:
        if name in vars(each):
            return each is not object and vars(each)[name] is not None
    return False


def data_based(bases: tuple[type, ...], name: str) -> bool:
    """Whether a class inherits this method from a plain data type; its mirrors compute as the data does."""
    return name in FORWARDED and any(issubclass(each, int | float | str | tuple | bytes | frozenset) for each in bases)


class Asked:
    """A descriptor for a name that Python defines on every class here, so that the owner is asked for its value."""

    def __init__(self, name: str, of_class: str | None = None) -> None:
        self._name, self._of_class = name, of_class

    def __get__(self, mirror: Any, owner: Any) -> Any:
        if mirror is None and self._of_class is not None:
            return self._of_class
        target = owner if mirror is None else mirror
        return peer_of(target).ask("get", target, self._name)


def bound(function: Any, instance: Any, owner: Any = None) -> Any:
    """Bind a mirrored function to an instance, as `__get__` of a real function does."""
    return function if instance is None else types.MethodType(function, instance)


def is_function(mirror: Any) -> bool:
    """Whether a mirror stands for a function."""
    return vars(type)["__dict__"].__get__(type(mirror)).get("__get__") is bound


def method_of(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return peer_of(self).ask("get", self, name)(*args, **kwargs)

    method.__name__ = name
    return method


def forwarding(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "__call__":
            return peer_of(self).call(self, args, kwargs)
        return peer_of(self).special(self, name, args)

    method.__name__ = name
    return method
