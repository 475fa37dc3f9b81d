"""Hide passwords and keys in addresses and errors before they are shown."""

from __future__ import annotations

import re

__all__ = ["without_password"]

_NAME = r"(?<![^\W_])(?:(?:ssl)?password|passwd|pwd|passphrase|token|secret|credential|signature|sig|api[_-]?key|key)"
_HIDDEN = (
    # user and password; a password may hold what an address can't, but what stands behind a port is none
    (r"(?<=://)(?!USER@HOST)(?:[^/\s'\"]*|[^/\s:'\"]{0,300}:(?!\d+(?:/|$))[^\s'\"]{0,300})@", "***@"),
    # of a query, of a connection string of Postgres (blanks around =, quotes), of an environment
    (rf"(?i)({_NAME})\s?=\s?(?:'(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^&\s'\"]+)", r"\1=***"),
    # of headers, and of JSON
    (r"(?i)(authorization|api[_-]?key|password|secret)(['\"]?\s?:\s?['\"]?)"
     r"(?:(?:bearer|basic)\s+[^\s'\",;{}]{4,}|[^\s'\",;{}]{8,})", r"\1\2***"),
    (r"\b(?:sk-|xai-|gsk_|hf_|ghp_|lsv2_|pplx-|AIza|AKIA)[\w-]{12,}", "***"),  # keys that are known by their beginning
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern), shown) for pattern, shown in _HIDDEN)


def without_password(address: str) -> str:
    """An address, or a text with addresses, for a message: users, passwords, keys and other secrets are hidden."""
    for pattern, shown in _PATTERNS:
        address = pattern.sub(shown, address)
    return address
