"""What every strategy promises, whatever the history: properties over random candidates and views."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import two_models
from rheostat import Budget, Difficulty, Effort, Room, Spend
from rheostat.evidence.candidate import Candidate
from rheostat.judgement.by_worth import ByWorth
from rheostat.strategies import (
    Accept,
    Available,
    Beam,
    BestOfN,
    Direct,
    Draw,
    Refine,
    Stop,
    Strategy,
    TreeSearch,
    View,
    Vote,
)
from rheostat.strategies.base import WAIT
from rheostat.task import Task
from rheostat.thinking.model_facts import ModelFacts

LEVELS = {Effort.none: 0, Effort.low: 64, Effort.medium: 128}
TASK = Task(question="2 + 2?", difficulty=Difficulty(score=0.5, kind="maths", reasons=()), form="number")
STRATEGIES: dict[str, Strategy] = {
    "direct": Direct(),
    "extended": Direct(extensions=2),
    "vote": Vote(),
    "weighted": Vote(weights="confidence", ways_agree=False, gives_up=False),
    "refine": Refine(),
    "best of n": BestOfN(samples=5, at_once=2),
    "uct": TreeSearch(samples=10, at_once=3),
    "ab-mcts": TreeSearch(samples=10, at_once=3, algorithm="ab-mcts"),
    "beam": Beam(steps=4),
    "capped": Vote(cap=Budget(calls=3)),
    "by worth": ByWorth(profile=two_models()),
}
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))


def model(name: str, calls: int = 1, tokens: int = 100) -> Available:
    facts = ModelFacts(name=name, levels=LEVELS, prolongs="{thought} Wait,")
    return Available(name=name, facts=facts, least=Spend(calls=calls, output_tokens=tokens))


@st.composite
def histories(draw: st.DrawFn, most: int = 8) -> list[Candidate]:
    """Candidates of a possible past: parents come before their children, rounds don't fall."""
    made: list[Candidate] = []
    round_ = 1
    for number in range(draw(st.integers(0, most))):
        round_ += draw(st.integers(0, 1)) if made else 0
        answer = draw(st.sampled_from([None, "1", "2", "3"]))
        status = draw(st.sampled_from(["done", "done", "done", "failed", "cancelled", "pending"]))
        answer = answer if status == "done" else None
        possible = [None, *(each.id for each in made if each.answer is not None)]
        made.append(
            Candidate(
                id=f"r{round_}s{number}",
                number=number,
                round=round_,
                parent=draw(st.sampled_from(possible)),
                model=draw(st.sampled_from(["small", "large"])),
                effort=draw(st.sampled_from(list(LEVELS))),
                way=draw(st.sampled_from(["steps", "program"])),
                status=status,
                answer=answer,
                key=answer,
                thought=draw(st.sampled_from(["", "hm"])),
                partial=draw(st.booleans()) if status == "done" and answer is None else False,
                judged=answer is not None,
                passed=draw(st.sampled_from([None, None, True, False])) if answer is not None else None,
                score=draw(st.none() | st.floats(0, 1)) if answer is not None else None,
                reason=draw(st.sampled_from(["", "no", "not at all"])),
                low_logprob=draw(st.none() | st.floats(-3, 0)),
                cut=draw(st.booleans()),
                spend=Spend(calls=1, output_tokens=50, usd_nanos=draw(st.none() | st.integers(0, 1000))),
            )
        )
    return made


views = st.builds(
    View,
    models=st.sampled_from([(model("small"),), (model("small"), model("large", tokens=300))]),
    room=st.builds(Room, calls=st.none() | st.integers(0, 12), tokens=st.none() | st.integers(0, 2_000)),
    effort=st.sampled_from(list(LEVELS)),
    fixed_effort=st.booleans(),
    draws_left=st.integers(-1, 12),
    rounds_left=st.integers(-1, 8),
    can_think_more=st.booleans(),
    verified=st.booleans(),
    scored=st.booleans(),
    votable=st.booleans(),
    worth_usd_nanos=st.none() | st.integers(1, 10_000),
    seed=st.integers(0, 5),
)


