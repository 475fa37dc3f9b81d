"""Apply the edits of an answer to the files of a workspace."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath

from langchain_core.tools import ToolException

from rheostat_tools.changes import Edit, Insert, Refused, Replace, Whole
from rheostat_tools.draft import Draft, Files
from rheostat_tools.encodings import FileText
from rheostat_tools.outline import defined_in, parses, syntax_error
from rheostat_tools.texts import Place, closest_lines, line_places, lines_of
from rheostat_tools.whole import Objection, has_conflict, objection

__all__ = ["apply_edits", "with_names"]

_SEARCHED_SECONDS = 5.0
_APPLIED_SECONDS = 30.0
_COMPARED_CHARS = 4_000
_MOST_HEADINGS = 5


def with_names(files: Files, edits: Sequence[Edit]) -> list[Edit]:
    """The edits with the paths of existing files, if they mean one.

    `/home/ann/repo/src/m.py` means `src/m.py`, as does `repo/src/m.py` in a diff. A piece without a file name belongs
    to the only file that contains it.
    """
    there = {path for path, _ in files.files()} if any(map(_is_unclear, edits)) else set()
    until = time.monotonic() + _SEARCHED_SECONDS
    texts: dict[str, str] = {}
    named: list[Edit] = []
    for edit in edits:
        if not edit.path and isinstance(edit, Replace) and edit.old:
            texts = texts or dict(_texts(files, sorted(there), until))
            named.append(_found(edit, texts, named[-1].path if named else "", until))
        elif _is_unclear(edit) and edit.path not in there and not isinstance(edit, Refused):
            named.append(replace(edit, path=_suffix(files, edit.path, there)))
        else:
            named.append(edit)
    return named


def _is_unclear(edit: Edit) -> bool:
    return (
        os.path.isabs(edit.path)
        or "\\" in edit.path
        or (isinstance(edit, Replace) and bool(edit.old))
        or (isinstance(edit, Insert) and edit.line > 0)
    )


def _suffix(files: Files, path: str, there: AbstractSet[str]) -> str:
    try:
        located = files.locate(path)
        if os.path.isabs(path) or os.path.isfile(os.path.join(files.root, located)):
            return path
    except ToolException:  # an absolute path as the model sees it leads outside
        pass
    slashed = PureWindowsPath(path).as_posix()
    parts = slashed.split("/")
    tails = ["/".join(parts[begin:]) for begin in range(len(parts)) if ".." not in parts]
    return next((tail for tail in tails if tail in there), re.sub(r"^[A-Za-z]:(?=/)", "", slashed))


def _found(edit: Replace, texts: Mapping[str, str], before: str, until: float) -> Edit:
    first = next((line.strip() for line in edit.old.split("\n") if line.strip()), "")
    holding = [
        path
        for path, text in texts.items()
        if first in text and time.monotonic() < until and line_places(text, edit.old, edit.new)
    ]
    if len(holding) == 1 or before in holding:
        return replace(edit, path=before if before in holding else holding[0])
    sources = [path for path in texts if path.endswith(".py")]
    near = closest_lines(texts[sources[0]], edit.old) if len(sources) == 1 and not holding else ""
    where = f"{', '.join(holding[:5])} hold it" if holding else "none was found that holds it"
    return Refused(
        "", f"it isn't said which file a piece is in, and {where}. Write the file's name above it. {near}".strip()
    )


def apply_edits(draft: Draft, edits: Sequence[Edit]) -> None:
    """Apply edits to a draft, in order.

    If several blocks have the name of one file and one of them is the whole file, the others, such as its use or its
    output, are left out. If a piece of the file is shown first and then its new version, the second replaces the first.

    Raises:
        ToolException: An edit can't be applied; the message says which, why, and what the file has.
    """
    edits = with_names(draft.there, edits)
    run = _Run(draft, edits)
    for edit in edits:
        run.take(edit)
    run.end()


class _Run:
    def __init__(self, draft: Draft, edits: Sequence[Edit]) -> None:
        self._draft, self._files = draft, draft.there
        self._edited = {PurePosixPath(edit.path).as_posix() for edit in edits}
        self._defined = {edit.path: defined_in(edit.text) for edit in edits if isinstance(edit, Whole)}
        self._whole: set[str] = set()
        self._objections: dict[str, Objection] = {}
        self._shown: tuple[str, str] = ("", "")
        self._done = 0
        self._until = time.monotonic() + _SEARCHED_SECONDS
        self._deadline = time.monotonic() + _APPLIED_SECONDS

    def take(self, edit: Edit) -> None:
        if isinstance(edit, Refused):
            raise ToolException(f"{edit.path}: {edit.why}" if edit.path else edit.why)
        if time.monotonic() > self._deadline:
            raise ToolException(f"these are more edits than can be made in {_APPLIED_SECONDS:g} s: make fewer at once")
        if not edit.path:
            raise ToolException("it isn't said which file is meant: write its name above")
        path = self._files.locate(edit.path)
        before = self._draft.text_if_there(path)
        shown, self._shown = self._shown, ("", "")
        if isinstance(edit, Replace) and edit.old:
            self._replace(path, edit)
        elif isinstance(edit, Insert) and (before is not None or edit.line):
            self._insert(path, self._draft.text(path), edit)
        elif isinstance(edit, Whole):
            self._take_whole(path, before, edit, shown[1] if shown[0] == path else "")
        else:
            self._take_whole(path, before, Whole(path, edit.new), "")

    def end(self) -> None:
        """Raise an objection that remains after all edits."""
        for path, why in self._objections.items():
            if why.meant or not self._done:
                raise ToolException(f"{path}: {why.why}")
        for path, (before, content) in self._draft.changes().items():
            was_python = path.endswith(".py") and before and parses(FileText.of(path, before).text)
            if was_python and (error := syntax_error(FileText.of(path, content).text)):
                raise ToolException(f"{path} would be no Python any more ({error}): write the change again, complete")

    def _take_whole(self, path: str, before: str | None, edit: Whole, shown: str) -> None:
        names = self._defined.items()
        moved = {name for other, defined in names if other != edit.path for name in defined}
        why = objection(
            path, before, edit.text, closed=edit.closed, moved=moved, used=lambda names: self._used(path, names)
        )
        if why is None:
            self._done += 1
            self._whole.add(path)
            self._objections.pop(path, None)
            if before != edit.text:
                self._draft.write(path, edit.text)
            return
        if path in self._whole:
            return
        found = line_places(before or "", edit.text, "")
        if shown and edit.closed and _follows(shown, edit.text):
            after = Replace(path, shown, edit.text)
            self._objections.pop(path, None)
            self._replace(path, after)
            return
        if len(found) == 1:
            self._shown = (path, edit.text)
            why = replace(why, meant=False)
        if path not in self._objections or why.meant:
            self._objections[path] = why

    def _replace(self, path: str, edit: Replace) -> None:
        text = self._draft.text(path)
        if edit.old == edit.new:
            raise ToolException(f"{path}: old and new are the same: nothing would change")
        if has_conflict(edit.new) and not has_conflict(text):
            raise ToolException(f"{path}: the new lines hold marks of a conflict")
        at = line_places(text, edit.old, edit.new)
        if not at:
            raise ToolException(
                f"old does not occur in {path}, as whole lines. {closest_lines(text, edit.old)}\n"
                "Read the file and copy the text exactly."
            )
        at = _within(text, at, edit.within) if len(at) > 1 else at
        if len(at) > 1 and not edit.line:
            where = ", ".join(str(each.line) for each in at[:20])
            raise ToolException(
                f"old occurs {len(at)} times in {path}, at lines {where}. Add lines before or after it to old and to "
                "new, so that only one place fits."
            )
        place = min(at, key=lambda each: abs(each.line - edit.line))
        self._draft.replace(path, place.start, place.end, place.new)
        self._done += 1

    def _insert(self, path: str, before: str, edit: Insert) -> None:
        lines = lines_of(before)
        if edit.line > len(lines) + 2:
            raise ToolException(
                f"{path} has only {len(lines)} lines, and lines are to be added behind line {edit.line}: show those "
                "around them"
            )
        at = sum(len(line) + 1 for line in lines[: edit.line])
        self._draft.replace(path, at, at, edit.new)
        self._done += 1

    def _used(self, path: str, names: AbstractSet[str]) -> AbstractSet[str]:
        """The names of these that are used by other files which mention this module and aren't edited themselves."""
        where = PurePosixPath(path)
        stem = where.parent.name if where.stem == "__init__" else where.stem
        word = re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(names))) + r")\b")
        module = re.compile(rf"\b{re.escape(stem)}\b")
        used: set[str] = set()
        for other, _ in self._files.files():
            if not other.endswith(".py") or other == path or other in self._edited or time.monotonic() > self._until:
                continue
            text = _text(self._files, other) or ""
            if module.search(text):
                used.update(word.findall(text))
        return used


