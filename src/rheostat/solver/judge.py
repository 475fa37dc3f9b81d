"""`verify` and `decide`: judge the answers, and choose the next action."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rheostat.calling.sample import DECLINED
from rheostat.evidence.candidate import Candidate, merge_candidates, shared_scores
from rheostat.evidence.expected import Expected
from rheostat.flow import Effect, Flow
from rheostat.graph.ending import EndedBy, ended
from rheostat.graph.events import emit
from rheostat.graph.state import KEY
from rheostat.money.usage import Spend
from rheostat.solver.choose import baselines_of, candidates_of, choose
from rheostat.solver.record import record_decision
from rheostat.solver.shared import Solver, Update
from rheostat.solver.state import SolverState
from rheostat.solver.verdicts import check, verdict_on
from rheostat.strategies import best

__all__ = ["decide", "verify"]

_BROKEN = "the verifier failed"
_TOLD = ("id", "round", "passed", "reason", "score")
_SCORE = ("id", "round", "score", "scores", "reason")


def verify(solver: Solver, state: SolverState) -> Flow[Update]:
    """Judge the new answers by the verifier, and find which of them are equal."""
    expected = solver.expected(state)
    candidates = candidates_of(state)
    keys = [each.key for each in candidates if each.key is not None]
    new = []
    for each in candidates:
        if each.answer is None or (each.judged and each.round != state["round"]):
            continue
        seen = each if each.judged else verdict_on(each, (yield from check(solver, each.answer, state["round"])))
        if seen.key is not None and keys[0] != seen.key:
            alike = functools.partial(_first_alike, expected, keys, seen.key)
            seen = replace(seen, key=(yield Effect(alike, functools.partial(asyncio.to_thread, alike))))
        new.append(seen.to_dict())
        if solver.verifier is not None:
            emit("verdict", **{name: getattr(seen, name) for name in _TOLD})
    return {"candidates": new}


def _first_alike(expected: Expected, keys: list[str], key: str) -> str:
    return next(each for each in keys if each == key or expected.same(each, key))


def decide(solver: Solver, state: SolverState) -> Flow[Update]:
    """Accept, correct, sample, escalate or stop. The best answer so far is written to state in any case."""
    account = yield from solver.open(state)
    alike = [each.to_dict() for each in shared_scores(candidates_of(state))]
    state = {**state, "candidates": merge_candidates(state["candidates"], alike)}
    candidates = candidates_of(state)
    decision = _refused(solver, state, candidates) or (yield from choose(solver, state, account))
    update = _outcome(solver, state, candidates, decision.get("id"))
    for each in alike:  # they have the score of an equal answer
        emit("score", cost=Spend().to_dict(), scorer="", **{name: each[name] for name in _SCORE})
    emit("decision", **decision, chosen=update["chosen"])
    changed = [each["id"] for each in alike]
    over = decision["action"] in ("accept", "stop")
    if over:
        update["baselines"] = yield from baselines_of(solver, state, account)
    recorded = {**decision, "baselines": update.get("baselines")}
    yield from record_decision(solver, state, account, candidates, recorded, update["chosen"], changed)
    if over:
        broken = next((each.reason for each in candidates if not each.scored and each.reason.startswith(_BROKEN)), None)
        update["stopped"] = f"{decision['why']} ({broken})" if broken else decision["why"]
        failed = [each.error for each in candidates if each.error and not each.error.startswith("budget: ")]
        if update["answer"] is None and failed:  # the reason behind the decision
            update["stopped"] += f"; {failed[-1]}"
        cut = next((each.cut for each in candidates if each.id == update["chosen"] and not each.passed), False)
        by = "cut" if cut and not solver.expected(state).votable else _ended_by(decision, candidates, update["answer"])
        if by == "cut":  # a number can be read before the cut; a text is not whole
            update["stopped"] += "; the reply was cut at its length cap: raise Caps(answer_tokens=…)"
        update[KEY] = {"end": ended(by, update["stopped"])}
    return {**update, "candidates": alike, "decision": decision}


def _ended_by(decision: dict[str, Any], candidates: Sequence[Candidate], answer: str | None) -> EndedBy:
    if decision.get("short") or any(each.purpose == "last word" for each in candidates):
        return "budget"
    if decision["action"] == "accept":
        return "answer"
    if answer is None and candidates and all(each.cut for each in candidates):
        return "cut"
    errors = [each.error or "" for each in candidates]
    if answer is None and errors and all(errors):
        of_budget = errors[-1].startswith("budget: ")
        return "declined" if errors[-1].startswith(DECLINED) else "budget" if of_budget else "failure"
    return "stop"


def _refused(solver: Solver, state: SolverState, candidates: Sequence[Candidate]) -> dict[str, Any] | None:
    """The same draws again, if the ledger refused all of this round's: the next plan finds out what still fits."""
    latest = [each for each in candidates if each.round == state["round"]]
    why = next((each.error for each in latest if each.error and each.error.startswith("budget: ")), None)
    if not latest:
        why = "budget: others took the room between plan and hold"
    left = solver.caps.max_samples - len(candidates)
    drawn = any(each.answer is not None or each.spend.calls for each in latest)
    if why is None or drawn or left <= 0 or state["round"] >= solver.caps.max_rounds:
        return None
    return {"action": "sample", "why": why, "draws": state["decision"].get("draws", [])[:left]}


def _outcome(
    solver: Solver, state: SolverState, candidates: Sequence[Candidate], accepted: str | None
) -> dict[str, Any]:
    """The answer so far, with its status and confidence."""
    chosen = next((each for each in candidates if each.id == accepted), None) or best(candidates)
    if chosen is None:
        return {"answer": None, "chosen": None, "confidence": None, "status": "unsolved"}
    update = {"answer": chosen.answer, "chosen": chosen.id}
    if chosen.passed is not None:
        return {**update, "confidence": float(chosen.passed), "status": "solved" if chosen.passed else "unsolved"}
    if chosen.score is not None:
        return {**update, "confidence": chosen.score, "status": "answered"}
    voters = [each for each in candidates if each.unjudged]
    share = sum(each.key == chosen.key for each in voters) / len(voters)
    can_vote = solver.expected(state).votable and len(voters) > 1
    return {**update, "confidence": share if can_vote else None, "status": "answered"}
