"""Difficulty × effort asked for × caps × room → the first plan, and the strategy that goes on from it.

Pure functions over plain data. They never see a gold answer: they know only what a user knows too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rheostat.errors import BadInput
from rheostat.evidence.votes import first_draw
from rheostat.judgement.by_worth import ByWorth
from rheostat.judgement.profile import Profile
from rheostat.judgement.shipped import default_profile
from rheostat.money.budget import Room
from rheostat.money.usage import Spend
from rheostat.strategies import Auto, BestOfN, Refine, Vote
from rheostat.task import AskedEffort, Difficulty, Effort, ThinkingPlan
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


@dataclass(frozen=True, slots=True)
class _Preset:
    step: int
    base: float
    worth: float
    samples: int


_PRESETS: dict[str, _Preset] = {
    "fast": _Preset(step=-1, base=1.0, worth=4.0, samples=1),
    "balanced": _Preset(step=0, base=2.0, worth=6.0, samples=5),
    "thorough": _Preset(step=1, base=3.0, worth=20.0, samples=12),
}


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
    """The rules of the solver; the numbers that you may change are fields.

    They set the level of the first round and the numbers of the strategy `auto`: the lead and the most samples of its
    vote, and the worth of its corrections, by the preset.
    """

    thresholds: tuple[tuple[float, Effort], ...] = (
        (0.16, Effort.none),
        (0.35, Effort.low),
        (0.65, Effort.medium),
        (1.01, Effort.high),
    )
    """(upper limit of the difficulty score, effort), in ascending order."""
    presets: dict[str, _Preset] = field(default_factory=lambda: dict(_PRESETS))
    profile: Profile = field(default_factory=default_profile)
    """What was measured of arms; where it knows the models, it decides instead of the thresholds."""
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
        votable: bool,
    ) -> ThinkingPlan:
        """The plan of the first round, before it is fitted to the room."""
        if isinstance(asked, Effort):
            effort, by = asked, "user"
            reasons = [f"{asked.value}: asked for by the user"]
            base = 1.0
        else:
            preset = self.presets[asked]
            effort = next(level for below, level in self.thresholds if difficulty.score < below)
            reasons = [f"difficulty {difficulty.score:.2f} ({difficulty.kind}) → {effort.value}"]
            by = "policy"
            easy = effort == Effort.none and asked != "thorough"
            base = 1.0 if easy else preset.base
            if verified and effort > model.evidence_effort:
                effort = model.evidence_effort
                reasons.append(f"a verifier can tell: start at {effort.value}, think more on evidence")
            if preset.step and not verified:
                effort = effort.step(preset.step)
                reasons.append(f"{asked} → {effort.value}")
            if effort > Effort.none and model.works_without_thought(difficulty.kind):
                effort = Effort.none
                reasons.append(
                    f"{model.name} does {difficulty.kind} best by {model.ways[difficulty.kind][0]}, without thought"
                )
        samples = first_draw(base) if votable and not verified else 1
        plan = ThinkingPlan(
            effort=effort,
            thinking_tokens=0,
            answer_tokens=caps.answer_tokens,
            samples=min(samples, caps.max_samples),
            decided_by=by,  # type: ignore[arg-type]  # one of two texts above
            reasons=tuple(reasons),
        )
        return self.set_effort(plan, effort, caps, model)

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
        self, plan: ThinkingPlan, room: Room, model: ModelFacts, bound: Bound, clamps: Clamps | None = None
    ) -> ThinkingPlan | None:
        """Make a plan small enough for the room: less thought first, then fewer samples; `None` if nothing fits.

        Args:
            bound: Returns the most that a plan can cost.
            clamps: The length caps learned from use, if the model's levels are only names: at each level, a tighter
                length cap is tried before a lower level.
        """
        useless = 0 < plan.thinking_tokens < model.least_useful_thinking_tokens
        for samples in dict.fromkeys((plan.samples, 1)):
            fewer = plan
            if samples < plan.samples:
                fewer = plan.because(f"the room allows {samples} sample(s)", by="budget", samples=samples)
            smaller = _smaller(fewer, model, clamps)
            late = useless and fewer is not plan  # don't spend a small room on a useless thought
            for each in itertools.chain(smaller, [fewer]) if late else itertools.chain([fewer], smaller):
                if room.fits(bound(each)):
                    return each
        return None

    # --- after a round --------------------------------------------------------------------------

    def by_worth(self, asked: AskedEffort, kind: str, models: Sequence[str]) -> ByWorth | None:
        """The strategy that goes by the profile; `None`: it doesn't know all of these models, or the level is fixed."""
        if isinstance(asked, Effort):
            return None
        strategy = self._by_worth.setdefault(str(asked), ByWorth(profile=self.profile, preset=str(asked)))
        return strategy if models and all(strategy.knows(kind, each) for each in models) else None

    def strategy(self, asked: AskedEffort, first: ThinkingPlan, *, escalates: bool = False) -> Auto:
        """The strategy `auto` for models that the profile doesn't know, after the plan of the first round.

        Args:
            escalates: There are further models: three answers that all differ are better spent on the next one. Without
                one, giving up then costs 3 points on DATE and saves a tenth of the samples (docs/replay.md).
        """
        fixed = isinstance(asked, Effort)
        preset = self.presets["balanced" if fixed else str(asked)]
        return Auto(
            vote=Vote(
                lead=preset.base,
                most_samples=1 if fixed else preset.samples,
                first_samples=first.samples,
                trusts_direct=asked != "thorough",
                gives_up=escalates,
            ),
            refine=Refine(worth_calls=preset.worth, broadens=False),
            best_of_n=BestOfN(samples=preset.samples, at_once=min(4, preset.samples)),
        )
