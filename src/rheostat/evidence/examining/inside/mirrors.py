"""Mirrors of the other side's objects, classes and exceptions: every operation on a mirror is sent to its owner.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import abc
import collections.abc
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.data import Data
    from rheostat.evidence.examining.inside.derived import derive
    from rheostat.evidence.examining.inside.functions import described, handle_of_function, renew, stand_in
    from rheostat.evidence.examining.inside.specials import (
        FORWARDED,
        Asked,
        bound,
        data_based,
        defines,
        forwarding,
        method_of,
        peer_of,
    )
else:
    from derived import derive
    from functions import described, handle_of_function, renew, stand_in
    from specials import FORWARDED, Asked, bound, data_based, defines, forwarding, method_of, peer_of

    from data import Data

_PLAIN: tuple[Any, ...] = (bool, int, float, str, tuple, frozenset, bytes)
_BASES = (BaseException, int, float, str, tuple, bytes, frozenset, dict, list, set)
"""Python's own classes that a mirrored class may have as a base."""


_NAMELESS: tuple[Any, ...] = (
    types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.MappingProxyType, type({}.keys()),
    type({}.values()), type({}.items()),
)  # fmt: skip
_SHOWN_AS: dict[str, type] = {kind.__name__: kind for kind in _NAMELESS}
"""Classes without a public name, for which `isinstance` accepts a mirror."""


_NOT_ASKED = ("_peer_", "__array_f", "__array_i", "__array_p", "__array_s", "__array_u", "__array_w")
"""Our own names, and those by which an object would compute in numpy's place; `__array__` gives numpy the data."""


class Unsupported(Exception):
    """A value or an operation can't be passed between the two sides."""


class MirrorMeta(type):
    """The class of mirrored classes."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        return derive(cls, next(peer_of(base) for base in bases if type(base) is MirrorMeta), name, bases, namespace)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return peer_of(cls).call(cls, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith(_NOT_ASKED):
            raise AttributeError(name)
        return peer_of(cls).ask("get", cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        peer_of(cls).ask("set", cls, name, value)

    def __delattr__(cls, name: str) -> None:
        peer_of(cls).ask("delete", cls, name)

    def __iter__(cls) -> Any:
        return iter(peer_of(cls).ask("items_of", cls))

    def __len__(cls) -> int:
        return len(peer_of(cls).ask("items_of", cls))

    def __getitem__(cls, key: Any) -> Any:
        return peer_of(cls).ask("item", cls, key)

    def __contains__(cls, value: Any) -> bool:
        return any(each is value or each == value for each in cls)

    def __bool__(cls) -> bool:
        return True

    @property  # type: ignore[misc]
    def __dict__(cls) -> Any:  # type: ignore[override]
        peer = peer_of(cls)
        if peer.trusted:  # the tests hide the rest; Python's abstract classes look here for special methods
            return _namespace(cls)
        return peer.ask("get", cls, "__dict__")


class Mirror:
    """A stand-in for an object of the other side."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_NOT_ASKED):
            raise AttributeError(name)
        return peer_of(self).ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__"):
            object.__setattr__(self, name, value)
        else:
            peer_of(self).ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        peer_of(self).ask("delete", self, name)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return peer_of(self).ask("get", self, "__dict__")

    def __repr__(self) -> str:
        return str(peer_of(self).ask("repr", self))

    def __dir__(self) -> Any:
        return peer_of(self).ask("dir", self)

    def __copy__(self) -> Any:
        return peer_of(self).ask("copy", self, False)

    def __deepcopy__(self, memo: Any) -> Any:
        return peer_of(self).ask("copy", self, True)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise peer_of(self).unsupported("an object of the other side can't be pickled")


_namespace: Callable[[type], Any] = vars(type)["__dict__"].__get__


def handle_of(value: Any) -> int | None:
    """The owner's number of the object behind a mirror; `None` if the value isn't a mirror."""
    try:
        if isinstance(value, type):
            return _namespace(value).get("_peer_handle") if type(value) is MirrorMeta else None
        if type(type(value)) is MirrorMeta:
            return object.__getattribute__(value, "_peer_handle")  # type: ignore[no-any-return]
    except AttributeError:
        pass
    return None


