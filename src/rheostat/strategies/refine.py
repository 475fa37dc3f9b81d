"""`Refine`: correct a refused answer on the verifier's reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    best,
    fitting,
    in_flight,
    opening,
    price_of_draw,
)
from rheostat.task import Task

__all__ = ["Refine"]

FIX_RATE, FIX_DECAY = 0.35, 0.7
"""Our prior probability that a correction with the verifier's reason succeeds, and its factor per failed correction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refine:
    """Correct the refused answer, with the verifier's reason as evidence and more thought (self-refine with outside
    evidence; Madaan et al., arXiv:2303.17651; without evidence it doesn't help, Huang et al., arXiv:2310.01798).

    Stops when a correction is no longer worth its price (Weitzman 1979, Econometrica 47:641): correction r succeeds
    with `0.35 · 0.7^(r-1)`, times what a success is worth, against the price of the next call. Then another model is
    asked, if there is one.
    """

    worth_calls: float = 6.0
    """The value of a correct answer, in calls like the last one; not used if the view has `worth_usd_nanos`."""
    good_enough: float = 0.999
    """Without a verifier: the score that ends the refinement."""
    broadens: bool = True
    """Where the same reason came twice in a row, draw a fresh answer instead of a third correction."""
    cap: Budget | None = None
    """Its own limits; no draw is sent whose worst case is beyond them. `None`: the run's budget alone limits it."""

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            return affordable([Draw(why="nothing tried yet")], history, view, self.cap)
        said = opening(history, view)
        if said is None:
            said = self._after(history, view)
        return fitting(said, history, view, self.cap)

    def _after(self, history: Sequence[Candidate], view: View) -> Decision:
        if in_flight(history):
            return WAIT
        ordered = in_order(history)
        leading = best(history)
        refused = [each for each in ordered if self._refused(each)]
        if not refused or (leading is not None and leading.passed is None and not self._refused(leading)):
            assert leading is not None, "unanswered() let it pass"  # noqa: S101
            return Accept(leading.id, "nothing refuses it")
        count = len(refused)
        chance = FIX_RATE * FIX_DECAY ** (count - 1)
        worth, price = self._worth(history, view)
        if chance * worth > price:
            gain = f"succeeds with ~{chance:.0%}: worth {chance * worth:.1f} calls, costs {price:.1f}"
            why = f"refused; a correction {gain}"
            last = refused[-1]
            if (
                self.broadens
                and count > 1
                and last.reason
                and last.reason == refused[-2].reason
                and last.parent == refused[-2].id
            ):
                return (Draw(why=f"the same reason twice: a fresh answer ({why})"),)
            more = not view.fixed_effort
            return (Draw(why=why, parent=last.id, purpose="correct", more_thought=more),)
        other = view.next_model(history)
        if other is not None:
            return (Draw(why=f"refused {count} times: another model", model=other.name),)
        return Stop(f"refused; another try is worth {chance * worth:.1f} calls and costs {price:.1f}")

    def _refused(self, each: Candidate) -> bool:
        """Whether there is evidence against this answer."""
        return each.passed is False or (
            each.answer is not None and each.passed is None and each.score is not None and each.score < self.good_enough
        )

    def _worth(self, history: Sequence[Candidate], view: View) -> tuple[float, float]:
        """(the worth of a success, the price of the next call), in calls like the last one."""
        facts, last = view.model(history).facts, in_order(history)[-1]
        price = price_of_draw(history)
        if view.worth_usd_nanos is not None and price:
            return view.worth_usd_nanos / price, 1.0
        now = facts.levels.get(last.effort, 0)
        more = facts.above(last.effort, max(facts.levels)) if view.can_think_more else None
        following = facts.levels[more] if more is not None else now
        return self.worth_calls, max(1.0, (following + view.answer_tokens) / (now + view.answer_tokens))
