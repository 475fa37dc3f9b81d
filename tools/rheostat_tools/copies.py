"""A copy of a tree for one run of its tests, so that nothing which they write stays."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from rheostat.sandbox import Show
from rheostat_tools.ours import CACHES, is_environment

__all__ = ["copied"]


def copied(root: str, place: str, instead: Mapping[str, bytes | None] | None = None) -> list[Show]:
    """Copy the tree below `root` to `place`, and say what to show in a sandbox so that it stands where the tree does.

    Environments (`.venv`, `node_modules`, `.git`) aren't copied but shown, read only; caches and what is no file are
    left out. Links are copied as links.

    Args:
        instead: The content of some files, by their path from `root`, instead of what lies there; None: no such file.
    """
    environments = _copy(Path(root), Path(place))
    for path, content in (instead or {}).items():
        at = Path(place, path)
        if content is None:
            at.unlink(missing_ok=True)
            continue
        at.parent.mkdir(parents=True, exist_ok=True)
        at.unlink(missing_ok=True)
        at.write_bytes(content)
        if Path(root, path).is_file():
            shutil.copymode(Path(root, path), at)
    for path in environments:  # without a sandbox it is there by its link
        Path(place, path).symlink_to(Path(root, path), target_is_directory=True)
    return [Show(root, "write", place), *(Show(f"{root}/{path}", "read", f"{root}/{path}") for path in environments)]


def _copy(root: Path, place: Path) -> list[str]:
    environments: list[str] = []
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(root / here) as entries:
            for entry in entries:
                path = f"{here}/{entry.name}".lstrip("/")
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    os.symlink(os.readlink(entry.path), place / path)
                elif stat.S_ISDIR(mode) and is_environment(entry.path):
                    environments.append(path)
                elif stat.S_ISDIR(mode) and entry.name not in CACHES:
                    (place / path).mkdir()
                    waiting.append(path)
                elif stat.S_ISREG(mode):
                    try:
                        shutil.copy2(entry.path, place / path, follow_symlinks=False)
                    except PermissionError:
                        continue
    return environments
