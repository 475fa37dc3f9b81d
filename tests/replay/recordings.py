"""Small recordings for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rheostat.replay import Row, row_of


def row(*answers: Any, gold: Any = "a", id: Any = "q", **parts: Any) -> Row:
    """A row of samples that are equal but for their answers."""
    samples = [{"answer": each, "tokens": 10, **parts} for each in answers]
    return row_of({"id": id, "gold": gold, "samples": samples})


def write(path: Path, rows: Iterable[Any]) -> Path:
    """A JSON Lines file; a text is written as it is."""
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows), "utf-8")
    return path