class Mirrors(Data):
    """Objects of this side by their numbers, and mirrors of the other side's objects.

    Args:
        side: The first letter of this side's names of containers.
        trusted: Whether functions of the other side may become methods here.
    """

    def __init__(self, side: str, *, trusted: bool) -> None:
        super().__init__(side)
        self.trusted = trusted
        """Whether functions of the other side may become methods here."""
        self._owned: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._mirrors: dict[int, Any] = {}
        self._described: set[int] = set()
        self._told_of: dict[int, dict[str, Any]] = {}
        self._own_kinds: dict[int, type] = {}

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an object of the other side."""
        raise NotImplementedError

    def unsupported(self, why: str) -> Exception:
        """Note that something couldn't be passed on, and return the exception to raise."""
        raise NotImplementedError

    def encode_other(self, value: Any) -> Any:
        """Encode a value that isn't plain data."""
        if (handle := handle_of(value)) is not None:
            return {"t": "yours", "h": handle}
        if self.trusted and (handle := handle_of_function(value)) and self._mirrors.get(handle) is value:
            return {"t": "yours", "h": handle}
        return None if isinstance(value, types.TracebackType) else self.encode_own(value)

    def took_class(self, kind: type) -> None:
        """Called when a class came from the other side as a value."""

    def holds(self, mirror: Any) -> None:
        """Called with each new mirror of a list, dict or set of the other side's own class."""

    def described(self, error: BaseException) -> dict[str, Any]:
        """Encode an exception for the other side."""
        raise NotImplementedError

    def exception(self, said: dict[str, Any]) -> BaseException:
        """Decode an exception from a message."""
        raise NotImplementedError

    def encode_own(self, value: Any) -> Any:
        """Encode an object of this side."""
        return self._own(value)

    def decode_other(self, node: dict[str, Any]) -> Any:
        """Decode a value that isn't plain data."""
        return self._owned[node["h"]] if node["t"] == "yours" else self._mirror(node)

    def _own(self, value: Any) -> dict[str, Any]:
        handle = self._number(value)
        node: dict[str, Any] = {"t": "object", "h": handle}
        if isinstance(value, type):
            node["class"] = self._described_class(value)
            return node
        if not self.trusted and isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
            node |= described(value)
        if type(value).__module__ == "builtins" and hasattr(value, "__await__"):
            node["coroutine"] = True
        if isinstance(value, BaseException):
            node["raised"] = self.described(value)
        if (plain := next((each for each in _PLAIN if isinstance(value, each)), None)) is not None:
            node["data"] = self.encode(plain.__new__(plain, value))
        node["of"] = self._described_class(type(value))
        return node

    def _number(self, value: Any) -> int:
        handle = self._numbers.get(id(value))
        if handle is None:
            handle = self._numbers[id(value)] = len(self._owned) + 1
            self._owned[handle] = value
        return handle

    def _described_class(self, kind: type) -> dict[str, Any]:
        handle = self._number(kind)
        said: dict[str, Any] = {"h": handle, "module": kind.__module__, "name": kind.__qualname__}
        if handle not in self._described:
            self._described.add(handle)
            said["bases"] = [self._described_class(base) for base in kind.__bases__ if base is not object]
            said["special"] = [name for name in FORWARDED if defines(kind, name)]
            said["unhashable"] = kind.__hash__ is None
        return said

    def _mirror(self, node: dict[str, Any]) -> Any:
        handle = node["h"]
        if "class" in node:
            kind = self.mirrored_class(node["class"])
            self.took_class(kind)
            return kind
        if handle in self._mirrors:
            if "fields" in node and self.trusted:
                renew(self._mirrors[handle], node)
            return self._mirrors[handle]
        if node.get("raised"):
            mirror = self.exception(node["raised"])
        elif "about" in node and self.trusted:
            owner = self._blank(self._class_of_mirrors(node["of"]), node)
            mirror = stand_in(lambda args, kwargs: self.call(owner, args, kwargs), node)
        else:
            mirror = self._blank(self._class_of_mirrors(node["of"]), node)
        self._mirrors[handle] = mirror
        return mirror

    def _blank(self, kind: type, node: dict[str, Any]) -> Any:
        data = self.decode(node["data"]) if "data" in node else None
        plain: Any = type(data)
        if data is not None and issubclass(kind, plain):
            mirror = plain.__new__(kind, data)
        else:
            mirror = next(each for each in (dict, list, set, object) if issubclass(kind, each)).__new__(kind)
        object.__setattr__(mirror, "_peer_handle", node["h"])
        if isinstance(mirror, dict | list | set):
            self.holds(mirror)
        return mirror

    def mirrored_class(self, said: dict[str, Any]) -> type:
        """The mirror of a class, or the class itself if both sides have it."""
        handle = said["h"]
        if "bases" in said:
            self._told_of[handle] = said
        if handle not in self._mirrors:
            real = self.real_class(said["module"], said["name"])
            self._mirrors[handle] = real if real is not None else self._new_class(said)
        return self._mirrors[handle]  # type: ignore[no-any-return]

    def known_as(self, handle: int, kind: type) -> None:
        """Register the mirror of a class that was made here."""
        self._mirrors[handle] = kind

    def _class_of_mirrors(self, said: dict[str, Any]) -> type:
        """A mirrored class, even if the class is one of Python's own, such as `zip`."""
        kind = self.mirrored_class(said)
        if type(kind) is MirrorMeta:
            return kind
        handle = said["h"]
        if handle not in self._own_kinds:
            self._own_kinds[handle] = self._new_class(self._told_of[handle] | {"bases": []})
        return self._own_kinds[handle]

    def _new_class(self, said: dict[str, Any]) -> type:
        handle = said["h"]
        bases = [self.mirrored_class(each) for each in said.get("bases", ())]
        bases = [each for each in bases if type(each) is MirrorMeta or issubclass(each, _BASES)]
        namespace: dict[str, Any] = {
            name: forwarding(name) for name in FORWARDED if name in said.get("special", ()) and name != "__repr__"
        }
        if said.get("unhashable"):
            namespace["__hash__"] = None
        elif "__hash__" not in namespace and "__eq__" in namespace:
            namespace["__hash__"] = object.__hash__
        home: Any = said["module"]
        if said["module"] == "builtins" and said["name"] in ("function", "builtin_function_or_method"):
            namespace["__get__"] = bound
            home = Asked("__module__", "builtins")
        namespace |= {
            "__doc__": Asked("__doc__"), "__module__": home, "__qualname__": said["name"], "_peer_self": self,
            "_peer_handle": handle,
        }  # fmt: skip
        if said["module"] == "builtins" and (known := _SHOWN_AS.get(said["name"])) is not None:
            namespace["__class__"] = property(lambda mirror: known)
        name = said["name"].rpartition(".")[2]
        held = next((each for each in (dict, list, set) if any(issubclass(base, each) for base in bases)), None)
        if held is not None:  # the owner has the content of a mirrored container
            namespace |= {each: method_of(each) for each in dir(held) if not each.startswith("_")}
        for tried in (
            (*bases, Mirror) if not any(issubclass(each, Mirror) for each in bases) else (*bases,),
            (Mirror,),
        ):
            own = {key: value for key, value in namespace.items() if not data_based(tried, key)}
            try:
                kind: type = type.__new__(MirrorMeta, name, tuple(tried), own)
                break
            except TypeError:
                continue
        for base in said.get("bases", ()):
            abstract = getattr(collections.abc, base["name"], None) if base["module"] == "collections.abc" else None
            if isinstance(abstract, abc.ABCMeta):
                abstract.register(kind)
        return kind

    def real_class(self, module: str, name: str) -> type | None:
        """The class of that name that this side has too, or `None`."""
        if module == "builtins":
            found = getattr(sys.modules["builtins"], name, None)
            return found if isinstance(found, type) else None
        if module.split(".", maxsplit=1)[0] in sys.stdlib_module_names - {"unittest"} and module in sys.modules:
            found = getattr(sys.modules[module], name, None)
            return found if isinstance(found, type) and issubclass(found, BaseException) else None
        return None
