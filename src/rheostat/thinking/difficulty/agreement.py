"""Difficulty from whether cheap answers agree.

A few answers without thought are drawn; the share of the most frequent one predicts whether the model knows the
answer (self-consistency: Wang et al. 2022, arXiv:2203.11171; as an estimate of difficulty: Aggarwal et al. 2023,
arXiv:2305.11860). The answers are votes, and are kept as such: a probe is never thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

from rheostat.errors import BadInput
from rheostat.task import Difficulty

__all__ = ["Agreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Probe with `samples` direct answers.

    On small models direct answers can agree on nonsense (measured: on a 0.5B model probing made results worse), so
    this is opt-in.
    """

    samples: int = 3
    """How many answers to draw without thought: at least 2."""

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise BadInput(f"agreement needs at least 2 samples, not {self.samples}")

    def read(self, prior: Difficulty, share: float | None) -> Difficulty:
        """Blend the heuristic's view with the vote share (0 … 1; `None`: no probe answered)."""
        if share is None:
            return prior
        # all agree → 0; all differ → 1; the probe has seen the model, so it weighs twice the words of the question
        disagreement = (1 - share) / (1 - 1 / self.samples)
        score = round((prior.score + 2 * disagreement) / 3, 3)
        reason = f"{share:.0%} of {self.samples} direct answers agree: {prior.score:.2f} → {score:.2f}"
        return Difficulty(score=score, kind=prior.kind, reasons=(*prior.reasons, reason), source="agreement")
