"""Notice if the tests read a file that the code, or its author, has changed: it may say what is wanted.

Files that the code makes aren't looked at, since a test may be about them. Only what was there at the start counts.

Runs inside the sandbox, in the examiner: standard library only.
"""

from __future__ import annotations

import filecmp
import os
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterator
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LEFT = {".git", "node_modules", "__pycache__", "site-packages"}
_CHANGING = {"os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.truncate": 1, "os.link": 2, "os.symlink": 2}
"""Audit events of changes, with the number of paths that come first among their values."""

_STARTING = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"}


class Reading:
    """Records what the tests read of a tree.

    Args:
        root: The tree.
        changed: Paths of data that the code's author has changed or removed, relative to the root.
    """

    def __init__(self, root: str, changed: Collection[str]) -> None:
        self._root = root
        self._changed = {os.path.join(root, path) for path in changed}
        found = {each for path in files_below(root) for each in _places(path)}
        self._modules_at_start = _modules(root)
        self._at_start = {path: _state(path) for path in found} | dict.fromkeys(self._changed)
        self._read: set[str] = set()
        self._listed: set[str] = set()
        self._written: set[str] = set()
        self._started = False
        self._library = tuple(f"{sysconfig.get_path(each)}/" for each in ("stdlib", "platstdlib"))
        _compare_contents()
        sys.addaudithook(self._hook)

    def doubts(self) -> Iterator[str]:
        """A reason for each file that the tests read or looked for and that isn't as it was at the start."""
        for path in sorted(self._at_start.keys() - self._written):
            if path not in self._changed and self._at_start[path] == _state(path):
                continue
            name = os.path.relpath(path, self._root)
            if path in self._read:
                yield f"the tests read {name}, which has been changed"
            elif not os.path.exists(path) and (path not in self._changed or _nearest(path) in self._listed):
                yield f"the tests may look for {name}, which has been removed"
        if self._started:
            for path in _modules(self._root) - self._modules_at_start - self._written:
                yield f"the tests started a program that could have imported {os.path.relpath(path, self._root)}"

    def _hook(self, event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            writes = any(each in str(values[1] or "") for each in "wax+") or int(values[2] or 0) & _WRITES
            if writes:
                self._written |= _places(values[0])
            else:
                self._read |= self._known(values[0])
        elif event == "sqlite3.connect":
            self._read.update(self._known(values[0]))
        elif event in ("os.listdir", "os.scandir") and self._of_the_tests(sys._getframe(1)):
            self._listed.update(_places(values[0] if values[0] is not None else "."))
        elif event in _STARTING:
            self._started = True
            for word in _words(values):
                self._read |= self._known(word)
        elif event in _CHANGING:
            for path in values[: _CHANGING[event]]:
                self._written |= _places(path)

    def _known(self, path: Any) -> set[str]:
        return _places(path) & self._at_start.keys()

    def _of_the_tests(self, frame: Any) -> bool:
        """Whether the tests list a folder themselves, and not an import or pytest's collection."""
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return False
        while frame is not None and frame.f_code.co_filename.startswith(("<frozen ", *self._library)):
            if "/site-packages/" in frame.f_code.co_filename:
                break
            frame = frame.f_back
        return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] != "_pytest"


def _modules(root: str) -> set[str]:
    return {path for path in files_below(root) if path.endswith((".py", ".so", ".pth"))}


def _words(value: Any) -> Iterator[Any]:
    """The words of a command, which may be a text or be in lists."""
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _words(each)
    else:
        yield value


def _places(path: Any) -> set[str]:
    """The absolute paths of a file: by its name, and with all links resolved."""
    try:
        at = os.path.abspath(os.fsdecode(path))
        return {at, os.path.realpath(at)}
    except (TypeError, ValueError, OSError):
        return set()


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_ctime_ns  # code can't set the time of the last change of the inode


def _nearest(path: str) -> str:
    """The innermost folder above a path that is still there."""
    folder = os.path.dirname(path)
    return folder if os.path.isdir(folder) or folder == "/" else _nearest(folder)


def files_below(root: str) -> Iterator[str]:
    """The paths of the files of a workspace, without those of its environments."""
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if name not in _LEFT and not os.path.exists(f"{folder}/{name}/pyvenv.cfg")
        ]
        yield from (f"{folder}/{name}" for name in names)


def _compare_contents() -> None:
    """Let `filecmp.cmp` look into files by default: size and time, by which it goes otherwise, are easily set."""
    compare: Callable[..., bool] = filecmp.cmp
    compare.__defaults__ = (False,)
