"""Work with the lines, places and differences of texts."""

from __future__ import annotations

import difflib
import itertools
from typing import NamedTuple

__all__ = ["Place", "closest_lines", "line_of", "line_places", "lines_of", "numbered", "places"]

MOST_LINE_CHARS = 1_000
"""Longer lines are cut for display."""

_COMPARED_LINES = 3_000
_COMPARED_CHARS = 120
_MATCHED_LINES = 400
_MOVED_LINES = 200_000
_RANKED_LINES = 20
_STEP_CHARS = 65_536


def lines_of(text: str) -> list[str]:
    """The lines of a text, split as in an editor, without their ends."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def line_of(text: str, place: int) -> int:
    """The number of the line at this position, from 1."""
    return text.count("\n", 0, place) + 1


def places(text: str, piece: str) -> list[int]:
    """The positions at which a piece begins, including overlaps; at most 1,000."""
    found: list[int] = []
    at = text.find(piece)
    while at >= 0 and len(found) < 1_000:
        found.append(at)
        at = text.find(piece, at + 1)
    return found


class Place(NamedTuple):
    """The place of whole lines in a text, and their replacement."""

    line: int
    """The number of the first line."""
    start: int
    """The start of the lines that change; unchanged lines at both ends are kept as they are."""
    end: int
    """The end of the lines that change."""
    new: str
    """The replacement of the lines that change."""


def line_places(text: str, old: str, new: str) -> list[Place]:
    """The places of these whole lines; at most 1,000.

    If there is no exact place, places that differ only in blanks at line ends are returned; then places where all of
    the old lines, or the first one, lack the indentation, which the new lines then get.
    """
    wanted, put = lines_of(old), lines_of(new)
    ahead = _alike(wanted, put)
    behind = _alike(wanted[ahead:][::-1], put[ahead:][::-1])
    piece = "".join(f"{line}\n" for line in wanted)
    if exact := places(f"\n{text}\n", f"\n{piece}"):
        skipped = [sum(len(line) + 1 for line in each) for each in (wanted[:ahead], wanted[len(wanted) - behind :])]
        changed = "".join(f"{line}\n" for line in put[ahead : len(put) - behind])
        return [Place(line_of(text, at), at + skipped[0], at + len(piece) - skipped[1], changed) for at in exact]
    lines = lines_of(text)
    begins = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
    for bare in (str.rstrip, str.strip):
        there = "\n" + "".join(f"{bare(line)}\n" for line in lines)
        piece = "\n" + "".join(f"{bare(line)}\n" for line in wanted)
        found = []
        for first in (there.count("\n", 0, at) for at in places(there, piece)[: 2 + _MOVED_LINES // len(wanted)]):
            last = first + len(wanted)
            if (moved := _moved(lines[first:last], wanted, put)) is not None:
                kept = _kept(lines[first:last], moved, wanted, put)
                changed = "".join(f"{line}\n" for line in kept[ahead : len(kept) - behind])
                found.append(Place(first + 1, begins[first + ahead], begins[last - behind], changed))
        if found:
            return found
    return []


def _alike(one: list[str], other: list[str]) -> int:
    """The number of equal lines at the beginning of both."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _moved(there: list[str], wanted: list[str], new: list[str]) -> list[str] | None:
    """The new lines with the indentation that the wanted lines lack; `None`: the difference isn't only that."""
    pairs = [(line.rstrip(), want.rstrip()) for line, want in zip(there, wanted, strict=True)]
    lacks = [line[: len(line) - len(want)] for line, want in pairs if want]
    if not any(lacks):
        return new if all(line == want for line, want in pairs) else None
    blanks, others = lacks[0], set(lacks[1:])
    fit = all(line in (want, blanks + want) for line, want in pairs)
    if not fit or not blanks or others not in (set(), {""}, {blanks}):
        return None
    only_first = others == {""} or (not others and all(line.startswith(blanks) for line in new[1:] if line.strip()))
    return [
        blanks + line if line.strip() and (number == 0 or not only_first) else line for number, line in enumerate(new)
    ]


