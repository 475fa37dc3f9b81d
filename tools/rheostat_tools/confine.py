"""Confine file access to a directory: paths are resolved, then opened part by part without following a link."""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from langchain_core.tools import ToolException

from rheostat.errors import BadInput

__all__ = ["HIDDEN", "MOST_DEPTH", "ConfinedDirectory", "shown"]

HIDDEN = frozenset({".git", "__pycache__", ".pytest_cache"})
"""Names that are neither listed nor accessible: a hook in `.git` or a compiled module would run without any limit."""

MOST_DEPTH = 40
"""The deepest nesting of directories."""

_MOST_PATH_CHARS = 1_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ConfinedDirectory:
    """Reads and writes files below `root`, and no others.

    A path is resolved at each access, and must lie below `root`. It is then opened from `root` on, one directory at a
    time and without following links, so that a link which appears between the check and the access makes it fail.

    Args:
        root: The directory.
        most_file_bytes: Larger files are refused.

    Raises:
        BadInput: `root` isn't a directory.
    """

    def __init__(self, root: str | os.PathLike[str], *, most_file_bytes: int) -> None:
        if not Path(root).is_dir():
            raise BadInput(f"{root} is not a directory")
        self.root = os.path.realpath(root)
        """The real path of the directory."""
        self.most_file_bytes = most_file_bytes
        """Larger files are refused."""

    def locate(self, path: str) -> str:
        """The resolved path, relative to `root`; "." is `root` itself.

        Raises:
            ToolException: The path leads outside, or to a hidden name.
        """
        if "\0" in path:
            raise ToolException("a path can't hold a NUL character")
        try:
            found = os.path.relpath(os.path.realpath(os.path.join(self.root, path or ".")), self.root)
            os.fsencode(found)
        except (OSError, ValueError) as error:
            raise ToolException(f"{path[:200]!r} is no usable path: {error}") from None
        parts = Path(found if found.isascii() else self._spelled(found)).parts
        if parts[:1] == ("..",):
            raise ToolException(
                f"{path[:200]!r} leads outside of the workspace. Use a path relative to it, such as src/main.py; "
                "list_files shows what there is."
            )
        if any(part.casefold() in HIDDEN for part in (*parts, *Path(path).parts)):
            raise ToolException(
                f"{path[:200]!r} is not part of the workspace: {', '.join(sorted(HIDDEN))} are left alone"
            )
        if len(parts) > MOST_DEPTH or len(found) > _MOST_PATH_CHARS:
            raise ToolException(
                f"{path[:200]!r} is longer than {_MOST_PATH_CHARS:,} characters or nests deeper than {MOST_DEPTH} "
                "directories. Use a shorter path."
            )
        return "/".join(parts) or "."

    def _spelled(self, path: str) -> str:
        """The path with the names that are there, where they differ only in how accents are written (NFC, NFD)."""
        there = ""
        for part in path.split("/"):
            alike = [part]
            if not os.path.lexists(os.path.join(self.root, there, part)):
                with suppress(OSError):
                    names = os.listdir(os.path.join(self.root, there))
                    alike = [name for name in names if _composed(name) == _composed(part)]
            there = os.path.join(there, alike[0] if len(alike) == 1 else part)
        return there

    def read(self, path: str, *, most_bytes: int | None = None) -> bytes:
        """The content of a file.

        Args:
            path: The path as returned by `locate`.
            most_bytes: A limit in place of `most_file_bytes`.

        Raises:
            FileNotFoundError: There is no such file.
            ToolException: It isn't a regular file, is too large or can't be read.
        """
        folder, name = os.path.split(path)
        with _explained(path), self._open(folder) as directory:
            most_bytes = self.most_file_bytes if most_bytes is None else most_bytes
            self._regular(path, os.stat(name, dir_fd=directory, follow_symlinks=False), most_bytes)
            file = os.open(name, _READ, dir_fd=directory)
            try:
                self._regular(path, os.fstat(file), most_bytes)
            except BaseException:
                os.close(file)
                raise
            with os.fdopen(file, "rb") as stream:
                content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise ToolException(f"{shown(path)} grew above the limit of {most_bytes:,} bytes")
        return content

    def write(self, contents: Mapping[str, bytes]) -> dict[str, list[str]]:
        """Write files by their paths, each atomically, and none before there is room for all.

        Returns:
            The directories that were created for each.
        """
        made: dict[str, list[str]] = {path: [] for path in contents}
        waiting: dict[str, str] = {}
        try:
            for path, content in contents.items():
                waiting[path] = self._prepare(path, content, made[path])
            for path in contents:
                self._rename(path, waiting[path])
                del waiting[path]
        except BaseException:
            for path, temporary in waiting.items():
                with suppress(OSError, ToolException):
                    self.remove(os.path.join(os.path.dirname(path), temporary))
            for folders in reversed(made.values()):
                self.remove_directories(folders)
            raise
        return made

    def _prepare(self, path: str, content: bytes, made: list[str]) -> str:
        """Write a file beside another one, with its owner and mode, and return its name."""
        folder, name = os.path.split(path)
        with _explained(path), self._open(folder, made=made) as directory:
            there = None
            with suppress(FileNotFoundError):
                there = os.stat(name, dir_fd=directory, follow_symlinks=False)
                self._regular(path, there, self.most_file_bytes)
            temporary = f".{secrets.token_hex(8)}.tmp"
            file = os.open(temporary, _NEW, 0o666, dir_fd=directory)
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(content)
                    if there is not None:
                        with suppress(PermissionError):
                            os.fchown(file, there.st_uid, there.st_gid)
                        os.fchmod(file, stat.S_IMODE(there.st_mode) & 0o777)
            except BaseException:
                os.unlink(temporary, dir_fd=directory)
                raise
        return temporary

    def _rename(self, path: str, temporary: str) -> None:
        folder, name = os.path.split(path)
        with _explained(path), self._open(folder) as directory:
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)

    def remove(self, path: str) -> None:
        """Remove a file."""
        folder, name = os.path.split(path)
        with _explained(path), self._open(folder) as directory:
            os.unlink(name, dir_fd=directory)

    def remove_directories(self, made: list[str]) -> None:
        """Remove these directories, from the last one on, until one isn't empty."""
        for path in reversed(made):
            folder, name = os.path.split(path)
            try:
                with self._open(folder) as directory:
                    os.rmdir(name, dir_fd=directory)
            except OSError:
                return

    def walk(
        self, path: str, *, until: float, enter: Callable[[str], bool] = lambda path: True
    ) -> Iterator[tuple[str, int]]:
        """(path, size in bytes) of every regular file below, in order; ends early once the monotonic clock is `until`.

        Args:
            enter: Whether to enter a directory, by its path relative to the root.
        """
        with _explained(path), self._open("" if path == "." else path) as top:
            for folder, folders, names, directory in os.fwalk(".", dir_fd=top):
                if time.monotonic() > until:
                    return
                here = os.path.normpath(os.path.join(path, folder))
                depth = 0 if here == "." else here.count("/") + 1
                folders[:] = sorted(
                    each
                    for each in folders
                    if each.casefold() not in HIDDEN
                    and depth < MOST_DEPTH
                    and enter(os.path.normpath(os.path.join(here, each)))
                )
                for name in sorted(names):
                    if time.monotonic() > until:
                        return
                    try:
                        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISREG(there.st_mode) and name.casefold() not in HIDDEN:
                        yield os.path.normpath(os.path.join(here, name)), there.st_size

    @contextmanager
    def _open(self, folder: str, *, made: list[str] | None = None) -> Iterator[int]:
        """A descriptor of a directory; with `made`, missing directories are created and added to it."""
        directory = os.open(self.root, _DIRECTORY)
        try:
            so_far = ""
            for part in folder.split("/") if folder else ():
                so_far = f"{so_far}/{part}".lstrip("/")
                if made is not None:
                    try:
                        os.mkdir(part, dir_fd=directory)
                        made.append(so_far)
                    except FileExistsError:
                        pass
                inner = os.open(part, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = inner
            yield directory
        finally:
            os.close(directory)

    def _regular(self, path: str, there: os.stat_result, most_bytes: int) -> None:
        if stat.S_ISDIR(there.st_mode):
            raise ToolException(f"{shown(path)} is a directory. list_files shows what is in it.")
        if stat.S_ISLNK(there.st_mode):
            raise ToolException(f"{shown(path)} became a link. Links that appear while they are used are refused.")
        if not stat.S_ISREG(there.st_mode):
            raise ToolException(f"{shown(path)} is no regular file")
        if there.st_size > most_bytes:
            raise ToolException(f"{shown(path)} has {there.st_size:,} bytes, above the limit of {most_bytes:,}")


def shown(path: str) -> str:
    """A path for a message; one that holds control characters, or what can't be seen, as JSON writes it."""
    return path if path.isprintable() else json.dumps(path)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn errors of the system into texts for the model, except for `FileNotFoundError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except NotADirectoryError:
        raise ToolException(f"{shown(path)}: a part of the path is a file or a link, not a directory") from None
    except OSError as error:
        raise ToolException(f"{shown(path)}: {error.strerror or error}") from None
