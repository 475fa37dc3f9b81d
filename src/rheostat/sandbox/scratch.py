"""Directories that hostile code wrote to, and their removal, however deep, wide or locked what it left in them is."""

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
    """A new directory that is removed at the end. What can't be removed stays, and is no error."""
    path = tempfile.mkdtemp(prefix=prefix)
    try:
        yield path
    finally:
        remove(path)


def remove(path: str) -> None:
    """Remove a directory with everything in it. Its parent must be writable; what can't be removed is no error.

    Each folder is moved to one place and emptied there: so nothing is recursive, no path is long, and no link followed.
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
    """Remove what is in a folder; other folders of it go to `at`, and their new names come out."""
    for name in names:
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                os.chmod(name, 0o700, dir_fd=folder)  # or it could be neither moved nor read
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
