"""What files were before their first change, kept in a file, so that a diff survives Ctrl-C, a crash and a restart."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from rheostat.errors import BadInput
from rheostat.files import read_text, write_whole

__all__ = ["Journal"]

_MOST_BYTES = 1 << 28


class Journal:
    """The original contents of changed files, written before the change.

    Args:
        path: The journal's file; one that exists is gone on with. `None`: it is kept in memory only.

    Raises:
        BadInput: the file is no journal.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.originals: dict[str, bytes | None] = {}
        """The content of each changed file before its first change; `None`: there was no file."""
        self.notes: dict[str, Any] = {}
        """Plain data of the user of the journal."""
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def keep(self, name: str, before: bytes | None) -> None:
        """Keep a file's content, if it is the first change."""
        if name not in self.originals:
            self.originals[name] = before
            self._save()

    def note(self, **notes: Any) -> None:
        """Keep plain data."""
        self.notes.update(notes)
        self._save()

    def begin(self) -> None:
        """Forget everything: the files are what they are now."""
        self.originals.clear()
        self.notes.clear()
        self._save()

    def _save(self) -> None:
        if self.path is None:
            return
        kept = {
            name: None if data is None else base64.b64encode(data).decode() for name, data in self.originals.items()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps({"originals": kept, "notes": self.notes}))

    def _load(self, path: Path) -> None:
        try:
            found = json.loads(read_text(path, "journal", most_bytes=_MOST_BYTES))
            self.originals = {
                str(name): None if data is None else base64.b64decode(data) for name, data in found["originals"].items()
            }
            self.notes = dict(found["notes"])
            if outside := next((name for name in self.originals if _leads_out(Path(name))), None):
                raise ValueError(f"{outside!r} lies outside of the workspace")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{path} is no journal of a workspace: {error}") from error


def _leads_out(path: Path) -> bool:
    return path.is_absolute() or ".." in path.parts
