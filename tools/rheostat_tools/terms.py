"""Helpers of the tools: declared terms, checked limits, shortened output."""

from __future__ import annotations

import math
from typing import Any

from rheostat.errors import BadInput

__all__ = ["Excerpt", "above_zero", "shorten", "terms"]


def terms(*, seconds: float, idempotent: bool) -> dict[str, Any]:
    """The metadata of a free tool: its time limit in seconds, and whether a repeated call has no other effect."""
    return {"rheostat": {"usd": "0", "seconds": seconds, "idempotent": idempotent}}


def above_zero(**limits: float) -> None:
    """Check that limits are above zero.

    Raises:
        BadInput: A limit is zero, negative, infinite or not a number.
    """
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise BadInput(f"{name} must be a number above zero, got {value!r}")


def shorten(text: str, most_chars: int) -> str:
    """The text; if it is too long, its beginning and end with a note between them."""
    excerpt = Excerpt(most_chars=most_chars)
    excerpt.add(text)
    return excerpt.text()


class Excerpt:
    """Collects output of any size, and keeps its beginning and its end.

    Args:
        most_chars: The number of characters kept.
    """

    def __init__(self, *, most_chars: int) -> None:
        self.most_chars = most_chars
        """The number of characters kept."""
        self.chars = 0
        """The number of characters added."""
        self._head = ""
        self._tail = ""

    def add(self, text: str) -> None:
        """Add output."""
        self.chars += len(text)
        room = self.most_chars // 2 - len(self._head)
        self._head += text[:room] if room > 0 else ""
        rest = text[room:] if room > 0 else text
        most_tail = self.most_chars - self.most_chars // 2
        if rest:
            self._tail = (self._tail + rest[-most_tail:])[-most_tail:]

    def text(self) -> str:
        """The kept output, with a note in place of the middle that was left out."""
        left_out = self.chars - len(self._head) - len(self._tail)
        if left_out <= 0:
            return self._head + self._tail
        return f"{self._head}\n… {left_out:,} characters left out …\n{self._tail}"
