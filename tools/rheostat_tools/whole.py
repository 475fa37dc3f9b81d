"""Decide whether a block under a file's name is the whole file, a piece of it, or only shows a use or an output.

A model may delete and rename. So names that a Python file defined may be missing from its new text if

- nothing uses them any more: neither the new text, nor a file that the same answer doesn't change, and
- enough remains: one name, or up to a fifth of them, is gone, and more remain; or at least as many names are new as are
  gone (renamed), and at least as many remain.

The same applies to the members of a class. Names that another file of the same answer defines have moved there. A
function whose body became `...` counts as left out, and so do the top-level statements of a script if most are gone.
Text that isn't Python is a piece if it has less than half of the lines.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from rheostat_tools.outline import Outline, defined_in, outline, parses, syntax_error
from rheostat_tools.texts import lines_of

__all__ = ["Objection", "has_conflict", "left_out", "objection"]

_INSTEAD = "Write the whole file, with nothing left out; or change a part of it by a search/replace block (edit_file)."
_CONFLICT = re.compile(r"^(?:(?:<{7,9}|>{7,9}|\|{7})(?:\s.*)?$|<{5,9}\s?SEARCH\b|>{5,9}\s?REPLACE\b)", re.MULTILINE)
_SHORTENED_LINES = 8
"""The number of lines below which a text may well shrink by half."""

_COMMENT = re.compile(r"(?:(?:pass\b|\.{3}|…)\s*)?(?:#|//|/\*|<!--|--|;)(.*)")
_DOTS = re.compile(r"(?:\.{3}|…)\s*(?:\(?(?:the )?(?:rest|remaining|existing|previous|other|unchanged|same)\b.*)?")
_MOST_COMMENT_CHARS = 200
_GONE = frozenset(
    {
        "unchanged",
        "unmodified",
        "untouched",
        "omitted",
        "elided",
        "snip",
        "snipped",
        "truncated",
        "brevity",
        "unverändert",
    }
)
_REST = frozenset({"rest", "remaining", "remainder", "existing", "everything"})
_THINGS = frozenset(
    {
        "code",
        "file",
        "function",
        "functions",
        "method",
        "methods",
        "class",
        "classes",
        "body",
        "implementation",
        "logic",
        "module",
    }
)
_STAYS = frozenset(
    {
        "stay",
        "stays",
        "remain",
        "remains",
        "same",
        "keep",
        "kept",
        "leave",
        "left",
        "continues",
        "bleibt",
        "bleiben",
        "gleich",
    }
)
_BETWEEN = frozenset(
    {
        "the",
        "of",
        "all",
        "your",
        "is",
        "are",
        "as",
        "it",
        "they",
        "was",
        "were",
        "in",
        "from",
        "to",
        "and",
        "or",
        "for",
        "this",
        "that",
        "here",
        "a",
        "with",
        "go",
        "goes",
        "more",
        "no",
        "not",
        "any",
        "previous",
        "original",
        "other",
        "others",
        "else",
        "before",
        "import",
        "imports",
        "helper",
        "helpers",
        "constant",
        "constants",
        "test",
        "tests",
        "script",
        "definitions",
        "be",
        "exactly",
        "just",
        "needed",
        "shown",
        "der",
        "die",
        "das",
        "wie",
    }
)
"""Other words of a comment in place of lines, such as `(other functions remain the same)`."""


@dataclass(frozen=True, slots=True)
class Objection:
    """The reason why a text isn't accepted as a whole file."""

    why: str
    meant: bool = True
    """`False`: the block wasn't meant to change the file, but shows its use or its output."""


@dataclass(frozen=True, slots=True)
class _Loss:
    """The loss if a text replaced a Python file."""

    names: list[str] = field(default_factory=list)
    meant: bool = True
    why: str = ""


