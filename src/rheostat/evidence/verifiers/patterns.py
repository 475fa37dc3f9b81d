"""Regular expressions under a time limit: `(a+)+$` takes for ever on an answer that a model may well write."""

from __future__ import annotations

import functools
import re

import regex

__all__ = ["compiled", "matches_whole"]

_SECONDS = 1.0
_MOST_CHARS = 1_000_000


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> regex.Pattern[str]:
    """The pattern, as `re` reads it.

    Raises:
        re.error: it is none.
    """
    re.compile(pattern)  # what is one is said by Python's own; regex knows more
    try:
        return regex.compile(pattern, regex.V0)
    except regex.error as error:
        raise re.error(str(error)) from None


def matches_whole(pattern: str, text: str) -> bool | None:
    """Does all of the text match? None: it took too long to tell."""
    if len(text) > _MOST_CHARS:
        return None
    try:
        return compiled(pattern).fullmatch(text, timeout=_SECONDS, concurrent=True) is not None
    except TimeoutError:
        return None
