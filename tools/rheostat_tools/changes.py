"""What an answer can ask to be done to a file."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Edit", "Insert", "Refused", "Replace", "Whole"]


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a file."""

    path: str
    """As the answer names it; empty: it doesn't."""
    text: str
    closed: bool = True
    """False: nothing says where it ends, so the answer may have been cut."""


@dataclass(frozen=True, slots=True)
class Replace:
    """A piece of a file: whole lines."""

    path: str
    """As the answer names it; empty: it doesn't."""
    old: str
    """Empty: the file is new, and `new` is all of it."""
    new: str
    line: int = 0
    """Where about the piece is; 0: not said."""
    within: str = ""
    """Lines under which the piece stands, the outermost first, such as `class B:`."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Lines that a diff adds and shows nothing around."""

    path: str
    """As the answer names it; empty: it doesn't."""
    new: str
    line: int
    """Behind which line, once the edits before it are made; 0: at the start."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that looks like an edit and can't be applied."""

    path: str
    why: str


Edit = Whole | Replace | Insert | Refused
