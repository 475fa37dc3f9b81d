"""The one door to a terminal: whatever is printed through it, nothing in it steers the terminal or reads as markup.

A text of a model, a file, a name or an exception is printed as it is. Style is given beside it (`Text.assemble`,
`style=`), never by markup inside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import IO, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from rheostat.addresses import without_password
from rheostat.visible import one_line, visible, visible_json

__all__ = ["Screen", "guard", "json_of", "labelled", "tell", "tell_json"]


class Screen(Console):
    """A console on which control characters are codes, and square brackets are square brackets.

    Args:
        err: Standard error instead of standard output.
        quiet: Print nothing.
    """

    def __init__(self, *, err: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=err, quiet=quiet, markup=False, emoji=False, highlight=False)

    @property
    def file(self) -> IO[str]:
        """The stream behind the guard: this console's own colours pass."""
        stream: IO[str] = getattr(super().file, "unguarded", super().file)
        return stream

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text; rich would leave some control characters out."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is drawn, piece by piece: rich's own moves of the cursor are pieces of another kind."""
        for each in super().render(renderable, options):
            yield each if each.control or each.text.isprintable() else each._replace(text=visible(each.text))


def labelled(label: object, text: object, style: str = "dim") -> Text:
    """A label and what stands behind it; further lines are set in, so that none of them reads as one of ours."""
    return Text.assemble((f"{one_line(label)}: ", style), visible(text).replace("\n", "\n  "))


def tell(text: object, *, err: bool = False, end: str = "\n") -> None:
    """Print a text, unwrapped."""
    stream = sys.stderr if err else sys.stdout
    stream.write(f"{visible(text)}{end}")
    stream.flush()


def tell_json(data: Any) -> None:
    """Print one JSON document on one line."""
    tell(json_of(data))


def json_of(data: Any) -> str:
    """Valid JSON in ASCII: what is no number is null."""
    try:
        text = json.dumps(data, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(json.loads(json.dumps(data, default=str), parse_constant=lambda _: None))
    return visible_json(text)


class _Guarded:
    """A stream to which libraries, warnings, logs and tracebacks are written: codes for controls, no passwords."""

    def __init__(self, unguarded: TextIO) -> None:
        self.unguarded = unguarded

    def write(self, text: str) -> int:
        self.unguarded.write(visible(without_password(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for each in lines:
            self.write(each)

    def isatty(self) -> bool:
        """No: who asks wants to send colours."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


def guard() -> None:
    """Guard this process's streams, so that no text can end it with an error of the encoding, or steer the terminal."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stderr, _Guarded):
        sys.stderr = _Guarded(sys.stderr)
