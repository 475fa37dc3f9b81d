"""Hide passwords in addresses before they are shown."""

from __future__ import annotations

import re

__all__ = ["without_password"]


def without_password(address: str) -> str:
    """An address for a message, with user and password hidden, and secrets among its parameters too."""
    shown = re.sub(r"(?<=://)[^/?#\s]*@", "***@", address)
    return re.sub(r"(?i)\b(password|passwd|pwd|token|api[_-]?key|key|secret)=[^&\s'\"]+", r"\1=***", shown)
