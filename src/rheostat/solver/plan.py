"""`plan`: make the next round's plan from the difficulty, the effort asked for, the caps and the room."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from langgraph.types import interrupt

from rheostat.calling.fit import enough_for
from rheostat.errors import BadInput, BudgetExceeded
from rheostat.flow import Flow
from rheostat.graph.ending import EndedBy, ended
from rheostat.graph.events import emit
from rheostat.graph.state import KEY, read
from rheostat.money.budget import Budget, Room
from rheostat.money.usage import Spend
from rheostat.solver.choose import baselines_of, candidates_of, draws_of
from rheostat.solver.record import record_decision
from rheostat.solver.samples import Asking
from rheostat.solver.shared import Solver, Update
from rheostat.solver.state import SolverState, WindDown
from rheostat.strategies import Draw
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.clamps import Clamps
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["plan"]


_TRIES = 5
"""A round is planned again if others take or give back room between its plan and the ledger's refusal."""


def plan(solver: Solver, state: SolverState) -> Flow[Update]:
    """Plan the next round from the difficulty, the effort asked for, the caps and the room."""
    for _ in range(_TRIES - 1):
        update = yield from _plan(solver, state)
        if update is not None:
            return update
    return (yield from _end(solver, state, "budget: others take the room as soon as it is there", None))


def _plan(solver: Solver, state: SolverState) -> Flow[Update | None]:
    """Try once; `None`: there was too little room, but now there is more."""
    account = yield from solver.open(state)
    draws, candidates = draws_of(state), candidates_of(state)
    names = list(solver.named)
    number = names.index(draws[0].model) if draws[0].model in names else state["model"]
    endpoint = solver.models[number]
    facts = endpoint.dial.facts
    expected = solver.expected(state)
    wanted = _wanted(solver, state, draws, facts)
    clamps = None
    if facts.clamped:
        clamps = Clamps(endpoint.name, (yield from solver.meter.uses(endpoint.name)))
        wanted = clamps.on(wanted, widened=wanted.widened)
    asking = Asking(
        solver,
        endpoint,
        expected,
        before=len(candidates),
        draws=draws,
        parents={each.id: each for each in candidates},
    )
    whole = yield from solver.meter.room(account)
    room = whole.within(solver.own_room(candidates))
    answered = any(each.answer is not None for each in candidates)
    yield from asking.measure(wanted)
    plan = _fitting(solver, wanted, room, facts, asking, clamps, answered=answered)
    if plan != wanted and not endpoint.dial.counts_at_once:  # our bound is loose, and here it matters
        yield from asking.measure(wanted, exact=True)
        plan = _fitting(solver, wanted, room, facts, asking, clamps, answered=answered)
    if plan is None:
        least = _least(wanted, facts)  # the last word; with an answer, one sample instead
        needed = asking.bound(replace(least, purpose=wanted.purpose) if answered else least)
        if room != whole and whole.fits(needed):
            return (yield from _end(solver, state, solver.own_cap_reached, None, by="stop"))
        enough = asking.bound(replace(_smallest(wanted, clamps), samples=1))
        return (yield from _no_room(solver, state, account, needed, enough, wanted))
    smallest = asking.bound(_least(wanted, facts)).to_dict()
    stage = _stage(wanted, plan)
    if stage:
        emit("wind_down", stage=stage, room=asdict(room))
    emit("plan", round=state["round"] + 1, **plan.to_dict())
    return {
        "plan": plan.to_dict(),
        "wind_down": stage,
        "model": number,
        "round": state["round"] + 1,
        "least": {**state.get("least", {}), names[number]: smallest},
        "calls": asking.calls(plan, state["round"] + 1),
    }


def _least(wanted: ThinkingPlan, facts: ModelFacts) -> ThinkingPlan:
    lowest = facts.nearest(Effort.none)
    return wanted.because("", effort=lowest, thinking_tokens=facts.levels[lowest], samples=1, purpose="last word")


def _smallest(wanted: ThinkingPlan, clamps: Clamps | None) -> ThinkingPlan:
    """The smallest useful plan at this level."""
    shorter = list(clamps.shorter(wanted)) if clamps is not None else []
    return shorter[-1] if shorter else wanted


def _fitting(
    solver: Solver,
    wanted: ThinkingPlan,
    room: Room,
    facts: ModelFacts,
    asking: Asking,
    clamps: Clamps | None,
    *,
    answered: bool,
) -> ThinkingPlan | None:
    """The plan made to fit the room.

    Until there is an answer, the last word is reserved; if nothing else fits, it becomes the plan.
    """
    sends = functools.partial(asking.sends, room)
    reserved = room.keeping(solver.last_word) if solver.last_word else room.minus(asking.bound(_least(wanted, facts)))
    plan = solver.policy.fit(wanted, room if answered else reserved, facts, asking.bound, clamps, sends=sends)
    if plan is None and not answered:
        alone = wanted.because("the last word: all that is left", by="budget", samples=1, purpose="last word")
        plan = solver.policy.fit(alone, room, facts, asking.bound, clamps, sends=sends)
    return plan


