"""The edits that an answer holds: whole files, search/replace blocks and unified diffs, in fences or without.

A whole file is a fenced block under its name. A search/replace block is aider's (`<<<<<<< SEARCH`, `=======`,
`>>>>>>> REPLACE`; https://aider.chat/docs/more/edit-formats.html). A hunk of a diff is taken by its lines and not by
its numbers, which models get wrong; these decide only between places that are alike.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["Edit", "Refused", "Replace", "Whole", "edits_of", "left_out"]


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a file."""

    path: str
    """As the answer names it; empty: it doesn't."""
    text: str


@dataclass(frozen=True, slots=True)
class Replace:
    """A piece of a file."""

    path: str
    """As the answer names it; empty: it doesn't."""
    old: str
    """Empty: the file is new, and `new` is all of it."""
    new: str
    line: int = 0
    """Where about the piece is; 0: not said."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that looks like an edit and can't be applied."""

    path: str
    why: str


Edit = Whole | Replace | Refused

_NAMED = re.compile(r"(?:file(?:name)?|path|datei)\s*[:=]\s*(.+)", re.IGNORECASE)
_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|\*\*([^*\n]+)\*\*")
_FILE = re.compile(r"[^\s`*\"':|<>]*\w\.\w+|(?:[\w.-]+/)*(?:Makefile|Dockerfile|Justfile|LICENSE)")
_QUOTED_FILE = re.compile(r"[\w./ +-]+\.\w+")
_INFO = re.compile(r"(?:[\w+-]*[:\s]\s*)?(?:title=|file=|path=)?[\"']?([^\s\"'=]+\.\w+)[\"']?\s*$")
_SEARCH, _DIVIDER, _REPLACE = (
    re.compile(r"<{5,9} ?SEARCH\b"),
    re.compile(r"={5,9}\s*$"),
    re.compile(r">{5,9} ?REPLACE\b"),
)
_HUNK = re.compile(r"@@(?: -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*| ?.*)$")
_HEAD = re.compile(r"(?:diff --git |index [0-9a-f]+\.\.|similarity |(?:new|deleted|old) (?:file )?mode )")
_UNLIKE_TEXT = re.compile(r"(?:rename (?:from|to)|copy (?:from|to)|GIT binary patch|Binary files )")
_PATCH = re.compile(r"\*\*\* (Begin Patch|End Patch|Update File|Add File|Delete File|Move to)(?:: (.*))?$")
_REST = r"\(?(?:the )?(?:rest|remaining|existing|previous|other|unchanged|same)\b.*"
_REST = r"\(?(?:the )?(?:rest|remaining|existing|previous|other|unchanged|same)\b.*"
_LEFT_OUT = re.compile(
    rf"\s*(?:#|//|/\*|<!--|--)?\s*(?:\.{{3}}|…)\s*(?:{_REST})?"
    r"|\s*(?:#|//|/\*|<!--)\s*(?:(?:\.{3}|…).*|\(?(?:the )?(?:rest|remaining|existing) (?:of )?(?:the )?"
    r"(?:code|file|functions?|methods?|class)\b.*)",
    re.IGNORECASE,
)
_MOST_ENDS = 30
_TYPED = {"bash", "sh", "shell", "console", "zsh", "shell-session", "pycon", "output", "traceback"}
_TYPED_SUFFIXES = (".sh", ".bash", ".zsh", ".md", ".txt", ".rst")
"""What is typed or comes out is a file only where its name says so."""


def edits_of(answer: str, there: Sequence[str] = ()) -> list[Edit]:
    """The edits, in order.

    Args:
        answer: What the model wrote.
        there: Paths of files that there are.
    """
    answer = answer.replace("\r\n", "\n").replace("\r", "\n")
    lines = answer.split("\n")
    found: list[Edit] = []
    known = set(there)
    last = 0
    for begin, end, info, text in _blocks(answer, lines, known):
        loose = lines[last:begin]
        found += _loose(loose, known)
        path = _named_above(loose, known) or _in_info(info, known)
        found += _edits_in(text, path, info, known)
        last = end
    return found + _loose(lines[last:], known)


def _blocks(answer: str, lines: list[str], known: set[str]) -> Iterator[tuple[int, int, str, str]]:
    """(first line, line behind the last, info string, content) of each fenced block that is closed."""
    past = 0
    for token in MarkdownIt("commonmark").parse(answer):
        if token.type != "fence" or token.map is None or token.map[0] < past:
            continue
        begin, end = token.map
        if end > len(lines) or not _closes(lines[end - 1], token.markup):
            continue  # the reply was cut
        text, end = _with_inner_fences(token, lines, begin, end)
        past = end
        yield begin, end, token.info.strip(), text


