"""Read search/replace blocks and diffs as replacements of pieces of files.

A search/replace block is aider's (`<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`;
https://aider.chat/docs/more/edit-formats.html), Cline's (`------- SEARCH`, `=======`, `+++++++ REPLACE`), or one with
other words, such as those of a conflict. A hunk of a diff is located by its lines, because models get its numbers
wrong. The numbers decide only between identical places, and locate added lines without context.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from rheostat_tools.changes import Edit, Insert, Refused, Replace
from rheostat_tools.diff_names import NOTHING, git_name, header_name, name_of_both
from rheostat_tools.fences import path_in
from rheostat_tools.outline import parses

__all__ = ["diff", "holds_searches", "is_diff", "searches", "starts_diff"]

_OPEN = re.compile(r"(<{5,9})(?:\s+\S.*|\s*SEARCH\b.*)?\s*$|(-{5,9}) SEARCH>?\s*$")
_SEARCH = re.compile(r"(?:<{5,9}\s*|-{5,9} )SEARCH\b")
_DIVIDER = re.compile(r"(={5,9})\s*$")
_BASE = re.compile(r"\|{5,9}(?:\s.*)?$")
_CLOSE = re.compile(r">{5,9}(?:\s+\S.*|\s*REPLACE\b.*)?\s*$")
_REPLACE = re.compile(r">{5,9}\s*(?:(?:REPLACE|UPDATED?|NEW|AFTER|END)\b.*)?$|\+{5,9} REPLACE\s*$")

_HUNK = re.compile(r"@@(?: -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@(.*)|(.*))$")
_NUMBERED = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")
_HEAD = re.compile(r"(?:index [0-9a-f]+\.\.|similarity |(?:new|old) mode )")
_GIT_FILE = re.compile(r"(new|deleted) file mode ")
_UNLIKE_TEXT = re.compile(r"(?:rename (?:from|to)|copy (?:from|to)|GIT binary patch|Binary files )")
_PATCH = re.compile(r"\*\*\* (Begin Patch|End Patch|Update File|Add File|Delete File|Move to)(?:: (.*))?$")
_NOT_REMOVED = "files can't be removed"
_BULLET = re.compile(r"[-+] \S")


def holds_searches(lines: Sequence[str], *, any_word: bool = True) -> bool:
    """Whether a search/replace block begins in these lines; `any_word`: the marks of a conflict count too."""
    return any((_OPEN if any_word else _SEARCH).match(line) for line in lines)


def searches(lines: Sequence[str], path: str, known: AbstractSet[str]) -> list[Edit]:
    """The edits of the search/replace blocks in these lines.

    Args:
        lines: The blocks and the lines between them.
        path: The file of a block without a file name above it.
        known: The paths of existing files.
    """
    found: list[Edit] = []
    above, number = "", 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if opened := _OPEN.match(line):
            path, above = path_in(above, known) or path, ""
            edit, number = _search(lines, number, len(opened[1] or opened[2]), path)
            found.append(edit)
        elif line.strip() and not line.strip().startswith(("```", "~~~")):
            above = line
    return found


def _search(lines: Sequence[str], begin: int, width: int, path: str) -> tuple[Edit, int]:
    """The edit of the block whose first line is `begin`, and the number of the line after the block."""
    closing = _REPLACE if _SEARCH.match(lines[begin - 1]) else _CLOSE
    dividers: list[int] = []
    base = inner = 0
    for number in range(begin, len(lines)):
        line = lines[number]
        if _SEARCH.match(line):
            return _endless(path), number
        if _OPEN.match(line):  # a conflict that the block resolves
            inner += 1
        elif inner:
            inner -= _CLOSE.match(line) is not None
        elif _DIVIDER.match(line):
            dividers.append(number)
        elif _BASE.match(line) and not dividers:
            base = number
        elif closing.match(line) and dividers:
            # The underline of a heading may look like a divider, but the divider is as long as the other marks.
            alike = [each for each in dividers if len(lines[each].strip()) == width] or dividers
            if len(alike) % 2 == 0:
                why = "several lines of a search/replace block may be its divider: write its marks with two signs more"
                return Refused(path, why), number + 1
            divider = alike[len(alike) // 2]
            return Replace(
                path, _joined(lines[begin : base or divider]), _joined(lines[divider + 1 : number])
            ), number + 1
    return _endless(path), len(lines)


def _endless(path: str) -> Refused:
    return Refused(path, "a search/replace block has no end: write >>>>>>> REPLACE beneath the new lines")


def starts_diff(lines: Sequence[str], at: int) -> bool:
    """Whether a diff begins at this line."""
    line, following = lines[at], lines[at + 1] if at + 1 < len(lines) else ""
    return line.startswith(("diff --git ", "*** Begin Patch")) or (
        line.startswith("--- ") and following.startswith("+++ ")
    )


def is_diff(lines: Sequence[str], said_so: bool) -> bool:
    """Whether the lines of a block are a diff; `said_so`: its fence says so."""
    if any(starts_diff(lines, number) for number in range(min(len(lines), 20))):
        return True
    said = [line for line in lines if line.strip()]
    if any(_NUMBERED.match(line) for line in said):
        return True
    marked = [line for line in said if line[0] in "+-"]
    if said_so:
        return bool(marked)
    whole = all(line[0] in "+- @\\" for line in said)
    return whole and len(marked) > 0 and any(line[0] == "-" for line in said) and not parses("\n".join(lines))


def diff(
    lines: Sequence[str], path: str, known: AbstractSet[str] = frozenset(), *, prose: bool = False, cut: bool = False
) -> list[Edit]:
    """The edits of the hunks of a diff.

    Args:
        lines: The lines of the diff.
        path: The file of hunks without a header.
        known: The paths of existing files.
        prose: The diff ends at a line that can't belong to one.
        cut: The end may have been cut.
    """
    reader = _Reader(path, known, prose)
    number = 0
    while number < len(lines):
        number += reader.read(lines, number)
    if why := reader.why_unfinished(cut):
        return [*reader.found, Refused(reader.path, f"the reply was cut in the middle of a diff: {why}")]
    reader.end_file()
    return reader.found


class _Reader:
    def __init__(self, path: str, known: AbstractSet[str], prose: bool) -> None:
        self.path = path
        self.found: list[Edit] = []
        self.hunk: _Hunk | None = None
        self._known, self._prose = known, prose
        self._new_file = self._removed = self._in_patch = self._at_header = False
        self._git: Edit | None = None
        self._shift = 0

    def read(self, lines: Sequence[str], number: int) -> int:
        """Read from this line on, and return the number of lines read."""
        line = lines[number]
        if patch := _PATCH.match(line):
            self._patch(patch[1], (patch[2] or "").strip())
        elif self._is_header(lines, number):
            self._header(line, lines[number + 1])
            return 2
        elif line.startswith("diff --git "):
            self.end_file()
            self.path = git_name(line)
        elif said := _GIT_FILE.match(line):
            self._git = Replace(self.path, "", "") if said[1] == "new" else Refused(self.path, _NOT_REMOVED)
        elif _HEAD.match(line):
            self.close()
        elif _UNLIKE_TEXT.match(line):
            self.close()
            self.found.append(Refused(self.path, f"{line[:60]}: only changes of lines can be applied"))
        elif line.startswith("@@") and (at := _HUNK.match(line)):
            self._begin(at)
        else:
            if self.hunk is None and line[:1] in ("+", "-", " ") and not self._prose:
                self.hunk = _Hunk(None)
            hunk = self.hunk
            if hunk is not None and ((self._prose and hunk.is_prose(line)) or (not hunk.take(line) and self._prose)):
                self.close()
        return 1

    def why_unfinished(self, cut: bool) -> str | None:
        """What is missing at the end, or `None`; `cut`: its end isn't marked."""
        hunk = self.hunk
        if self._in_patch:
            return "*** End Patch is missing"
        if not (cut or self._prose):
            return None
        if self._at_header or (hunk is not None and not hunk.changes and hunk.line is not None):
            return "the lines of its last part are missing"
        if hunk is not None and hunk.unfinished():
            return "its last part has fewer lines than its numbers say. Put a diff between ```diff and ```"
        return (
            "its last part has no end. Write ``` beneath it" if cut and hunk is not None and hunk.line is None else None
        )

    def end_file(self) -> None:
        """End the part of a file; of an empty file there is only what git says of it."""
        self.close()
        if self._git is not None:
            self.found.append(self._git)
        self._git = None

    def close(self) -> None:
        """End the current hunk, and add its edit."""
        hunk, self.hunk = self.hunk, None
        if hunk is None or not hunk.changes or self._removed:
            return
        hunk.end()
        old, new = _joined(hunk.old), _joined(hunk.new)
        adds = not old or (hunk.wanted[0] == 0 and not old.strip())
        if adds and hunk.line is not None and not self._new_file:
            behind = hunk.line if hunk.wanted[0] == 0 else max(0, hunk.line - 1)
            self.found.append(Insert(self.path, new, behind + self._shift))
        else:
            within = "\n".join(hunk.within)
            self.found.append(Replace(self.path, "" if self._new_file else old, new, hunk.line or 0, within))
        self._shift += len(hunk.new) - len(hunk.old)  # line numbers of a diff refer to the file before it

    def _begin(self, at: re.Match[str]) -> None:
        if self.hunk is not None and self.hunk.bare():  # "@@ class A:" followed by "@@ def f(self):"
            within = self.hunk.within
        else:
            self.close()
            within = []
        self._at_header = False
        heading = (at[4] or at[5] or "").strip(" @.…")
        self.hunk = _Hunk(int(at[1]) if at[1] else None)
        self.hunk.wanted = (int(at[2] or 1), int(at[3] or 1))
        self.hunk.within = [*within, *[heading] * bool(heading)]

    def _is_header(self, lines: Sequence[str], number: int) -> bool:
        if not lines[number].startswith("--- ") or not starts_diff(lines, number):
            return False
        # A hunk may remove an SQL comment ("--- x") and add an increment ("+++ y").
        following = next((line for line in lines[number + 2 : number + 4] if line.strip()), "@@")
        return self.hunk is None or not self.hunk.unfinished() or following.startswith("@@")

    def _header(self, first: str, second: str) -> None:
        self.close()
        before, after = (header_name(line, self._known) for line in (first, second))
        self._new_file, self._removed = before == NOTHING, after == NOTHING
        self.path, self._git, self._at_header, self._shift = name_of_both(before, after, self._known), None, True, 0
        if self._removed:
            self.found.append(Refused(self.path, _NOT_REMOVED))
        elif not self.path:
            self.found.append(Refused("", f"{before} can't become {after}: files can't be renamed"))

    def _patch(self, said: str, path: str) -> None:
        self.close()
        self._in_patch = said != "End Patch"
        if said in ("Update File", "Add File"):
            self.path, self._new_file, self._removed, self._shift = path, said == "Add File", False, 0
            self.hunk = _Hunk(None)
        elif said in ("Delete File", "Move to"):
            self.found.append(Refused(path, "files can't be removed or renamed"))


