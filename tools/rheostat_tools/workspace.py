"""A workspace: a directory that a model may read and change, with undo."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat.visible import visible
from rheostat_tools.applying import apply_edits, with_names
from rheostat_tools.changes import Edit
from rheostat_tools.confine import ConfinedDirectory, shown
from rheostat_tools.difference import difference
from rheostat_tools.draft import Draft, encoded
from rheostat_tools.encodings import FileText
from rheostat_tools.journal import Journal
from rheostat_tools.ours import Ours, overview
from rheostat_tools.terms import above_zero, shorten, terms
from rheostat_tools.texts import closest_lines, line_of, lines_of, numbered, places
from rheostat_tools.writable import check_writable

__all__ = ["Workspace"]

SECONDS = 5.0
"""The time limit of a listing or a search."""

_MOST_MESSAGE_CHARS = 4_000
_MOST_READ_BYTES = 100_000_000
"""The largest file that is read in part."""


@dataclass(frozen=True)
class _Change:
    """The data that undo needs about a change."""

    path: str
    before: bytes | None
    """The content before the change; `None`: there was no file."""
    after: bytes
    """The digest of the content after the change."""
    made: list[str]
    """Directories that were created with the file."""


class Workspace:
    """Tools over the files of one directory: list, read, search, write, edit, undo.

    Nothing outside of `root` can be reached, whatever the path is and wherever a link points. Only text is read and
    written; a file keeps its encoding, byte order mark, line ends, last newline and mode. Listing and searching leave
    out files ignored by git, environments, caches, large and binary files (`rheostat_tools.ours`); such a file can
    still be read by its path, or listed by its directory. It is thread-safe.

    Args:
        root: The directory.
        most_file_bytes: Larger files can't be changed, but can be read in part.
        most_output_chars: The longest output of one call.
        journal: Keeps what the files were, for a diff that survives a restart; by default in memory.

    Raises:
        BadInput: `root` isn't a directory, or a limit isn't above zero.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        most_file_bytes: int = 1_000_000,
        most_output_chars: int = 8_000,
        journal: Journal | None = None,
    ) -> None:
        above_zero(most_file_bytes=most_file_bytes, most_output_chars=most_output_chars)
        self.most_output_chars = most_output_chars
        """The longest output of one call."""
        self._files = ConfinedDirectory(root, most_file_bytes=most_file_bytes)
        self._journal = journal or Journal()
        self._changes: list[_Change] = []
        self._lock = threading.RLock()

    @property
    def changed(self) -> list[str]:
        """The files that the tools changed and that differ from their initial state."""
        with self._lock:
            return [path for path, before in sorted(self._journal.originals.items()) if self._now(path) != before]

    @property
    def root(self) -> str:
        """The real path of the directory."""
        return self._files.root

    def locate(self, path: str) -> str:
        """The resolved path, relative to the root.

        Raises:
            ToolException: The path leads outside, or to a hidden name.
        """
        return self._files.locate(path)

    def files(self, path: str = ".") -> list[tuple[str, int]]:
        """(path, size in bytes) of the files that are ours, in order.

        Below a directory that isn't ours, such as `.venv/lib`, all files are included.

        Raises:
            ToolException: There is no such directory.
        """
        return self._walked(self._files.locate(path), time.monotonic() + SECONDS)

    def diff(self) -> str:
        """All changes since the start, as a unified diff for `git apply`."""
        with self._lock:
            return "".join(difference(path, self._journal.originals[path], self._now(path)) for path in self.changed)

    def tools(self) -> list[BaseTool]:
        """The tools for an agent."""
        reads: list[Callable[..., str]] = [self.list_files, self.read_file, self.search]
        writes: list[Callable[..., str]] = [self.write_file, self.edit_file, self.undo]
        return [
            StructuredTool.from_function(
                function, parse_docstring=True, metadata=terms(seconds=SECONDS, idempotent=function in reads)
            )
            for function in reads + writes
        ]

    def list_files(self, path: str = ".") -> str:
        """List the files of the workspace with their sizes, subdirectories included.

        Start here. In a long list the fullest directories are one line each: list such a directory then. Left out is
        what git ignores, environments, caches, large and binary files; their directories can be listed by name.

        Args:
            path: Directory, relative to the workspace. "." is all of it.
        """
        folder = self._files.locate(path)
        until = time.monotonic() + SECONDS
        files = self._walked(folder, until)
        if not files:
            return f"{shown(folder)} holds no files"
        listing = overview(files, most_chars=self.most_output_chars)
        if time.monotonic() > until:
            listing += f"\n… stopped after {SECONDS:g} s: list a subdirectory"
        return shorten(listing, self.most_output_chars)

    def read_file(self, path: str, first_line: int = 1, lines: int = 200) -> str:
        """Read lines of a text file, each with its number.

        The numbers and the bar behind them are not part of the file: leave them out of what you pass to edit_file.

        Args:
            path: File, relative to the workspace.
            first_line: Number of the first line to read; 1 is the first of the file.
            lines: How many lines to read.
        """
        if first_line < 1 or lines < 1:
            raise ToolException("first_line and lines start at 1")
        name, _, file = self._text(path, most_bytes=max(_MOST_READ_BYTES, self._files.most_file_bytes))
        there = file.text.count("\n") + (file.text[-1:] not in ("\n", ""))
        if first_line > max(1, there):
            raise ToolException(f"{shown(name)} has only {there} lines: choose a smaller first_line")
        said, end = numbered(file.text, first_line, lines, most_chars=self.most_output_chars - 200)
        more = f"\n… {there - end} more lines: go on with first_line={end + 1}" if end < there else ""
        return f"{shown(name)}, {there} lines\n{said}{more}"

    def search(self, text: str, path: str = ".") -> str:
        """Find a piece of text in the files: one line "file:number: line" for each place.

        The text is taken as it is, upper and lower case matter; it is no regular expression and holds no line break.

        Args:
            text: What to find, such as "def parse(".
            path: Directory or file to search, relative to the workspace.
        """
        if not text or "\n" in text:
            raise ToolException("pass a text of one line, and not an empty one")
        start = self._files.locate(path)
        until = time.monotonic() + SECONDS
        found: list[str] = []
        other_case = searched = skipped = chars = 0
        for name in self._names(start, until):
            try:
                content = FileText.of(name, self._files.read(name)).text
            except (ToolException, FileNotFoundError):
                skipped += 1
                continue
            searched += 1
            if (folded := text.casefold()) not in content.casefold():
                continue
            for number, line in enumerate(lines_of(content), start=1):
                if text in line:
                    at = max(0, line.index(text) - 80)
                    found.append(f"{shown(name)}:{number}: {line[at : at + 200].strip()}")
                    chars += len(found[-1]) + 1
                elif folded in line.casefold():
                    other_case += 1
            if chars > self.most_output_chars or time.monotonic() > until:
                found.append("… stopped here: search a subdirectory, or for a longer text")
                break
        notes = f" {other_case} places differ in upper or lower case." if other_case and not found else ""
        notes += f" {skipped} files were skipped: too large, or no text." if skipped else ""
        if not found:
            return f"not found in {searched} files.{notes}"
        return shorten("\n".join(found) + (f"\n{notes.strip()}" if notes else ""), self.most_output_chars)

    def write_file(self, path: str, content: str) -> str:
        """Create a file, or replace all of it. Missing directories are made. To change a part, use edit_file.

        A file that is there keeps its encoding, its line ends, and its newline at the end or the lack of it.

        Args:
            path: File, relative to the workspace.
            content: Everything that the file shall hold.
        """
        with self._lock:
            name = self._files.locate(path)
            before = self.content(name)
            self._put({name: (before, FileText.of(name, before).whole(content) if before else encoded(content))})
        return f"{'created' if before is None else 'replaced'} {shown(name)}: {len(lines_of(content))} lines"

    def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace a piece of text in a file. The piece must occur exactly once.

        Copy `old` from read_file without the line numbers, with every space as it is, and with enough lines around
        the change to make it the only such place.

        Args:
            path: File, relative to the workspace.
            old: The text to replace, exactly as it is in the file.
            new: The text to put in its place. Empty removes it.
        """
        if not old:
            raise ToolException("old is empty. Pass the text to replace; write_file makes new files.")
        if old == new:
            raise ToolException("old and new are the same: nothing would change")
        with self._lock:
            name, before, file = self._text(path)
            text, old = file.text, old.replace("\r\n", "\n")
            at = places(text if text.endswith("\n") else f"{text}\n", old)  # a last line may lack its newline
            if not at:
                raise ToolException(
                    f"old does not occur in {shown(name)}. {visible(closest_lines(text, old))}\n"
                    "Read the file and copy the text exactly."
                )
            if len(at) > 1:
                where = ", ".join(dict.fromkeys(str(line_of(text, each)) for each in at[:20]))
                raise ToolException(
                    f"old occurs {len(at)} times in {shown(name)}, at lines {where}. Add lines before or after it to "
                    "old and to new, so that only one place fits."
                )
            content = file.replaced(at[0], at[0] + len(old), new)
            self._put({name: (before, content)})
        changed = FileText.of(name, content).text
        first = line_of(changed, at[0])
        lines, _ = numbered(changed, max(1, first - 2), new.count("\n") + 5, most_chars=1_000)
        return f"edited {shown(name)} at line {first}. It now reads:\n{lines}"

    def text(self, path: str) -> str:
        """The whole content of a text file, with every line ending in \\n.

        Raises:
            ToolException: There is no such file, it isn't text, or it is too large.
        """
        return self._text(path)[2].text

    def content(self, path: str) -> bytes | None:
        """The bytes of a file, by its resolved path; `None`: there is none.

        Raises:
            ToolException: It isn't a regular file, is too large or can't be read.
        """
        try:
            return self._files.read(path)
        except FileNotFoundError:
            return None

    def named(self, edits: Sequence[Edit]) -> list[Edit]:
        """The edits with the paths of the files that they mean, as far as these can be found."""
        return with_names(self, edits)

    def apply(self, edits: Sequence[Edit]) -> list[str]:
        """Apply the edits of an answer (`rheostat_tools.edits`): all of them, or none.

        A block that isn't a whole file never replaces the file (`rheostat_tools.whole`).

        Returns:
            The files that changed.

        Raises:
            ToolException: An edit can't be applied; the message says which, why, and what the file has.
        """
        with self._lock:
            draft = Draft(self)
            try:
                apply_edits(draft, edits)
                return self._put(draft.changes())
            except ToolException as error:
                raise ToolException(shorten(visible(error), _MOST_MESSAGE_CHARS)) from None

    def undo(self) -> str:
        """Take back your last change that is not taken back yet. Call it again to go further back."""
        with self._lock:
            if not self._changes:
                raise ToolException("there is no change to take back")
            change = self._changes[-1]
            now = self._now(change.path)
            if not isinstance(now, bytes) or _digest(now) != change.after:
                raise ToolException(
                    f"{shown(change.path)} was changed since by something else. Read it, and put it right with "
                    "write_file."
                )
            self._put_back(change.path, change.before)
            self._files.remove_directories(change.made)
            self._changes.pop()
            done = "removed, as it was new" if change.before is None else "as it was before the last change"
            return f"{shown(change.path)} is {done}. {len(self._changes)} earlier changes can be taken back."

    def check(self, path: str, before: bytes | None, content: bytes) -> None:
        """Check that a file may be written, by its resolved path (`rheostat_tools.writable`)."""
        check_writable(self._files.root, path, before, content, most_bytes=self._files.most_file_bytes)

    def _put(self, changes: Mapping[str, tuple[bytes | None, bytes]]) -> list[str]:
        """Write all of some files, by (content before, content), or none; return their names."""
        for name, (before, content) in changes.items():
            self.check(name, before, content)
            if self._now(name) != before:
                raise ToolException(f"{shown(name)} was changed by something else in the meantime. Read it again.")
        for name, (before, _) in changes.items():
            self._journal.keep(name, before)
        try:
            made = self._files.write({name: content for name, (_, content) in changes.items()})
        except BaseException as error:
            for name, (before, content) in changes.items():
                if self._now(name) == content != before:
                    self._put_back(name, before)
            if isinstance(error, FileNotFoundError):
                raise ToolException("a directory vanished while files were written in it. Try again.") from None
            raise
        self._changes += [_Change(name, changes[name][0], _digest(changes[name][1]), made[name]) for name in changes]
        return list(changes)

    def _put_back(self, name: str, before: bytes | None) -> None:
        if before is None:
            self._files.remove(name)
        else:
            self._files.write({name: before})

    def _now(self, name: str) -> bytes | str | None:
        """The content of a file; `None` if there is no file; a text if it can't be read."""
        try:
            return self.content(name)
        except ToolException as error:
            return str(error)

    def _text(self, path: str, *, most_bytes: int | None = None) -> tuple[str, bytes, FileText]:
        name = self._files.locate(path)
        try:
            content = self._files.read(name, most_bytes=most_bytes)
        except FileNotFoundError:
            raise ToolException(f"no file {name!r}. list_files shows what there is.") from None
        return name, content, FileText.of(shown(name), content)

    def _names(self, start: str, until: float) -> list[str]:
        if start != "." and os.path.isfile(os.path.join(self._files.root, start)):
            return [start]
        return [name for name, _ in self._walked(start, until)]

    def _walked(self, folder: str, until: float) -> list[tuple[str, int]]:
        ours = Ours(self._files.root)
        named = not ours.directory(folder)  # a directory that isn't ours is shown when it is named
        try:
            walked = self._files.walk(folder, until=until, enter=lambda path: named or ours.directory(path))
            return [(name, size) for name, size in walked if named or ours.file(name, size)]
        except FileNotFoundError:
            raise ToolException(f"no file or directory {folder!r}. list_files shows what there is.") from None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
