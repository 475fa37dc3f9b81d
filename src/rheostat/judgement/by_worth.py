"""`ByWorth`: the strategy that plays the arm with the largest sum, and stops when none is worth its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from rheostat.evidence.candidate import Candidate, in_order
from rheostat.judgement.belief import Belief, Play
from rheostat.judgement.first import Sure
from rheostat.judgement.fitting import band_of
from rheostat.judgement.profile import CORRECT, SAMPLE, Arm, Measured, Profile
from rheostat.judgement.worth import TIMES, Choice, Option, Unit, Weigher, reference
from rheostat.money.usage import Spend
from rheostat.strategies.base import (
    WAIT,
    Accept,
    Available,
    Decision,
    Draw,
    Stop,
    View,
    affordable,
    fitting,
    in_flight,
)
from rheostat.task import Effort, Task

__all__ = ["ByWorth"]

_CHARS_PER_TOKEN = 4
_MOST_FAILURES = 3
"""Draws in a row that bring no answer at all, after which the run ends."""


@dataclass(frozen=True, kw_only=True)
class ByWorth:
    """Play the arm with the largest `worth · P − E[cost]`, look at what came, and do the sum again.

    Stops when no arm is worth its price (`rheostat.judgement.worth`): with a verifier in Weitzman's order, without one
    by what agreement of answers and confidence were measured to mean (`rheostat.judgement.belief`).
    """

    profile: Profile
    preset: str = "balanced"
    """Without a worth of the user's: the multiple of the price of a right answer from the most economical arm."""
    most_draws: int = 24
    """It ends after so many draws, even where the profile promises more."""
    uses_scores: ClassVar[bool] = False
    _known: dict[tuple[object, ...], Sure] = field(default_factory=dict, compare=False, repr=False)

    def knows(self, kind: str, model: str) -> bool:
        """Whether the profile has a fresh arm of a model for this kind of task."""
        return any(arm.model == model and not arm.strategy for arm in self._arms(kind))

    def needs_logprobs(self, kind: str, model: str) -> bool:
        """Whether confidence was measured to mean something for this model."""
        found = (self.profile.measured(kind, arm) for arm in self._arms(kind) if arm.model == model)
        return any(each is not None and each.cuts for each in found)

    def _arms(self, kind: str) -> tuple[Arm, ...]:
        known = self.profile.kinds.get(kind)
        return tuple(sorted(known.arms)) if known is not None else ()

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        return fitting(self._said(task, history, view), history, view)

    def _said(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        ordered = in_order(history)
        passed = next((each for each in ordered if each.passed), None)
        if passed is not None:
            return Accept(passed.id, "the verifier passed it")
        if any(each.purpose == "last word" and each.status != "pending" for each in ordered):
            return Stop("this was the last word that the reserve pays for")
        if in_flight(history):
            return WAIT
        sure = self._sure(task, ordered, view)
        belief, groups = self._belief(sure, task, ordered)
        choice = sure.choose(belief, can=lambda arm: self._can(sure.arms[arm], ordered, view))
        leading = next((each for each in ordered if groups.get(each.id) == belief.leader[1] >= 0), None)
        if choice.arm is None or self._silent(ordered) or len(ordered) >= self.most_draws:
            return self._end(choice, leading, ordered, belief)
        draws = (self._draw(sure.arms[choice.arm], choice, ordered),)
        more = affordable(draws, history, view)
        if isinstance(more, Stop) and leading is not None and leading.passed is None:
            return Accept(leading.id, f"P {belief.leader[0]:.2f}; {more.why}")
        return more

    @staticmethod
    def _silent(ordered: Sequence[Candidate]) -> bool:
        last = ordered[-_MOST_FAILURES:]
        return len(last) == _MOST_FAILURES and all(each.answer is None for each in last)

    @staticmethod
    def _end(choice: Choice, leading: Candidate | None, ordered: Sequence[Candidate], belief: Belief) -> Decision:
        if leading is not None and leading.passed is None:
            return Accept(leading.id, f"P {belief.leader[0]:.2f}: no further draw is worth its price")
        refused = sum(each.passed is False for each in ordered)
        why = f"refused {refused} times" if refused else f"{len(ordered)} draws brought no answer"
        return Stop(f"{why}, and no further draw is worth its price")

    # --- arms -------------------------------------------------------------------------------------

    def _sure(self, task: Task, history: Sequence[Candidate], view: View) -> Sure:
        names = {each.facts.name: each for each in view.models}
        told = any(each.passed is not None for each in history)
        verified = view.verified and (told or not any(each.answer is not None for each in history))
        arms = tuple(
            arm for arm in self._arms(task.kind) if arm.model in names and self._allowed(arm, names[arm.model], view)
        )
        unit = "usd" if all(each.costs for each in view.models) else "tokens"
        length = len(task.question) // _CHARS_PER_TOKEN
        prices = tuple((each.facts.name, each.price) for each in view.models)
        key = (task.kind, arms, verified, view.votable, unit, view.worth_usd_nanos, length // 50, prices)
        if key not in self._known:
            costs = [self._cost(arm, names[arm.model], task, unit, length) for arm in arms]
            options = tuple(
                Option(number, cost, _repeats(arm, names[arm.model]))
                for number, (arm, cost) in enumerate(zip(arms, costs, strict=True))
            )
            rates = self.profile.chances(task.kind, arms).rates
            given = view.worth_usd_nanos if unit == "usd" else None
            worth = given or TIMES[self.preset] * reference(rates, costs) or 1.0
            weigher = Weigher(options, worth, verified=verified, comparable=view.votable, unit=unit)
            self._known[key] = Sure.of(self.profile, task.kind, arms, weigher)
        return self._known[key]

    @staticmethod
    def _allowed(arm: Arm, model: Available, view: View) -> bool:
        """A level that the model has, and the user's if one was fixed; the operator's caps are the plan's business."""
        level = Effort(arm.effort or "none")
        return level in model.facts.levels and (level == view.effort or not view.fixed_effort)

    def _cost(self, arm: Arm, model: Available, task: Task, unit: Unit, length: int) -> float:
        found = self.profile.measured(task.kind, arm) or Measured(right=0, tried=0)
        if unit == "tokens" or model.price is None:
            return found.output_tokens if unit == "tokens" else 0.0
        spend = Spend(input_tokens=round(found.input_tokens) or length, output_tokens=round(found.output_tokens))
        return float(model.price.cost(spend))

    def _can(self, arm: Arm, history: Sequence[Candidate], view: View) -> bool:
        """A correction needs an answer that was refused; the first draw must be an answer of its own."""
        if arm.strategy == CORRECT:
            return view.verified and any(each.passed is False and each.answer is not None for each in history)
        return arm.strategy != SAMPLE or any(each.way == arm.way for each in history)

    @staticmethod
    def _draw(arm: Arm, choice: Choice, history: Sequence[Candidate]) -> Draw:
        refused = [each.id for each in history if each.passed is False and each.answer is not None]
        correct = arm.strategy == CORRECT
        return Draw(
            why=f"{arm}: {choice.sum}" + (f" ({choice.gain})" if history else ""),
            model=arm.model,
            effort=Effort(arm.effort or "none"),
            way="" if correct else arm.way,
            parent=refused[-1] if correct else None,
            purpose="correct" if correct else "solve",
        )

    # --- what came --------------------------------------------------------------------------------

    def _belief(self, sure: Sure, task: Task, history: Sequence[Candidate]) -> tuple[Belief, dict[str, int]]:
        """The belief after this history, and the group of each answer."""
        kind = self.profile.kinds.get(task.kind)
        ease = 0.0 if kind is None else kind.ease(task.difficulty.score)
        belief = Belief.of(sure.chances, ease, 0.0 if kind is None else kind.clue)
        numbers = {arm: number for number, arm in enumerate(sure.arms)}
        groups: dict[str, int] = {}
        of_key: dict[str, int] = {}
        played: set[int] = set()
        for each in history:
            arm = _arm_of(each, numbers, history, played)
            if arm is None:
                continue
            played.add(arm)
            if each.status != "done":
                continue
            group = -1
            if each.answer is not None:
                group = of_key.setdefault(each.key or each.id, belief.new_group)
                groups[each.id] = group
            found = self.profile.measured(task.kind, sure.arms[arm])
            band = band_of(each.low_logprob, found.cuts if found is not None else ())
            belief = belief.after(Play(arm, group, band, each.passed))
        return belief, groups


def _repeats(arm: Arm, model: Available) -> bool:
    """Whether its samples differ: not where the first answer is drawn at temperature 0."""
    return arm.strategy in (SAMPLE, CORRECT) or not model.facts.takes_temperature


def _arm_of(
    candidate: Candidate, numbers: dict[Arm, int], history: Sequence[Candidate], played: set[int]
) -> int | None:
    """The arm that a candidate was drawn by. Where it isn't known, the first of this model that wasn't played before:
    so each draw uses up an arm, even if the model couldn't be asked in its way."""
    again = any(
        each.number < candidate.number and each.way == candidate.way and each.model == candidate.model
        for each in history
    )
    strategies = (CORRECT,) if candidate.purpose == "correct" else (SAMPLE, "") if again else ("",)
    wanted = Arm(model=candidate.model, effort=candidate.effort.value, way=candidate.way)
    for strategy in strategies:
        for arm in (replace(wanted, strategy=strategy), replace(wanted, strategy=strategy, effort="")):
            if arm in numbers:
                return numbers[arm]
    alike = [number for arm, number in numbers.items() if arm.model == candidate.model]
    return min(alike, key=lambda number: (number in played, number), default=None)
