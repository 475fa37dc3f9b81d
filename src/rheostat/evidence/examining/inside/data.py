"""Send plain data between the two sides, and keep the containers that both sides have seen alike.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import fractions
import pathlib
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.arrays import array_of, content_of, is_array, is_scalar
else:
    from arrays import array_of, content_of, is_array, is_scalar

MOST_KEPT_ITEMS, MOST_KEPT_ALIKE = 1_000_000, 100_000
_EXACT = 1 << 53

CONTAINERS: dict[str, type] = {
    "list": list, "dict": dict, "set": set, "deque": collections.deque, "OrderedDict": collections.OrderedDict,
    "Counter": collections.Counter, "defaultdict": collections.defaultdict, "bytearray": bytearray,
}  # fmt: skip
_NAMES = {kind: name for name, kind in CONTAINERS.items()}


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


class Data:
    """Encode values for JSON, and decode them.

    Args:
        side: The first letter of this side's names of containers.
    """

    def __init__(self, side: str) -> None:
        self._side = side
        self._alike: dict[str, Any] = {}
        self._alike_ids: dict[int, str] = {}
        self._last_seen: dict[str, tuple[Any, ...]] = {}
        self._next = 0
        self._sending: set[str] = set()
        self._sweep_at = 64

    def encode_other(self, value: Any) -> Any:
        """Encode a value that isn't plain data."""
        raise NotImplementedError

    def decode_other(self, node: dict[str, Any]) -> Any:
        """Decode a value that isn't plain data."""
        raise NotImplementedError

    def took_array(self, value: Any) -> None:
        """Called when an array came from the other side for the first time."""

    def not_kept_alike(self, value: Any) -> None:
        """Called with a container whose changes on the other side won't be seen here."""

    def encode(self, value: Any) -> Any:
        """Encode a value for JSON."""
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if -_EXACT < value < _EXACT else {"t": "int", "v": hex(value)}
        if kind in (tuple, frozenset):
            return {"t": kind.__name__, "v": [self.encode(each) for each in value]}
        if kind in _NAMES or is_array(value):
            return self._container(value)
        if is_scalar(value):
            return {"t": "scalar", "v": content_of(value)}
        if kind in VALUES:
            return {"t": "value", "c": kind.__name__, "v": [self.encode(each) for each in VALUES[kind](value)]}
        if value is NotImplemented or value is Ellipsis:
            return {"t": "constant", "v": str(value)}
        return self.encode_other(value)

    def decode(self, node: Any) -> Any:
        """Decode a value from a message."""
        if not isinstance(node, dict):
            return node
        kind = node["t"]
        if kind == "int":
            return int(node["v"], 16)
        if kind == "tuple":
            return tuple(self.decode(each) for each in node["v"])
        if kind == "frozenset":
            return frozenset(self.decode(each) for each in node["v"])
        if kind in CONTAINERS or kind == "array":
            return self._contained(node)
        if kind == "scalar":
            return array_of(node["v"])[()]
        if kind == "value":
            values = [self.decode(each) for each in node["v"]]
            which = _VALUE_KINDS[node["c"]]
            return base64.b64decode(values[0]) if which is bytes else which(*values)
        if kind == "constant":
            return {"NotImplemented": NotImplemented, "Ellipsis": Ellipsis}[node["v"]]
        return self.decode_other(node)

    # --- containers that both sides have seen -------------------------------------------------------------------

    def _container(self, value: Any) -> dict[str, Any]:
        name = self._alike_ids.get(id(value))
        if name is None:
            self._next += 1
            name = f"{self._side}{self._next}"
            if _length(value) <= MOST_KEPT_ITEMS and len(self._alike) < MOST_KEPT_ALIKE:
                self._alike[name] = value
                self._alike_ids[id(value)] = name
            else:
                self.not_kept_alike(value)
        node: dict[str, Any] = {"t": _NAMES.get(type(value), "array"), "id": name}
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
        if is_array(value):
            return content_of(value)
        if isinstance(value, dict):
            return [[self.encode(key), self.encode(each)] for key, each in value.items()]
        return [self.encode(each) for each in value]

    def _contained(self, node: dict[str, Any]) -> Any:
        name = node["id"]
        value = self._alike.get(name)
        if value is None:
            value = array_of(node["v"]) if node["t"] == "array" else CONTAINERS[node["t"]]()
            if node["t"] == "array":
                self.took_array(value)
            self._alike[name] = value
            self._alike_ids[id(value)] = name
        if "v" in node:
            self._fill(name, value, node)
        return value

    def _fill(self, name: str, value: Any, node: dict[str, Any]) -> None:
        content = node["v"]
        if isinstance(value, bytearray):
            value[:] = base64.b64decode(content)
        elif is_array(value):
            value[...] = array_of(content)
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
        if len(self._alike) > self._sweep_at:
            self._sweep()
        changed = []
        for name, value in list(self._alike.items()):
            if name not in self._sending and not _same(self._last_seen.get(name, ()), _seen(value)):
                changed.append([name, self._container(value)])
        return changed

    def take_back(self) -> None:
        """Forget the containers of a message that wasn't sent after all."""
        for name in self._sending & set(self._alike):
            del self._alike_ids[id(self._alike.pop(name))]
            self._last_seen.pop(name, None)
        self._sending = set()

    def _sweep(self) -> None:
        """Forget containers that nothing else here refers to; a later reference to one brings its content."""
        known_here_alone = _references({"": []})[0][1]
        for name, references in _references(self._alike):
            if references <= known_here_alone and name not in self._sending:
                del self._alike_ids[id(self._alike.pop(name))]
                self._last_seen.pop(name, None)
        self._sweep_at = 64 + 2 * len(self._alike)


def _references(alike: dict[str, Any]) -> list[tuple[str, int]]:
    return [(name, sys.getrefcount(value)) for name, value in alike.items()]


def _length(value: Any) -> int:
    return value.size if is_array(value) else len(value)


def _seen(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bytearray):
        return (bytes(value),)
    if is_array(value):
        return (value.tobytes(), repr(value.shape).encode())
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    return tuple(value)


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    if len(one) != len(other):
        return False
    return all(a is b or (type(a) is bytes and a == b) for a, b in zip(one, other, strict=True))
