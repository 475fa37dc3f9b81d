"""Temporary directories for hostile code, and their removal, however deep, wide or locked their contents are."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator

__all__ = ["remove", "temporary_directory"]


@contextlib.contextmanager
def temporary_directory(prefix: str) -> Iterator[str]:
    """A new directory that is removed at the end; entries that can't be removed stay without an error."""
    path = tempfile.mkdtemp(prefix=prefix)
    try:
        yield path
    finally:
        remove(path)


def remove(path: str) -> None:
    """Remove a directory with all contents; its parent must be writable. Entries that can't be removed stay, silently.

    Each folder is moved to one place and emptied there, so that there is no recursion, no long path, and no link is
    followed.
    """
    if os.rename not in os.supports_dir_fd or os.listdir not in os.supports_fd:
        shutil.rmtree(path, ignore_errors=True)
        return
    parent, name = os.path.split(os.path.abspath(path))
    with contextlib.suppress(OSError):
        place = tempfile.mkdtemp(prefix="rheostat-removed-", dir=parent)
        with _opened(parent) as above, _opened(place) as at:
            numbers = map(str, itertools.count())
            waiting = [*_cleared([name], above, at, numbers)]
            while waiting:
                folder = waiting.pop()
                with contextlib.suppress(OSError):
                    with _opened(folder, at) as opened:
                        waiting += _cleared(os.listdir(opened), opened, at, numbers)
                    os.rmdir(folder, dir_fd=at)
        os.rmdir(place)


def _cleared(names: list[str], folder: int, at: int, numbers: Iterator[str]) -> Iterator[str]:
    """Remove these entries of a folder; subfolders are moved to `at`, and their new names are yielded."""
    for name in names:
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                os.chmod(name, 0o700, dir_fd=folder)  # else it might be neither movable nor readable
                new = next(numbers)
                os.rename(name, new, src_dir_fd=folder, dst_dir_fd=at)
                yield new
            else:
                os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _opened(name: str, at: int | None = None) -> Iterator[int]:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    try:
        yield folder
    finally:
        os.close(folder)
