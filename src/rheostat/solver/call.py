"""`hold`, `call`, `settle`: one branch per sample, held before and settled after."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph.types import Send

from rheostat.calling.sample import sample, shaped
from rheostat.calling.watch import doing, found
from rheostat.errors import BudgetExceeded
from rheostat.evidence.asking import WAYS
from rheostat.evidence.candidate import Candidate
from rheostat.flow import Flow
from rheostat.graph.events import emit
from rheostat.graph.state import KEY
from rheostat.money.ledger import Reservation
from rheostat.money.usage import Spend
from rheostat.solver.choose import candidates_of, strategy_of, task_of, view_of
from rheostat.solver.race import Race
from rheostat.solver.shared import Solver, Update, told
from rheostat.solver.state import SolverState
from rheostat.solver.verdicts import check, verdict_on
from rheostat.strategies import Decision, Strategy, View
from rheostat.task import Effort, Task, ThinkingPlan

__all__ = ["call", "fan_out", "hold", "settle"]

_FEWEST_RACING = 2
_SHARED = ("question", "difficulty", "plan", "model", "round", KEY, "budget")
"""The channels that a branch needs."""


def hold(solver: Solver, state: SolverState) -> Flow[Update]:
    """Hold the worst case of the whole round, and write the holds into state before anything leaves."""
    account = yield from solver.open(state)
    note = {"model": state["plan"]["model"], "node": "call"}
    amounts = [Spend.from_dict(amount) for call in state["calls"] for amount in call["amounts"]]
    try:
        held = yield from solver.meter.hold(account, amounts, note)
    except BudgetExceeded as refused:  # another branch took the room between plan and hold
        emit("refused", why=str(refused), limit=refused.limit)
        return {"calls": [], KEY: (yield from solver.readings(account))}
    ids = iter(held)
    calls = [{**call, "reservations": [next(ids).id for _ in call["amounts"]]} for call in state["calls"]]
    readings = yield from solver.readings(account)
    emit("hold", samples=sum(len(call["samples"]) for call in calls), tokens=sum(a.tokens for a in amounts), **readings)
    yield from _race(solver, state, account, calls)
    return {"calls": calls, KEY: readings}


def _race(solver: Solver, state: SolverState, account: str, calls: list[dict[str, Any]]) -> Flow[None]:
    """Let the samples of the round race, if the strategy may accept an answer before all have come."""
    if len(calls) < _FEWEST_RACING or not solver.endpoint(state).dial.facts.cancels:
        return
    first = solver.first_plan(state)
    view = yield from view_of(solver, state, account, first)
    decide = functools.partial(_decide, strategy_of(solver), task_of(solver, state), view)
    drafts = [draft for call in calls for draft in _drafts(solver, state, call)]
    race = Race(candidates_of(state), drafts, decide)
    if race.can_end_early(verified=solver.verifier is not None):
        solver.races.begin(account, race)


def _decide(strategy: Strategy, task: Task, view: View, history: Sequence[Candidate]) -> Decision:
    return strategy.decide(task, history, view)


def _drafts(solver: Solver, state: SolverState, call: dict[str, Any]) -> list[Candidate]:
    return [
        Candidate(
            **each,
            parent=call["parent"],
            purpose=call["purpose"],
            round=state["round"],
            model=solver.name(state),
            effort=Effort(state["plan"]["effort"]),
            way=call["way"],
        )
        for each in call["samples"]
    ]


def fan_out(state: SolverState) -> list[Send] | str:
    """Send one branch per sample; go to `decide` if nothing could be held."""
    shared = {name: state[name] for name in _SHARED}  # type: ignore[literal-required]  # the names of channels, from a tuple
    return [Send("call", {**shared, "call": call}) for call in state["calls"]] or "decide"


def call(solver: Solver, branch: dict[str, Any]) -> Flow[Update]:
    """Draw the samples of one request. A failure is returned, not raised: it must not cancel its siblings."""
    account = yield from solver.open(branch)  # type: ignore[arg-type]  # a part of the state
    endpoint, call = solver.endpoint(branch), branch["call"]  # type: ignore[arg-type]  # as above
    plan = ThinkingPlan.from_dict(branch["plan"])
    note = {"model": endpoint.name, "node": "call"}
    amounts = [Spend.from_dict(amount) for amount in call["amounts"]]
    held = [Reservation(r, account, a) for r, a in zip(call["reservations"], amounts, strict=True)]
    expected = solver.expected(branch)  # type: ignore[arg-type]  # as above
    way = WAYS[call["way"]]
    drafts = _drafts(solver, branch, call)  # type: ignore[arg-type]  # as above
    race = solver.races.of(account)
    if race is not None and race.cancel.is_set:
        for reservation in held:
            yield from solver.meter.void(reservation.id)
        never_sent = [replace(draft, status="cancelled") for draft in drafts]
        readings = yield from solver.readings(account)
        for each in never_sent:
            emit("sample", **readings, **told(each))
        return {"candidates": [each.to_dict() for each in never_sent]}
    with doing("sample", drafts[0].id, run=account, round_=branch["round"]) as work:
        drawn = yield from sample(
            solver.meter,
            endpoint,
            account,
            drafts,
            shaped(plan, way, expected.asked),
            call["messages"],
            way,
            expected,
            held,
            temperature=call["temperature"],
            schema=solver.schema,
            note=note,
            logprobs=solver.wants_logprobs(branch["difficulty"]["kind"], endpoint.name),
            cancel=race.cancel if race is not None and len(drafts) == 1 else None,
            prefix=call.get("prefix", ""),
            seed=None if solver.seed is None else solver.seed + drafts[0].number,
        )
        found(work, candidates=drawn)
    if race is not None:
        for number, each in enumerate(drawn):
            if each.answer is not None:
                drawn[number] = verdict_on(each, (yield from check(solver, each.answer, branch["round"])))
        race.came(*drawn)
    readings = yield from solver.readings(account)
    for each in drawn:
        emit("sample", **readings, **told(each))
    return {"candidates": [each.to_dict() for each in drawn], KEY: readings}


def settle(solver: Solver, state: SolverState) -> Flow[Update]:
    """Publish the readings once all branches are in."""
    account = yield from solver.open(state)
    solver.races.end(account)
    readings = yield from solver.readings(account)
    emit("spend", **readings)
    return {KEY: readings, "calls": []}
