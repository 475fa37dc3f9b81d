"""What the strategy sees, and what its decision means for the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rheostat.errors import ProviderFailed
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.flow import Flow
from rheostat.money.usage import Spend
from rheostat.sandbox.embedded import embedded_python
from rheostat.solver.shared import Solver
from rheostat.solver.state import SolverState
from rheostat.strategies import Accept, Available, Draw, Stop, Strategy, View
from rheostat.strategies.base import checked
from rheostat.task import Difficulty, Effort, Task, ThinkingPlan

__all__ = ["baselines_of", "candidates_of", "choose", "draws_of", "strategy_of", "task_of", "view_of"]


def candidates_of(state: SolverState) -> list[Candidate]:
    """The candidates so far, in the order of their draws."""
    return in_order(Candidate.from_dict(each) for each in state.get("candidates", ()))


def draws_of(state: SolverState) -> list[Draw]:
    """The draws that were decided, and can be made in one round: those on the same model and at the same level."""
    draws = [Draw.from_dict(each) for each in state["decision"]["draws"]]
    first = draws[0]
    same = (first.model, first.effort, first.more_thought)
    return [each for each in draws if (each.model, each.effort, each.more_thought) == same]


def task_of(solver: Solver, state: SolverState) -> Task:
    """The task as strategies and scorers see it."""
    difficulty = Difficulty.from_dict(state["difficulty"])
    return Task(question=state["question"], difficulty=difficulty, form=solver.expected(state).asked)


def choose(solver: Solver, state: SolverState, account: str) -> Flow[dict[str, Any]]:
    """Ask the strategy, and return its decision as plain data.

    The keys are those of `SolverState.decision`, and `id` with an accepted candidate.
    """
    history = candidates_of(state)
    first = solver.first_plan(state)
    view = yield from view_of(solver, state, account, first)
    closed = {each.model: str(each.error) for each in history if each.unavailable}
    if closed.keys() >= {each.name for each in view.models}:
        return _unavailable(closed, history)
    view = replace(view, models=tuple(each for each in view.models if each.name not in closed))
    strategy = strategy_of(solver)
    decision = checked(strategy, strategy.decide(task_of(solver, state), history, view), history, view)
    if isinstance(decision, tuple) and history and history[-1].model in closed:
        decision = tuple(replace(each, model=each.model or view.model(history).name) for each in decision)
    if isinstance(decision, Accept):
        return {"action": "accept", "why": decision.why, "draws": [], "id": decision.id, "short": decision.short}
    if isinstance(decision, Stop):
        if not decision.short or min(view.draws_left, view.rounds_left) <= 0:
            return {"action": "stop", "why": decision.why, "draws": []}
        decision = (Draw(why=decision.why),)  # the plan asks for what still fits, or ends the run
    return {
        "action": _action(decision[0], history, view),
        "why": decision[0].why,
        "draws": [each.to_dict() for each in decision],
    }


def _unavailable(why: dict[str, str], history: list[Candidate]) -> dict[str, Any]:
    """The end of a run in which no model can be asked any more.

    Raises:
        ProviderFailed: nothing came at all.
    """
    told = "; ".join(f"{name}: {each}" for name, each in why.items())
    if not any(each.answer is not None or each.spend.tokens for each in history):
        raise ProviderFailed(told)
    return {"action": "stop", "why": told, "draws": []}


def baselines_of(solver: Solver, state: SolverState, account: str) -> Flow[list[dict[str, Any]]]:
    """What fixed arms would have brought on this task, by the profile."""
    view = yield from view_of(solver, state, account, solver.first_plan(state))
    return [each.to_dict() for each in solver.policy.by_worth(solver.asked()).baselines(task_of(solver, state), view)]


def strategy_of(solver: Solver) -> Strategy:
    """The strategy of a run: the user's, else the policy's."""
    scored = solver.scorer is not None and solver.verifier is None
    return solver.strategy or solver.policy.strategy(solver.asked(), scored=scored)


def view_of(solver: Solver, state: SolverState, account: str, first: ThinkingPlan) -> Flow[View]:
    """What the strategy may know besides the history."""
    room = yield from solver.meter.room(account)
    asked = solver.asked()
    return View(
        models=tuple(_available(solver, state, first)),
        room=room,
        effort=asked if isinstance(asked, Effort) else first.effort,
        max_effort=solver.caps.max_effort,
        fixed_effort=isinstance(asked, Effort),
        answer_tokens=solver.caps.answer_tokens,
        draws_left=solver.caps.max_samples - len(state["candidates"]),
        rounds_left=solver.caps.max_rounds - state["round"],
        can_think_more=_can_think_more(solver, state),
        verified=solver.verifier is not None,
        scored=solver.scorer is not None,
        worth_usd_nanos=solver.worth_usd_nanos,
        votable=solver.expected(state).votable,
        runs_programs=embedded_python(),
        seed=solver.seed or 0,
    )


def _action(draw: Draw, history: list[Candidate], view: View) -> str:
    if draw.purpose == "correct":
        return "correct"
    elsewhere = draw.model not in ("", view.model(history).name)
    return "escalate" if elsewhere or draw.more_thought else "sample"


def _available(solver: Solver, state: SolverState, first: ThinkingPlan) -> list[Available]:
    least = {name: Spend.from_dict(amount) for name, amount in state.get("least", {}).items()}
    return [
        Available(name=name, facts=endpoint.dial.facts, least=least.get(name, Spend(calls=1)), price=endpoint.price)
        for name, endpoint in solver.named.items()
    ]


def _can_think_more(solver: Solver, state: SolverState) -> bool:
    if not state["plan"]:
        return True
    plan = ThinkingPlan.from_dict(state["plan"])
    facts = solver.endpoint(state).dial.facts
    return facts.above(plan.effort, solver.caps.max_effort) is not None or (facts.clamped and not plan.widened)
