"""Decide when to believe the code's answers on equality and order.

Two objects of the code's own classes are equal if their contents are equal before they are asked. Where the comparison
itself is under test (the tests made both objects, of a class that they name), other objects of the class are asked
about as well, in random order. An object equals plain data if it holds that data, or the same as its class makes of it.

Runs inside the sandbox, in the examiner: standard library only.
"""

from __future__ import annotations

import array
import random
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.mirrors import MirrorMeta, handle_of
    from rheostat.evidence.examining.inside.wire import Peer
else:
    from mirrors import MirrorMeta, handle_of

    from wire import Peer

PLAIN = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)
_MOST_COMPARED, _MOST_OTHERS, _MOST_FIELDS = 1_000, 8, 3
_chance = random.SystemRandom()


def _some() -> int:
    return _chance.choice((-1, 1)) * _chance.randint(1, 9_999)


def _with(value: Any, more: Any) -> Any:
    """The text or sequence with one more item (a digit), at a place that nobody can guess."""
    at = _chance.randint(0, len(value))
    return value[:at] + more + value[at:]


_OTHERWISE: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (bool, lambda value: not value), (int, lambda value: value + _some()),
    ((float, complex), lambda value: value + (abs(value) + 1) * _some()),
    (str, lambda value: _with(value, chr(_chance.randint(49, 57)))),
    (bytes, lambda value: _with(value, bytes([_chance.randint(49, 57)]))),
    (tuple, lambda value: _with(value, (_some(),))), (list, lambda value: _with(value, [_some()])),
    (dict, lambda value: {**value, str(_some()): _some()}), ((set, frozenset), lambda value: {*value, str(_some())}),
)  # fmt: skip
"""Functions that turn a value into another one, by class."""


