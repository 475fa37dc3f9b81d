"""Files as edits would leave them: nothing is written before all edits of an answer fit."""

from __future__ import annotations

from typing import Protocol

from langchain_core.tools import ToolException

from rheostat_tools.confine import shown
from rheostat_tools.encodings import FileText

__all__ = ["Draft", "Files", "encoded"]


class Files(Protocol):
    """The part of a workspace (`rheostat_tools.Workspace`) that edits need."""

    @property
    def root(self) -> str: ...
    def files(self, path: str = ".") -> list[tuple[str, int]]: ...
    def locate(self, path: str) -> str: ...
    def text(self, path: str) -> str: ...
    def content(self, path: str) -> bytes | None: ...
    def check(self, path: str, before: bytes | None, content: bytes) -> None: ...


class Draft:
    """The files of a workspace, with edits that aren't written yet.

    Args:
        files: The workspace.
    """

    def __init__(self, files: Files) -> None:
        self.there = files
        """The files as they are."""
        self._before: dict[str, bytes | None] = {}
        self._after: dict[str, bytes] = {}
        self._read: dict[str, tuple[bytes, FileText]] = {}

    def changes(self) -> dict[str, tuple[bytes | None, bytes]]:
        """(content now, or `None` if there is no file; content with the edits) by path, of the files that change."""
        return {
            name: (self._before[name], content)
            for name, content in self._after.items()
            if self._before[name] != content
        }

    def text(self, path: str) -> str:
        """The content of a file, with every line ending in \\n.

        Raises:
            ToolException: There is no such file, it isn't text, or it is too large.
        """
        return self._file(path).text

    def text_if_there(self, path: str) -> str | None:
        """The same, or `None` if there is no such file."""
        return None if self._content(self.there.locate(path)) is None else self.text(path)

    def write(self, path: str, text: str) -> None:
        """Replace a file, which keeps its encoding and line ends, or make a new one."""
        name = self.there.locate(path)
        self._put(name, self._file(name).whole(text) if self._content(name) else encoded(text))

    def replace(self, path: str, start: int, end: int, new: str) -> None:
        """Replace the text between two positions of `text(path)` (`FileText.replaced`)."""
        self._put(self.there.locate(path), self._file(path).replaced(start, end, new))

    def _file(self, path: str) -> FileText:
        name = self.there.locate(path)
        content = self._content(name)
        if content is None:
            raise ToolException(f"no file {name!r}. list_files shows what there is.")
        kept = self._read.get(name)
        if kept is None or kept[0] is not content:
            kept = self._read[name] = content, FileText.of(shown(name), content)
        return kept[1]

    def _content(self, name: str) -> bytes | None:
        if name in self._after:
            return self._after[name]
        if name not in self._before:
            self._before[name] = self.there.content(name)
        return self._before[name]

    def _put(self, name: str, content: bytes) -> None:
        self.there.check(name, self._before[name], content)
        self._after[name] = content


def encoded(text: str) -> bytes:
    """The bytes of a new file.

    Raises:
        ToolException: The text can't be written.
    """
    if "\0" in text:
        raise ToolException("content holds a NUL character: only text can be written")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ToolException(f"content can't be written as UTF-8: {error}") from None