def _closes(line: str, fence: str) -> bool:
    bare = line.strip().lstrip(">").strip()
    return len(bare) >= len(fence) and not bare.strip(fence[0])


def _with_inner_fences(token: Token, lines: list[str], begin: int, end: int) -> tuple[str, int]:
    """The content of a block whose own text may hold fences of the same length: Python ends where it parses, other
    text where as many inner blocks were closed as opened."""
    text = str(token.content)
    python = re.match(r"(?:python|py)\b", token.info.strip(), re.IGNORECASE) is not None
    if python and _parses(text):
        return text, end
    width = len(lines[begin]) - len(lines[begin].lstrip())
    depth, ends = 0, 0
    for number in range(begin + 1, len(lines)):
        line = lines[number].strip()
        if not line.startswith(token.markup):
            continue
        inner = (
            "\n".join(each[min(width, len(each) - len(each.lstrip())) :] for each in lines[begin + 1 : number]) + "\n"
        )
        if not _closes(line, token.markup):
            depth += 1
            continue
        ends += 1
        if python and number + 1 > end and _parses(inner):
            return inner, number + 1
        if not python and depth == 0:
            return (inner, number + 1) if number + 1 > end else (text, end)
        depth -= 1
        if ends > _MOST_ENDS:
            break
    return text, end


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _named_above(lines: list[str], known: set[str]) -> str:
    """The file that the line above a block names."""
    above = next((line for line in reversed(lines) if line.strip()), "")
    return _path_in(above, known)


def _path_in(line: str, known: set[str]) -> str:
    said = line.strip().lstrip("#*->• \t").rstrip(" :*`\t")
    bare = said.strip("`*\"' ")
    if bare in known:
        return bare
    if named := _NAMED.match(bare.lstrip("*` ")):
        return str(named[1]).strip("`*\"' :")
    quoted = [str(next(filter(None, groups))).strip(" :") for groups in _QUOTED.findall(line)]
    for each in quoted:
        if each in known:
            return each
    if _FILE.fullmatch(bare):
        return bare
    files = [each for each in quoted if _FILE.fullmatch(each) or _QUOTED_FILE.fullmatch(each)]
    if len(files) == 1:
        return files[0]
    words = [word.strip("`*\"'(),;") for word in said.split()]
    return next((word for word in reversed(words) if word.removeprefix("./") in known), "")


def _in_info(info: str, known: set[str]) -> str:
    found = _INFO.match(info)
    path = found[1] if found else info.rsplit(":", maxsplit=1)[-1].strip()
    return path if found or path in known else ""


def _edits_in(text: str, path: str, info: str, known: set[str]) -> list[Edit]:
    """What one fenced block holds."""
    lines = text.split("\n")
    if any(_SEARCH.match(line) for line in lines):
        return _searches(lines, path, known)
    said_so = re.match(r"(?:diff|patch|udiff)\b", info, re.IGNORECASE) is not None
    python = path.endswith(".py") or re.match(r"py(?:thon)?\b", info, re.IGNORECASE) is not None
    if (said_so or not (python and _parses(text))) and _is_diff(lines, said_so):
        return _diff(lines, path)
    first = lines[0].strip() if lines else ""
    if not path and re.match(r"(?:#|//)\s*\S", first):
        path = _path_in(first.lstrip("#/ "), known)
        if path:
            text = text.partition("\n")[2]
    said = re.match(r"[\w+-]*", info)
    if not text.strip() or (said is not None and said[0].lower() in _TYPED and not path.endswith(_TYPED_SUFFIXES)):
        return []
    return [Whole(path, text)]


def left_out(text: str, before: str) -> str | None:
    """A line of a whole file that stands for lines which it leaves out."""
    had = set(before.splitlines())
    for line in text.splitlines():
        if _LEFT_OUT.fullmatch(line) and line not in had and line.strip() != "...":
            return line.strip()
    return None


def _loose(lines: list[str], known: set[str]) -> list[Edit]:
    """Edits that stand in no fence: diffs with their headers, search/replace blocks, patches."""
    if any(_SEARCH.match(line) for line in lines):
        return _searches(lines, "", known)
    begin = next((n for n, line in enumerate(lines) if _starts_diff(lines, n)), None)
    return [] if begin is None else _diff(lines[begin:], "", prose=True)