class Equating(Peer):
    """The examiner's side of the connection, which judges equality and order."""

    def __init__(self, fd: int, side: str, *, trusted: bool) -> None:
        super().__init__(fd, side, trusted=trusted)
        self.doubts: list[str] = []
        """Reasons why the results can't be taken as proven."""
        self._named: set[int] = set()
        self._like_a_class: set[int] = set()
        self._made: dict[int, tuple[Any, str | None, tuple[tuple[Any, ...], dict[str, Any]]]] = {}
        self._touched: set[int] = set()
        self._came_of: dict[int, str | None] = {}
        self._shared: set[int] = set()

    def doubt(self, why: str) -> None:
        """Note a reason why a result can't be judged."""
        if why not in self.doubts:
            self.doubts.append(why)

    def named(self, value: Any, name: str) -> Any:
        """Note a class that the tests name with a capital letter: its objects may answer for themselves.

        A class in place of a function may not: a test expects plain data from it.
        """
        like_a_class = name.lstrip("_")[:1].isupper()
        if type(value) is MirrorMeta and like_a_class:
            self._named.add(handle_of(value) or 0)
        elif like_a_class and (handle := handle_of(value)) is not None:
            self._like_a_class.add(handle)
        return value

    def known_as(self, handle: int, kind: type) -> None:
        super().known_as(handle, kind)
        self._named.add(handle)  # the tests derived it, so they know it

    def is_named(self, target: Any) -> bool:
        """Whether the tests name the class of an object."""
        return handle_of(type(target)) in self._named

    def ask(self, verb: str, *values: Any) -> Any:
        if verb not in ("state", "plain", "repr"):
            self._touched.update(handle for each in _flat(values) if (handle := handle_of(each)) is not None)
        return super().ask(verb, *values)

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = super().call(target, args, kwargs)
        if (handle := handle_of(made)) is not None and type(made) is not MirrorMeta:
            given = (args, sorted(kwargs.items()))
            shown = repr(given) if (args or kwargs) and is_plain(given) else None
            if None not in (shown, before := self._came_of.setdefault(handle, shown)) and before != shown:
                self._shared.add(handle)
                if type(target) is MirrorMeta or handle_of(target) in self._like_a_class:
                    self.doubt(f"{type(made).__name__} gives the same object for different values")
            if type(target) is MirrorMeta:
                self._made[handle] = (made, shown, (args, kwargs) if shown is not None else ((), {}))
        return made

    def equal(self, target: Any, name: str, other: Any) -> Any:
        """The answer of `__eq__` or `__ne__`; note a doubt if it can't be believed."""
        mirrored, fresh = handle_of(other) is not None, self._is_fresh(target) and self._is_fresh(other)
        if other is target:
            if handle_of(target) in self._shared:
                self.doubt(f"calls with different values gave the same {type(target).__name__}")
            return name == "__eq__"
        if not mirrored and (held := super().ask("plain", target)) is not None:
            return _same_data(held, other) is (name == "__eq__")
        alike = mirrored and self._alike_inside(target, other)
        opposite = [(target, "__ne__" if name == "__eq__" else "__eq__", other)] if mirrored else []
        others = self._others(target, other) if mirrored and fresh else []
        questions = [(target, name, other), *opposite, *((target, "__eq__", each) for each in others)]
        said, *answers = self._in_any_order(questions)
        if said is NotImplemented:
            return said
        equal, what = said is (name == "__eq__"), f"{type(target).__name__}.{name}"
        if opposite and said is answers.pop(0):
            self.doubt(f"{what} and {opposite[0][1]} of the same two objects are both {said}")
        if not mirrored:
            if not fresh or (equal and not self._stands_for(target, other)):
                self.doubt(f"only the code itself says what {what} of {short(other)} is")
        elif equal is not alike and not (fresh and (self._of_one(target, other) or _tells_apart(answers))):
            self.doubt(f"{what} says so, and what the two objects hold says otherwise")
        elif equal and self._all_the_same(target, other):
            self.doubt(f"{what} says so, and objects that were made of other values hold the same")
        return said

    def order(self, target: Any, name: str, other: Any) -> Any:
        """The answer of `__lt__` or the like; note a doubt if the reverse comparison is also true."""
        said, reverse = self._in_any_order([(target, name, other), (other, name, target)])
        if (
            said is True
            and reverse is True
            and not (name in ("__le__", "__ge__") and self._alike_inside(target, other))
        ):
            self.doubt(f"{type(target).__name__}.{name} says so both ways round")
        return said

    def _in_any_order(self, questions: list[tuple[Any, str, Any]]) -> list[Any]:
        """The answers to all questions, asked in random order."""
        answers: dict[int, Any] = {}
        for n in _chance.sample(range(len(questions)), len(questions)):
            target, name, other = questions[n]
            answers[n] = super().special(target, name, (other,))
        return [answers[n] for n in range(len(questions))]

    def _stands_for(self, target: Any, value: Any) -> bool:
        """Whether an object holds a plain value: as a field, as all fields, or as its class makes of it."""
        fields = super().ask("state", target) or {}
        held = list(fields.values())
        each = held if len(held) <= _MOST_FIELDS else ()
        if any(
            is_plain(one) and type(one) is type(value) and bool(one == value)
            for one in (*each, tuple(held), held, fields)
        ):
            return True
        try:
            made = super().call(type(target), (value,), {})
        except Exception:
            return False
        return self._alike_inside(target, made) and not self._all_the_same(target, made)

    def _is_fresh(self, target: Any) -> bool:
        """Whether a value is plain, or the tests made it, of a class that they name, and haven't used it since."""
        handle = handle_of(target)
        return handle is None or (self.is_named(target) and handle in self._made and handle not in self._touched)

    def _others(self, one: Any, other: Any) -> list[Any]:
        """Objects of the same class that the tests made from other values."""
        made = {self._made[handle][1] for each in (one, other) if (handle := handle_of(each) or 0) in self._made}
        return [
            each
            for each, given, _ in self._made.values()
            if type(each) is type(one) and given is not None and given not in made
        ][-_MOST_OTHERS:]

    def _of_one(self, one: Any, other: Any) -> bool:
        """Whether both objects were made from the same values."""
        given = [self._made[handle_of(each) or 0][1] for each in (one, other)]
        return given[0] is not None and given[0] == given[1]

    def _all_the_same(self, one: Any, other: Any) -> bool:
        """Whether all objects of the class have the same content, whatever they were made from."""
        others = self._others(one, other) or self._made_of_other_values(one, other)
        return bool(others) and all(self._alike_inside(one, each) for each in others)

    def _made_of_other_values(self, one: Any, other: Any) -> list[Any]:
        """An object like one that the tests made, if its class takes other values too."""
        made = next(
            (self._made[handle] for each in (one, other) if (handle := handle_of(each) or 0) in self._made), None
        )
        args, kwargs = made[2] if made is not None else ((), {})
        others = tuple(map(_another, args)), {name: _another(value) for name, value in kwargs.items()}
        if others == (args, kwargs):
            return []
        try:
            return [super().call(type(one), *others)]
        except Exception:
            return []

    def _alike_inside(self, one: Any, other: Any, seen: set[tuple[int, int]] | None = None) -> bool:
        """Whether two objects of the code have the same content; empty ones don't count as the same."""
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


def _another(value: Any) -> Any:
    return next((other(value) for kind, other in _OTHERWISE if isinstance(value, kind)), value)


def _tells_apart(answers: list[Any]) -> bool:
    """Whether most of the other objects were called different."""
    return sum(each is not True for each in answers) * 2 > len(answers)


def _flat(value: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(value, list | tuple | dict) and depth < 4 and handle_of(value) is None:
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _flat(each, depth + 1)
    else:
        yield value


def _same_data(held: tuple[str, Any], other: Any) -> bool:
    """Whether a value equals the content of a container.

    Args:
        held: The container's kind (the name of a class of Python's own) and its content.
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


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value and everything in it is plain data."""
    if handle_of(value) is not None or depth > 20:
        return False
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_plain(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return all(is_plain(key, depth + 1) and is_plain(each, depth + 1) for key, each in value.items())
    return value is None or isinstance(value, PLAIN)


def short(value: Any) -> str:
    """A short text for a value, for messages."""
    return repr(value)[:60] if isinstance(value, PLAIN) else f"a {type(value).__name__}"
