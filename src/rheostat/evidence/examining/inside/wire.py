"""Values and objects between two processes that don't trust each other.

Plain data goes as data. Other objects stay where they are, and the other side gets a mirror of them: what is done with
a mirror is asked of its owner. Lists, dicts and sets that both sides have seen are kept alike: each message brings what
changed in them. JSON throughout, so that reading a message runs nothing.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import datetime
import decimal
import fractions
import json
import pathlib
import socket
import struct
import sys
import threading
import traceback
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

MOST_MESSAGE_BYTES = 200_000_000
MOST_KEPT_ALIKE = 20_000
_EXACT = 1 << 53

CONTAINERS: dict[str, type] = {
    "list": list, "dict": dict, "set": set, "deque": collections.deque, "OrderedDict": collections.OrderedDict,
    "Counter": collections.Counter, "defaultdict": collections.defaultdict, "bytearray": bytearray,
}  # fmt: skip
_NAMES = {kind: name for name, kind in CONTAINERS.items()}


_BASES = (BaseException, int, float, str, tuple, bytes, frozenset, dict, list, set)
"""Classes of Python's own that a mirrored class may have as a base."""

VALUES: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    bytes: lambda v: (base64.b64encode(v).decode(),),
    complex: lambda v: (v.real, v.imag),
    range: lambda v: (v.start, v.stop, v.step),
    slice: lambda v: (v.start, v.stop, v.step),
    decimal.Decimal: lambda v: (str(v),),
    fractions.Fraction: lambda v: (v.numerator, v.denominator),
    uuid.UUID: lambda v: (str(v),),
    pathlib.PosixPath: lambda v: (str(v),),
    pathlib.PurePosixPath: lambda v: (str(v),),
    datetime.timedelta: lambda v: (v.days, v.seconds, v.microseconds),
    datetime.timezone: lambda v: (v.utcoffset(None),),
    zoneinfo.ZoneInfo: lambda v: (v.key,),
    datetime.date: lambda v: (v.year, v.month, v.day),
    datetime.time: lambda v: (v.hour, v.minute, v.second, v.microsecond, v.tzinfo),
    datetime.datetime: lambda v: (v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond, v.tzinfo),
}
_VALUE_KINDS = {kind.__name__: kind for kind in VALUES}

FORWARDED = tuple(
    f"__{name}__"
    for name in (
        "call len iter next getitem setitem delitem contains bool eq ne lt le gt ge hash repr str format int float complex "
        "index round abs neg pos invert add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub "
        "rmul rtruediv rfloordiv rmod rpow rmatmul rand ror rxor iadd isub imul itruediv ifloordiv imod ipow iand ior "
        "ixor divmod rdivmod enter exit aenter aexit aiter anext reversed bytes fspath missing length_hint trunc floor ceil"
    ).split()
)


class Unsupported(Exception):
    """Something that can't be passed between the two sides."""