def left_out(text: str, before: str) -> str | None:
    """The first line of a new text that stands for lines left out, or `None`."""
    had = set(lines_of(before))
    names: frozenset[str] | None = None
    for whole_line in lines_of(text):
        line = whole_line.strip()
        if len(line) > _MOST_COMMENT_CHARS or whole_line in had or line == "...":
            continue
        if _DOTS.fullmatch(line):
            return line
        if comment := _COMMENT.fullmatch(line):
            names = defined_in(before) if names is None else names
            said = comment[1].strip().removesuffix("*/").removesuffix("-->").strip()
            if said.startswith(("...", "…")) or _stands_for_lines(said, names):
                return line
    return None


def _stands_for_lines(comment: str, names: AbstractSet[str]) -> bool:
    """Whether a comment has only words of such comments and names of the file."""
    words = set(re.findall(r"\w+", comment.lower()))
    named = {name.lower() for name in re.findall(r"\w+", comment) if name in names}
    if not words <= _GONE | _REST | _THINGS | _STAYS | _BETWEEN | {"change", "changes", "nothing"} | named:
        return False
    return bool(
        words & _GONE
        or (words & _REST and words & (_THINGS | _STAYS))
        or (words & _STAYS and (named or words & _THINGS or words >= {"as", "before"}))
        or words >= {"code", "here"}
        or ("same" in words and words & _STAYS - {"same", "keep"})
        or (words & {"no", "nothing"} and words & {"change", "changes"})
    )


def has_conflict(text: str) -> bool:
    """Whether a text contains the marks of a conflict or of a search/replace block."""
    return _CONFLICT.search(text) is not None


def objection(
    path: str,
    before: str | None,
    text: str,
    *,
    closed: bool = True,
    moved: AbstractSet[str] = frozenset(),
    used: Callable[[AbstractSet[str]], AbstractSet[str]] = frozenset().intersection,
) -> Objection | None:
    """Why a text can't be a whole file; `None`: it can.

    Args:
        path: The path of the file.
        before: The current content; `None`: there is no such file.
        text: The new content.
        closed: `False`: the text may have been cut.
        moved: Names that other files of the same answer define.
        used: Returns those of some names that other files use.
    """
    had = before or ""
    if has_conflict(text) and not has_conflict(had):
        return Objection(
            "it holds marks of a conflict or of a search/replace block that can't be read as one. " + _INSTEAD
        )
    if line := left_out(text, had):
        return Objection(f"{line!r} stands for lines that are left out. {_INSTEAD}")
    suffix = PurePosixPath(path).suffix.lower()
    reads = _READERS.get(suffix)
    valid = reads is None or reads(text)
    if not closed and (reads is None or not valid):
        return Objection(
            f"the reply was cut: its last block isn't closed. {_INSTEAD}", meant=suffix != ".py" or _any(had, text)
        )
    if text == before or (before is None and (valid or suffix != ".py")):
        return None
    if reads is not None and not valid and (reads(had) or not _alike(had, text)):
        told = f"Python ({syntax_error(text)})" if suffix == ".py" else suffix[1:].upper()
        meant = suffix != ".py" or _any(had, text) or (before is None and bool(defined_in(text)))
        return Objection(f"the new text is no {told}. {_INSTEAD}", meant)
    if suffix != ".py":
        return _shortened(had, text)
    old, new = outline(had), outline(text)
    if new is None:
        return None
    loss = _unparsed_loss(had, new) if old is None else _loss(path, old, new, moved, used, strict=not closed)
    if loss.why or loss.names:
        names = ", ".join(sorted(loss.names)[:8]) + (", …" if len(loss.names) > 8 else "")
        return Objection(f"{loss.why or f'this is only a piece of the file, without {names}'}. {_INSTEAD}", loss.meant)
    if not closed and old is not None and not _ends_alike(had, text, old, new):
        return Objection(f"the reply was cut: its last block isn't closed, and the file's end is missing. {_INSTEAD}")
    return None


