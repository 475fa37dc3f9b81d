"""Difficulty × effort asked for × caps × room → a plan; after each round: accept, correct, sample, escalate or stop.

Pure functions over plain data. They never see a gold answer: what they may look at is what a user has too.
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
    """What the operator allows, whatever the user asks for."""

    max_effort: Effort = Effort.max
    max_samples: int = 12
    """Answers that vote, over all rounds."""
    max_rounds: int = 8
    """Times around the loop."""
    answer_tokens: int = 512
    """The most tokens of an answer, thought not counted."""

    def __post_init__(self) -> None:
        if self.max_effort not in Effort.__members__:
            raise BadInput(f"max_effort is one of {', '.join(Effort.__members__)}; not {self.max_effort!r}")
        object.__setattr__(self, "max_effort", Effort(self.max_effort))
        for name in ("max_samples", "max_rounds", "answer_tokens"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a policy needs to know about one model."""

    name: str
    levels: dict[Effort, int]
    """The levels that the model has, each with its thinking tokens."""
    least_useful_thinking_tokens: int = 0
    """A thought cut shorter than this is no better than none (measured on small models), and costs more."""
    evidence_effort: Effort = Effort.none
    """Where to start when a verifier can tell good from bad: evidence is cheaper than thought."""

    takes_temperature: bool = False
    """Sampling can be made more or less varied."""
    takes_stop: bool = False
    """Stop sequences are honoured."""
    strict: bool = False
    """A level that the model doesn't have is an error, not the nearest one that it has."""
    loop_floor: Effort = Effort.none
    """A tool loop should begin at least here: begun without thinking, it couldn't begin to think later."""
    clamped: bool = False
    """A level is a name, and its tokens are only room in the length cap: that may be set by what replies use."""
    thinks: bool = True
    """It thinks by itself: it gets the question as it is. Else it needs room to write its steps."""
    ways: dict[Kind, tuple[WayName, ...]] = field(default_factory=dict)
    """The ways of asking that were measured to be the best, by kind of task; the first sample takes the first one."""

    def works_without_thought(self, kind: Kind) -> bool:
        """Was its best way on this kind measured to be one without a thought?"""
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
        """The highest level that the model has at or below `effort`; else its lowest."""
        below = [level for level in self.levels if level <= effort]
        return max(below, key=lambda level: level.rank) if below else min(self.levels, key=lambda level: level.rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the rounds so far brought."""

    rounds: int
    """Rounds that made a call."""
    samples: int
    """Answers so far (errors and empty ones not counted)."""
    votes: Votes
    passed: bool = False
    """Some answer has the verifier's blessing."""
    failed: int = 0
    """How many answers the verifier refused."""
    starved: bool = False
    """A thought of the last round was cut by its cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next, and why."""

    action: Action
    why: str
    to: Literal["", "thought", "model"] = ""
    """Where an escalation goes: more thought, or the next model."""

    def to_dict(self) -> dict[str, str]:
        """Plain data for state."""
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
"""If this many answers all differ, more of them from the same model won't agree either."""
_FIX_RATE, _FIX_DECAY = 0.35, 0.7
"""Our prior that a correction with the verifier's reason succeeds, and how it falls with each failed one."""


def _smaller(plan: ThinkingPlan, model: ModelFacts, clamps: Clamps | None) -> Iterator[ThinkingPlan]:
    """Less and less thought for this many samples."""
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
"""The most that a plan can cost, all its samples and phases together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules, with their numbers as fields so that you can turn them.

    The stopping rule is Weitzman's (1979, Econometrica 47:641): go on only while the expected gain exceeds the
    price. With a verifier the gain of round r is `0.35 · 0.7^(r-1)` (prior of success) × `worth`, the price is that
    of the next call in units of the first one. Without one, answers vote, and the lead that is enough falls with
    each vote (`rheostat.evidence.votes.boundary`); the preset sets where it starts.
    """

    thresholds: tuple[tuple[float, Effort], ...] = (
        (0.16, Effort.none),
        (0.35, Effort.low),
        (0.65, Effort.medium),
        (1.01, Effort.high),
    )
    """(score below which, effort)."""
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
        """The plan of the first round, before the room is looked at."""
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
        """The plan at a level, within the operator's cap and the levels that the model has; says what was changed."""
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
        """The plan made small enough for the room: less thought first, then fewer samples; `None` if nothing fits.

        Args:
            clamps: How long the model's replies are, where its levels are names: a tighter length cap is tried at each
                level before a lower level.
        """
        useless = 0 < plan.thinking_tokens < model.least_useful_thinking_tokens
        for samples in dict.fromkeys((plan.samples, 1)):
            fewer = plan
            if samples < plan.samples:
                fewer = plan.because(f"the room allows {samples} sample(s)", by="budget", samples=samples)
            smaller = _smaller(fewer, model, clamps)
            late = useless and fewer is not plan  # a thought too short to be of use doesn't fill a small room
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
        """What to do after a round.

        Args:
            verified: A verifier is there and didn't abstain.
            votable: Answers can be compared, so that they can vote.
            price_ratio: The price of one more call in units of the first one.
            can_think_more: A higher level is left.
            has_other_model: A model to escalate to is left.
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
