"""`Direct`: one answer, prolonged where its thought ended early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rheostat.evidence.candidate import Candidate, in_order
from rheostat.money.budget import Budget
from rheostat.strategies.base import (
    WAIT,
    Accept,
    Decision,
    Draw,
    Stop,
    View,
    affordable,
    fitting,
    in_flight,
    opening,
)
from rheostat.task import Task

__all__ = ["Direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """One answer: a chain of thought, or an extended chain.

    With `extensions`, a thought that ended well before its thinking tokens were used is prolonged by "Wait", on models
    that can continue a thought (budget forcing; s1, arXiv:2501.19393). Measured on the 0.5B, "Wait" without new
    evidence seldom helped: 1 of 9 wrong answers became right.

    Stops after the first answer and its extensions.
    """

    extensions: int = 0
    """How often a thought is prolonged."""
    cap: Budget | None = None
    """Its own limits; no draw is sent whose worst case is beyond them. `None`: the run's budget alone limits it."""
    uses_scores: ClassVar[bool] = False

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            return affordable([Draw(why="one answer")], history, view, self.cap)
        said = opening(history, view)
        if said is not None:
            return fitting(said, history, view, self.cap)
        if in_flight(history):
            return WAIT
        last = [each for each in in_order(history) if each.answer is not None][-1]
        prolonged = sum(1 for each in history if each.purpose == "prolong")
        if (
            prolonged < self.extensions
            and view.model(history).facts.prolongs
            and (last.thought or last.text)
            and not last.cut
        ):
            draw = Draw(why="the thought ended early: go on", parent=last.id, purpose="prolong")
            more = affordable([draw], history, view, self.cap)
            if isinstance(more, tuple):
                return more
        if last.passed is False:
            return Stop("the answer was refused, and one was asked for")
        return Accept(last.id, "one answer was asked for")
