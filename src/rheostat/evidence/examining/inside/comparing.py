"""What the code's own objects may say of themselves, and where only they say it.

A test means plain data wherever it doesn't name a class of the code. An object that comes in place of a number may
answer each operator as it likes: what follows from such answers alone isn't proven. Two objects of the code's are
equal if what they hold is equal too.

Runs inside the sandbox, in the examiner: standard library only.
"""

from __future__ import annotations

import array
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.mirrors import MirrorMeta, handle_of
    from rheostat.evidence.examining.inside.wire import Peer
else:
    from mirrors import MirrorMeta, handle_of

    from wire import Peer


def _specials(words: str) -> frozenset[str]:
    return frozenset(f"__{word}__" for word in words.split())


_EQUAL, _ORDER = _specials("eq ne"), _specials("lt le gt ge")
_OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift divmod"
_COMPUTING = _specials(" ".join(f"{name} r{name} i{name}" for name in _OPERATORS.split()))
_CONVERTING = _specials("abs round int float index complex trunc floor ceil neg pos invert")
_HOLDING: dict[str, Callable[[Any, Any], Any]] = {
    "__contains__": lambda held, args: args[0] in held,
    "__bool__": lambda held, args: bool(held),
    "__len__": lambda held, args: len(held),
}
_PLAIN = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)
_MOST_COMPARED, _MOST_OTHERS = 1_000, 8


