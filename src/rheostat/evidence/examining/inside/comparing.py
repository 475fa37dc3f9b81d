"""Follow what the code's own objects claim about themselves, and doubt what rests on such claims alone.

A test means plain data wherever it doesn't name a class of the code. An object in place of a number may answer each
operator as it likes, so that a result which follows from such answers alone isn't proven.

Runs inside the sandbox, in the examiner: standard library only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.equating import PLAIN, Equating, short
    from rheostat.evidence.examining.inside.mirrors import handle_of
    from rheostat.evidence.examining.inside.specials import is_function
else:
    from equating import PLAIN, Equating, short
    from mirrors import handle_of
    from specials import is_function


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
_EXPECTING = {name for name in dir(str) if name.startswith("is")} | {
    "startswith",
    "endswith",
    "find",
    "index",
    "count",
    "issubset",
    "issuperset",
    "isdisjoint",
    "equals",
}
"""Methods of strings and sets to which a test passes the expected value."""
COUNTS = frozenset(
    {
        "called",
        "call_count",
        "call_args",
        "call_args_list",
        "method_calls",
        "mock_calls",
        "await_count",
        "await_args",
        "await_args_list",
        "awaited",
        "reset_mock",
        "configure_mock",
        "attach_mock",
        "mock_add_spec",
    }
)
"""Attributes in which a mock keeps how it was called."""
_STEPS = ("__next__", "next", "send", "throw")
"""Methods that may say that there is nothing more."""
_CATCH_ALL = (object, BaseException, Exception, AssertionError)
_MISTAKES = (AssertionError, AttributeError, NameError)
"""What a failed assert raises, and a test that can't go on; a context manager of the code's could swallow them."""
_MOST_REFRESHED = 100
_MOST_COUNTED = 10_000


class Comparing(Equating):
    """The examiner's side of the connection, which records what each answer of the code's objects proves."""

    def __init__(self, fd: int, side: str, *, trusted: bool) -> None:
        super().__init__(fd, side, trusted=trusted)
        self._computed: set[int] = set()
        self._held: dict[int, Any] = {}
        self._steps: set[int] = set()
        self._names: dict[tuple[Any, int], str] = {}

    def not_kept_alike(self, value: Any) -> None:
        self.doubt(f"changes that the code makes to a {type(value).__name__} of this size aren't seen here")

    def took_array(self, value: Any) -> None:
        if value.size == 0:
            self.doubt("an empty array equals whatever it is compared with, by numpy's rules")

    def took_class(self, kind: type) -> None:
        if kind in _CATCH_ALL:
            self.doubt(f"the code has {kind.__name__} in the place of a class of its own, and everything is one")

    def ask(self, verb: str, *values: Any) -> Any:
        said = super().ask(verb, *values)
        if verb == "global" or (verb == "get" and isinstance(values[0], type)):
            self._has_one_name(values[0], str(values[1]), said)
        elif verb == "get" and handle_of(values[0]) is not None:
            self._got(values[0], str(values[1]), said)
        if self._held and verb not in ("plain", "state", "repr", "get"):
            self._refresh()
        return said

    def _has_one_name(self, home: Any, name: str, said: Any) -> None:
        """Doubt an object that a class or module shows by two names: the tests may use them to tell results apart."""
        if (handle := handle_of(said)) is None or isinstance(said, type) or is_function(said):
            return
        before = self._names.setdefault((handle_of(home) or home, handle), name)
        if before != name:
            self.doubt(f"{before} and {name} of {getattr(home, '__name__', home)} are the same object")

    def _got(self, target: Any, name: str, said: Any) -> None:
        if name in _STEPS:
            self._steps.add(handle_of(said) or 0)
        named = self.is_named(target)
        if name.startswith("assert") or (name in COUNTS and not named):
            self.doubt(f"only the code itself says how a {type(target).__name__} of its own was called")
        if handle_of(target) in self._computed and not named:
            self._only_said(target, f".{name}", said)
        elif name in _EXPECTING and not named:
            self._follow(said)

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            made = super().call(target, args, kwargs)
        except StopIteration:
            if handle_of(target) not in self._steps:
                self.doubt("a function of the code raised StopIteration, which ends what iterates over its results")
            raise
        if handle_of(target) in self._computed and not isinstance(target, type) and not self.is_named(target):
            self._only_said(target, "()", made)
        return made

    def special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        if name in _EQUAL:
            return self.equal(target, name, args[0])
        if name in _ORDER and self.is_named(target) and handle_of(args[0]) is not None:
            return self.order(target, name, args[0])
        held = self._held_by(target) if name in _HOLDING else None  # before the question, which might change it
        said = super().special(target, name, args)
        if said is NotImplemented:
            return said
        what = f".{name}({', '.join(map(short, args))})"
        if held is not None:
            if _HOLDING[name](held[1], args) != said:
                self._only_said(target, what, said)
        elif self._unproven(target, name, args) or (name == "__len__" and self._miscounts(target, said)):
            self._only_said(target, what, said)
        elif name in _COMPUTING | _CONVERTING and any(handle_of(each) in self._computed for each in (target, *args)):
            self._follow(said)
        return said

    def _held_by(self, target: Any) -> Any:
        """The content of a `dict`, `list` or `set` of the code's own class, which must answer by it; else `None`."""
        if self.is_named(target) and not isinstance(target, dict | list | set):
            return None
        return super().ask("plain", target)

    def _miscounts(self, target: Any, length: int) -> bool:
        """Whether an object of a class that the tests don't name gives another number of items than its length."""
        if self.is_named(target):
            return False
        try:
            items = iter(target)
            given = sum(1 for _ in itertools.islice(items, min(length, _MOST_COUNTED) + 1))
        except Exception:  # whatever the code raises
            return True
        return items is target or given != length

    def _unproven(self, target: Any, name: str, args: tuple[Any, ...]) -> bool:
        """Whether only the object itself can know this answer, in a place where a test may have meant plain data."""
        named, computed = self.is_named(target), handle_of(target) in self._computed
        if name in ("__exit__", "__aexit__"):
            if args[:1] and args[0] is not None and issubclass(args[0], _MISTAKES):
                self.doubt(f"{args[0].__name__} was raised within a {type(target).__name__} of the code's")
            return False
        if name in _ORDER or name in _COMPUTING:
            return not named or handle_of(args[0]) is None
        if name in _CONVERTING:
            return not named or computed
        if name in ("__contains__", "__bool__") or (name == "__format__" and args != ("",)):
            return not named
        return computed and not named

    def _only_said(self, target: Any, what: str, said: Any) -> None:
        if said is None or isinstance(said, PLAIN):
            self.doubt(f"only the code itself says what {type(target).__name__}{what} is")
        self._follow(said)

    def _follow(self, said: Any) -> None:
        """Mark an answer as computed: what is derived from it is no better proven than the answer itself."""
        if (handle := handle_of(said)) is not None:
            self._computed.add(handle)

    # --- lists, dicts and sets of the code's own classes ----------------------------------------------------------

    def holds(self, mirror: Any) -> None:
        self._held[handle_of(mirror) or 0] = mirror
        if len(self._held) > _MOST_REFRESHED:
            self.doubt("more lists, dicts and sets of the code's own classes than are followed")

    def _refresh(self) -> None:
        """Renew the contents of the mirrored containers, because Python's own functions read them without asking."""
        for mirror in list(self._held.values())[:_MOST_REFRESHED]:
            content = super().ask("plain", mirror)[1]
            kind: Any = next(each for each in (dict, list, set) if isinstance(mirror, each))
            kind.clear(mirror)
            (kind.extend if kind is list else kind.update)(mirror, content)
