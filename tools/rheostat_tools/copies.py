"""Copy a tree for runs of its tests, so that nothing that they write is kept."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from rheostat.sandbox import Show
from rheostat_tools.ours import CACHES, is_environment

__all__ = ["change", "copy_tree", "link_environments", "show"]


def copy_tree(root: str, place: str) -> list[str]:
    """Copy the tree below `root` to `place`; links are copied as links, caches and special files are left out.

    Returns:
        The paths of environments (`.venv`, `node_modules`, `.git`), which aren't copied.
    """
    environments: list[str] = []
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(os.path.join(root, here)) as entries:
            for entry in entries:
                path = f"{here}/{entry.name}".lstrip("/")
                target = os.path.join(place, path)
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    os.symlink(os.readlink(entry.path), target)
                elif stat.S_ISDIR(mode) and is_environment(entry.path):
                    environments.append(path)
                elif stat.S_ISDIR(mode) and entry.name not in CACHES:
                    os.mkdir(target)
                    waiting.append(path)
                elif stat.S_ISREG(mode):
                    try:
                        shutil.copy2(entry.path, target, follow_symlinks=False)
                    except PermissionError:
                        continue
    return sorted(environments)


def change(place: str, changes: Mapping[str, bytes | None]) -> None:
    """Change the contents of files in a copy, by their paths; `None` removes a file. Modes are kept."""
    for path, content in changes.items():
        at = Path(place, path)
        mode = at.stat().st_mode if at.is_file() else None
        at.unlink(missing_ok=True)
        if content is not None:
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
            if mode is not None:
                at.chmod(mode)


def show(root: str, place: str, environments: Sequence[str]) -> list[Show]:
    """The entries of a sandbox that put the copy at `place` in the place of the tree, with its environments."""
    shown = [Show(root, "write", place)]
    for path in environments:
        os.makedirs(os.path.join(place, path), exist_ok=True)  # the mount point
        shown.append(Show(f"{root}/{path}", "read", f"{root}/{path}"))
    return shown


def link_environments(root: str, place: str, environments: Sequence[str]) -> None:
    """Link the environments into a copy that is used without a sandbox."""
    for path in environments:
        at = Path(place, path)
        if at.is_dir() and not at.is_symlink():
            at.rmdir()
        if not at.is_symlink():
            at.symlink_to(Path(root, path), target_is_directory=True)
