"""`score`: ask the scorer about answers that no verifier could judge, where that is worth its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langgraph.types import Send

from rheostat.calling.score import OwnCapReached, Sender
from rheostat.calling.watch import doing, found
from rheostat.errors import BudgetExceeded
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers import Scorer
from rheostat.evidence.verifiers import Verdict
from rheostat.flow import Flow
from rheostat.graph.events import emit
from rheostat.graph.state import KEY
from rheostat.money.budget import Room
from rheostat.money.usage import Spend
from rheostat.solver.choose import candidates_of, task_of
from rheostat.solver.shared import Solver, Update
from rheostat.solver.state import SolverState

__all__ = ["score", "to_score"]

_SHARED = ("question", "difficulty", "model", "round", KEY, "budget")
"""The channels that a branch needs."""


def to_score(solver: Solver, state: SolverState) -> list[Send] | str:
    """One branch for each answer to score; a ranker gets one for all. `decide` if there is nothing to score."""
    shared = {name: state[name] for name in _SHARED}  # type: ignore[literal-required]  # the names of channels, from a tuple
    asked = [[each.to_dict() for each in group] for group in _groups(solver, state)]
    room = solver.own_room(candidates_of(state))
    shared["own_room"] = None if room is None else asdict(room.shared(len(asked)))
    return [Send("score", {**shared, "asked": group}) for group in asked] or "decide"


def _groups(solver: Solver, state: SolverState) -> list[list[Candidate]]:
    scorer = solver.scorer
    if scorer is None or not solver.uses_scores:
        return []
    open_ = [each for each in candidates_of(state) if each.scorable]
    if any(each.passed for each in candidates_of(state)) or _only_one(solver, state) or _too_dear(solver, state):
        return []
    fresh = [each for each in open_ if not each.scored]
    if solver.ranks:
        return [open_] if fresh and len(open_) > 1 else []
    known = {each.key for each in open_ if each.score is not None}
    groups = []
    for each in fresh:
        if each.key is not None and each.key in known and solver.expected(state).votable and not scorer.free:
            continue  # an equal answer has its score
        known.add(each.key)
        groups.append([each])
    return groups


def _only_one(solver: Solver, state: SolverState) -> bool:
    """Whether a score could change nothing: there is one answer, and no further one is allowed."""
    return len(state["candidates"]) == 1 and min(solver.caps.max_samples, solver.caps.max_rounds) == 1


def _too_dear(solver: Solver, state: SolverState) -> bool:
    """Whether a score costs more than a right answer is worth, by those so far."""
    costs = [each.scoring.usd_nanos for each in candidates_of(state) if each.scoring.usd_nanos]
    return solver.worth_usd_nanos is not None and bool(costs) and sum(costs) / len(costs) >= solver.worth_usd_nanos


def score(solver: Solver, branch: dict[str, Any]) -> Flow[Update]:
    """Score the answers of one branch. A scorer that fails, or that the budget can't pay, can't tell."""
    state: SolverState = branch  # type: ignore[assignment]  # a part of the state
    scorer = solver.scorer
    assert scorer is not None, "to_score() sends nothing without one"  # noqa: S101
    account = yield from solver.open(state)
    room = branch.get("own_room")
    sender = Sender(solver.meter, account, solver.judges, room=None if room is None else Room(**room))
    candidates = [Candidate.from_dict(each) for each in branch["asked"]]
    with doing("score", scorer.name, run=account, round_=branch["round"]) as work:
        verdicts = yield from _verdicts(solver, scorer, sender, state, candidates)
        found(work, verdicts=verdicts)
    readings = yield from solver.readings(account)
    update = []
    for number, (each, verdict) in enumerate(verdicts):
        cost = sender.spend if number == 0 else Spend()  # a ranker's comparisons have no owner
        scored = _scored(each, scorer.name, verdict, cost)
        update.append(scored)
        emit(
            "score", id=each.id, round=each.round, scorer=scorer.name, cost=cost.to_dict(), **readings, **_told(scored)
        )
    return {"candidates": update, KEY: readings}


def _verdicts(
    solver: Solver, scorer: Scorer, sender: Sender, state: SolverState, candidates: Sequence[Candidate]
) -> Flow[list[tuple[Candidate, Verdict]]]:
    task = task_of(solver, state)
    try:
        if solver.ranks:
            found = yield from sender.run(scorer.rank(task, candidates))  # type: ignore[attr-defined]  # a Ranker
            return [(each, found.get(each.id, Verdict(None, "not compared"))) for each in candidates]
        [each] = candidates
        verdict: Any = yield from sender.run(scorer.score(task, each))
        if not isinstance(verdict, Verdict):
            verdict = Verdict(None, f"{scorer.name} failed: it returned {verdict!r}, not a Verdict")
        return [(each, verdict)]
    except OwnCapReached as refused:
        why = f"{scorer.name}: {refused}"
    except BudgetExceeded as refused:
        why = f"{scorer.name}: the budget doesn't allow it: {refused}"
    except Exception as error:  # a scorer that fails is no evidence about the answer
        why = f"{scorer.name} failed: {type(error).__name__}: {str(error)[:300]}"
    return [(each, Verdict(None, why)) for each in candidates]


def _scored(each: Candidate, name: str, verdict: Verdict, cost: Spend) -> dict[str, Any]:
    parts = {**each.scores, **verdict.parts}
    if verdict.score is not None:
        parts[name] = verdict.score
    known = each.score if verdict.score is None else verdict.score
    return {
        "id": each.id,
        "scored": True,
        "score": known,
        "scores": parts,
        "reason": verdict.reason,
        "scoring": (each.scoring + cost).to_dict(),
    }


def _told(scored: dict[str, Any]) -> dict[str, Any]:
    return {name: scored[name] for name in ("score", "scores", "reason")}
