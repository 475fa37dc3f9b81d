"""`ByWorth`: the strategy that plays the arm with the largest sum, and stops when none is worth its price."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import ClassVar

from rheostat.evidence.asking import WAYS
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.judgement.baselines import BEST_FIXED, STRONG_ALWAYS, Baseline
from rheostat.judgement.belief import Belief, Play
from rheostat.judgement.first import Sure
from rheostat.judgement.fitting import band_of
from rheostat.judgement.priors import with_priors
from rheostat.judgement.profile import CORRECT, SAMPLE, Arm, KindProfile, Measured, Profile
from rheostat.judgement.router import Router
from rheostat.judgement.worth import TIMES, Choice, Option, Weigher, reference
from rheostat.money.pricing import Price
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
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["ByWorth"]

_CHARS_PER_TOKEN = 4
_MOST_FAILED, _MOST_SILENT = 2, 3
"""Requests of a model in a row that fail, or bring no answer, after which it isn't asked again."""


@dataclass(frozen=True, kw_only=True)
class ByWorth:
    """Play the arm with the largest `worth · P − E[cost]`, look at what came, and do the sum again.

    Stops when no arm is worth its price (`rheostat.judgement.worth`): with a verifier in Weitzman's order, without one
    by what agreement of answers and confidence were measured to mean (`rheostat.judgement.belief`).
    """

    profile: Profile
    router: Router | None = None
    """Moves the rates of a model's arms by the text of the task."""
    preset: str = "balanced"
    """Without a worth of the user's: the multiple of the price of a right answer from the most economical arm."""
    most_draws: int = 24
    """It ends after so many draws, even where the profile promises more."""
    uses_scores: ClassVar[bool] = False
    _known: dict[tuple[object, ...], Sure] = field(default_factory=dict, compare=False, repr=False)
    _filled: dict[tuple[object, ...], Profile] = field(default_factory=dict, compare=False, repr=False)

    def needs_logprobs(self, kind: str, model: str) -> bool:
        """Whether confidence was measured to mean something for this model."""
        known = self.profile.kinds.get(kind) or KindProfile()
        return any(each.cuts for arm, each in known.arms.items() if arm.model == model)

    def first(self, task: Task, view: View) -> tuple[Arm, Choice]:
        """The arm to begin with, and its sum."""
        sure = self._sure(task, (), view)
        choice = sure.choose(self._belief(sure, task, ())[0], can=lambda arm: not sure.arms[arm].strategy)
        assert choice.arm is not None, "the first draw is always made"  # noqa: S101
        return sure.arms[choice.arm], choice

    def baselines(self, task: Task, view: View) -> tuple[Baseline, ...]:
        """What one answer from a fixed arm would have been worth: the best one, and the strongest one."""
        sure = self._sure(task, (), replace(view, fixed_effort=False))
        belief, _ = self._belief(sure, task, ())
        costs = {each.arm: each.cost for each in sure.weigher.options}
        single = [number for number, arm in enumerate(sure.arms) if not arm.strategy]
        best = max(single, key=lambda arm: (belief.chance(arm) * sure.weigher.worth - costs[arm], -arm))
        strong = max(single, key=lambda arm: (belief.chance(arm), -costs[arm]))
        return tuple(
            Baseline(
                name=name, arm=str(sure.arms[arm]), chance=belief.chance(arm), cost=costs[arm], unit=sure.weigher.unit
            )
            for name, arm in ((BEST_FIXED, best), (STRONG_ALWAYS, strong))
        )

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        return fitting(self._said(task, history, view), history, view)

    def _said(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        ordered = in_order(history)
        passed = next((each for each in ordered if each.passed), None)
        if passed is not None:
            return Accept(passed.id, "the verifier passed it")
        if any(each.purpose == "last word" and each.status != "pending" for each in ordered):
            return Stop("the budget was nearly used up: this was its last word")
        if in_flight(history):
            return WAIT
        if ordered and self._starved(ordered[-1], view):
            why = "the thought was cut before an answer: more thinking tokens"
            return affordable((Draw(why=why, model=ordered[-1].model, more_thought=True),), history, view)
        sure = self._sure(task, ordered, view)
        belief, groups = self._belief(sure, task, ordered)
        down = {each.name for each in view.models if _down(each.name, ordered)}
        choice = sure.choose(belief, can=lambda arm: self._can(sure, arm, ordered, view, down))
        leading = next((each for each in ordered if groups.get(each.id) == belief.leader[1] >= 0), None)
        if choice.arm is None or len(ordered) >= self.most_draws:
            return self._end(choice, leading, ordered, belief)
        draws = (self._draw(sure.arms[choice.arm], choice, ordered),)
        more = affordable(draws, history, view)
        if isinstance(more, Stop) and leading is not None and leading.passed is None:
            return Accept(leading.id, f"P {belief.leader[0]:.2f}; {more.why}", short=more.short)
        return more

    @staticmethod
    def _starved(last: Candidate, view: View) -> bool:
        thinks = any(each.name == last.model and each.facts.thinks for each in view.models)
        cut = last.cut and last.answer is None
        return cut and thinks and view.can_think_more and not view.fixed_effort

    @staticmethod
    def _end(choice: Choice, leading: Candidate | None, ordered: Sequence[Candidate], belief: Belief) -> Decision:
        if leading is not None and leading.passed is None:
            return Accept(leading.id, f"P {belief.leader[0]:.2f}: no further draw is worth its price")
        refused = sum(each.passed is False for each in ordered)
        why = f"refused {refused} times" if refused else f"{len(ordered)} draws brought no answer"
        return Stop(f"{why}, and no further draw is worth its price")

    # --- arms -------------------------------------------------------------------------------------

    def _sure(self, task: Task, history: Sequence[Candidate], view: View) -> Sure:
        names = {each.name: each for each in view.models}
        told = any(each.passed is not None for each in history)
        verified = view.verified and (told or not any(each.answer is not None for each in history))
        facts = tuple(replace(each.facts, name=each.name) for each in view.models)
        fixed = {each.name: _fixed(each, view) for each in facts} if view.fixed_effort else None
        of = tuple((each.name, each.thinks, tuple(each.levels.items())) for each in facts)
        given = (task.kind, tuple(fixed.items()) if fixed else (), of)
        if given not in self._filled:
            self._filled[given] = with_priors(self.profile, task.kind, facts, fixed)
        profile = self._filled[given]
        place = {name: number for number, name in enumerate(names)}  # among equals, in the user's order
        known = sorted(profile.arms(task.kind), key=lambda arm: (place.get(arm.model, 0), arm))
        arms = tuple(arm for arm in known if arm.model in names and self._allowed(arm, names[arm.model], view))
        unit = "usd" if any(each.costs for each in view.models) else "tokens"
        length = len(task.question) // _CHARS_PER_TOKEN
        prices = tuple((each.name, each.price) for each in view.models)
        cheapest = min((each.price for each in view.models if each.costs and each.price), key=_of_output, default=None)
        comparable = view.votable and not view.fixed_effort  # a level that the user fixed is asked for one answer
        moved = self._moved(task.question, tuple(names))
        key = (task.kind, arms, moved, verified, comparable, unit, view.worth_usd_nanos, length // 50, prices)
        if key not in self._known:
            found = [profile.measured(task.kind, arm) or Measured(right=0, tried=0) for arm in arms]
            costs = [_cost(each, names[arm.model], cheapest, length) for arm, each in zip(arms, found, strict=True)]
            options = tuple(
                Option(number, cost, _repeats(arm, names[arm.model], each, verified))
                for number, (arm, cost, each) in enumerate(zip(arms, costs, found, strict=True))
            )
            rates = profile.chances(task.kind, arms).rates
            told_worth = view.worth_usd_nanos if unit == "usd" else None
            worth = told_worth or TIMES[self.preset] * reference(rates, costs) or 1.0
            weigher = Weigher(options, worth, verified=verified, comparable=comparable, unit=unit)
            self._known[key] = Sure.of(profile, task.kind, arms, weigher, dict(moved))
        return self._known[key]

    def _moved(self, text: str, models: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
        """How much better or worse each model does on such a text, in log-odds; in steps, so that sums are known."""
        if self.router is None or not text:
            return ()
        router = self.router
        return tuple((name, max(min(round(2 * router.harder(text, name)) / 2, 3.0), -3.0)) for name in models)

    @staticmethod
    def _allowed(arm: Arm, model: Available, view: View) -> bool:
        """Whether a draw can be sent as the arm says: at a level within the operator's, or at the one that is fixed."""
        lowest = model.facts.nearest(Effort.none)
        level = Effort(arm.effort) if arm.effort else lowest
        if arm.clamp_tokens or (arm.way and arm.way not in WAYS) or level not in model.facts.levels:
            return False
        if arm.way and WAYS[arm.way].runs and not view.runs_programs:
            return False
        if view.fixed_effort:
            return level == _fixed(model.facts, view)
        return level <= view.max_effort or level == lowest

    def _can(self, sure: Sure, number: int, history: Sequence[Candidate], view: View, down: Set[str]) -> bool:
        """A correction needs an answer that was refused; the first draw must be an answer of its own. What is expected
        to need more than the room would be planned as another arm."""
        arm, found = sure.arms[number], sure.profile.measured(sure.kind, sure.arms[number])
        if arm.model in down or (_is_prior(sure, arm) and self._early(sure, arm.model, history, view, down)):
            return False
        expected = Spend(output_tokens=round(found.output_tokens) if found is not None else 0)
        lowest = next(each.facts.nearest(Effort.none) for each in view.models if each.name == arm.model)
        if not view.room.fits(expected) and Effort(arm.effort or lowest) > lowest:
            return False
        if arm.strategy == CORRECT:
            return view.verified and any(_is_refused(each) and each.model == arm.model for each in history)
        return arm.strategy != SAMPLE or any(each.way == arm.way for each in history)

    @staticmethod
    def _early(sure: Sure, model: str, history: Sequence[Candidate], view: View, down: Set[str]) -> bool:
        """Whether a model that the user named before this one wasn't asked yet. Where nothing was measured of either,
        the user's order holds."""
        guessed = {arm.model for arm in sure.arms if _is_prior(sure, arm)}
        before = itertools.takewhile(lambda name: name != model, (each.name for each in view.models))
        drawn = {each.model for each in history} | down
        return any(name in guessed and name not in drawn for name in before)

    @staticmethod
    def _draw(arm: Arm, choice: Choice, history: Sequence[Candidate]) -> Draw:
        refused = [each for each in history if _is_refused(each) and each.model == arm.model]
        deeper = bool(refused) and arm.way in ("", refused[-1].way) and not arm.strategy
        correct = arm.strategy == CORRECT or deeper  # at another level, the refusal is evidence too
        return Draw(
            why=f"{arm}: {choice.sum}" + (f" ({choice.gain})" if history else ""),
            model=arm.model,
            effort=Effort(arm.effort or "none"),
            way="" if correct else arm.way,
            parent=refused[-1].id if correct else None,
            purpose="correct" if correct else "solve",
        )

    # --- what came --------------------------------------------------------------------------------

    def _belief(self, sure: Sure, task: Task, history: Sequence[Candidate]) -> tuple[Belief, dict[str, int]]:
        """The belief after this history, and the group of each answer."""
        kind = sure.profile.kinds[task.kind]
        belief = Belief.of(sure.chances, kind.ease(task.difficulty.score), kind.clue)
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
            found = sure.profile.measured(task.kind, sure.arms[arm])
            band = band_of(each.low_logprob, found.cuts if found is not None else ())
            belief = belief.after(Play(arm, group, band, each.passed))
        return belief, groups


def _down(model: str, history: Sequence[Candidate]) -> bool:
    """Whether this model's last draws brought nothing at all; probes are few tokens, and say little."""
    own = [each for each in history if each.model == model and not each.id.startswith("probe")]
    if any(each.unavailable for each in own):
        return True
    failed = [each.status == "failed" for each in own[-_MOST_FAILED:]]
    silent = [each.answer is None for each in own[-_MOST_SILENT:]]
    return (len(failed) == _MOST_FAILED and all(failed)) or (len(silent) == _MOST_SILENT and all(silent))


def _of_output(price: Price) -> float:
    return float(price.cost(Spend(output_tokens=1_000_000)))


def _cost(found: Measured, model: Available, cheapest: Price | None, length: int) -> float:
    """In nano-dollars, or in tokens where no model has a price. Beside models with prices, a free one's tokens count as
    a twentieth of the cheapest one's: they take time."""
    if cheapest is None:
        return found.output_tokens
    spend = Spend(input_tokens=round(found.input_tokens) or length, output_tokens=round(found.output_tokens))
    if model.costs and model.price is not None:
        return float(model.price.cost(spend))
    return float(cheapest.cost(spend)) / 20


def _fixed(facts: ModelFacts, view: View) -> Effort:
    """The level of a model that is nearest to the one that the user fixed."""
    return facts.nearest(min(view.effort, view.max_effort, key=lambda level: level.rank))


def _is_prior(sure: Sure, arm: Arm) -> bool:
    found = sure.profile.measured(sure.kind, arm)
    return found is not None and found.prior


def _is_refused(candidate: Candidate) -> bool:
    return candidate.passed is False and candidate.answer is not None


def _repeats(arm: Arm, model: Available, found: Measured, verified: bool) -> bool:
    """Whether its samples differ: not those that were measured at temperature 0. With a verifier, the prior knows
    what comes after a refusal: a correction."""
    if found.prior and not arm.strategy:
        return not verified
    return arm.strategy in (SAMPLE, CORRECT) or not model.facts.takes_temperature


def _arm_of(
    candidate: Candidate, numbers: dict[Arm, int], history: Sequence[Candidate], played: set[int]
) -> int | None:
    """The arm that a candidate was drawn by. Where it isn't known, the first of this model that wasn't played before:
    so each draw uses up an arm, even if the model couldn't be asked in its way."""
    before = [each for each in history if each.number < candidate.number and each.model == candidate.model]
    again = [each.effort for each in before if each.way == candidate.way]
    strategies: tuple[str, ...]
    if candidate.purpose == "correct":
        strategies = (CORRECT, "") if candidate.effort in again else ("", CORRECT)
    else:
        strategies = (SAMPLE, "") if again else ("",)
    wanted = Arm(model=candidate.model, effort=candidate.effort.value, way=candidate.way)
    for strategy in strategies:
        for arm in (wanted, replace(wanted, effort=""), replace(wanted, way="")):
            if (one := replace(arm, strategy=strategy)) in numbers:
                return numbers[one]
    alike = [number for arm, number in numbers.items() if arm.model == candidate.model]
    return min(alike, key=lambda number: (number in played, number), default=None)
