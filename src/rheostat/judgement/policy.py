"""Difficulty × effort asked for × caps × room → a plan; after each round: accept, correct, sample, escalate or stop.

Pure functions over plain data. They never see a gold answer: they know only what a user knows too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from rheostat.errors import BadInput
from rheostat.evidence.asking import WAYS, WayName
from rheostat.evidence.votes import Votes, boundary, first_draw
from rheostat.money.budget import Room
from rheostat.money.usage import Spend
from rheostat.task import AskedEffort, Difficulty, Effort, Kind, ThinkingPlan
from rheostat.thinking.clamps import Clamps

__all__ = ["Action", "Caps", "Decision", "ModelFacts", "Policy", "Progress"]

Action: TypeAlias = Literal["accept", "correct", "sample", "escalate", "stop"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The facts about one model that a policy needs."""

    name: str
    levels: dict[Effort, int]
    """The effort levels of the model, each with its thinking tokens."""
    least_useful_thinking_tokens: int = 0
    """A thought cut shorter than this is no better than none (measured on small models), and costs more."""
    evidence_effort: Effort = Effort.none
    """The level to start at when a verifier can tell good from bad, because evidence is cheaper than thought."""

    takes_temperature: bool = False
    """The model accepts a temperature."""
    takes_stop: bool = False
    """The model honours stop sequences."""
    strict: bool = False
    """A level that the model doesn't have is an error; else the nearest level is used."""
    loop_floor: Effort = Effort.none
    """The lowest level at which a tool loop should begin; one begun without thinking couldn't start to think later."""
    clamped: bool = False
    """A level is only a name, and its tokens are room in the length cap, which may be learned from use."""
    thinks: bool = True
    """The model thinks by itself, so that it gets the question as it is; else it needs room to write its steps."""
    ways: dict[Kind, tuple[WayName, ...]] = field(default_factory=dict)
    """The best ways of asking by kind of task, as measured; the first sample uses the first way."""

    def works_without_thought(self, kind: Kind) -> bool:
        """Whether the best measured way for this kind of task has no thought."""
        ways = self.ways.get(kind, ())
        return not self.thinks and any(WAYS[name].thought == "none" for name in ways[:1])

    def above(self, effort: Effort, cap: Effort) -> Effort | None:
        """The next useful level above `effort`, within `cap`; `None` at the top."""
        higher = [
            level
            for level, tokens in self.levels.items()
            if effort < level <= cap and tokens >= self.least_useful_thinking_tokens
        ]
        return min(higher, key=lambda level: level.rank) if higher else None

    def nearest(self, effort: Effort) -> Effort:
        """The model's highest level at or below `effort`; else its lowest level."""
        below = [level for level in self.levels if level <= effort]
        return max(below, key=lambda level: level.rank) if below else min(self.levels, key=lambda level: level.rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The results of the rounds so far."""

    rounds: int
    """The rounds that made a call."""
    samples: int
    """The answers so far, without errors and empty ones."""
    votes: Votes
    passed: bool = False
    """The verifier passed an answer."""
    failed: int = 0
    """The number of answers that the verifier refused."""
    starved: bool = False
    """A thought of the last round was cut by its length cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next action, and the reason for it."""

    action: Action
    why: str
    to: Literal["", "thought", "model"] = ""
    """The target of an escalation: more thought, or the next model."""

    def to_dict(self) -> dict[str, str]:
        """The decision as plain data for graph state."""
        return {"action": self.action, "why": self.why, "to": self.to}


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
HOPELESS_VOTES = 3
"""If this many answers all differ, more answers from the same model won't agree either."""
_FIX_RATE, _FIX_DECAY = 0.35, 0.7
"""Our prior probability that a correction with the verifier's reason succeeds, and its factor per failed correction."""


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

    The stopping rule is Weitzman's (1979, Econometrica 47:641): go on only while the expected gain exceeds the
    price. With a verifier, the gain of correction r is `0.35 · 0.7^(r-1)` (the prior of success) × `worth`, and the
    price is that of the next call in units of the last one. Without a verifier, answers vote, and the required lead
    falls with each vote (`rheostat.evidence.votes.boundary`) from a start that the preset sets.
    """

    thresholds: tuple[tuple[float, Effort], ...] = (
        (0.16, Effort.none),
        (0.35, Effort.low),
        (0.65, Effort.medium),
        (1.01, Effort.high),
    )
    """(upper limit of the difficulty score, effort), in ascending order."""
    presets: dict[str, _Preset] = field(default_factory=lambda: dict(_PRESETS))

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

    def decide(
        self,
        progress: Progress,
        plan: ThinkingPlan,
        asked: AskedEffort,
        caps: Caps,
        *,
        verified: bool,
        votable: bool,
        price_ratio: float,
        can_think_more: bool,
        has_other_model: bool,
    ) -> Decision:
        """Decide what to do after a round.

        Args:
            verified: There is a verifier, and it didn't abstain.
            votable: Answers can be compared, so that they can vote.
            price_ratio: The price of one more call in units of the last one.
            can_think_more: The model has a higher level.
            has_other_model: There is a further model to escalate to.
        """
        if progress.passed:
            return Decision(action="accept", why="the verifier passed it")
        if plan.purpose == "last word":
            return Decision(action="stop", why="this was the last word that the reserve pays for")
        if progress.rounds >= caps.max_rounds:
            return Decision(action="stop", why=f"{progress.rounds} rounds: the operator allows no more")
        fixed = isinstance(asked, Effort)
        if progress.samples == 0:
            if progress.starved and can_think_more and not fixed:
                return Decision(
                    action="escalate",
                    why="the thought was cut before an answer: more thinking tokens",
                    to="thought",
                )
            if progress.rounds < 2:
                return Decision(action="sample", why="no answer came: one more try")
            if has_other_model:
                return Decision(action="escalate", why="no answer came: another model", to="model")
            return Decision(action="stop", why="no answer came, twice")
        if verified:
            return self._after_failure(progress, asked, price_ratio, has_other_model)
        if not votable:
            return Decision(action="accept", why="nothing to verify it with, and free text can't vote")
        return self._after_vote(progress, plan, asked, caps, can_think_more, has_other_model)

    def _after_failure(
        self, progress: Progress, asked: AskedEffort, price_ratio: float, has_other_model: bool
    ) -> Decision:
        chance = _FIX_RATE * _FIX_DECAY ** max(progress.failed - 1, 0)
        worth = self.presets["balanced" if isinstance(asked, Effort) else asked].worth
        if chance * worth > price_ratio:
            gain = f"succeeds with ~{chance:.0%}: worth {chance * worth:.1f} calls, costs {price_ratio:.1f}"
            why = f"refused; a correction {gain}"
            return Decision(action="correct", why=why)
        if has_other_model:
            return Decision(action="escalate", why=f"refused {progress.failed} times: another model", to="model")
        why = f"refused; another try is worth {chance * worth:.1f} calls and costs {price_ratio:.1f}"
        return Decision(action="stop", why=why)

    def _after_vote(
        self,
        progress: Progress,
        plan: ThinkingPlan,
        asked: AskedEffort,
        caps: Caps,
        can_think_more: bool,
        has_other_model: bool,
    ) -> Decision:
        votes = progress.votes
        if isinstance(asked, Effort):
            return Decision(action="accept", why=f"{votes.lead} ahead of {votes.total}; the user set the effort")
        base = self.presets[asked].base
        if plan.effort == Effort.none and votes.total == votes.lead == 1 and asked != "thorough":
            return Decision(action="accept", why="easy: one direct answer is enough")
        wanted = boundary(votes.total, base)
        state = f"lead {votes.lead} of {votes.total} votes, {max(wanted, 0):.2f} wanted"
        if votes.lead >= wanted:
            return Decision(action="accept", why=f"{state}: enough")
        hopeless = votes.total >= HOPELESS_VOTES and votes.lead <= 1 and votes.ranked[0][1] == 1
        if hopeless:
            state += f"; {votes.total} answers, no two agree"
        elif progress.samples < min(caps.max_samples, self.presets[asked].samples):
            if progress.starved and can_think_more:
                return Decision(
                    action="escalate", why=f"{state}; thoughts were cut: more thinking tokens", to="thought"
                )
            return Decision(action="sample", why=f"{state}: one more sample")
        if has_other_model:
            return Decision(
                action="escalate", why=f"{state} after {progress.samples} samples: another model", to="model"
            )
        return Decision(action="stop", why=f"{state}; more samples cost more than they bring")
