"""The rules of the providers, written only from their documentation: they share no table with the dials under test.

Where the sources disagree or are silent, a comment beside the rule says so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Cache", "Refused", "refuse", "seal", "tokens_of"]

_KEY = b"the simulator's own"


class Refused(Exception):
    """A request broke a rule (HTTP 4xx)."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "invalid_request_error", param: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.param = status, kind, param


def refuse(broken: object, message: str, *, param: str = "") -> None:
    """Raise `Refused` if a rule is broken."""
    if broken:
        raise Refused(message, param=param)


def seal(text: str) -> str:
    """A signature that only the server can make."""
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest()


def tokens_of(content: Any) -> int:
    """The tokens of content: its words and signs. As with real tokens, there are never more than bytes."""
    if isinstance(content, str):
        return len(re.findall(r"\w+|[^\w\s]", content))
    if isinstance(content, list):
        return sum(tokens_of(each) for each in content)
    if isinstance(content, dict):
        hidden = {"type", "cache_control", "signature", "id", "tool_use_id", "call_id", "encrypted_content", "status"}
        return sum(tokens_of(value) for name, value in content.items() if name not in hidden)
    return 0 if content is None else tokens_of(json.dumps(content))


@dataclass
class Cache:
    """A prompt cache: prefixes by their settings, so that another effort or tool list finds nothing."""

    least_tokens: int = 1024

    def __post_init__(self) -> None:
        self._known: dict[str, int] = {}

    def lookup(self, namespace: str, parts: Iterable[Any], marks: Iterable[int] | None = None) -> tuple[int, int]:
        """(read, written) tokens of a prompt in `parts`; with `marks`, only prefixes that end at them are kept."""
        prefix, tokens, read, best = hashlib.sha256(namespace.encode()), 0, 0, 0
        ends = None if marks is None else set(marks)
        for number, part in enumerate(parts):
            prefix.update(json.dumps(part, sort_keys=True).encode())
            tokens += tokens_of(part)
            if tokens < self.least_tokens or (ends is not None and number not in ends):
                continue
            name = prefix.hexdigest()
            if name in self._known:
                read = tokens
            else:
                self._known[name] = tokens
            best = tokens
        return read, best - read
