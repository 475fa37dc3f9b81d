"""`estimate`: open the account and read how hard the question looks."""

from __future__ import annotations

from typing import Any

from langgraph.types import Overwrite

from rheostat.difficulty import Agreement, check_question, heuristic
from rheostat.effort import Difficulty, Effort, ThinkingPlan
from rheostat.events import emit
from rheostat.exchange import bounds, sample
from rheostat.flow import Flow
from rheostat.graph.state import KEY, read
from rheostat.ledger import latest_reading
from rheostat.nodes.solver import Solver, Update
from rheostat.policy import Decision
from rheostat.prompts import answer_form, answer_key, ask, votable
from rheostat.providers import Endpoint
from rheostat.providers.dial import Messages
from rheostat.state import SolverState
from rheostat.usage import Spend
from rheostat.evidence.verifiers import AnswerForm
from rheostat.evidence.votes import Votes

__all__ = ["estimate"]


def estimate(solver: Solver, state: SolverState) -> Flow[Update]:
    """Open the account and read how hard the question looks."""
    question = check_question(state.get("question"))
    before = read(state)["spend"]
    thread, account = yield from solver.start(before)
    own = not before or before["account"] == thread  # else a state that was copied from another thread
    difficulty = heuristic(question)
    samples: list[dict[str, Any]] = []
    if solver.probe is not None and votable(difficulty.kind, answer_form(difficulty.kind, solver.verifier)):
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
    """A few answers without thought; they are votes like all others. Too little room: no probe."""
    endpoint = solver.ladder[0]
    form = answer_form(difficulty.kind, solver.verifier)
    lowest = endpoint.dial.facts.nearest(Effort.none)
    plan = solver.policy.set_effort(
        ThinkingPlan(effort=lowest, thinking_tokens=0, answer_tokens=solver.answer_tokens(form)),
        lowest,
        solver.caps,
        endpoint.dial.facts,
    )
    thinking = plan.thinking_tokens > 0
    messages = ask(question, form, thinking=thinking, verifier=solver.verifier, example=endpoint.dial.example)
    amounts = yield from _bounds(solver, endpoint, plan, messages, form)
    room = yield from solver.meter.room(account)
    needed = sum(amounts * (probe.samples + 1), Spend())  # one more: the last word
    if not room.fits(needed):
        return []
    drawn = []
    for number in range(probe.samples):
        note = {"model": endpoint.name, "node": "estimate"}
        held = yield from solver.meter.hold(account, amounts, note)
        got = yield from sample(
            solver.meter, endpoint, account, plan, messages, form, held,
            temperature=solver.temperature(endpoint, number), schema=solver.schema, note=note,
        )  # fmt: skip
        key = answer_key(got["answer"], form) if got["answer"] is not None else None
        drawn.append({"id": f"probe{number}", "round": 0, "key": key, **got})
    return drawn


def _bounds(
    solver: Solver, endpoint: Endpoint, plan: ThinkingPlan, messages: Messages, form: AnswerForm
) -> Flow[list[Spend]]:
    dial = endpoint.dial
    phase = dial.phases(plan, schema=solver.schema is not None)[0]
    settings = dial.encode(plan, phase, temperature=None, schema=solver.schema)
    tokens = yield from solver.meter.input_bound(endpoint, messages, settings)
    return bounds(solver.meter, endpoint, plan, tokens, form, schema=solver.schema)
