"""What an answer can look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["AnswerForm", "Form"]

AnswerForm: TypeAlias = Literal["number", "quantity", "choice", "date", "text", "json", "code"]
"""What an answer looks like: it decides how it is asked for, found in a reply, and compared (docs/answers.md)."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of your own: how an answer is found, and which answers are equal.

    >>> move = Form("chess move", lambda reply: reply.split()[-1], lambda a, b: a.strip("+#") == b.strip("+#"))
    """

    name: str
    read: Callable[[str], str | None]
    """The answer in a reply (its thoughts are stripped already), or `None`."""
    same: Callable[[str, str], bool] = str.__eq__
    """Are two answers equal? They vote by this."""
    told: str = ""
    """One line for the model on what the answer should look like."""
