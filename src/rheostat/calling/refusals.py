"""Refusals that pass through an SDK at once: not retried, and not turned into another error.

openai, google-genai and ollama pass on any exception raised where they send. anthropic wraps and retries errors that
aren't its own. groq wraps and retries every `Exception` (tried in November 2026: anthropic 2.14, groq 0.37).
"""

from __future__ import annotations

import sys
from typing import Any, cast

from rheostat.errors import RheostatError

__all__ = ["Refused", "Unwanted", "refusal_in", "through"]


class Unwanted(RheostatError):
    """A request was cancelled while it waited for its turn, and didn't leave."""


class Refused(BaseException):
    """Carries a refusal through an SDK that retries every `Exception` (groq)."""

    def __init__(self, refusal: RheostatError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def refusal_in(error: BaseException | None) -> RheostatError | None:
    """The refusal behind this error, which an SDK may have wrapped; `None`: there is none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, Refused):
            return error.refusal
        if isinstance(error, RheostatError):
            return error
        error = error.__cause__
    return None


_passing: dict[type[RheostatError], type[RheostatError]] = {}
"""Our error classes, each also an error of Anthropic's SDK, which wraps and retries all others."""


def _for_anthropic(kind: type[RheostatError]) -> type[RheostatError]:
    if kind not in _passing:
        base = sys.modules["anthropic"].AnthropicError
        _passing[kind] = cast("type[RheostatError]", type(kind.__name__, (kind, base), {"__module__": kind.__module__}))
    return _passing[kind]


def through(error: RheostatError, request: Any) -> BaseException:
    """The refusal as an exception that this request's SDK passes on at once."""
    if "groq" in str(request.headers.get("user-agent", "")).lower():
        return Refused(error)
    if "anthropic-version" in request.headers and "anthropic" in sys.modules:
        passing = _for_anthropic(type(error))
        copy = passing.__new__(passing)
        copy.args, copy.__dict__ = error.args, dict(error.__dict__)
        copy.__cause__ = error.__cause__
        return copy
    return error
