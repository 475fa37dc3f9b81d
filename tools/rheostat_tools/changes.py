"""The kinds of edits that an answer can contain."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Edit", "Insert", "Refused", "Replace", "Whole"]


@dataclass(frozen=True, slots=True)
class Whole:
    """The new content of a whole file."""

    path: str
    """The path as in the answer; empty: the answer has none."""
    text: str
    closed: bool = True
    """`False`: its end isn't marked, so the answer may have been cut."""


@dataclass(frozen=True, slots=True)
class Replace:
    """The replacement of some whole lines of a file."""

    path: str
    """The path as in the answer; empty: the answer has none."""
    old: str
    """The lines to replace; empty: the file is new, and `new` is all of it."""
    new: str
    line: int = 0
    """The approximate line number of the piece; 0: unknown."""
    within: str = ""
    """Heading lines above the piece, the outermost first, such as `class B:`."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Lines that a diff adds without any context."""

    path: str
    """The path as in the answer; empty: the answer has none."""
    new: str
    line: int
    """The line after which they are added, counted after the earlier edits; 0: at the start."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Text that looks like an edit but can't be applied."""

    path: str
    why: str


Edit = Whole | Replace | Insert | Refused
