"""A unified diff for `git apply`, in a time that grows with the length of the files and not with its square."""

from __future__ import annotations

import bisect
import difflib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.tools import ToolException

from rheostat_tools.encodings import FileText

__all__ = ["difference"]

_MOST_PAIRS = 1_000_000
"""The most pairs of lines that are compared between those that occur once in both files; further ones are replaced."""


def difference(path: str, before: bytes | None, now: bytes | str | None) -> str:
    """The part of a unified diff for one file; a `now` of type `str` is the reason why the file can't be read."""
    if isinstance(now, str):
        return f"# {_quoted(path)}: {now}\n"
    try:
        old, new = _kept_ends(path, before), _kept_ends(path, now)
        written = FileText.of(path, now or before or b"").encoding
    except ToolException:
        return f"# {_quoted(path)}: became binary\n"
    sides = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    head = "" if written == "utf-8" else f"# {sides[1]} is in {written}: this part is to be read, git can't apply it\n"
    head += f"diff --git {sides[0]} {sides[1]}\n"
    head += "new file mode 100644\n" if before is None else "deleted file mode 100644\n" if now is None else ""
    names = ("/dev/null" if before is None else sides[0], "/dev/null" if now is None else sides[1])
    hunks = list(_hunks(old, new))
    # a tab ends a name with blanks: git does the same
    heads = [f"{mark} {name}{chr(9) * (' ' in name)}\n" for mark, name in zip(("---", "+++"), names, strict=True)]
    lines = [*heads, *hunks] if hunks else []
    return head + "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _quoted(name: str) -> str:
    """A name as git writes it: in quotes and with codes if it holds what could be taken for something else."""
    if name.isprintable() and not set(name) & {'"', "\\"}:
        return name
    codes = (
        f"\\{byte:03o}" if byte < 0x20 or byte > 0x7E else f"\\{chr(byte)}" if byte in b'"\\' else chr(byte)
        for byte in os.fsencode(name)
    )
    return f'"{"".join(codes)}"'


def _kept_ends(path: str, content: bytes | None) -> list[str]:
    """The lines of a file with their own ends."""
    found = FileText.of(path, content or b"")
    lines = found.mark.decode(found.encoding) + found.raw
    kept = lines.split("\n")
    return [f"{line}\n" for line in kept[:-1]] + kept[-1:] * bool(kept[-1])


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    matcher = _Matched(None, "", "")
    matcher.runs = [*_equal_runs(old, new), difflib.Match(len(old), len(new), 0)]
    for group in matcher.get_grouped_opcodes():
        (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
        yield f"@@ -{_span(i1, i2)} +{_span(j1, j2)} @@\n"
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                yield from (f" {line}" for line in old[i1:i2])
            else:
                yield from (f"-{line}" for line in old[i1:i2])
                yield from (f"+{line}" for line in new[j1:j2])


class _Matched(difflib.SequenceMatcher[str]):
    """Groups the differences around runs of equal lines that were found before."""

    runs: list[difflib.Match]

    def get_matching_blocks(self) -> list[difflib.Match]:
        return self.runs


def _span(start: int, stop: int) -> str:
    return f"{start + (stop > start)},{stop - start}"


def _equal_runs(old: Sequence[str], new: Sequence[str]) -> list[difflib.Match]:
    """The runs of equal lines: those at both ends, lines that occur once in both (as in a patience diff), and between
    these what difflib finds, as long as that isn't too much work."""
    head = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - head
    tail = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    ends = len(old) - tail, len(new) - tail
    runs: list[difflib.Match] = []

    def add(i: int, j: int, length: int) -> None:
        if runs and (runs[-1].a + runs[-1].size, runs[-1].b + runs[-1].size) == (i, j):
            last = runs.pop()
            i, j, length = last.a, last.b, last.size + length
        if length:
            runs.append(difflib.Match(i, j, length))

    add(0, 0, head)
    i0, j0, work = head, head, _MOST_PAIRS
    for i, j, length in [*_anchors(old, new, head, ends), (*ends, tail)]:
        work -= (i - i0) * (j - j0)
        if work >= 0:
            for a, b, size in difflib.SequenceMatcher(None, old[i0:i], new[j0:j]).get_matching_blocks():
                add(i0 + a, j0 + b, size)
        add(i, j, length)
        i0, j0 = i + length, j + length
    return runs


def _anchors(old: Sequence[str], new: Sequence[str], head: int, ends: tuple[int, int]) -> list[tuple[int, int, int]]:
    """(place in old, place in new, 1) of most of the lines that occur once in both, in the same order in both."""
    counts = Counter(old[head : ends[0]]), Counter(new[head : ends[1]])
    where = {line: j for j, line in enumerate(new[head : ends[1]], head) if counts[1][line] == 1}
    pairs = [
        (i, where[line]) for i, line in enumerate(old[head : ends[0]], head) if counts[0][line] == 1 and line in where
    ]
    tops: list[int] = []
    chains: list[tuple[int, int, Any]] = []
    for i, j in pairs:  # the longest rising sequence
        at = bisect.bisect_left(tops, j)
        chain = (i, j, chains[at - 1] if at else None)
        tops[at : at + 1], chains[at : at + 1] = [j], [chain]
    found = []
    link = chains[-1] if chains else None
    while link is not None:
        found.append((link[0], link[1], 1))
        link = link[2]
    return found[::-1]
