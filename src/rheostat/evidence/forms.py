"""The forms of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["AnswerForm", "Form"]

AnswerForm: TypeAlias = Literal["number", "quantity", "choice", "date", "text", "json", "code"]
"""The form of an answer: how it is asked for, found in a reply, and compared (docs/reference/answers.md)."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of your own, which defines how an answer is found and which answers are equal.

    >>> move = Form("chess move", lambda reply: reply.split()[-1], lambda a, b: a.strip("+#") == b.strip("+#"))
    """

    name: str
    read: Callable[[str], str | None]
    """Returns the answer in a reply (without its thoughts), or `None`."""
    same: Callable[[str, str], bool] = str.__eq__
    """Whether two answers are equal, which is used for votes."""
    told: str = ""
    """One line for the model about the form of the answer."""
