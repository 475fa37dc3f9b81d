"""What an answer can look like."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["AnswerForm"]

AnswerForm: TypeAlias = Literal["number", "quantity", "choice", "date", "text", "json", "code"]
"""What an answer looks like: it decides how it is asked for, found in a reply, and compared (docs/answers.md)."""
