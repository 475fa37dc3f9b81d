"""`Auto`: vote where answers can only be compared, refine where a verifier can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rheostat.evidence.candidate import Candidate
from rheostat.strategies.base import Decision, View
from rheostat.strategies.best_of_n import BestOfN
from rheostat.strategies.refine import Refine
from rheostat.strategies.vote import Vote
from rheostat.task import Task

__all__ = ["Auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Auto:
    """`Refine` if a verifier judges the answers, `BestOfN` if a scorer does, else `Vote`.

    Stops as they do. A verifier that abstained on every answer so far can't tell, so that the answers vote.
    """

    vote: Vote = field(default_factory=Vote)
    refine: Refine = field(default_factory=Refine)
    best_of_n: BestOfN = field(default_factory=BestOfN)

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        told = any(each.passed is not None for each in history)
        if view.verified and (told or not history):
            return self.refine.decide(task, history, view)
        return (self.best_of_n if view.scored else self.vote).decide(task, history, view)
