"""`BestOfN`: N independent answers, and the one with the best score."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate
from rheostat.money.budget import Budget
from rheostat.strategies.base import (
    WAIT,
    Accept,
    Decision,
    Stop,
    View,
    acceptable,
    affordable,
    draw_again,
    fitting,
    in_flight,
    opening,
    price_of_draw,
)
from rheostat.task import Task

__all__ = ["BestOfN"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN:
    """Draw independent answers and take the one that passes, or scores best (Cobbe et al., arXiv:2110.14168).

    Stops at the first answer that passes the verifier or scores `good_enough`, at `samples`, or, where the user said
    what a correct answer is worth, when one more sample isn't worth its price: the n-th sample beats all before it with
    probability 1/n, by about the spread of the scores. Without any score, the answers vote.
    """

    samples: int = 8
    """The most answers to draw (N)."""
    at_once: int = 4
    """Answers drawn side by side; 1 draws the fewest. Where a verifier can tell, the first answer comes alone."""
    good_enough: float = 0.95
    """The score, from 0 to 1, that ends the draws."""
    cap: Budget | None = None
    """Its own limits; no draw is sent whose worst case is beyond them. `None`: the run's budget alone limits it."""
    needs_evidence: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("samples", "at_once"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            count = 1 if view.verified else min(self.at_once, self.samples)
            draws = draw_again(count, f"best of {self.samples}")
            return affordable(draws, history, view, self.cap)
        said = opening(history, view)
        if said is None:
            said = self._after(history, view)
        return fitting(said, history, view, self.cap)

    def _after(self, history: Sequence[Candidate], view: View) -> Decision:
        leading = acceptable(history)
        top = leading.score if leading is not None else None
        if leading is not None and top is not None and top >= self.good_enough:
            return Accept(leading.id, f"score {top:.2f}: good enough")
        if in_flight(history):
            return WAIT
        drawn = len(history)
        if drawn >= self.samples:
            return self._end(leading, history, f"best of {drawn}")
        worth = view.worth_usd_nanos
        scores = [each.score for each in history if each.score is not None]
        price = price_of_draw(history)
        if worth is not None and price and len(scores) > 1:
            gain = statistics.pstdev(scores) / (drawn + 1)
            if gain * worth < price:
                return self._end(leading, history, f"best of {drawn}: one more isn't worth its price")
        count = min(self.at_once, self.samples - drawn)
        return draw_again(count, f"{drawn} of {self.samples} drawn" + ("" if top is None else f", best {top:.2f}"))

    @staticmethod
    def _end(leading: Candidate | None, history: Sequence[Candidate], why: str) -> Decision:
        if leading is None:
            return Stop(f"{why}; every answer was refused")
        return Accept(leading.id, why if leading.score is None else f"{why}: score {leading.score:.2f}")