def _loss(
    path: str,
    old: Outline,
    new: Outline,
    moved: AbstractSet[str],
    used: Callable[[AbstractSet[str]], AbstractSet[str]],
    *,
    strict: bool,
) -> _Loss:
    where = PurePosixPath(path)
    stem = where.parent.name if where.stem == "__init__" else where.stem
    own = {name for name, module in new.imported.items() if module.rpartition(".")[2] == stem}
    from_itself = own - {stem} | {name for of, name in new.attributes if of == stem and stem in own}
    had = set(old.members)
    if where.stem == "__init__" or not (had or old.steps):  # it re-exports names
        had |= set(old.imported)
    others = set(new.imported) - own
    has = set(new.members) | others
    gone = had - has - (moved if not strict else set())
    if "*" in others:
        gone &= own
    kept, fresh = had & has, set(new.members) - had
    uses_it = bool(own) and not old.imported.keys() & own
    meant = not uses_it and bool(kept or fresh)
    needed = (new.globals_used | from_itself) & gone
    if gone and (strict or _is_piece(gone, kept, fresh) or needed or used(gone)):
        return _Loss(sorted(gone), meant)
    for name in kept & new.members.keys():
        mine, now = set(old.members.get(name, ())), set(new.members[name])
        lost = mine - now
        read = {attribute for of, attribute in new.attributes if of in ("self", "cls", name)} & lost
        if lost and (strict or _is_piece(lost, mine & now, now - mine) or read or used(lost)):
            return _Loss([f"{name}.{each}" for each in sorted(lost)])
    emptied = (new.hollow & old.functions - old.hollow - old.empty) | ((new.empty - old.empty) & old.long)
    if emptied:
        return _Loss(why=f"the body of {', '.join(sorted(emptied)[:8])} is left out")
    if 2 * new.steps < old.steps and old.steps > 1:
        return _Loss(
            why="this is only a piece of the file: most of its statements are missing", meant=bool(fresh or kept)
        )
    return _Loss()


def _is_piece(gone: AbstractSet[str], kept: AbstractSet[str], fresh: AbstractSet[str]) -> bool:
    deleted = len(kept) > 1 and len(gone) <= max(1, len(kept) // 4)
    renamed = len(gone) <= min(len(fresh), max(1, len(kept)))
    return not deleted and not renamed


def _unparsed_loss(had: str, new: Outline) -> _Loss:
    names, has = set(defined_in(had)), set(new.members) | set(new.imported)
    gone, kept = names - has, names & has
    piece = _is_piece(gone, kept, has - names)
    return _Loss(sorted(gone), bool(kept)) if gone and piece else _Loss()


def _ends_alike(had: str, text: str, old: Outline, new: Outline) -> bool:
    ends = [next((line for line in reversed(lines_of(each)) if line.strip()), "") for each in (had, text)]
    return ends[0] == ends[1] or (old.last[0] == new.last[0] != "" and new.last[1] >= old.last[1])


def _shortened(had: str, text: str) -> Objection | None:
    before, now = ([line.strip() for line in lines_of(each) if line.strip()] for each in (had, text))
    if len(before) < _SHORTENED_LINES or 2 * len(now) >= len(before):
        return None
    return Objection(
        f"this is only a piece of the file: {len(now)} lines where there were {len(before)}. {_INSTEAD}",
        meant=not set(before).isdisjoint(now),
    )


def _alike(had: str, text: str) -> bool:
    before = [line.strip() for line in lines_of(had) if line.strip()]
    now = {line.strip() for line in lines_of(text)}
    return 2 * sum(line in now for line in before) >= len(before)


def _any(had: str, text: str) -> bool:
    return not defined_in(had).isdisjoint(defined_in(text))


def _read_by(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def reads(text: str) -> bool:
        try:
            read(text)
        except (ValueError, RecursionError):
            return False
        return True

    return reads


_READERS: dict[str, Callable[[str], bool]] = {
    ".py": parses,
    ".json": _read_by(json.loads),
    ".toml": _read_by(tomllib.loads),
}
