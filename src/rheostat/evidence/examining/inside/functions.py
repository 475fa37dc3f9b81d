"""Stand-ins for functions of the tests in the code's process: real functions, which can become methods.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

ABOUT = ("__name__", "__qualname__", "__module__", "__doc__")
"""What a function or a class says of itself, as text."""
_SIMPLE = (bool, int, float, str, type(None))


def described(function: Any) -> dict[str, Any]:
    """What a stand-in must know of a function; the parameters are `None` if a default isn't simple data."""
    fields = getattr(function, "__dict__", {})
    return {
        "async": inspect.iscoroutinefunction(function),
        "about": [str(getattr(function, name, None) or "") for name in ABOUT],
        "takes": _takes(function),
        "fields": {name: each for name, each in fields.items() if type(each) in _SIMPLE},
    }


def _takes(function: Any) -> list[list[Any]] | None:
    """[name, kind, default if there is one] of each parameter."""
    if not isinstance(getattr(function, "__func__", function), types.FunctionType):
        return None
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.default is not each.empty and type(each.default) not in _SIMPLE for each in parameters):
        return None
    return [[each.name, each.kind.name, *([each.default] * (each.default is not each.empty))] for each in parameters]


def stand_in(call: Callable[[tuple[Any, ...], dict[str, Any]], Any], said: dict[str, Any]) -> Any:
    """A function that passes its arguments to `call`, and looks as `described` says."""

    def mirrored(*args: Any, **kwargs: Any) -> Any:
        return call(args, kwargs)

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return await call(args, kwargs)

    function: Any = awaited if said.get("async") else mirrored
    for name, text in zip(ABOUT, said["about"], strict=True):
        setattr(function, name, text or (None if name == "__doc__" else "function"))
    if said["takes"] is not None:
        function.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name, getattr(inspect.Parameter, kind), default=(*default, inspect.Parameter.empty)[0]
                )
                for name, kind, *default in said["takes"]
            ]
        )
    function._peer_handle, function._peer_names = said["h"], {"_peer_handle", "_peer_names", "__signature__"}
    renew(function, said)
    return function


def renew(function: Any, said: dict[str, Any]) -> None:
    """Give a stand-in the attributes that the function has now."""
    function.__dict__.update(said["fields"])
    function._peer_names.update(said["fields"])


def handle_of_function(value: Any) -> int | None:
    """The number of the function behind a stand-in, unless attributes were set here that the function doesn't have."""
    fields = vars(value) if type(value) is types.FunctionType else {}
    return fields.get("_peer_handle") if fields.keys() <= fields.get("_peer_names", set()) else None
