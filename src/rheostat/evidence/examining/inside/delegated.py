"""Call Python's own functions that look into an object in the process where the object lives.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import functools
import importlib
import sys
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


def originals() -> dict[tuple[str, str], Callable[..., Any]]:
    """These functions as they are now, by module and name."""
    return {
        (module, name): getattr(importlib.import_module(module), name)
        for module, names in _FUNCTIONS.items()
        for name in names.split()
    }


def delegate(ask: Callable[..., Any]) -> None:
    """Replace each of these functions by one that asks the other side if its first argument is an object there."""
    for (module, name), function in originals().items():
        setattr(sys.modules[module], name, _delegating(ask, module, name, function))


def _delegating(ask: Callable[..., Any], module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def delegating(*args: Any, **kwargs: Any) -> Any:
        if args and handle_of(args[0]) is not None:
            return ask("library", module, name, args, tuple(kwargs.items()))
        return function(*args, **kwargs)

    return delegating
