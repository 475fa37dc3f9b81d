"""Difficulty × effort asked for × caps × room → the first plan, and the strategy that goes on from it.

Pure functions over plain data. They never see a gold answer: they know only what a user knows too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rheostat.errors import BadInput
from rheostat.judgement.by_worth import ByWorth
from rheostat.judgement.profile import Profile
from rheostat.judgement.router import Router
from rheostat.judgement.shipped import default_profile, default_router
from rheostat.money.budget import Room
from rheostat.money.pricing import Price
from rheostat.money.usage import Spend
from rheostat.strategies import Available, BestOfN, Strategy, View
from rheostat.task import AskedEffort, Difficulty, Effort, Task, ThinkingPlan, parse_effort
from rheostat.thinking.clamps import Clamps
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["Caps", "ModelFacts", "Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The operator's limits, which hold whatever the user asks for."""

    max_effort: Effort = Effort.max
    max_samples: int = 12
    """The most samples over all rounds."""
    max_rounds: int = 8
    """The most rounds."""
    answer_tokens: int = 512
    """The most tokens of an answer, without its thought."""

    def __post_init__(self) -> None:
        if self.max_effort not in Effort.__members__:
            raise BadInput(f"max_effort is one of {', '.join(Effort.__members__)}; not {self.max_effort!r}")
        object.__setattr__(self, "max_effort", Effort(self.max_effort))
        for name in ("max_samples", "max_rounds", "answer_tokens"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")


_SCORED_SAMPLES: dict[str, int] = {"fast": 2, "balanced": 5, "thorough": 12}
"""The most answers of best-of-N, where a scorer tells them apart."""


def _always(plan: ThinkingPlan) -> bool:
    return True


def _smaller(plan: ThinkingPlan, model: ModelFacts, clamps: Clamps | None) -> Iterator[ThinkingPlan]:
    """Variants of a plan with ever less thought and the same number of samples."""
    if clamps is not None:
        yield from clamps.shorter(plan)
    for effort in sorted((level for level in model.levels if level < plan.effort), key=lambda level: -level.rank):
        tokens = model.levels[effort]
        if 0 < tokens < model.least_useful_thinking_tokens:
            continue
        lower = replace(plan, effort=effort, thinking_tokens=tokens, widened=False)
        if clamps is not None:
            lower = clamps.on(lower, short=True)
        room = f"the room allows {effort.value} ({lower.thinking_tokens} thinking tokens) × {plan.samples}"
        yield lower.because(room, by="budget")
        if clamps is not None:
            yield from clamps.shorter(lower)


Bound: TypeAlias = Callable[[ThinkingPlan], Spend]
"""Returns the most that a plan can cost, with all its samples and phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is decided by the profile: the level of a first answer, and the strategy `auto` that goes on from it."""

    profile: Profile = field(default_factory=default_profile)
    """What was measured of arms; for other models its weak prior stands in."""
    router: Router | None = field(default_factory=default_router)
    """What was learned from texts: which tasks are hard for which model."""
    _by_worth: dict[str, ByWorth] = field(default_factory=dict, compare=False, repr=False)

    # --- before a call --------------------------------------------------------------------------

    def first(
        self,
        difficulty: Difficulty,
        asked: AskedEffort,
        caps: Caps,
        model: ModelFacts,
        *,
        verified: bool,
        price: Price | None = None,
        worth_usd_nanos: int | None = None,
    ) -> ThinkingPlan:
        """The plan of a first answer, before it is fitted to the room.

        Args:
            verified: A verifier judges the answer, so that a refused one can be followed by another.
            price: The model's price; `None`: unknown, so that arms are weighed in tokens.
            worth_usd_nanos: The value of a right answer; `None`: as the preset says.
        """
        plan = ThinkingPlan(effort=Effort.none, thinking_tokens=0, answer_tokens=caps.answer_tokens, samples=1)
        if isinstance(asked, Effort):
            reason = f"{asked.value}: asked for by the user"
            return self.set_effort(replace(plan, decided_by="user", reasons=(reason,)), asked, caps, model)
        effort, why = self.level(
            difficulty, asked, model, verified=verified, price=price, worth_usd_nanos=worth_usd_nanos
        )
        return self.set_effort(replace(plan, reasons=(why,)), effort, caps, model)

    def level(
        self,
        difficulty: Difficulty,
        asked: str,
        model: ModelFacts,
        *,
        verified: bool = False,
        price: Price | None = None,
        worth_usd_nanos: int | None = None,
    ) -> tuple[Effort, str]:
        """The level whose answer is worth most beyond its price, and the sum that says so."""
        view = View(
            models=(Available(name=model.name, facts=model, price=price),),
            room=Room(),
            verified=verified,
            votable=False,
            worth_usd_nanos=worth_usd_nanos,
        )
        arm, choice = self.by_worth(parse_effort(asked)).first(Task(question="", difficulty=difficulty), view)
        effort = Effort(arm.effort or "none")
        return effort, f"difficulty {difficulty.score:.2f} ({difficulty.kind}) → {effort.value}: {choice.sum}"

    def set_effort(self, plan: ThinkingPlan, effort: Effort, caps: Caps, model: ModelFacts) -> ThinkingPlan:
        """The plan at a level, within the operator's cap and the model's levels; its reasons name the changes.

        Raises:
            BadInput: The user asked for a level that the model doesn't have, and `strict` is set.
        """
        if effort > caps.max_effort:
            effort = caps.max_effort
            plan = plan.because(f"the operator allows {effort.value} at most", by="operator")
        sent = model.nearest(effort)
        if sent != effort:
            if model.strict and plan.decided_by == "user":
                has = ", ".join(level.value for level in model.levels)
                raise BadInput(
                    f"{model.name} has no level {effort.value}, and strict=True was asked for; it has: {has}"
                )
            plan = plan.because(f"{model.name} has no level {effort.value}: {sent.value} instead", by="model")
        return plan.because(
            f"{sent.value} = {model.levels[sent]} thinking tokens on {model.name}",
            effort=sent,
            thinking_tokens=model.levels[sent],
            model=model.name,
        )

    def fit(
        self,
        plan: ThinkingPlan,
        room: Room,
        model: ModelFacts,
        bound: Bound,
        clamps: Clamps | None = None,
        *,
        sends: Callable[[ThinkingPlan], bool] = _always,
    ) -> ThinkingPlan | None:
        """Make a plan small enough for the room: less thought first, then fewer samples; `None` if nothing fits.

        Args:
            bound: Returns the most that a plan can cost.
            clamps: The length caps learned from use, if the model's levels are only names: at each level, a tighter
                length cap is tried before a lower level.
            sends: Whether each request of a plan is small enough to leave, see `Room.sends`.
        """
        useless = 0 < plan.thinking_tokens < model.least_useful_thinking_tokens
        for samples in dict.fromkeys((plan.samples, 1)):
            fewer = plan
            if samples < plan.samples:
                fewer = plan.because(f"the room allows {samples} sample(s)", by="budget", samples=samples)
            smaller = _smaller(fewer, model, clamps)
            late = useless and fewer is not plan  # don't spend a small room on a useless thought
            for each in itertools.chain(smaller, [fewer]) if late else itertools.chain([fewer], smaller):
                if room.fits(bound(each)) and sends(each):
                    return each
        return None

    # --- after a round --------------------------------------------------------------------------

    def by_worth(self, asked: AskedEffort) -> ByWorth:
        """The strategy that goes by the profile; at a level that the user fixed, by the worth of `balanced`."""
        preset = "balanced" if isinstance(asked, Effort) else str(asked)
        return self._by_worth.setdefault(preset, ByWorth(profile=self.profile, router=self.router, preset=preset))

    def strategy(self, asked: AskedEffort, *, scored: bool = False) -> Strategy:
        """The strategy `auto`: by worth, or the best of a few answers where only a scorer tells them apart."""
        if not scored:
            return self.by_worth(asked)
        samples = _SCORED_SAMPLES["balanced" if isinstance(asked, Effort) else str(asked)]
        return BestOfN(samples=samples, at_once=min(4, samples))
