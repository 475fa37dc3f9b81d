"""Shorten the output of tests to its useful part, while it comes in."""

from __future__ import annotations

import re
from collections import deque

from rheostat_tools.terms import shorten

__all__ = ["Report"]

_LINE_BYTES = 1_000
_KEPT_CHARS = 100_000
_TAIL_LINES = 60

_TELLING = re.compile(
    r"E  |>  |rheostat: |INTERNALERROR>|ERROR|FAILED |XPASS|!!!|_{3,} .* _{3,}$|\S+:\d+: |.*\b(Error|Exception): "
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SUMMARY = re.compile(r"=+ short test summary info =+")
_COUNT = re.compile(
    r"(=+ )?(no tests ran|\d+ (passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?)\b).*"
)


class Report:
    """Takes output of any size and keeps a bounded part.

    Of pytest's output it keeps the summary and the lines that say what failed, where and how; of other output the end.

    Args:
        pytest: Whether it is pytest's output.
    """

    def __init__(self, *, pytest: bool) -> None:
        self.bytes = 0
        """The size of all output."""
        self.summary = ""
        """Pytest's last line, such as "3 passed in 0.02s"; empty if it printed none."""
        self.ended = False
        """Whether pytest ran to its end; code under test that ends the process early may also give exit code 0."""
        self.pytest = pytest
        """Whether it is pytest's output."""
        self._kept: list[str] = []
        self._kept_chars = 0
        self._in_summary = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._rest = b""

    def add(self, output: bytes) -> None:
        """Add output."""
        self.bytes += len(output)
        *lines, rest = output.split(b"\n")
        for line in lines:
            self._line(self._rest + line)
            self._rest = b""
        self._rest = (self._rest + rest[:_LINE_BYTES])[:_LINE_BYTES]

    def end(self) -> None:
        """End the output, after the last `add`."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def text(self, *, passed: bool, most_chars: int) -> str:
        """The shortened output; if pytest passed, only its summary."""
        if passed and self.pytest:
            return self.summary
        kept = [*self._kept, self.summary] if self.pytest and self._kept else list(self._tail)
        return shorten("\n".join(line for line in kept if line.strip()), most_chars)

    def _line(self, raw: bytes) -> None:
        line = _COLOUR.sub("", raw[:_LINE_BYTES].decode(errors="replace"))
        line = "".join(char for char in line if char >= " " or char == "\t")
        self._tail.append(line.rstrip())
        if not self.pytest:
            return
        if _SUMMARY.match(line):
            self._in_summary = True
        if count := _COUNT.fullmatch(line.strip()):
            self.summary, self.ended = count.group().strip("= "), True
        elif line.rstrip().endswith("[100%]"):
            self.ended = True
        elif _kept(line, self._in_summary) and self._kept_chars < _KEPT_CHARS:
            self._kept.append(line[:300].rstrip())
            self._kept_chars += len(self._kept[-1])


def _kept(line: str, in_summary: bool) -> bool:
    return in_summary or (_TELLING.match(line) is not None and "Warning: " not in line)
