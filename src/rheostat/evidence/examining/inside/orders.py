"""What a script in the sandbox is to do, and with which file descriptors. Standard library only."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["order"]


def order(number: str) -> dict[str, Any]:
    """Read from an inherited file; nothing that is started from here on inherits it or the descriptors in it."""
    with open(int(number), encoding="utf-8") as stream:
        told: dict[str, Any] = json.load(stream)
    for name in {"fd", "result"} & told.keys():
        os.set_inheritable(told[name], False)
    return told
