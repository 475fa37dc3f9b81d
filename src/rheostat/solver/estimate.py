"""`estimate`: open the account and read how hard the question looks."""

from __future__ import annotations

from typing import Any

from langgraph.types import Overwrite

from rheostat.calling.sample import sample
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.expected import Expected
from rheostat.evidence.votes import Votes
from rheostat.flow import Flow
from rheostat.graph.ending import ended
from rheostat.graph.events import emit
from rheostat.graph.state import KEY, read
from rheostat.money.ledger import latest_reading
from rheostat.money.usage import Spend
from rheostat.solver.choose import choose
from rheostat.solver.record import record_decision
from rheostat.solver.samples import Asking
from rheostat.solver.shared import Solver, Update, told
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
    samples: list[Candidate] = []
    if solver.probe is not None and Expected.of(question, difficulty.kind, solver.verifier, solver.form).votable:
        samples = yield from _probe(solver, account, question, difficulty, solver.probe)
        votes = Votes.count(each.key or each.id for each in samples if each.answer is not None)
        difficulty = solver.probe.read(difficulty, votes.share)
    readings = yield from solver.readings(account)
    for each in samples:
        emit("sample", **readings, **told(each))
    emit("difficulty", **difficulty.to_dict())
    begun: SolverState = {
        "question": question,
        "difficulty": difficulty.to_dict(),
        "candidates": [each.to_dict() for each in samples],
        "plan": {},
        "calls": [],
        "least": {},
        "round": 0,
        "model": 0,
    }
    decision: dict[str, Any] = {}
    if not samples:
        decision = yield from choose(solver, begun, account)
    stops = decision.get("action") == "stop"
    end: Any = {}
    if stops:
        emit("decision", **decision, chosen=None)
        end = ended("stop", decision["why"])
        yield from record_decision(solver, begun, account, [], decision, None)
    return {
        **begun,
        "candidates": Overwrite(begun["candidates"]),
        "decision": decision,
        "answer": None,
        "chosen": None,
        "status": "unsolved",
        "stopped": decision["why"] if stops else "",
        "wind_down": "",
        "confidence": None,
        "baselines": [],
        "budget": solver.budget.to_dict(),
        KEY: Overwrite(
            {
                "spend": latest_reading(before if own else None, readings["spend"]),
                "run": readings["run"],
                "end": end,
            }
        ),
    }


def _probe(
    solver: Solver, account: str, question: str, difficulty: Difficulty, probe: Agreement
) -> Flow[list[Candidate]]:
    """Draw a few samples at the lowest effort, which vote like all others; none if the room is too small."""
    count = min(probe.samples, solver.caps.max_samples)
    endpoint = solver.models[0]
    expected = Expected.of(question, difficulty.kind, solver.verifier, solver.form)
    lowest = endpoint.dial.facts.nearest(Effort.none)
    plan = solver.policy.set_effort(
        ThinkingPlan(effort=lowest, thinking_tokens=0, answer_tokens=solver.caps.answer_tokens, samples=count),
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
    for number in range(count):
        note = {"model": endpoint.name, "node": "estimate"}
        held = yield from solver.meter.hold(account, asking.per_sample(plan, number), note)
        way = asking.way(plan, number)
        [got] = yield from sample(
            solver.meter,
            endpoint,
            account,
            [Candidate(id=f"probe{number}", number=number, model=next(iter(solver.named)), effort=lowest)],
            asking.shaped(plan, number),
            asking.messages(plan, number),
            way,
            expected,
            held,
            temperature=asking.temperature(plan, number),
            schema=solver.schema,
            note=note,
            logprobs=solver.wants_logprobs(difficulty.kind, endpoint.name),
        )
        drawn.append(got)
    return drawn