def _texts(files: Files, paths: Iterable[str], until: float) -> Iterator[tuple[str, str]]:
    for path in paths:
        if time.monotonic() < until and (text := _text(files, path)) is not None:
            yield path, text


def _text(files: Files, path: str) -> str | None:
    try:
        return files.text(path)
    except ToolException:
        return None


def _follows(shown: str, text: str) -> bool:
    """Whether a piece can be the new version of another one."""
    names, now = defined_in(shown), defined_in(text)
    if names:
        return names <= now
    if now or len(shown) + len(text) > _COMPARED_CHARS:
        return False
    blanks = [len(each) - len(each.lstrip(" \t")) for each in (shown, text)]
    return blanks[0] == blanks[1] and difflib.SequenceMatcher(None, shown, text, autojunk=False).ratio() > 0.5


def _within(text: str, at: list[Place], within: str) -> list[Place]:
    """The places under these heading lines (the outermost first); all places if there are none."""
    lines = lines_of(text)
    begin, end = 0, len(lines)
    for heading in within.split("\n")[-_MOST_HEADINGS:] if within else []:
        exact = [n for n in range(begin, end) if lines[n].strip().rstrip(":") == heading.rstrip(":")]
        start = re.compile(rf"\s*{re.escape(heading)}(?!\w)")
        found = exact or [n for n in range(begin, end) if start.match(lines[n])]
        if len(found) != 1:
            continue
        begin = found[0]
        depth = len(lines[begin]) - len(lines[begin].lstrip())
        end = next(
            (n for n in range(begin + 1, end) if lines[n].strip() and len(lines[n]) - len(lines[n].lstrip()) <= depth),
            end,
        )
    inside = [each for each in at if begin < each.line <= end]
    behind = [each for each in at if begin < each.line]
    return inside or behind or at
