"""Read the order of a script in the sandbox: its task and its file descriptors. Standard library only."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["order"]


def order(number: str) -> dict[str, Any]:
    """Read the order from an inherited file descriptor; later child processes inherit none of its descriptors."""
    with open(int(number), encoding="utf-8") as stream:
        told: dict[str, Any] = json.load(stream)
    for name in {"fd", "result"} & told.keys():
        os.set_inheritable(told[name], False)
    return told
