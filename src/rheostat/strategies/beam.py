"""`Beam`: search an answer step by step, keeping the best beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.money.budget import Budget
from rheostat.strategies.base import (
    WAIT,
    Accept,
    Decision,
    Draw,
    Stop,
    View,
    acceptable,
    affordable,
    draw_again,
    fitting,
    in_flight,
    known_score,
    opening,
)
from rheostat.task import Task

__all__ = ["Beam"]

_WHOLE = ("code", "json")
"""Forms of answers that can't be cut into steps by blank lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """Beam search over the steps of an answer, scored by a process reward model or a judge (Snell et al.,
    arXiv:2408.03314).

    Draws `width` · `branches` first steps, keeps the `width` best beginnings, and continues each `branches` times. A
    step ends at a blank line. Stops when a finished answer scores at least as high as every beginning that could still
    be continued, when `width` answers are finished, or after `steps` steps. Code and JSON have no such steps: they are
    drawn whole, and the best is taken.
    """

    width: int = 2
    """Beginnings that are kept after each step."""
    branches: int = 3
    """Continuations of each."""
    steps: int = 8
    """The most steps of an answer."""
    cap: Budget | None = None
    """Its own limits; no draw is sent whose worst case is beyond them. `None`: the run's budget alone limits it."""
    needs_evidence: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("width", "branches", "steps"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            purpose = "solve" if task.form in _WHOLE else "begin"
            draws = draw_again(self.width * self.branches, "the first steps", purpose=purpose)
            return affordable(draws, history, view, self.cap)
        said = opening(history, view, stepwise=True)
        if said is None:
            said = self._after(history)
        return fitting(said, history, view, self.cap)

    def _after(self, history: Sequence[Candidate]) -> Decision:
        if in_flight(history):
            return WAIT
        finished = acceptable(history)
        ends = [each for each in history if each.answer is not None and each.passed is not False]
        last = max(each.round for each in history)
        begun = [each for each in in_order(history) if each.partial and each.round == last]
        best = sorted(begun, key=lambda each: (-known_score(each), each.number))[: self.width]
        if finished is not None and (
            not best or len(ends) >= self.width or known_score(finished) >= max(map(known_score, best))
        ):
            return Accept(finished.id, f"the best of {len(ends)} finished: score {known_score(finished):.2f}")
        depth = len({each.round for each in history})
        if not best or depth >= self.steps:
            if finished is not None:
                return Accept(finished.id, f"the best of {len(ends)} finished after {depth} steps")
            return Stop(f"no answer was finished within {depth} steps")
        return tuple(
            Draw(
                why=f"step {depth + 1}: go on from {each.id} (score {known_score(each):.2f})",
                parent=each.id,
                purpose="continue",
            )
            for each in best
            for _ in range(self.branches)
        )
