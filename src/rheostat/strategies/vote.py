"""`Vote`: self-consistency, with as few samples as the lead needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.evidence.votes import Votes, boundary, first_draw
from rheostat.money.budget import Budget
from rheostat.strategies.base import (
    WAIT,
    Accept,
    Decision,
    Draw,
    Stop,
    View,
    affordable,
    draw_again,
    fitting,
    in_flight,
    opening,
)
from rheostat.task import Task

__all__ = ["Vote"]

HOPELESS_VOTES = 3
"""If this many answers all differ, more answers from the same model won't agree either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Self-consistency: sample answers until one leads by enough (Wang et al., arXiv:2203.11171).

    Stops when the leader is ahead by `lead - 0.15 · votes` (`rheostat.evidence.votes.boundary`), or at `most_samples`.
    The first sample of each way of asking is greedy, and different ways come before repetitions: they err differently.
    The defaults were chosen on recorded samples (docs/benchmarks.md): as accurate as the Beta rule of
    Adaptive-Consistency at .95 (arXiv:2305.11860) for half to three quarters of its samples.
    """

    lead: float = 3.5
    """The lead that is enough after no votes; it falls with each vote. More buys more certainty."""
    most_samples: int = 24
    first_samples: int | None = None
    """The samples of the first round; `None`: the fewest that could be enough."""
    ways_agree: bool = False
    """Two different ways of asking that agree are enough, if no other answer has two ways. On MultiArith and the 0.5B,
    such answers were right 96 to 100 % of the time; where the ways are weaker, it costs accuracy."""
    weights: Literal["equal", "confidence"] = "equal"
    """`confidence`: a vote weighs as much as the lowest log-probability window of its reply, where it is known, in
    proportion to the others that were asked for in the same way: programs look surer than calculations."""
    gives_up: bool = False
    """Stop when the first three answers all differ: cheaper, and less accurate on hard questions."""
    cap: Budget | None = None
    """Its own limits; no draw is sent whose worst case is beyond them. `None`: the run's budget alone limits it."""
    uses_scores: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.most_samples < 1:
            raise BadInput(f"most_samples must be at least 1, not {self.most_samples}")
        if not math.isfinite(self.lead) or self.lead <= 0:
            raise BadInput(f"lead must be above 0, not {self.lead}")

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            count = self.first_samples or first_draw(self.lead)
            count = min(count, self.most_samples) if view.votable else 1
            return affordable(draw_again(count, "nothing tried yet"), history, view, self.cap)
        said = opening(history, view)
        if said is None:
            said = self._after(history, view)
        return fitting(said, history, view, self.cap)

    def _after(self, history: Sequence[Candidate], view: View) -> Decision:
        voters = [each for each in in_order(history) if each.unjudged]
        if not voters:
            return self._more(history, view, "every answer was refused")
        if not view.votable:
            return Accept(voters[0].id, "nothing to verify it with, and free text can't vote")
        votes = Votes.count((each.key or each.id for each in voters), self._weights(voters))
        leader = next(each for each in voters if (each.key or each.id) == votes.leader)
        if self.most_samples == 1:
            return Accept(leader.id, "one sample was asked for")
        agreed = self._agreed(voters)
        if agreed is not None:
            return Accept(agreed.id, "two ways of asking agree")
        wanted = boundary(len(voters), self.lead)
        state = f"lead {votes.lead:g} of {votes.total:g} votes, {max(wanted, 0):.2f} wanted"
        if votes.lead >= wanted:
            return Accept(leader.id, f"{state}: enough")
        differ = len({each.key for each in voters}) == len(voters)
        if self.gives_up and differ and len(voters) >= HOPELESS_VOTES:
            return self._elsewhere(history, view, f"{state}; {len(voters)} answers, no two agree", leader)
        if in_flight(history):
            return WAIT
        return self._more(history, view, state, leader)

    def _more(self, history: Sequence[Candidate], view: View, state: str, leader: Candidate | None = None) -> Decision:
        answered = [each for each in history if each.answer is not None]
        if len(answered) < self.most_samples and len(history) < 2 * self.most_samples:
            last = max(each.round for each in history)
            starved = any(each.cut for each in history if each.round == last)
            if starved and view.can_think_more and not view.fixed_effort:
                return (Draw(why=f"{state}; thoughts were cut: more thinking tokens", more_thought=True),)
            return (Draw(why=f"{state}: one more sample"),)
        return self._elsewhere(history, view, f"{state} after {len(answered)} samples", leader)

    @staticmethod
    def _elsewhere(history: Sequence[Candidate], view: View, state: str, leader: Candidate | None) -> Decision:
        other = view.next_model(history)
        if other is not None:
            return (Draw(why=f"{state}: another model", model=other.name),)
        if leader is None:
            return Stop(state)
        return Stop(f"{state}; more samples cost more than they bring")

    def _agreed(self, voters: Sequence[Candidate]) -> Candidate | None:
        """The answer that two ways of asking gave, if it is the only such one."""
        if not self.ways_agree:
            return None
        ways: dict[str, set[str]] = {}
        for each in voters:
            ways.setdefault(each.key or each.id, set()).add(f"{each.model} {each.way}")
        agreed = [key for key, names in ways.items() if len(names) > 1]
        return next(each for each in voters if each.key == agreed[0]) if len(agreed) == 1 else None

    def _weights(self, voters: Sequence[Candidate]) -> list[float] | None:
        """Weights with mean 1, so that a lead is still counted in votes; `None`: equal."""
        known = [each.low_logprob if each.low_logprob is not None else each.logprob for each in voters]
        if self.weights == "equal" or any(each is None for each in known):
            return None
        raw = [math.exp(min(each or 0.0, 0.0)) for each in known]
        ways = [(each.model, each.way) for each in voters]
        means = {way: statistics.fmean(one for one, at in zip(raw, ways, strict=True) if at == way) for way in ways}
        return [one / means[at] for one, at in zip(raw, ways, strict=True)] if all(means.values()) else None