def _kept(there: list[str], moved: list[str], wanted: list[str], new: list[str]) -> list[str]:
    """The new lines, of which those that were wanted stay as they are in the file."""
    if there == wanted or max(len(wanted), len(new)) > _MATCHED_LINES:
        return moved
    kept = list(moved)
    for old, at, length in difflib.SequenceMatcher(None, wanted, new, autojunk=False).get_matching_blocks():
        kept[at : at + length] = there[old : old + length]
    return kept


def numbered(text: str, first: int, count: int, *, most_chars: int) -> tuple[str, int]:
    """(lines of a text with their numbers, the number of the last line that fits)."""
    shown: list[str] = []
    chars = 0
    last = first - 1
    at, line_at = 0, 1
    while line_at < first and (passed := text.count("\n", at, at + _STEP_CHARS)) < first - line_at:
        at, line_at = at + _STEP_CHARS, line_at + passed
    for _ in range(first - line_at):
        at = text.index("\n", at) + 1
    count = min(count, most_chars)  # a line takes more than a character
    for number, line in enumerate(lines_of("\n".join(text[at:].split("\n", count)[:count])), start=first):
        cut = f"{line[:MOST_LINE_CHARS]}… (line cut, {len(line):,} characters)" if len(line) > MOST_LINE_CHARS else line
        chars += len(cut) + 8
        if chars > most_chars and shown:
            break
        shown.append(f"{number:>4} | {cut}"[: max(most_chars, 40)])
        last = number
    return "\n".join(shown), last


def closest_lines(text: str, wanted: str) -> str:
    """A message with the lines of the text that are most like the first wanted line."""
    first = next((line.strip() for line in lines_of(wanted) if line.strip()), "")[:_COMPARED_CHARS]
    if not first:
        return ""
    lines = lines_of(text)
    spaceless = "".join(first.split())
    near = [number for number, line in enumerate(lines) if spaceless in "".join(line[:10_000].split())][:3]
    if not near:
        matcher = difflib.SequenceMatcher(b=first, autojunk=False)
        ranked: list[tuple[float, int]] = []
        for number, line in enumerate(lines[:_COMPARED_LINES]):
            matcher.set_seq1(line.strip()[:_COMPARED_CHARS])
            if matcher.real_quick_ratio() > 0.6 and (ratio := matcher.quick_ratio()) > 0.6:
                ranked.append((-ratio, number))
        best = []
        for _, number in sorted(ranked)[:_RANKED_LINES]:
            matcher.set_seq1(lines[number].strip()[:_COMPARED_CHARS])
            best.append((-matcher.ratio(), number))
        near = [number for ratio, number in sorted(best)[:3] if ratio < -0.6]
    if not near:
        return "No line of it is like the first line of old."
    shown = "\n".join(numbered(text, max(1, number), 3, most_chars=600)[0] for number in near)
    told = _invisible(lines_of(wanted), lines, near[0])
    return f"The first line of old is most like the middle one here:\n{shown}{told}"


def _invisible(wanted: list[str], lines: list[str], at: int) -> str:
    """A message with the first line that differs only in blanks, with these made visible; empty: there is none."""
    begin = next((number for number, line in enumerate(wanted) if line.strip()), 0)
    for old, there in zip(wanted[begin:], lines[at:], strict=False):
        if old == there:
            continue
        if "".join(old.split()) != "".join(there.split()):
            return ""
        return (
            f"\nThey differ only in blanks (→ is a tab, · a space, ␍ a carriage return, ⍽ another kind of blank):\n"
            f"old:  {_shown(old)}\nfile: {_shown(there)}"
        )
    return ""


def _shown(line: str) -> str:
    marks = {"\t": "→", " ": "·", "\r": "␍"}
    return "".join(marks.get(char, "⍽" if char.isspace() else char) for char in line[:MOST_LINE_CHARS])