def _starts_diff(lines: list[str], at: int) -> bool:
    line, following = lines[at], lines[at + 1] if at + 1 < len(lines) else ""
    return line.startswith(("diff --git ", "*** Begin Patch")) or (
        line.startswith("--- ") and following.startswith("+++ ")
    )


def _searches(lines: list[str], path: str, known: set[str]) -> list[Edit]:
    found: list[Edit] = []
    old: list[str] = []
    new: list[str] = []
    part = ""
    above = ""
    for line in lines:
        if not part and _SEARCH.match(line):
            path, part, old, new = _path_in(above, known) or path, "old", [], []
        elif part == "old" and _DIVIDER.match(line):
            part = "new"
        elif part == "new" and _REPLACE.match(line):
            found.append(Replace(path, _joined(old), _joined(new)))
            part, above = "", ""
        elif part:
            (old if part == "old" else new).append(line)
        elif line.strip() and not line.strip().startswith(("```", "~~~")):
            above = line
    if part:
        found.append(Refused(path, "a search/replace block has no end: write >>>>>>> REPLACE beneath the new lines"))
    return found


def _is_diff(lines: list[str], said_so: bool) -> bool:
    if any(_starts_diff(lines, number) for number in range(min(len(lines), 20))):
        return True
    said = [line for line in lines if line.strip()]
    if any(re.match(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@", line) for line in said):
        return True
    marked = [line for line in said if line[0] in "+-"]
    if said_so:
        return bool(marked)
    whole = all(line[0] in "+- @\\" for line in said)
    return whole and len(marked) > 0 and any(line[0] == "-" for line in said) and not _parses("\n".join(lines))


def _diff(lines: list[str], path: str, *, prose: bool = False) -> list[Edit]:
    """Hunks as pieces to replace.

    Args:
        path: The file that is meant where no header says it.
        prose: Lines that are none of a diff end it.
    """
    found: list[Edit] = []
    hunk: _Hunk | None = None
    new_file = removed = False

    def close() -> None:
        nonlocal hunk
        if hunk is not None and hunk.changes and not removed:
            hunk.end()
            found.append(Replace(path, "" if new_file else _joined(hunk.old), _joined(hunk.new), hunk.line))
        hunk = None

    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        patch = _PATCH.match(line)
        if line.startswith("--- ") and number < len(lines) and lines[number].startswith("+++ "):
            close()
            before, after = _header(line), _header(lines[number])
            number += 1
            new_file = before == "/dev/null"
            path = after if after != "/dev/null" else before
            removed = after == "/dev/null"
            if removed:
                found.append(Refused(path, "files can't be removed"))
        elif patch is not None:
            close()
            if patch[1] in ("Update File", "Add File"):
                path, new_file, removed = (patch[2] or "").strip(), patch[1] == "Add File", False
                hunk = _Hunk(0)
            elif patch[1] in ("Delete File", "Move to"):
                found.append(Refused((patch[2] or "").strip(), "files can't be removed or renamed"))
        elif _HEAD.match(line):
            close()
        elif _UNLIKE_TEXT.match(line):
            close()
            found.append(Refused(path, f"{line[:60]}: only changes of lines can be applied"))
        elif line.startswith("@@") and (at := _HUNK.match(line)):
            close()
            hunk = _Hunk(int(at[1] or 0))
        else:
            hunk = _Hunk(0) if hunk is None and line[:1] in ("+", "-", " ") and not prose else hunk
            if hunk is not None and not hunk.take(line) and prose:
                close()
    close()
    return found


class _Hunk:
    def __init__(self, line: int) -> None:
        self.line = line
        self.old: list[str] = []
        self.new: list[str] = []
        self.changes = False
        self._empty = 0

    def end(self) -> None:
        """The empty lines at the end stood behind the hunk."""
        for lines in (self.old, self.new):
            del lines[len(lines) - self._empty :]

    def take(self, line: str) -> bool:
        """Whether the line can be one of a hunk."""
        if line.startswith("\\"):  # No newline at end of file
            return True
        if not line:  # an empty line of context that lost its blank, or one behind the hunk
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


def _header(line: str) -> str:
    path = line[4:].split("\t", maxsplit=1)[0].strip().strip('"')
    return path[2:] if path[:2] in ("a/", "b/") else path


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