class Comparing(Peer):
    """The side that judges: what is asked of the code's objects, and what that proves."""

    def __init__(self, fd: int, side: str, *, trusted: bool) -> None:
        super().__init__(fd, side, trusted=trusted)
        self.doubts: list[str] = []
        """Why what was said can't be taken for proven."""
        self._named: set[int] = set()
        self._computed: set[int] = set()
        self._made: dict[int, tuple[Any, Any]] = {}
        self._touched: set[int] = set()

    def doubt(self, why: str) -> None:
        """Something that can't be judged here."""
        if why not in self.doubts:
            self.doubts.append(why)

    def not_kept_alike(self, value: Any) -> None:
        self.doubt(f"what the code changes in a {type(value).__name__} as long as that isn't seen here")

    def named(self, value: Any, name: str) -> Any:
        """A class that the tests name as one is named: its objects may say what they are.

        A class in place of a function would answer for itself.
        """
        if type(value) is MirrorMeta and name.lstrip("_")[:1].isupper():
            self._named.add(handle_of(value) or 0)
        return value

    def ask(self, verb: str, *values: Any) -> Any:
        if verb not in ("state", "plain", "repr"):
            self._touched.update(handle for each in _flat(values) if (handle := handle_of(each)) is not None)
        said = super().ask(verb, *values)
        if verb == "get" and values and handle_of(values[0]) in self._computed and not self._is_named(values[0]):
            self._only_said(values[0], f".{values[1]}", said)
        return said

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = super().call(target, args, kwargs)
        if type(target) is MirrorMeta and (handle := handle_of(made)) is not None:
            given = (args, sorted(kwargs.items()))
            self._made[handle] = (made, repr(given)) if _all_plain(given) else (made, None)
        elif handle_of(target) in self._computed and not self._is_named(target):
            self._only_said(target, "()", made)
        return made

    def special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        if name in _EQUAL:
            return self._equal(target, name, args[0])
        said = super().special(target, name, args)
        if said is NotImplemented:
            return said
        what = f".{name}({', '.join(map(_short, args))})"
        if self._unproven(target, name, args, said):
            self._only_said(target, what, said)
        elif any(handle_of(each) in self._computed for each in (target, *args)):
            self._follow(said)
        return said

    def _unproven(self, target: Any, name: str, args: tuple[Any, ...], said: Any) -> bool:
        """Is this what only the object itself can know, where a test may have meant plain data?"""
        named, computed = self._is_named(target), handle_of(target) in self._computed
        if name in ("__exit__", "__aexit__"):
            if args[:1] and args[0] is not None and issubclass(args[0], AssertionError):
                self.doubt(f"an assert of the tests failed within a {type(target).__name__} of the code's")
            return False
        if name in _HOLDING and (not named or isinstance(target, dict | list | set)):
            held = super().ask("plain", target) if name != "__len__" or isinstance(target, dict | list | set) else None
            if held is not None:
                return bool(_HOLDING[name](held[1], args) != said)
        if name in _ORDER or name in _COMPUTING:
            return not named or handle_of(args[0]) is None
        if name in _CONVERTING:
            return not named or computed
        if name in ("__contains__", "__bool__") or (name == "__format__" and args != ("",)):
            return not named
        return computed and not named

    def _is_named(self, target: Any) -> bool:
        return handle_of(type(target)) in self._named

    def known_as(self, handle: int, kind: type) -> None:
        super().known_as(handle, kind)
        self._named.add(handle)  # a class of the tests' own

    def _only_said(self, target: Any, what: str, said: Any) -> None:
        if said is None or isinstance(said, _PLAIN):
            self.doubt(f"only the code itself says what {type(target).__name__}{what} is")
        self._follow(said)

    def _follow(self, said: Any) -> None:
        """What comes of an answer is no better proven than the answer."""
        if (handle := handle_of(said)) is not None:
            self._computed.add(handle)

    # --- equality -----------------------------------------------------------------------------------------------

    def _equal(self, target: Any, name: str, other: Any) -> Any:
        if other is target:
            return name == "__eq__"
        mirrored = handle_of(other) is not None
        fresh = all(self._is_fresh(each) for each in (target, other) if handle_of(each) is not None)
        if not mirrored and (held := super().ask("plain", target)) is not None:
            return _same_data(held, other) is (name == "__eq__")
        said = super().special(target, name, (other,))
        if said is NotImplemented:
            return said
        what = f"{type(target).__name__}.{name}"
        equal = said is (name == "__eq__")
        if fresh:  # then the comparison is what is tested
            return said
        if not mirrored:
            self.doubt(f"only the code itself says what {what} of {_short(other)} is")
        elif equal is not self._alike_inside(target, other):
            self.doubt(f"{what} says so, and what the two objects hold says otherwise")
        elif equal and self._all_the_same(target, other):
            self.doubt(f"{what} says so, and objects that were made of other values hold the same")
        return said

    def _is_fresh(self, target: Any) -> bool:
        """Made by the tests, of a class that they name, and nothing was done with it since."""
        handle = handle_of(target) or 0
        return self._is_named(target) and handle in self._made and handle not in self._touched

    def _all_the_same(self, one: Any, other: Any) -> bool:
        """Do all objects of that class hold the same, whatever they were made of?"""
        made = self._made.get(handle_of(one) or 0) or self._made.get(handle_of(other) or 0)
        if made is None or made[1] is None:
            return False
        others = [
            each for each, given in self._made.values()
            if type(each) is type(one) and given not in (None, made[1]) and each is not one and each is not other
        ][-_MOST_OTHERS:]  # fmt: skip
        return bool(others) and all(self._alike_inside(one, each) for each in others)

    def _alike_inside(self, one: Any, other: Any, seen: set[tuple[int, int]] | None = None) -> bool:
        """Do two objects of the code's hold the same? Two that hold nothing say nothing."""
        seen = set() if seen is None else seen
        if one is other or (id(one), id(other)) in seen:
            return True
        seen.add((id(one), id(other)))
        if type(one) is not type(other) or len(seen) > _MOST_COMPARED:
            return False
        verb = "plain" if isinstance(one, dict | list | set) else "state"
        first, second = super().ask(verb, one), super().ask(verb, other)
        return bool(first) and self._alike_data(first, second, seen)

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


def _flat(value: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(value, list | tuple | dict) and depth < 4 and handle_of(value) is None:
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _flat(each, depth + 1)
    else:
        yield value


def _same_data(held: tuple[str, Any], other: Any) -> bool:
    """Is that what something here holds?

    Args:
        held: Of which of Python's own kinds it is, and its content.
    """
    kind, content = held
    if kind in ("array", "SimpleNamespace") and type(other).__name__ != kind:
        return False
    if isinstance(other, types.SimpleNamespace):
        other = vars(other)
    elif isinstance(other, array.array):
        other = list(other)
    elif isinstance(other, types.MappingProxyType):
        other = dict(other)
    return bool(content == other)


def _all_plain(value: Any, depth: int = 0) -> bool:
    if handle_of(value) is not None or depth > 20:
        return False
    if isinstance(value, list | tuple | set | frozenset):
        return all(_all_plain(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return all(_all_plain(key, depth + 1) and _all_plain(each, depth + 1) for key, each in value.items())
    return value is None or isinstance(value, _PLAIN)


def _short(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, _PLAIN) else f"a {type(value).__name__}"
