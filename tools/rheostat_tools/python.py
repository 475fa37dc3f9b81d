"""A tool that runs Python in a sandbox."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal, Protocol

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat.errors import MissingExtra
from rheostat.sandbox.embedded import MOST_CODE_CHARS
from rheostat_tools.terms import Excerpt, above_zero, shorten, terms

__all__ = ["python_tool"]

_VALUE = "_value_of_the_last_expression"


class _Frame(Protocol):
    """The part that is read of a frame in the sandbox's traceback."""

    @property
    def line(self) -> int: ...


def python_tool(*, seconds: float = 5.0, memory_bytes: int = 128 * 2**20, most_output_chars: int = 4_000) -> BaseTool:
    """A tool that runs Python in pydantic-monty: a worker process without files, network or environment.

    Each call starts afresh and leaves nothing behind.

    Args:
        seconds: The time limit of a call; sleeping returns at once.
        memory_bytes: The limit of the sandbox's heap.
        most_output_chars: The longest output of a call; of a longer one the middle is left out.

    Raises:
        BadInput: A limit isn't above zero.
        MissingExtra: pydantic-monty isn't installed.
    """
    above_zero(seconds=seconds, memory_bytes=memory_bytes, most_output_chars=most_output_chars)
    try:
        import pydantic_monty  # noqa: F401 - fail where the tool is built, not at the first call
    except ImportError:
        raise MissingExtra("python_tool", "verifiers") from None

    def python(code: str) -> str:
        """Run Python code in a sandbox and get what it prints, and the value of its last line if that is an expression.

        Use it to compute, to check an idea, or to try a function before you write it to a file. Each call starts
        afresh: repeat the definitions that you need. There are no files, no network, no environment variables and
        no third-party packages. It is a subset of Python: no class inheritance, no generators with `yield`. These
        modules can be imported: math, re, json, datetime, itertools, functools, collections, random, decimal.

        Args:
            code: Python source. End with an expression, or print, to see a result.
        """
        return _run(code, seconds=seconds, memory_bytes=memory_bytes, most_output_chars=most_output_chars)

    return StructuredTool.from_function(python, parse_docstring=True, metadata=terms(seconds=seconds, idempotent=False))


def _run(code: str, *, seconds: float, memory_bytes: int, most_output_chars: int) -> str:
    from pydantic_monty import Monty, MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError

    if len(code) > MOST_CODE_CHARS:
        raise ToolException(f"the code has {len(code):,} characters; the most that is run is {MOST_CODE_CHARS:,}")
    printed = Excerpt(most_chars=most_output_chars)

    def keep(stream: Literal["stdout", "stderr"], text: str) -> None:
        printed.add(text)

    try:
        with (
            Monty(request_timeout=seconds + 5, feed_duration_limit_grace=1.0) as pool,
            pool.checkout(
                script_name="code.py",
                limits={"max_feed_duration_secs": seconds, "max_memory": memory_bytes},
                os_policy={"sleep": "zero"},
            ) as session,
        ):
            value = session.feed_run(_with_value_shown(code, most_output_chars), print_callback=keep)
    except MontyCrashedError:
        said = "the sandbox was stopped: the code took too much time or memory. Make it smaller."
        raise ToolException(_with_output(said, printed, most_output_chars)) from None
    except (MontyRuntimeError, MontySyntaxError) as error:
        said = f"{_kind(error.display('type-msg'))}\n{_fault(code, error.traceback())}".strip()
        if said.startswith("TimeoutError: feed time limit"):
            said = f"TimeoutError: stopped after {seconds:g} s. Use a faster way or a smaller input."
        raise ToolException(_with_output(said, printed, most_output_chars)) from None
    except (MontyError, UnicodeEncodeError) as error:
        raise ToolException(_with_output(_kind(str(error)), printed, most_output_chars)) from None
    out = printed.text()
    if value is not None:
        out = f"{out}{'' if not out or out.endswith(chr(10)) else chr(10)}{value}"
    return shorten(out, most_output_chars) or "The code ran. It printed nothing and its last line has no value."


def _with_value_shown(code: str, most_chars: int) -> str:
    """The code, changed so that the value of its last expression is returned as text.

    The text is made inside the sandbox, because a value that is passed to the host is copied outside of the memory
    limit: nested lists with the same list twice, forty levels deep, would fill the host.
    """
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return f"{code}\nNone\n"  # the sandbox reports the error
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr) or last.end_lineno is None or last.end_col_offset is None:
        return f"{code}\nNone\n"
    source = code.encode()
    lines = source.splitlines(keepends=True)
    begin = sum(map(len, lines[: last.lineno - 1])) + last.col_offset
    end = sum(map(len, lines[: last.end_lineno - 1])) + last.end_col_offset
    kept = f"{source[:begin].decode()}{_VALUE} = ({source[begin:end].decode()}){source[end:].decode()}"
    return f"{kept}\nNone if {_VALUE} is None else f'{{{_VALUE}!r:.{most_chars}}}'\n"


def _kind(message: str) -> str:
    return shorten(message, 1_000)


def _fault(code: str, frames: Sequence[_Frame]) -> str:
    """The failing line, and the line of the code that called it."""
    lines = code.splitlines()
    if frames and frames[-1].line > len(lines):
        return "while the value of the last expression was turned into text"
    numbers = [frame.line for frame in frames if 1 <= frame.line <= len(lines)]
    if not numbers:
        return ""
    said = f"line {numbers[-1]}: {lines[numbers[-1] - 1].strip()[:200]}"
    if numbers[0] != numbers[-1]:
        said += f"\ncalled from line {numbers[0]}: {lines[numbers[0] - 1].strip()[:200]}"
    return said


def _with_output(said: str, printed: Excerpt, most_chars: int) -> str:
    out = printed.text()
    return shorten(f"{said}\nprinted before that:\n{out}" if out else said, most_chars)