class MirrorMeta(type):
    """The class of mirrored classes."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        raise Unsupported(f"{name}: a class can't be derived from one of the other side's")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _peer(cls).call(cls, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_peer_"):
            raise AttributeError(name)
        return _peer(cls).ask("get", cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        _peer(cls).ask("set", cls, name, value)

    def __delattr__(cls, name: str) -> None:
        _peer(cls).ask("delete", cls, name)

    def __iter__(cls) -> Any:
        return iter(_peer(cls).ask("items_of", cls))

    def __len__(cls) -> int:
        return len(_peer(cls).ask("items_of", cls))

    def __getitem__(cls, key: Any) -> Any:
        return _peer(cls).ask("item", cls, key)

    def __contains__(cls, value: Any) -> bool:
        return any(each is value or each == value for each in cls)

    def __bool__(cls) -> bool:
        return True


class Mirror:
    """Stands for an object of the other side."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_peer_"):
            raise AttributeError(name)
        return _peer(self).ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__"):
            object.__setattr__(self, name, value)
        else:
            _peer(self).ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        _peer(self).ask("delete", self, name)

    @property
    def __dict__(self) -> Any:
        return _peer(self).ask("get", self, "__dict__")

    def __repr__(self) -> str:
        return str(_peer(self).ask("repr", self))

    def __dir__(self) -> Any:
        return _peer(self).ask("dir", self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise Unsupported("an object of the other side can't be copied or pickled")


def _peer(mirror: Any) -> Peer:
    return type.__getattribute__(mirror, "_peer_self") if isinstance(mirror, type) else (  # type: ignore[no-any-return]
        type.__getattribute__(type(mirror), "_peer_self")
    )  # fmt: skip


def handle_of(value: Any) -> int | None:
    """The owner's number of what a mirror stands for."""
    try:
        if isinstance(value, type):
            return vars(value).get("_peer_handle") if type(value) is MirrorMeta else None
        if type(type(value)) is MirrorMeta:
            return object.__getattribute__(value, "_peer_handle")  # type: ignore[no-any-return]
    except AttributeError:
        pass
    return None


class Peer:
    """One side of the conversation. Only one of the two runs at a time.

    Args:
        fd: A connected socket.
        side: The letter with which this side's numbers begin.
        trusted: Whether names of the other side's functions and classes are looked up here.
    """

    def __init__(self, fd: int, side: str, *, trusted: bool) -> None:
        self._socket = socket.socket(fileno=fd)
        self._side, self._trusted = side, trusted
        self._lock = threading.RLock()
        self._owned: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._mirrors: dict[int, Any] = {}
        self._alike: dict[str, Any] = {}
        self._alike_ids: dict[int, str] = {}
        self._last_seen: dict[str, tuple[Any, ...]] = {}
        self._next = 0
        self._sending: set[str] = set()
        self._described: set[int] = set()
        self._told_of: dict[int, dict[str, Any]] = {}
        self._own_kinds: dict[int, type] = {}
        self.ended = False
        """The other side is gone."""

    # --- the conversation ---------------------------------------------------------------------------------------

    def ask(self, verb: str, *values: Any) -> Any:
        """Have the other side do something."""
        with self._lock:
            self._send({"ask": verb}, list(values))
            while True:
                message = self._receive()
                if "ask" in message:
                    self._serve(message)
                elif "raised" in message:
                    raise self.exception(message["raised"])
                else:
                    return self.decode(message["value"])

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call something of the other side."""
        return self.ask("call", target, args, kwargs)

    def special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        """A special method of an object of the other side."""
        return self.ask("special", target, name, args)

    def serve(self) -> None:
        """Do what is asked until the other side is gone."""
        while True:
            try:
                message = self._receive()
            except ConnectionError:
                return
            self._serve(message)

    def _serve(self, message: dict[str, Any]) -> None:
        try:
            values = [self.decode(each) for each in message["values"]]
            value = getattr(self, f"do_{message['ask']}")(*values)
            self._send({}, value)
        except ConnectionError:
            raise
        except BaseException as error:
            self._send({"raised": self.described(error)}, None)

    def _send(self, message: dict[str, Any], value: Any) -> None:
        self._sending = set()
        if "ask" in message:
            message["values"] = [self.encode(each) for each in value]
        elif "raised" not in message:
            message["value"] = self.encode(value)
        message["changed"] = self._changes()
        message["aside"] = self.aside()
        raw = json.dumps(message).encode()
        try:
            self._socket.sendall(struct.pack(">Q", len(raw)) + raw)
        except OSError as error:
            self.ended = True
            raise ConnectionError("the other side is gone") from error

    def _receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">Q", self._bytes(8))
        if length > MOST_MESSAGE_BYTES:
            self.ended = True
            raise ConnectionError(f"a message of {length:,} bytes")
        message = json.loads(self._bytes(length))
        self.take_aside(message.get("aside") or {})
        for name, node in message.get("changed") or ():
            if name in self._alike:
                self._fill(name, self._alike[name], node)
        return message  # type: ignore[no-any-return]

    def _bytes(self, length: int) -> bytes:
        parts, left = [], length
        while left:
            try:
                part = self._socket.recv(min(left, 1 << 20))
            except OSError:
                part = b""
            if not part:
                self.ended = True
                raise ConnectionError("the other side is gone")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def aside(self) -> dict[str, Any]:
        """What goes along with a message."""
        return {}

    def take_aside(self, aside: dict[str, Any]) -> None:
        """What came along with a message."""

    # --- what is asked of either side ---------------------------------------------------------------------------

    def do_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def do_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def do_delete(self, target: Any, name: str) -> None:
        delattr(target, name)

    def do_call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return target(*args, **kwargs)

    def do_special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        if name not in FORWARDED:
            raise AttributeError(name)
        return getattr(type(target), name)(target, *args)

    def do_items_of(self, target: Any) -> list[Any]:
        return list(target)

    def do_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def do_repr(self, target: Any) -> str:
        return repr(target)

    def do_dir(self, target: Any) -> list[str]:
        return dir(target)

    # --- values -------------------------------------------------------------------------------------------------

    def encode(self, value: Any) -> Any:
        """A value as JSON can hold it."""
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if -_EXACT < value < _EXACT else {"t": "int", "v": hex(value)}
        if kind in (tuple, frozenset):
            return {"t": kind.__name__, "v": [self.encode(each) for each in value]}
        if kind in _NAMES:
            return self._container(value)
        if kind in VALUES:
            return {"t": "value", "c": kind.__name__, "v": [self.encode(each) for each in VALUES[kind](value)]}
        if value is NotImplemented or value is Ellipsis:
            return {"t": "constant", "v": str(value)}
        if (handle := handle_of(value)) is not None:
            return {"t": "yours", "h": handle}
        return self.encode_other(value)

    def encode_other(self, value: Any) -> Any:
        """Something that is no data."""
        return self._own(value)

    def decode(self, node: Any) -> Any:
        """The value that a message holds."""
        if not isinstance(node, dict):
            return node
        kind = node["t"]
        if kind == "int":
            return int(node["v"], 16)
        if kind == "tuple":
            return tuple(self.decode(each) for each in node["v"])
        if kind == "frozenset":
            return frozenset(self.decode(each) for each in node["v"])
        if kind in CONTAINERS:
            return self._contained(node)
        if kind == "value":
            values = [self.decode(each) for each in node["v"]]
            which = _VALUE_KINDS[node["c"]]
            return base64.b64decode(values[0]) if which is bytes else which(*values)
        if kind == "constant":
            return {"NotImplemented": NotImplemented, "Ellipsis": Ellipsis}[node["v"]]
        if kind == "yours":
            return self._owned[node["h"]]
        return self.decode_other(node)

    def decode_other(self, node: dict[str, Any]) -> Any:
        """Something that is no data."""
        return self._mirror(node)

    # --- containers that both sides have seen -------------------------------------------------------------------

    def _container(self, value: Any) -> dict[str, Any]:
        name = self._alike_ids.get(id(value))
        if name is None:
            self._next += 1
            name = f"{self._side}{self._next}"
            if len(value) <= MOST_KEPT_ALIKE and len(self._alike) < MOST_KEPT_ALIKE:
                self._alike[name] = value
                self._alike_ids[id(value)] = name
        node: dict[str, Any] = {"t": _NAMES[type(value)], "id": name}
        if name not in self._sending:
            self._sending.add(name)
            node["v"] = self._content(value)
            if isinstance(value, collections.defaultdict):
                node["d"] = self.encode(value.default_factory)
            if name in self._alike:
                self._last_seen[name] = _seen(value)
        return node

    def _content(self, value: Any) -> Any:
        if isinstance(value, bytearray):
            return base64.b64encode(value).decode()
        if isinstance(value, dict):
            return [[self.encode(key), self.encode(each)] for key, each in value.items()]
        return [self.encode(each) for each in value]

    def _contained(self, node: dict[str, Any]) -> Any:
        name = node["id"]
        value = self._alike.get(name)
        if value is None:
            value = CONTAINERS[node["t"]]()
            self._alike[name] = value
            self._alike_ids[id(value)] = name
        if "v" in node:
            self._fill(name, value, node)
        return value

    def _fill(self, name: str, value: Any, node: dict[str, Any]) -> None:
        content = node["v"]
        if isinstance(value, bytearray):
            value[:] = base64.b64decode(content)
        elif isinstance(value, dict):
            items = [(self.decode(key), self.decode(each)) for key, each in content]
            value.clear()
            value.update(items if not isinstance(value, collections.Counter) else dict(items))
            if isinstance(value, collections.defaultdict) and "d" in node:
                value.default_factory = self.decode(node["d"])
        else:
            items = [self.decode(each) for each in content]
            value.clear()
            getattr(value, "update" if isinstance(value, set) else "extend")(items)
        self._last_seen[name] = _seen(value)

    def _changes(self) -> list[Any]:
        changed = []
        for name, value in list(self._alike.items()):
            if name not in self._sending and not _same(self._last_seen.get(name, ()), _seen(value)):
                changed.append([name, self._container(value)])
        return changed

    # --- objects that stay --------------------------------------------------------------------------------------

    def _own(self, value: Any) -> dict[str, Any]:
        handle = self._number(value)
        node: dict[str, Any] = {"t": "object", "h": handle}
        if isinstance(value, type):
            node["class"] = self._described_class(value)
            return node
        if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
            node["function"] = getattr(value, "__name__", "function")
        if type(value).__module__ == "builtins" and hasattr(value, "__await__"):
            node["coroutine"] = True
        if isinstance(value, BaseException):
            node["raised"] = self.described(value)
        for plain in (bool, int, float, str, tuple, frozenset, bytes):
            if isinstance(value, plain):
                node["data"] = self.encode(plain.__new__(plain, value) if plain is not bytes else bytes(value))
                break
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
            said["special"] = [name for name in FORWARDED if _defines(kind, name)]
            said["unhashable"] = kind.__hash__ is None
        return said

    def _mirror(self, node: dict[str, Any]) -> Any:
        handle = node["h"]
        if handle in self._mirrors:
            return self._mirrors[handle]
        if "class" in node:
            return self.mirrored_class(node["class"])
        if node.get("raised"):
            mirror = self.exception(node["raised"])
        elif node.get("function") and self._trusted:
            mirror = self._function(node)
        else:
            mirror = self._blank(self._class_of_mirrors(node["of"]), node)
        self._mirrors[handle] = mirror
        return mirror

    def _blank(self, kind: type, node: dict[str, Any]) -> Any:
        data = self.decode(node["data"]) if "data" in node else None
        plain = type(data)
        if data is not None and issubclass(kind, plain):
            mirror = plain.__new__(kind, data)
        else:
            mirror = next(each for each in (dict, list, set, object) if issubclass(kind, each)).__new__(kind)
        object.__setattr__(mirror, "_peer_handle", node["h"])
        return mirror

    def _function(self, node: dict[str, Any]) -> Any:
        """A real function, so that it can become a method."""
        owner = self._blank(self._class_of_mirrors(node["of"]), node)

        def mirrored(*args: Any, **kwargs: Any) -> Any:
            return self.call(owner, args, kwargs)

        mirrored.__name__ = node["function"]
        return mirrored

    def mirrored_class(self, said: dict[str, Any]) -> type:
        """The mirror of a class, or the class itself where both sides have it."""
        handle = said["h"]
        if "bases" in said:
            self._told_of[handle] = said
        if handle not in self._mirrors:
            real = self.real_class(said["module"], said["name"])
            self._mirrors[handle] = real if real is not None else self._new_class(said)
        return self._mirrors[handle]  # type: ignore[no-any-return]

    def _class_of_mirrors(self, said: dict[str, Any]) -> type:
        """A mirrored class, also where the class itself is one of Python's own, such as zip."""
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
            name: _forwarding(name) for name in said.get("special", ()) if name not in ("__repr__",)
        }
        if said.get("unhashable"):
            namespace["__hash__"] = None
        elif "__hash__" not in namespace and "__eq__" in namespace:
            namespace["__hash__"] = object.__hash__
        namespace |= {
            "_peer_self": self, "_peer_handle": handle, "__module__": said["module"], "__qualname__": said["name"],
        }  # fmt: skip
        name = said["name"].rpartition(".")[2]
        for tried in (
            (*bases, Mirror) if not any(issubclass(each, Mirror) for each in bases) else (*bases,),
            (Mirror,),
        ):
            own = {key: value for key, value in namespace.items() if not _data_based(tried, key)}
            try:
                kind: type = type.__new__(MirrorMeta, name, tuple(tried), own)
                break
            except TypeError:
                continue
        return kind

    def real_class(self, module: str, name: str) -> type | None:
        """A class that this side has too."""
        if module == "builtins":
            found = getattr(sys.modules["builtins"], name, None)
            return found if isinstance(found, type) else None
        if module.split(".")[0] in sys.stdlib_module_names - {"unittest"} and module in sys.modules:
            found = getattr(sys.modules[module], name, None)
            return found if isinstance(found, type) and issubclass(found, BaseException) else None
        return None

    # --- exceptions ---------------------------------------------------------------------------------------------

    def described(self, error: BaseException) -> dict[str, Any]:
        """An exception, for the other side."""
        if (handle := handle_of(error)) is not None:
            return {"yours": handle}
        home = getattr(error, "_peer_home", None)
        if home is not None:
            return {"yours": home}
        try:
            args = [self.encode(each) for each in error.args]
        except Exception:
            args = [str(error)]
        fields = {
            name: value
            for name, value in vars(error).items()
            if type(value) in (int, str, float, bool, type(None)) and name.isidentifier() and name[0] != "_"
        }
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return {
            "of": self._described_class(type(error)), "h": self._number(error), "args": args, "fields": fields,
            "trace": "".join(lines[-8:])[-4_000:],
        }  # fmt: skip

    def exception(self, said: dict[str, Any]) -> BaseException:
        """The exception that a message holds."""
        if "yours" in said:
            return self._owned[said["yours"]]  # type: ignore[no-any-return]
        if said["h"] in self._mirrors:
            return self._mirrors[said["h"]]  # type: ignore[no-any-return]
        kind = self.mirrored_class(said["of"])
        args = [self.decode(each) for each in said["args"]]
        if not issubclass(kind, BaseException):
            kind, args = RuntimeError, [f"{said['of']['name']}: {args}"]
        try:
            error = kind.__new__(kind, *args)
            error.args = tuple(args)
        except Exception:
            error = RuntimeError(f"{said['of']['name']}: {args}")
        if type(kind) is not MirrorMeta:
            with contextlib.suppress(Exception):
                kind.__init__(error, *args)
        if type(kind) is MirrorMeta:
            object.__setattr__(error, "_peer_handle", said["h"])
        else:
            error.__dict__.update(said["fields"])
            error.__dict__["_peer_home"] = said["h"]
        self._mirrors[said["h"]] = error
        if said.get("trace"):
            BaseException.add_note(error, f"in the code under test:\n{said['trace']}")
        return error


def _defines(kind: type, name: str) -> bool:
    for each in kind.__mro__:
        if name in vars(each):
            return each is not object and vars(each)[name] is not None
    return False


def _data_based(bases: tuple[type, ...], name: str) -> bool:
    """Mirrors of plain data compare and compute as the data does."""
    return name in FORWARDED and any(issubclass(each, int | float | str | tuple | bytes | frozenset) for each in bases)


def _forwarding(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "__call__":
            return _peer(self).call(self, args, kwargs)
        return _peer(self).special(self, name, args)

    method.__name__ = name
    return method


def _seen(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bytearray):
        return (bytes(value),)
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    return tuple(value)


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    if len(one) != len(other):
        return False
    return all(a is b or (type(a) is bytes and a == b) for a, b in zip(one, other, strict=True))