@each_strategy
@given(history=histories(), view=views)
@settings(max_examples=60)
def test_nothing_is_drawn_beyond_the_room_or_the_operators_caps(
    strategy: Strategy, history: list[Candidate], view: View
) -> None:
    decision = strategy.decide(TASK, history, view)
    if decision == WAIT:
        assert any(each.status == "pending" for each in history)
    elif isinstance(decision, tuple):
        assert not any(each.status == "pending" for each in history)
        assert len(decision) <= max(view.draws_left, 0)
        assert view.rounds_left > 0
        by_name = {each.name: each.least for each in view.models}
        last = view.model(history).least
        assert view.room.fits(sum((by_name.get(draw.model, last) for draw in decision), Spend()))
        known = {each.id for each in history if each.answer is not None or each.partial}
        assert all(draw.parent is None or draw.parent in known for draw in decision)


@each_strategy
@given(history=histories(), view=views)
@settings(max_examples=60)
def test_an_accepted_candidate_has_an_answer_and_none_that_failed_beats_one_that_passed(
    strategy: Strategy, history: list[Candidate], view: View
) -> None:
    decision = strategy.decide(TASK, history, view)
    if isinstance(decision, Accept):
        accepted = next(each for each in history if each.id == decision.id)
        assert accepted.answer is not None
        assert accepted.passed is not False
        if any(each.passed for each in history):
            assert accepted.passed


@each_strategy
@given(history=histories(), view=views, order=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_checkpoint_and_the_order_of_arrival_change_nothing(
    strategy: Strategy, history: list[Candidate], view: View, order: random.Random
) -> None:
    stored = json.loads(json.dumps([each.to_dict() for each in history]))
    order.shuffle(stored)
    again = [Candidate.from_dict(each) for each in stored]
    assert sorted(again, key=lambda each: each.number) == history
    decision = strategy.decide(TASK, history, view)
    assert strategy.decide(TASK, again, view) == decision
    if isinstance(decision, tuple):
        assert tuple(Draw.from_dict(json.loads(json.dumps(draw.to_dict()))) for draw in decision) == decision


@each_strategy
@given(outcomes=st.randoms(use_true_random=False), verified=st.booleans(), scored=st.booleans(), two=st.booleans())
@settings(max_examples=25)
def test_no_strategy_draws_for_ever(
    strategy: Strategy, outcomes: random.Random, verified: bool, scored: bool, two: bool
) -> None:
    """Even with caps that allow a thousand draws, it ends by its own rule."""
    models = (model("small"), model("large")) if two else (model("small"),)
    view = View(models=models, room=Room(), draws_left=1_000, rounds_left=1_000, verified=verified, scored=scored)
    history = play(strategy, view, outcomes)
    assert len(history) <= 60


def play(strategy: Strategy, view: View, outcomes: random.Random) -> Sequence[Candidate]:
    history: list[Candidate] = []
    for round_ in range(1, 200):
        decision: Any = strategy.decide(TASK, history, view)
        if isinstance(decision, Accept | Stop):
            return history
        for draw in decision:
            answer = outcomes.choice([None, "1", "2", "3", "4"])
            history.append(
                Candidate(
                    id=f"c{len(history)}",
                    number=len(history),
                    round=round_,
                    parent=draw.parent,
                    purpose=draw.purpose,
                    way=draw.way or "steps",
                    effort=draw.effort or Effort.none,
                    model=draw.model or view.model(history).name,
                    answer=answer,
                    key=answer,
                    thought="hm",
                    judged=answer is not None,
                    passed=False if view.verified and answer is not None and outcomes.random() < 0.9 else None,
                    score=outcomes.random() * 0.9 if view.scored and answer is not None else None,
                    reason=outcomes.choice(["no", "wrong"]),
                    spend=Spend(calls=1, usd_nanos=10),
                )
            )
    raise AssertionError(f"{strategy} goes on after {len(history)} draws")


@each_strategy
def test_while_samples_are_in_flight_only_an_acceptance_counts(strategy: Strategy) -> None:
    """Asked in the middle of a round, no strategy stops because of what isn't there yet."""
    view = View(models=(model("small"),), room=Room(), verified=True)
    done = Candidate(id="a", number=0, round=1, answer="1", key="1", judged=True, passed=False, reason="no")
    flying = [Candidate(id=f"p{n}", number=n, round=1, status="pending") for n in (1, 2)]
    assert strategy.decide(TASK, [done, *flying], view) == WAIT
    passed = replace(done, passed=True)
    decision = strategy.decide(TASK, [passed, *flying], view)
    assert isinstance(decision, Accept)
    assert decision.id == "a"
