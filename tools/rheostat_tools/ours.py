"""Select the files of a repository that people wrote, by git's rules and by common exclusions."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rheostat_tools.confine import shown
from rheostat_tools.ignored import Ignored

__all__ = ["CACHES", "ENVIRONMENT_FILE", "Ours", "is_environment", "overview"]

ENVIRONMENT_FILE = "pyvenv.cfg"
"""The file that makes a directory an installation of Python."""
CACHES = frozenset(
    {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".cache", ".tox", ".nox", ".eggs"}
)
"""Directories in which programs keep their own files."""

_ENVIRONMENTS = frozenset({".git", ".hg", ".svn", "node_modules", "site-packages", ".venv", "venv"})
_MOST_BYTES = 1_000_000
_BINARY = (
    ".pyc", ".pyo", ".so", ".dll", ".dylib", ".exe", ".o", ".a", ".class", ".jar", ".whl", ".zip", ".gz", ".bz2", ".xz",
    ".zst", ".tar", ".7z", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".bmp", ".pdf", ".mp3", ".mp4", ".wav",
    ".ogg", ".woff", ".woff2", ".ttf", ".otf", ".eot", ".db", ".sqlite", ".sqlite3", ".parquet", ".npy", ".npz", ".pt",
    ".gguf", ".safetensors", ".onnx", ".pkl", ".pickle",
)  # fmt: skip


def is_environment(directory: str) -> bool:
    """Whether a directory is an installation or a version control store, with files of others."""
    named = os.path.basename(directory).casefold() in _ENVIRONMENTS
    return named or os.path.isfile(os.path.join(directory, ENVIRONMENT_FILE))


class Ours:
    """Selects the files of a tree to list, to search and to show, as they are now.

    Left out are files that git ignores (`rheostat_tools.ignored`), environments, caches, binary files by their names,
    and files above a megabyte. Such files can still be read by their paths.

    Args:
        root: The tree.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._directories: dict[str, bool] = {}
        self._ignored = Ignored(root)

    def directory(self, path: str) -> bool:
        """Whether the contents of a directory are ours; its path is relative to the root."""
        if path in ("", "."):
            return True
        if path not in self._directories:
            name = path.rpartition("/")[2].casefold()
            here = os.path.join(self._root, path)
            self._directories[path] = not (
                name in CACHES or is_environment(here) or self._ignored.holds(f"{path}/")
            ) and self.directory(path.rpartition("/")[0])
        return self._directories[path]

    def file(self, path: str, size: int) -> bool:
        """Whether a file is ours."""
        return (
            size <= _MOST_BYTES
            and not path.casefold().endswith(_BINARY)
            and self.directory(path.rpartition("/")[0])
            and not self._ignored.holds(path)
        )


def overview(files: Iterable[tuple[str, int]], *, most_chars: int) -> str:
    """A list with one line per file; if it is too long, the fullest directories become one line each."""
    lines = {path: f"{shown(path)} ({size:,} bytes)" for path, size in files}
    inside: dict[str, list[str]] = {}
    for path in lines:
        inside.setdefault(path.rpartition("/")[0], []).append(path)
    total = sum(len(line) + 1 for line in lines.values())
    for folder in sorted(inside, key=lambda each: -sum(len(lines[path]) for path in inside[each])):
        if total <= most_chars or len(inside[folder]) < 3:
            break
        total -= sum(len(lines.pop(path)) + 1 for path in inside[folder])
        kinds = sorted({os.path.splitext(path)[1] or "no suffix" for path in inside[folder]})[:4]
        lines[f"{folder}/"] = f"{shown(folder or '.')}/ ({len(inside[folder])} files: {', '.join(kinds)})"
        total += len(lines[f"{folder}/"]) + 1
    return "\n".join(lines[path] for path in sorted(lines))
