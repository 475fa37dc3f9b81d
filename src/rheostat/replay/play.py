"""Run a strategy over recorded samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate
from rheostat.money.budget import Room
from rheostat.money.usage import Spend
from rheostat.replay.rows import Row, Sample
from rheostat.replay.tape import Tape, order_of
from rheostat.strategies.base import Accept, Available, Draw, Stop, Strategy, View, best
from rheostat.task import Difficulty, Effort, Task
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["Outcome", "Replay", "candidate_of", "play", "replay"]

PLENTY = 1_000_000
"""Rounds and seconds without an end: only the record ends a replay, or the strategy itself."""
_MODEL = Available(name="recorded", facts=ModelFacts(name="recorded", levels={Effort.none: 0}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one run: one row in one order."""

    drawn: tuple[int, ...]
    """The places in the row of the samples drawn, in this order."""
    answer: int | None
    """The place of the sample whose answer was taken; `None`: none was."""
    correct: bool
    missing: int = 0
    """Draws that nothing in the record answered."""
    why: str = ""
    """The strategy's reason to end."""


@dataclass(frozen=True, slots=True)
class Replay:
    """All runs of a strategy over a record."""

    rows: tuple[Row, ...]
    outcomes: tuple[tuple[Outcome, ...], ...]
    """For each row, the outcome of each order."""

    @property
    def accuracy(self) -> float:
        """The share of right answers, over rows and orders."""
        return _mean([outcome.correct for row in self.outcomes for outcome in row])

    @property
    def samples(self) -> float:
        """The mean samples drawn in a run."""
        return _mean([len(outcome.drawn) for row in self.outcomes for outcome in row])


def replay(
    rows: Sequence[Row],
    strategy: Strategy,
    *,
    orders: int = 20,
    seed: int = 0,
    worth_usd_nanos: int | None = None,
    on_row: Callable[[], Any] | None = None,
) -> Replay:
    """Run a strategy over each row, in several random orders of its samples.

    Args:
        orders: The number of random orders of each row.
        seed: The same seed gives the same orders.
        worth_usd_nanos: What a correct answer is worth, for strategies that ask.
        on_row: Called after each row, for a progress bar.

    Raises:
        BadInput: There are no rows, or no orders.
    """
    check(rows, orders)
    outcomes = []
    for row in rows:
        player = _Player(row, strategy, worth_usd_nanos)
        outcomes.append(tuple(player.run(order_of(row, number, seed), number) for number in range(orders)))
        if on_row is not None:
            on_row()
    return Replay(tuple(rows), tuple(outcomes))


def check(rows: Sequence[Row], orders: int) -> None:
    """Refuse what can't be replayed."""
    if not rows:
        raise BadInput("there are no rows to replay")
    if not any(row.samples for row in rows):
        raise BadInput("no row has a sample: there is nothing to replay")
    if orders < 1:
        raise BadInput(f"orders must be at least 1, not {orders}")


def play(row: Row, strategy: Strategy, order: Sequence[int], *, number: int = 0, worth: int | None = None) -> Outcome:
    """One run of a strategy over one row, in the given order of its samples."""
    return _Player(row, strategy, worth).run(order, number)


def candidate_of(sample: Sample, number: int, at: int, *, round_: int = 0, parent: str | None = None) -> Candidate:
    """A recorded sample as a strategy sees it.

    Args:
        number: The place in the order of draws.
        at: The place in the row.
    """
    return Candidate(
        id=str(at),
        number=number,
        parent=parent,
        round=round_,
        model=_MODEL.name,
        way=sample.named,
        purpose="solve" if parent is None else "correct",
        answer=sample.answer,
        key=None if sample.answer is None else sample.key or f"unknown {at}",
        judged=sample.passed is not None,
        passed=sample.passed,
        score=sample.score,
        logprob=sample.logprob,
        low_logprob=sample.low_logprob,
        spend=Spend(usd_nanos=sample.usd_nanos, output_tokens=sample.tokens or 0, calls=1),
    )


class _Player:
    """A row, ready to be run in several orders."""

    def __init__(self, row: Row, strategy: Strategy, worth: int | None) -> None:
        self.row, self.strategy, self.worth = row, strategy, worth
        difficulty = Difficulty(score=0.5, kind="chat", reasons=("a record",), source="replay")
        self.task = Task(question=row.question, difficulty=difficulty)
        self.verified = any(each.passed is not None for each in row.samples)
        self.scored = any(each.score is not None for each in row.samples)

    def run(self, order: Sequence[int], number: int) -> Outcome:
        samples = self.row.samples
        tape = Tape(samples, order)
        history: list[Candidate] = []
        drawn: list[int] = []
        rounds = missing = 0
        while True:
            decision = self.strategy.decide(self.task, history, self._view(tape.left, number))
            if isinstance(decision, Accept | Stop):
                break
            if not tape.left:  # a strategy that ignores `draws_left` would never end
                decision = Stop("the record is exhausted")
                break
            for draw in decision:
                at = tape.draw(None if draw.parent is None else int(draw.parent) if draw.parent.isdigit() else -1)
                if at is None:
                    history.append(_nothing(draw, len(history), rounds))
                    missing += 1
                    continue
                history.append(candidate_of(samples[at], len(history), at, round_=rounds, parent=draw.parent))
                drawn.append(at)
            rounds += 1
        if isinstance(decision, Accept):
            taken = next((each for each in history if each.id == decision.id), None)
        else:
            taken = best(history)
        answer = int(taken.id) if taken is not None and taken.answer is not None else None
        correct = answer is not None and samples[answer].correct
        return Outcome(tuple(drawn), answer, correct, missing, decision.why)

    def _view(self, left: int, number: int) -> View:
        return View(
            models=(_MODEL,),
            room=Room(),
            draws_left=left,
            rounds_left=PLENTY if left else 0,
            verified=self.verified,
            scored=self.scored,
            worth_usd_nanos=self.worth,
            seed=number,
        )


def _nothing(draw: Draw, number: int, round_: int) -> Candidate:
    """A draw that nothing in the record answers: a node without an answer, without cost."""
    return Candidate(
        id=f"missing {number}",
        number=number,
        parent=draw.parent,
        round=round_,
        model=_MODEL.name,
        purpose=draw.purpose,
        status="failed",
        error="not recorded",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
