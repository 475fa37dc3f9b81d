"""Regular expressions under a time limit, because `(a+)+$` takes for ever on an answer that a model may well write."""

from __future__ import annotations

import functools
import re

import regex

__all__ = ["compiled", "matches_whole"]

_SECONDS = 1.0
_MOST_CHARS = 1_000_000


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Compile a pattern with the syntax of `re`.

    Raises:
        re.error: It isn't a regular expression.
    """
    re.compile(pattern)  # regex accepts more than `re` does
    try:
        return regex.compile(pattern, regex.V0)
    except regex.error as error:
        raise re.error(str(error)) from None


def matches_whole(pattern: str, text: str) -> bool | None:
    """Whether the whole text matches; `None`: the text is longer than 1,000,000 characters, or it took over 1 s."""
    if len(text) > _MOST_CHARS:
        return None
    try:
        return compiled(pattern).fullmatch(text, timeout=_SECONDS, concurrent=True) is not None
    except TimeoutError:
        return None
