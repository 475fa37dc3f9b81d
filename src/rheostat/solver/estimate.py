"""`estimate`: open the account and read how hard the question looks."""

from __future__ import annotations

from typing import Any

from langgraph.types import Overwrite

from rheostat.calling.sample import sample
from rheostat.evidence.expected import Expected
from rheostat.evidence.votes import Votes
from rheostat.flow import Flow
from rheostat.graph.events import emit
from rheostat.graph.state import KEY, read
from rheostat.judgement.policy import Decision
from rheostat.money.ledger import latest_reading
from rheostat.money.usage import Spend
from rheostat.solver.samples import Asking
from rheostat.solver.shared import Solver, Update
from rheostat.solver.state import SolverState
from rheostat.task import Difficulty, Effort, ThinkingPlan
from rheostat.thinking.difficulty import Agreement, check_question, heuristic

__all__ = ["estimate"]


def estimate(solver: Solver, state: SolverState) -> Flow[Update]:
    """Open the account and read how hard the question looks."""
    question = check_question(state.get("question"))
    before = read(state)["spend"]
    thread, account = yield from solver.start(before)
    own = not before or before["account"] == thread  # else the state was copied from another thread
    difficulty = heuristic(question)
    samples: list[dict[str, Any]] = []
    if solver.probe is not None and Expected.of(question, difficulty.kind, solver.verifier, solver.form).votable:
        samples = yield from _probe(solver, account, question, difficulty, solver.probe)
        votes = Votes.count(s["key"] for s in samples if s["answer"] is not None)
        difficulty = solver.probe.read(difficulty, votes.share)
    readings = yield from solver.readings(account)
    emit("difficulty", **difficulty.to_dict())
    return {
        "difficulty": difficulty.to_dict(),
        "samples": Overwrite(samples),
        "plan": {},
        "calls": [],
        "decision": Decision(action="sample", why="nothing tried yet").to_dict(),
        "round": 0,
        "model": 0,
        "answer": None,
        "status": "unsolved",
        "stopped": "",
        "wind_down": "",
        "confidence": None,
        "budget": solver.budget.to_dict(),
        KEY: Overwrite({"spend": latest_reading(before if own else None, readings["spend"]), "run": readings["run"]}),
    }


def _probe(
    solver: Solver, account: str, question: str, difficulty: Difficulty, probe: Agreement
) -> Flow[list[dict[str, Any]]]:
    """Draw a few samples at the lowest effort, which vote like all others; none if the room is too small."""
    endpoint = solver.models[0]
    expected = Expected.of(question, difficulty.kind, solver.verifier, solver.form)
    lowest = endpoint.dial.facts.nearest(Effort.none)
    plan = solver.policy.set_effort(
        ThinkingPlan(effort=lowest, thinking_tokens=0, answer_tokens=solver.caps.answer_tokens, samples=probe.samples),
        lowest,
        solver.caps,
        endpoint.dial.facts,
    )
    asking = Asking(solver, endpoint, expected, before=0)
    yield from asking.measure(plan)
    room = yield from solver.meter.room(account)
    needed = asking.bound(plan) + sum(asking.per_sample(plan), Spend())  # and the last word
    if not room.fits(needed):
        return []
    drawn = []
    for number in range(probe.samples):
        note = {"model": endpoint.name, "node": "estimate"}
        held = yield from solver.meter.hold(account, asking.per_sample(plan, number), note)
        way = asking.way(plan, number)
        got = yield from sample(
            solver.meter,
            endpoint,
            account,
            asking.shaped(plan, number),
            asking.messages(way),
            way,
            expected,
            held,
            temperature=asking.temperature(plan, number),
            schema=solver.schema,
            note=note,
        )
        drawn.append({"id": f"probe{number}", "round": 0, **got})
    return drawn
