"""Addresses as they may be shown."""

from __future__ import annotations

import re

__all__ = ["without_password"]


def without_password(address: str) -> str:
    """An address to show in a message: without the user and password in it, or a password among its parameters."""
    shown = re.sub(r"(?<=://)[^/?#\s]*@", "***@", address)
    return re.sub(r"(?i)\b(password|passwd|pwd|token|api[_-]?key|key|secret)=[^&\s'\"]+", r"\1=***", shown)
