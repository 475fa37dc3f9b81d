"""The embedded interpreter, pydantic-monty: a subset of Python in a worker without files, network or environment."""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import functools
import importlib.util
import re
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rheostat.errors import MissingExtra

__all__ = ["MOST_CODE_CHARS", "Ran", "embedded_python", "run_embedded"]

MOST_CODE_CHARS = 100_000
"""The most code that is run, because a syntax tree takes a hundred times the size of its source."""

_MOST_OUTPUT_BYTES = 1 << 16
_MOST_CALLS = 100_000
"""The most calls of host functions."""
_LIMITS = ("suspension limit", "TimeoutError: feed time limit", "MemoryError", "RecursionError", "memory limit")


@dataclass(frozen=True, slots=True)
class Ran:
    """The outcome of running code."""

    status: Literal["done", "failed", "can't tell"]
    """It ran to its end; it raised; or the interpreter's limits ended it (time, memory, unsupported features)."""
    output: str = ""
    """The printed text."""
    value: Any = None
    """The value of the last expression, as plain data."""
    why: str = ""
    """The failing line and its error, if it failed."""
    part: int = 0
    """The piece that failed, counted from 0."""


@functools.cache
def embedded_python() -> bool:
    """Whether pydantic-monty is installed."""
    return importlib.util.find_spec("pydantic_monty") is not None


def run_embedded(
    pieces: Sequence[str],
    *,
    seconds: float = 2.0,
    memory_bytes: int = 128 * 2**20,
    host: Mapping[str, Callable[..., Any]] | None = None,
) -> Ran:
    """Run pieces of source one after the other in one session.

    Args:
        seconds: The time limit of each piece.
        memory_bytes: The limit of the sandbox's heap.
        host: Host functions by name, which only the last piece may call.

    Raises:
        MissingExtra: pydantic-monty isn't installed.
    """
    try:
        from pydantic_monty import CollectString, Monty, MontyCrashedError, MontyError
    except ImportError:
        raise MissingExtra("running Python", "verifiers") from None
    if (chars := max(map(len, pieces))) > MOST_CODE_CHARS:
        return Ran("can't tell", why=f"{chars:,} characters of code; the most that is run is {MOST_CODE_CHARS:,}")
    out = CollectString(max_bytes=_MOST_OUTPUT_BYTES)
    value: Any = None
    number, late = 0, list[str]()
    try:
        with (
            Monty(request_timeout=seconds + 5, feed_duration_limit_grace=1.0) as pool,
            pool.checkout(
                script_name="answer.py",
                limits={
                    "max_feed_duration_secs": seconds,
                    "max_memory": memory_bytes,
                    "max_suspensions": _MOST_CALLS,
                },
                os_policy={"sleep": "zero"},
            ) as session,
        ):
            for number, source in enumerate(pieces):
                ends = time.monotonic() + seconds
                last = number == len(pieces) - 1
                ours = {name: _until(ends, each, late) for name, each in (host or {}).items()} if last else {}
                value = session.feed_run(source, print_callback=out, external_lookup=ours or None)
    except MontyCrashedError:
        return Ran("can't tell", str(out.output), None, "it took too much time or memory", number)
    except MontyError as error:
        why = _explain(error)
        unable = bool(late) or _unable(str(error), why, pieces[number])
        return Ran("can't tell" if unable else "failed", str(out.output), None, why, number)
    except UnicodeEncodeError as error:
        return Ran("failed", str(out.output), None, f"UnicodeEncodeError: {error}", number)
    if late:
        return Ran("can't tell", str(out.output), None, late[0], number)
    return Ran("done", str(out.output), value)


def _until(ends: float, function: Callable[..., Any], late: list[str]) -> Callable[..., Any]:
    """A host function that isn't called any more at that time: the interpreter doesn't count the time of its calls."""

    def called(*values: Any) -> Any:
        if time.monotonic() > ends:
            late.append("it took too much time")
            raise TimeoutError(late[0])
        return function(*values)

    return called


def _explain(error: Exception) -> str:
    """The end of the traceback: the failing line and its error."""
    display = getattr(error, "display", None)
    text = display() if callable(display) else str(error)
    lines = [line for line in str(text).splitlines() if line.strip() and "python-input" not in line]
    return "\n".join(line[:200] for line in lines[-4:] if not line.startswith("Traceback"))


_OWN_SUBSET = re.compile(
    r"not (?:yet )?(?:support(?:ed)?\b(?! (?:between|item|the ))|implemented)|unsupported keyword"
    r"|unexpected keyword argument|\w\.\w+\(\) takes exactly"
    r"|cannot convert '\w+' object to bytes|cannot create '\w+' instances|unknown encoding"
    r"|2nd argument cannot be negative when 3rd|Exceeds the limit \(\d+ digits\)"
)
"""Errors of this interpreter for calls that CPython accepts, or that only showing a value raises."""


def _unable(message: str, why: str, source: str) -> bool:
    """Whether the error comes from the interpreter's limits or subset, which says nothing about the code."""
    said = f"{message}\n{why}"
    if any(limit in said for limit in _LIMITS):
        return True
    if re.search(r"\b(?:ModuleNotFoundError|ImportError|PermissionError|NotImplementedError: The monty)\b", said):
        return True
    if "SyntaxError" in said:
        return _compiles(source)
    if name := re.search(r"NameError: name '(\w+)' is not defined", said):
        return hasattr(builtins, name[1])
    if missing := re.search(
        r"AttributeError: (?:type object )?'?([\w.]+)'?(?: object)? has no attribute '(\w+)'", said
    ):
        return _has(missing[1].rpartition(".")[2], missing[2])
    if missing := re.search(r"AttributeError: module '([\w.]+)' has no attribute '(\w+)'", said):
        return True
    return _OWN_SUBSET.search(said) is not None


def _compiles(source: str) -> bool:
    try:
        compile(source, "answer.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


_LIBRARY = (builtins, collections, datetime, types, decimal, fractions)
_FUNCTIONS = {("function", name) for name in dir(types.FunctionType)}


def _has(kind: str, name: str) -> bool:
    """Whether Python's own type of this name has this attribute."""
    known = next((getattr(module, kind) for module in _LIBRARY if hasattr(module, kind)), None)
    return hasattr(object, name) or (isinstance(known, type) and hasattr(known, name)) or (kind, name) in _FUNCTIONS