class _Hunk:
    def __init__(self, line: int | None) -> None:
        self.line = line
        self.wanted = (1, 1)
        self.within: list[str] = []
        self.old: list[str] = []
        self.new: list[str] = []
        self.changes = False
        self._empty = 0

    def bare(self) -> bool:
        """Whether it has only headings so far."""
        return not (self.old or self.new) and bool(self.within)

    def unfinished(self) -> bool:
        """Whether more lines must follow by its numbers."""
        return self.line is not None and (
            len(self.old) - self._empty < self.wanted[0] or len(self.new) - self._empty < self.wanted[1]
        )

    def is_prose(self, line: str) -> bool:
        """Whether a line belongs to a list after the diff instead of being an added or removed line."""
        return _BULLET.match(line) is not None and self.changes and (self._empty > 0 or self._finished())

    def _finished(self) -> bool:
        return self.line is not None and (len(self.old), len(self.new)) == self.wanted

    def end(self) -> None:
        """Drop the empty lines at the end, which were after the hunk."""
        for lines in (self.old, self.new):
            del lines[len(lines) - self._empty :]

    def take(self, line: str) -> bool:
        """Add a line if it can belong to a hunk, and return whether it does."""
        if line.startswith("\\"):  # No newline at end of file
            return True
        if not line:  # empty context that lost its blank, or after the hunk
            self.old.append("")
            self.new.append("")
            self._empty += 1
            return True
        mark, text = line[0], line[1:]
        if mark not in "+- \t":
            return False
        self._empty = 0
        if mark in "- \t":
            self.old.append(text if mark != "\t" else line)
        if mark in "+ \t":
            self.new.append(text if mark != "\t" else line)
        self.changes = self.changes or mark in "+-"
        return True


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
