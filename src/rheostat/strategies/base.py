"""The protocol of strategies: history in, decision out.

A strategy is a pure function of the task, the candidates so far and the view: it keeps no state, does no I/O, and
decides the same after a checkpoint, a restart, or in a replay of recorded samples. A tree is rebuilt from `parent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.evidence.votes import Votes
from rheostat.money.budget import Budget, Room
from rheostat.money.pricing import Price
from rheostat.money.usage import Spend, usd
from rheostat.task import Effort, Purpose, Task
from rheostat.thinking.model_facts import ModelFacts

__all__ = [
    "WAIT", "Accept", "Available", "Decision", "Draw", "Stop", "Strategy", "View", "acceptable", "affordable", "best",
    "checked", "draw_again", "fitting", "in_flight", "known_score", "left_of", "opening", "own_cap_reached",
    "price_of_draw", "spent",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Draw one more candidate."""

    why: str = ""
    parent: str | None = None
    """The candidate to correct, prolong or continue."""
    model: str = ""
    """The model's name in the view; empty: the one drawn from last."""
    effort: Effort | None = None
    """The level; `None`: the same as before, or the level at which the run begins."""
    more_thought: bool = False
    """Think more than the last time, by the next level or a wider length cap."""
    purpose: Purpose = "solve"
    way: str = ""
    """The way of asking (docs/reference/answers.md); empty: the next one of those that were measured to be best."""

    def to_dict(self) -> dict[str, Any]:
        """The draw as plain data for graph state."""
        effort = None if self.effort is None else self.effort.value
        return {
            "why": self.why, "parent": self.parent, "model": self.model, "effort": effort, "way": self.way,
            "more_thought": self.more_thought, "purpose": self.purpose,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Draw:
        """The inverse of `to_dict`."""
        effort = data.get("effort")
        return cls(**{**data, "effort": None if effort is None else Effort(effort)})


@dataclass(frozen=True, slots=True)
class Accept:
    """End with this candidate as the answer."""

    id: str
    why: str
    short: bool = False
    """The room is too small for a further draw, which would be worth its price."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End with the best candidate so far."""

    why: str
    short: bool = False
    """The room is too small for a further draw."""


Decision: TypeAlias = tuple[Draw, ...] | Accept | Stop

WAIT: tuple[Draw, ...] = ()
"""Draw nothing now: wait for the candidates in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """A model that can be drawn from."""

    name: str
    """Unique in the view."""
    facts: ModelFacts
    least: Spend = field(default_factory=Spend)
    """The worst case of its smallest draw."""
    price: Price | None = None
    """Its price; `None`: unknown, or it costs nothing by the token."""

    @property
    def costs(self) -> bool:
        """Whether it costs dollars by the token, so that its draws can be weighed in dollars."""
        return self.price is not None and not self.price.free


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a strategy may know besides the history."""

    models: tuple[Available, ...]
    """The models, cheapest first."""
    room: Room
    """What is left for draws, after the reserve for the last word."""
    effort: Effort = Effort.none
    """The level at which the run begins; the one that the user fixed, even where a model has only one near it."""
    max_effort: Effort = Effort.max
    """The operator's highest level."""
    fixed_effort: bool = False
    """The user fixed the level: a strategy must not change it."""
    answer_tokens: int = 512
    """The most tokens of an answer, without its thought."""
    draws_left: int = 12
    """The further candidates that the operator's caps allow."""
    rounds_left: int = 8
    """The further rounds that the operator's caps allow."""
    can_think_more: bool = False
    """The model that was drawn from last can think more than it did."""
    verified: bool = False
    """A verifier judges the answers."""
    scored: bool = False
    """A scorer judges the answers."""
    votable: bool = True
    """Answers can be compared, so that they can vote."""
    runs_programs: bool = True
    """The embedded interpreter is there, which ways of asking that want a program need."""
    worth_usd_nanos: int | None = None
    """The value of a correct answer in nano-dollars, if the user gave one."""
    seed: int = 0

    def model(self, history: Sequence[Candidate]) -> Available:
        """The model drawn from last; the first one at the beginning."""
        by_name = {each.name: each for each in self.models}
        last = in_order(history)[-1:]
        return by_name.get(last[0].model, self.models[0]) if last else self.models[0]

    def next_model(self, history: Sequence[Candidate]) -> Available | None:
        """The model after the one drawn from last; `None`: there is none."""
        following = self.models.index(self.model(history)) + 1
        return self.models[following] if following < len(self.models) else None


@runtime_checkable
class Strategy(Protocol):
    """Decides what to draw, and when to stop."""

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """Decide from everything that was drawn so far; a pure function.

        Args:
            history: The candidates; those in flight are `pending`. Their order has no meaning: see `in_order`.

        Returns:
            The next draws, the candidate to accept, or a stop with its reason. Draws of one round are on one model and
            at one level; others wait for the next decision. While candidates are pending, only an `Accept` counts,
            which cancels them; `WAIT` lets them come.
        """


# --- what strategies have in common -------------------------------------------------------------------


def in_flight(history: Sequence[Candidate]) -> bool:
    """Whether candidates are pending."""
    return any(each.status == "pending" for each in history)


def opening(history: Sequence[Candidate], view: View, *, stepwise: bool = False) -> Decision | None:
    """What every strategy decides in the same way: to accept an answer that passed, to stop after the last word, and
    to try again or elsewhere while no answer came. `None`: nothing of that is the case.

    Args:
        stepwise: The beginning of an answer counts as one.
    """
    passed = next((each for each in in_order(history) if each.passed), None)
    if passed is not None:
        return Accept(passed.id, "the verifier passed it")
    if any(each.purpose == "last word" and each.status != "pending" for each in history):
        return Stop("the budget was nearly used up: this was its last word")
    if any(each.answer is not None or (stepwise and each.partial) for each in history):
        return None
    return WAIT if in_flight(history) else _unanswered(history, view)


def _unanswered(history: Sequence[Candidate], view: View) -> Decision:
    """More thought, one more try, another model, or stop."""
    rounds = len({each.round for each in history})
    last = max((each.round for each in history), default=0)
    starved = any(each.cut for each in history if each.round == last)
    if starved and view.can_think_more and not view.fixed_effort:
        return (Draw(why="the thought was cut before an answer: more thinking tokens", more_thought=True),)
    if rounds < 2:
        return (Draw(why="no answer came: one more try"),)
    other = view.next_model(history)
    if other is not None:
        return (Draw(why="no answer came: another model", model=other.name),)
    return Stop("no answer came, twice")


def spent(history: Sequence[Candidate]) -> Spend:
    """The cost of all candidates and their scorers."""
    return sum((each.spend + each.scoring for each in history), Spend())


def affordable(draws: Sequence[Draw], history: Sequence[Candidate], view: View, cap: Budget | None = None) -> Decision:
    """As many of these draws as the operator's caps, the room and the strategy's own cost cap allow.

    Returns:
        The draws that fit (at least one), or a stop that says what doesn't.
    """
    if view.rounds_left <= 0:
        return Stop(f"{max((each.round for each in history), default=0)} rounds: the operator allows no more")
    price = price_of_draw(history)
    if history and view.worth_usd_nanos is not None and price is not None and price > view.worth_usd_nanos:
        return Stop(f"one more sample costs {usd(price)}, and a right answer is worth {usd(view.worth_usd_nanos)}")
    room = view.room
    own = left_of(cap, history)
    allowed: list[Draw] = []
    for draw in draws[: max(view.draws_left, 0)]:
        model = next((each for each in view.models if each.name == draw.model), view.model(history))
        if not room.fits(model.least):
            break
        if own is not None and not own.fits(model.least):
            break
        room, own = room.minus(model.least), None if own is None else own.minus(model.least)
        allowed.append(draw)
    if allowed:
        return tuple(allowed)
    if view.draws_left <= 0:
        return Stop(f"{len(history)} samples: the operator allows no more")
    if own is not None and room is view.room and room.fits(view.model(history).least):
        return Stop(own_cap_reached(cap))
    return Stop("the room allows no further sample", short=True)


def checked(strategy: Strategy, decision: Any, history: Sequence[Candidate], view: View) -> Decision:
    """The decision, if it is one that can be carried out, with no more draws than the operator allows.

    Raises:
        BadInput: it isn't; names the strategy and what is wrong.
    """
    name = type(strategy).__name__
    if isinstance(decision, Stop):
        return decision
    if isinstance(decision, Accept):
        answered = [each.id for each in history if each.answer is not None]
        if decision.id not in answered:
            there = ", ".join(answered) or "none"
            raise BadInput(f"{name} accepted {decision.id!r}, which has no answer; candidates with one: {there}")
        return decision
    if not isinstance(decision, list | tuple) or not all(isinstance(each, Draw) for each in decision):
        raise BadInput(f"{name}.decide() must return draws, an Accept or a Stop, not {decision!r}")
    models, ids = [each.name for each in view.models], {each.id for each in history}
    for draw in decision:
        if draw.model and draw.model not in models:
            raise BadInput(f"{name} draws from {draw.model!r}; the models are {', '.join(models)}")
        if draw.parent is not None and draw.parent not in ids:
            raise BadInput(f"{name} draws on {draw.parent!r}, which is no candidate")
    return affordable(decision, history, view) if decision else Stop(f"{name} draws nothing more")


def price_of_draw(history: Sequence[Candidate]) -> int | None:
    """The price of one more draw and its scores in nano-dollars, the mean of those so far; `None`: unknown."""
    totals = [each.spend + each.scoring for each in history if each.status == "done"]
    known = [each.usd_nanos for each in totals if each.usd_nanos is not None]
    return sum(known) // len(known) if known else None


def own_cap_reached(cap: Budget | None) -> str:
    """Why a strategy ends at its own cap."""
    return f"the strategy's own cap of {cap} allows no further sample"


def left_of(cap: Budget | None, history: Sequence[Candidate]) -> Room | None:
    """The room that is left of a strategy's own cap; `None`: it has none."""
    if cap is None:
        return None
    used = spent(history)
    seconds = None if cap.seconds is None else cap.seconds - used.milliseconds / 1000
    return Room(**cap.limits, seconds=seconds).minus(used)


def fitting(decision: Decision, history: Sequence[Candidate], view: View, cap: Budget | None = None) -> Decision:
    """A decision with its draws cut to what is affordable."""
    if isinstance(decision, tuple):
        return WAIT if in_flight(history) else affordable(decision, history, view, cap)
    return WAIT if isinstance(decision, Stop) and in_flight(history) else decision


def draw_again(count: int, why: str, **changes: Any) -> tuple[Draw, ...]:
    """Several equal draws."""
    return tuple(Draw(why=why, **changes) for _ in range(count))


def acceptable(history: Sequence[Candidate]) -> Candidate | None:
    """The best candidate that isn't refused; `None`: there is none."""
    leading = best(history)
    return None if leading is None or leading.passed is False else leading


def best(history: Sequence[Candidate]) -> Candidate | None:
    """The best candidate: one that passed, else the highest score, else the vote's leader, else the last refused one.

    Candidates without an answer never count, and neither does one that failed while another didn't. An answer without a
    score counts as ½.
    """
    answered = [each for each in in_order(history) if each.answer is not None]
    passed = next((each for each in answered if each.passed), None)
    if passed is not None or not answered:
        return passed
    open_ = [each for each in answered if each.passed is None]
    if not open_:
        return answered[-1]
    votes = dict(Votes.count(each.key or each.id for each in open_).ranked)
    return max(open_, key=lambda each: (known_score(each), votes[each.key or each.id], -each.number))


def known_score(candidate: Candidate) -> float:
    """The score; ½ where the scorer can't tell, which speaks neither for nor against the answer."""
    return 0.5 if candidate.score is None else candidate.score
