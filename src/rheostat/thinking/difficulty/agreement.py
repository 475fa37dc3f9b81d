"""Estimate difficulty by the agreement of cheap answers.

A few answers without thought are drawn; the share of the most frequent one predicts whether the model knows the
answer (self-consistency: Wang et al. 2022, arXiv:2203.11171; as an estimate of difficulty: Aggarwal et al. 2023,
arXiv:2305.11860). The answers are kept as votes, so that no probe is wasted.
"""

from __future__ import annotations

from dataclasses import dataclass

from rheostat.errors import BadInput
from rheostat.task import Difficulty

__all__ = ["Agreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Probe with `samples` direct answers.

    On small models, direct answers can agree on nonsense (on a 0.5B model, probing made the measured results worse), so
    this is opt-in.
    """

    samples: int = 3
    """The number of answers drawn without thought; at least 2."""

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise BadInput(f"agreement needs at least 2 samples, not {self.samples}")

    def read(self, prior: Difficulty, share: float | None) -> Difficulty:
        """Combine the heuristic's difficulty with the vote share (0 to 1; `None`: no probe gave an answer)."""
        if share is None:
            return prior
        # all agree → 0; all differ → 1; the probe tests the model itself, so it counts twice as much as the question
        disagreement = (1 - share) / (1 - 1 / self.samples)
        score = round((prior.score + 2 * disagreement) / 3, 3)
        reason = f"{share:.0%} of {self.samples} direct answers agree: {prior.score:.2f} → {score:.2f}"
        return Difficulty(score=score, kind=prior.kind, reasons=(*prior.reasons, reason), source="agreement")
