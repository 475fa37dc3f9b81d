"""`verify` and `decide`: judge the answers, and choose the next action."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from rheostat.evidence.expected import Expected
from rheostat.evidence.verifiers import Verdict, judged
from rheostat.evidence.votes import Votes
from rheostat.flow import Effect, Flow
from rheostat.graph.events import emit
from rheostat.judgement.policy import Decision, Progress
from rheostat.solver.shared import Solver, Update
from rheostat.solver.state import SolverState
from rheostat.task import ThinkingPlan

__all__ = ["decide", "verify"]

_BROKEN = "the verifier failed"


def verify(solver: Solver, state: SolverState) -> Flow[Update]:
    """Judge the new answers by the verifier, and find which of them are equal."""
    expected = solver.expected(state)
    keys = [drawn["key"] for drawn in state["samples"] if drawn["key"] is not None]
    new = []
    for drawn in state["samples"]:
        if drawn["answer"] is None or "verdict" in drawn:
            continue
        verdict = yield from _judge(solver, drawn["answer"])
        first = drawn["key"]
        if keys[0] != first:
            alike = functools.partial(_first_alike, expected, keys, first)
            first = yield Effect(alike, functools.partial(asyncio.to_thread, alike))
        new.append({"id": drawn["id"], "key": first, "verdict": verdict.to_dict()})
        if solver.verifier is not None:
            emit("verdict", id=drawn["id"], round=drawn["round"], **verdict.to_dict())
    return {"samples": new}


def _first_alike(expected: Expected, keys: list[str], key: str) -> str:
    return next(each for each in keys if each == key or expected.same(each, key))


def _judge(solver: Solver, answer: str) -> Flow[Verdict]:
    check = functools.partial(judged, solver.verifier, answer)
    verdict: Verdict = yield Effect(check, lambda: asyncio.to_thread(check))
    return verdict


def decide(solver: Solver, state: SolverState) -> Flow[Update]:
    """Accept, correct, sample, escalate or stop. The best answer so far is written to state in any case."""
    yield from solver.open(state)
    samples = state["samples"]
    answers = [s for s in samples if s["answer"] is not None]
    best, confidence, status = _best(solver, state, answers)
    update: Update = {"answer": best, "confidence": confidence, "status": status}
    decision = _decision(solver, state, samples, answers)
    emit("decision", **decision)
    if decision["action"] in ("accept", "stop"):
        broken = next((s["verdict"]["reason"] for s in answers if s["verdict"]["reason"].startswith(_BROKEN)), None)
        update["stopped"] = f"{decision['why']} ({broken})" if broken else decision["why"]
    return {**update, "decision": decision}


def _best(solver: Solver, state: SolverState, answers: list[dict[str, Any]]) -> tuple[str | None, float | None, str]:
    passed = next((s for s in answers if s["verdict"]["passed"]), None)
    if passed is not None:
        return passed["answer"], 1.0, "solved"
    if not answers:
        return None, None, "unsolved"
    unsure = [s for s in answers if s["verdict"]["passed"] is None]
    if not unsure:
        return answers[-1]["answer"], 0.0, "unsolved"
    votes = Votes.count(s["key"] for s in unsure)
    leader = next(s for s in unsure if s["key"] == votes.leader)
    can_vote = solver.expected(state).votable and votes.total > 1
    return leader["answer"], votes.share if can_vote else None, "answered"


def _decision(
    solver: Solver, state: SolverState, samples: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> dict[str, str]:
    plan = ThinkingPlan.from_dict(state["plan"])
    facts = solver.endpoint(state).dial.facts
    latest = [s for s in samples if s["round"] == state["round"]]
    refused = next((s["error"] for s in latest if (s.get("error") or "").startswith("budget: ")), None)
    if not latest:
        refused = "budget: others took the room between plan and hold"
    if refused and not any(s["answer"] is not None for s in latest) and state["round"] < solver.caps.max_rounds:
        return Decision(action="sample", why=refused).to_dict()  # the next plan finds out what still fits
    verdicts = [s["verdict"]["passed"] for s in answers]
    progress = Progress(
        rounds=state["round"],
        samples=len(answers),
        votes=Votes.count(s["key"] for s in answers if s["verdict"]["passed"] is None),
        passed=True in verdicts,
        failed=verdicts.count(False),
        starved=any(s["cut"] for s in latest),
    )
    more = facts.above(plan.effort, solver.caps.max_effort)
    next_tokens = facts.levels[more or plan.effort] + plan.answer_tokens
    other = state["model"] + 1 < len(solver.models)
    decision = solver.policy.decide(
        progress,
        plan,
        solver.asked(),
        solver.caps,
        verified=solver.verifier is not None and any(v is not None for v in verdicts),
        votable=solver.expected(state).votable,
        price_ratio=max(1.0, next_tokens / plan.max_output_tokens),
        can_think_more=more is not None or (facts.clamped and not plan.widened),
        has_other_model=other,
    )
    return decision.to_dict()
