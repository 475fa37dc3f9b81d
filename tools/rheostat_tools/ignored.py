"""The files that git ignores: git itself says which, or its rules are read where there is no git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pathspec

from rheostat.sandbox.processes import environment, program_path

__all__ = ["Ignored"]

_LIST = (
    "-c",
    "core.fsmonitor=false",
    "ls-files",
    "-z",
    "--others",
    "--ignored",
    "--exclude-standard",
    "--directory",
)
_SECONDS = 5.0
_MOST_BYTES = 1_000_000


class Ignored:
    """The paths below a root that git ignores, as they are now.

    A tracked file isn't ignored. Repositories inside are asked themselves. Without git, or where it doesn't answer, the
    rules are those of `.gitignore` at every level and of `.git/info/exclude`, read by pathspec.

    Args:
        root: The tree.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._listed: dict[str, frozenset[str] | None] = {}
        self._repositories: dict[str, str] = {"": ""}
        self._rules: dict[str, pathspec.GitIgnoreSpec | None] = {}

    def holds(self, path: str) -> bool:
        """Whether git ignores a path, of which no directory above is ignored; a directory's path ends with `/`."""
        top = self._repository(path.rstrip("/").rpartition("/")[0])
        if top not in self._listed:
            self._listed[top] = _listed(os.path.join(self._root, top))
        listed = self._listed[top]
        inside = path[len(top) + 1 :] if top else path
        return inside in listed if listed is not None else self._matched(top, inside)

    def _repository(self, folder: str) -> str:
        """The innermost repository around a directory; empty: it is the one that the root is in."""
        if folder not in self._repositories:
            own = os.path.lexists(os.path.join(self._root, folder, ".git"))
            self._repositories[folder] = folder if own else self._repository(folder.rpartition("/")[0])
        return self._repositories[folder]

    def _matched(self, top: str, path: str) -> bool:
        """Whether the nearest file with a rule for a path ignores it."""
        parts = path.rstrip("/").split("/")
        places = [os.path.join(top, *parts[:depth], ".gitignore") for depth in range(len(parts) - 1, -1, -1)]
        for depth, place in zip(
            [*range(len(parts) - 1, -1, -1), 0], [*places, f"{top}/.git/info/exclude"], strict=True
        ):
            if place not in self._rules:
                self._rules[place] = _rules(Path(self._root, place.lstrip("/")))
            rules = self._rules[place]
            inside = "/".join(parts[depth:]) + "/" * path.endswith("/")
            said = rules.check_file(inside).include if rules is not None else None
            if said is not None:
                return said
        return False


def _listed(top: str) -> frozenset[str] | None:
    """What git ignores below a directory, directories with a `/`; `None`: it can't be asked, or ignores all of it."""
    git = program_path("git")
    if git is None:
        return None
    safe = {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [git, *_LIST],
            cwd=top,
            env=environment() | safe,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    listed = frozenset(map(os.fsdecode, done.stdout.split(b"\0")))
    return None if "./" in listed else listed


def _rules(path: Path) -> pathspec.GitIgnoreSpec | None:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        said = os.fsdecode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError:
        return None
    return pathspec.GitIgnoreSpec(_patterns(said.split("\n")))


def _patterns(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        try:
            yield from pathspec.GitIgnoreSpec.from_lines([line.removesuffix("\r")]).patterns
        except ValueError:  # git takes such a line to match nothing
            continue
