"""Call Python's own functions that look into an object in the process where the object lives.

Runs inside the sandbox, in the examiner: standard library only.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.mirrors import handle_of
else:
    from mirrors import handle_of

_FUNCTIONS = {
    "dataclasses": "asdict astuple fields is_dataclass replace",
    "inspect": "getdoc getfullargspec getmembers isabstract isasyncgen isasyncgenfunction isawaitable iscoroutine "
    "iscoroutinefunction isfunction isgenerator isgeneratorfunction ismethod signature",
}


def delegate(ask: Callable[..., Any]) -> None:
    """Replace each of these functions by one that asks the other side if its first argument is an object there."""
    for module, names in _FUNCTIONS.items():
        home = importlib.import_module(module)
        for name in names.split():
            setattr(home, name, _delegating(ask, module, name, getattr(home, name)))


def _delegating(ask: Callable[..., Any], module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def delegating(*args: Any, **kwargs: Any) -> Any:
        if args and handle_of(args[0]) is not None:
            return ask("library", module, name, args, tuple(kwargs.items()))
        return function(*args, **kwargs)

    return delegating
