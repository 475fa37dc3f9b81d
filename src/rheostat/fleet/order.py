"""The order in which a fleet spends its money: where a dollar buys the most."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from rheostat.fleet.tasks import MOST_PRIORITY, FleetTask
from rheostat.judgement.profile import Measured, Profile
from rheostat.thinking.difficulty import heuristic

__all__ = ["place", "question_of", "value"]

_STEPS_PER_DOUBLING: Final = 1 << 17
_MIDDLE: Final = 1 << 23
"""A value of 1; places reach from a value of 2^-63 to one of 2^63."""


def value(task: FleetTask, profile: Profile, model: str | None) -> float:
    """P(correct) · worth / cost of a task, by the profile's arm that brings most for its price on tasks of its kind.

    Args:
        model: The name of the model that answers; `None`: nothing is known about it, and only the worth counts.
    """
    worth = 1.0 if task.worth is None else float(Decimal(task.worth))
    if model is None:
        return worth
    kind = heuristic(question_of(task.input)).kind
    known = profile.keeping([model])
    ratios = []
    for arm in known.arms(kind):
        measured = known.measured(kind, arm)
        if measured is not None and not arm.strategy:
            ratios.append(known.rate(kind, arm) / _cost(measured))
    return worth * max(ratios, default=1.0)


def _cost(measured: Measured) -> float:
    """Dollars, or tokens of a model without a price: one model's tasks are compared with each other only."""
    return measured.usd or max(1.0, measured.output_tokens)


def question_of(data: dict[str, Any]) -> str:
    """The text of a task's input that says what is asked, for an estimate of its kind; empty if there is none."""
    question = data.get("question")
    if isinstance(question, str):
        return question
    messages = data.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else messages
    text = last.get("content") if isinstance(last, dict) else last[-1] if isinstance(last, list) and last else last
    return text if isinstance(text, str) else ""


def place(priority: int, value: float) -> int:
    """The place in the queue, 1 to 2^31 - 1: the lowest goes first. By priority, then by value."""
    steps = round(math.log2(value) * _STEPS_PER_DOUBLING) if value > 0 else -_MIDDLE
    behind = min(max(_MIDDLE - steps, 1), 2 * _MIDDLE - 1)
    return (MOST_PRIORITY - priority) * 2 * _MIDDLE + behind
