"""Which files a model may write: no installation or cache, and no name that can be taken for another one."""

from __future__ import annotations

import os

from langchain_core.tools import ToolException

from rheostat_tools.confine import shown
from rheostat_tools.ours import CACHES, ENVIRONMENT_FILE, is_environment

__all__ = ["check_writable"]


def check_writable(root: str, path: str, before: bytes | None, content: bytes, *, most_bytes: int) -> None:
    """Check that a file may be written.

    Args:
        root: The real path of the workspace.
        path: The resolved path of the file, relative to the root.
        before: Its content now; `None`: it is new.
        content: What it shall hold.
        most_bytes: The most bytes that it may hold.

    Raises:
        ToolException: It belongs to an installation, is too large, or is new and has a name that misleads.
    """
    name, parts = shown(path), path.split("/")
    for count in range(1, len(parts)):
        inside = "/".join(parts[:count])
        if parts[count - 1].casefold() in CACHES or is_environment(os.path.join(root, inside)):
            raise ToolException(
                f"{name} can't be changed: {shown(inside)} is a cache or an installation, and no source of ours"
            )
    if parts[-1].casefold() == ENVIRONMENT_FILE:
        raise ToolException(f"{name} can't be written: it makes its directory an installation")
    if before is None and (odd := next((part for part in parts if _misleads(part)), None)):
        raise ToolException(
            f"{odd[:100]!r} can't be the name of a new file or directory: it begins or ends with a blank, ends with a "
            "dot, or holds a backslash or a character that can't be seen. Write / between directories."
        )
    if len(content) > most_bytes:
        raise ToolException(
            f"{name} would have {len(content):,} bytes, above the limit of {most_bytes:,}. Split it into several files."
        )


def _misleads(name: str) -> bool:
    """Whether a name can be taken for another one, or for several lines."""
    return not name.isprintable() or name != name.strip() or name.endswith(".") or "\\" in name
