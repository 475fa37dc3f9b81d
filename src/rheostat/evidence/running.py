"""Answers computed by Python: the model writes a program or a function, whose output or result is the answer.

Program-aided language models (arXiv:2211.10435), program of thoughts (arXiv:2211.12588): a small model is better at
setting up a calculation than at doing it.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Literal

from rheostat.evidence.answers import read_answer
from rheostat.sandbox.embedded import Ran, run_embedded

__all__ = ["worked_out"]

_VALUE = "_value_of_the_solution"
_MOST_CHARS = 4_000
"""The longest returned value that is read."""

_ERROR = re.compile(
    r"\W*(?:(?:an?|the|some)\s+)?(?:\w*error|\w*exception|traceback|invalid|failed|failure|unable|undefined|cannot|can't"
    r"|could\s+not|not\s+(?:possible|enough|found|defined))\b",
    re.I,
)
"""The beginning of a message that the program caught and reported; a number in it isn't the answer."""


def worked_out(reply: str, runs: Literal["program", "function"]) -> tuple[str | None, str]:
    """Run the Python code of a reply.

    Returns:
        (the answer as text, ""), or (`None`, the reason).
    """
    code = read_answer(reply, "code")
    if code is None:
        return None, "the reply holds no Python"
    source: str = code.value
    call = _call(source, "solution")
    if runs == "function" and call:
        return _returned(source, call)
    ran = run_embedded((f"{source}\nNone\n",))
    if ran.status == "done" and not ran.output.strip() and call:
        return _returned(source, call)
    return _printed(ran)


def _returned(source: str, call: str) -> tuple[str | None, str]:
    """What a call returns. It comes as text: a list that holds another one twice, forty times, would fill the host."""
    shown = f"None if {_VALUE} is None else (f'{{{_VALUE}!r:.{_MOST_CHARS}}}', f'{{{_VALUE}!s:.{_MOST_CHARS}}}')"
    ran = run_embedded((f"{source}\nNone\n", f"{_VALUE} = {call}\n{shown}\n"))
    if ran.status != "done" or ran.value is None:
        return _printed(ran)
    try:
        return _answer(_text(ast.literal_eval(ran.value[0])))
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # no literal, or cut
        return _answer(_rounded(ran.value[1]))


def _printed(ran: Ran) -> tuple[str | None, str]:
    lines = [line.strip() for line in ran.output.splitlines() if line.strip()]
    if ran.status != "done":
        return None, f"the code {'failed' if ran.status == 'failed' else 'could not be run'}: {ran.why}"
    return _answer(_rounded(lines[-1])) if lines else (None, "the code printed nothing")


def _answer(text: str) -> tuple[str | None, str]:
    return (None, f"the code reported an error: {text[:200]}") if _ERROR.match(text) else (text, "")


def _call(source: str, name: str) -> str:
    """Source that calls the function of this name, else the last one without required arguments; empty: none."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    bare = [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef)
        and len(node.args.args) + len(node.args.posonlyargs) <= len(node.args.defaults)
        and all(default is not None for default in node.args.kw_defaults)
    ]
    return f"{name if name in bare else bare[-1]}()" if bare else ""


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return _rounded(str(value))


def _rounded(text: str) -> str:
    """Round a long decimal to 12 digits, all of which are exact in a float: `0.30000000000000004` is 0.3."""
    try:
        number = float(text)
    except ValueError:
        return text
    if "." not in text or len(text) < 15:
        return text
    return format(number, ".12g")
