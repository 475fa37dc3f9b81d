"""The exit statuses of the commands (docs/reference/cli.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["BAD_INPUT", "BUDGET", "DONE", "INTERRUPTED", "PROVIDER", "UNSOLVED", "status_of"]

DONE: Final = 0
UNSOLVED: Final = 1
"""It ended without what was asked for: refused by the verifier, cut, declined by the model, stuck."""
BAD_INPUT: Final = 2
"""An argument can't be used, or a part is missing; nothing was spent."""
BUDGET: Final = 3
"""A limit of the budget, or of an account above it, ended the run; the best answer so far is printed."""
PROVIDER: Final = 4
"""The provider refused or couldn't be reached."""
INTERRUPTED: Final = 130
"""Ctrl-C: what was reached is printed."""

_BY = {"budget": BUDGET, "failure": PROVIDER, "cut": UNSOLVED, "declined": UNSOLVED}


def status_of(end: Mapping[str, Any], *, done: bool, proven: bool = False) -> int:
    """The status of a run.

    Args:
        end: How it ended, as `read(result)["end"]` says.
        done: It brought what was asked for.
        proven: A verifier or the tests say so: then it doesn't matter how it ended.
    """
    if proven:
        return DONE
    return _BY.get(str(end.get("by")), DONE if done else UNSOLVED)