def _wanted(solver: Solver, state: SolverState, draws: Sequence[Draw], facts: ModelFacts) -> ThinkingPlan:
    """The plan for these draws, before it is fitted to the room."""
    asked, draw = solver.asked(), draws[0]
    named = draw.effort if not isinstance(asked, Effort) else None
    if not state["plan"]:
        plan = replace(solver.first_plan(state), samples=len(draws), purpose=draw.purpose)
        if named is not None:
            plan = solver.policy.set_effort(replace(plan, reasons=(draw.why,)), named, solver.caps, facts)
        return plan
    before = ThinkingPlan.from_dict(state["plan"])
    plan = ThinkingPlan(
        effort=before.effort,
        thinking_tokens=before.thinking_tokens,
        answer_tokens=solver.caps.answer_tokens,
        model=facts.name,
        decided_by="user" if isinstance(asked, Effort) else "policy",
        samples=len(draws),
        purpose=draw.purpose,
        reasons=(draw.why,),
    )
    effort = facts.nearest(asked) if isinstance(asked, Effort) else named or before.effort
    if draw.more_thought and draw.purpose != "correct" and facts.clamped and not before.widened:  # first the length cap
        return solver.policy.set_effort(replace(plan, widened=True), effort, solver.caps, facts)
    if draw.more_thought and not isinstance(asked, Effort):
        effort = facts.above(effort, solver.caps.max_effort) or effort
    return solver.policy.set_effort(plan, effort, solver.caps, facts)


def _stage(wanted: ThinkingPlan, plan: ThinkingPlan) -> WindDown:
    """How far the plan was wound down to fit the room."""
    if plan.purpose == "last word":
        return "last word"
    if plan.samples < wanted.samples:
        return "fewer samples"
    return "less thought" if plan.effort < wanted.effort else ""


def _no_room(
    solver: Solver, state: SolverState, account: str, needed: Spend, enough: Spend, wanted: ThinkingPlan
) -> Flow[Update | None]:
    """End, raise, or ask for more, when not even the last word fits; `None`: it fits now.

    A budget of the run's own that can't hold the smallest call is an error. If an account above is used up, the refusal
    is returned: raised inside a fan-out, it would cancel the branches beside it.
    """
    refused = yield from _refusal(solver, account, needed, enough, wanted)
    if refused is None:
        return None
    readings = yield from solver.readings(account)
    why = f"budget: {refused}"
    if solver.on_limit == "interrupt":
        more = _ask({"type": "budget", "why": why, "budget": state["budget"], "spend": readings["run"]})
        if more is not None:
            yield from solver.meter.amend(account, more)
            amended: SolverState = {**state, "budget": more.to_dict()}
            update = yield from plan(solver, amended)
            return {"budget": more.to_dict(), **update}
    nothing_yet = state["round"] == 0 and not state["candidates"]
    if solver.on_limit == "raise" or (nothing_yet and refused.account == account):
        raise refused
    return (yield from _end(solver, state, why, refused))


def _end(
    solver: Solver, state: SolverState, why: str, refused: BudgetExceeded | None, *, by: EndedBy = "budget"
) -> Flow[Update]:
    """Stop here; the best answer so far is in state."""
    account = read(state)["run"]["account"]
    readings = yield from solver.readings(account)
    room = yield from solver.meter.room(account)
    emit("wind_down", stage="end", room=asdict(room))
    chosen = state.get("chosen")
    decision = {"action": "stop", "why": why, "draws": []}
    emit("decision", **decision, chosen=chosen)
    beside = yield from baselines_of(solver, state, account)
    recorded = {**decision, "baselines": beside}
    yield from record_decision(solver, state, account, candidates_of(state), recorded, chosen)
    where = {} if refused is None else {"limit": refused.limit, "account": refused.account}
    end = ended(by, why, **where)
    return {
        "calls": [],
        "decision": decision,
        "baselines": beside,
        "stopped": why,
        "wind_down": "end",
        KEY: {**readings, "end": end},
    }


def _refusal(
    solver: Solver, account: str, needed: Spend, enough: Spend, wanted: ThinkingPlan
) -> Flow[BudgetExceeded | None]:
    """The ledger's refusal of one more call, which names the account and the limit; `None`: it fits now."""
    try:
        held = yield from solver.meter.hold(account, [needed], {"node": "plan"})
    except BudgetExceeded as error:
        if error.rate:
            return error
        hint = (
            f"The next call on this question may need {error.spelled(error.asked)} and was not sent: "
            "raise the budget, shorten the question, or lower Caps(answer_tokens=…)" + enough_for(error, enough, wanted)
        )
        if error.limit == "seconds":
            hint = "What was in flight then was cut and stays charged at an estimate. Allow more seconds"
        return error.because(hint, who="this run's budget" if error.account == account else "")
    for reservation in held:
        yield from solver.meter.void(reservation.id)
    return None


def _ask(question: dict[str, Any]) -> Budget | None:
    """Ask a human, and ask again if the answer can't be used, instead of failing."""
    while True:
        try:
            return _more(interrupt(question))
        except BadInput as error:
            question = {**question, "problem": str(error)}


def _more(said: Any) -> Budget | None:
    """Read the human's answer: new limits for the run, or `None` for "finish".

    Raises:
        BadInput: it is neither.
    """
    if said == "finish":
        return None
    if isinstance(said, dict) and isinstance(said.get("budget"), dict):
        return Budget.from_dict(said["budget"])
    raise BadInput(
        f'answer "finish", or {{"budget": {{"usd": "0.50"}}}} with the new limits of the whole run; not {said!r}'
    )
