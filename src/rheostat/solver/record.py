"""The records of candidates and decisions, written beside those of the calls. They hold no text, unless the user says
`keep_text=True`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from rheostat.errors import LedgerError
from rheostat.evidence.candidate import Candidate
from rheostat.flow import Effect, Flow
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.money.usage import Spend
from rheostat.solver.shared import Solver
from rheostat.solver.state import SolverState
from rheostat.strategies import name_of

__all__ = ["groups_of", "record_decision"]

_KEPT = ("id", "number", "parent", "round", "way", "purpose", "status", "passed", "score")
_MOST_CHARS = 20_000
"""Of a question that is kept; routers look at no more."""
_COST = ("usd_nanos", "input_tokens", "output_tokens", "thinking_tokens", "calls")


def record_decision(
    solver: Solver,
    state: SolverState,
    account: str,
    candidates: Sequence[Candidate],
    decision: dict[str, Any],
    chosen: str | None,
    changed: Sequence[str] = (),
) -> Flow[None]:
    """Record a decision, the candidates of its round, and those of earlier rounds that it changed.

    The ids follow from the account and the candidate, so that a node that runs again replaces its records.

    Args:
        chosen: The id of the best candidate, before and after this decision; those between which it changed are
            recorded again.
        changed: The ids of other candidates that have changed, such as those that were scored again.
    """
    again = {*changed} if chosen == state.get("chosen") else {*changed, chosen, state.get("chosen")}
    if solver.ranks:  # a ranker compares all answers in every round
        again |= {each.id for each in candidates if each.scored}
    groups, now = groups_of(candidates), int(1000 * time.time())
    verified = solver.verifier is not None
    steps = [
        _candidate(state, account, each, groups.get(each.id), now, chosen=each.id == chosen, verified=verified)
        for each in candidates
        if each.round == state["round"] or each.id in again or state["round"] <= 1  # the probes precede round 1
    ]
    steps.append(_decision(solver, state, account, decision, chosen, now))
    ledger = solver.meter.ledger

    def do() -> None:
        for step in steps:
            ledger.record(step)

    async def ado() -> None:
        for step in steps:
            await ledger.arecord(step)

    with contextlib.suppress(LedgerError):  # a lost record mustn't cost the run
        yield Effect(do, ado)


def groups_of(candidates: Sequence[Candidate]) -> dict[str, int]:
    """A short number for each different answer, in the order of appearance, by the ids of the candidates."""
    numbers: dict[str, int] = {}
    answered = [each for each in candidates if each.answer is not None]
    return {each.id: numbers.setdefault(each.key or each.id, len(numbers)) for each in answered}


def _candidate(
    state: SolverState, account: str, each: Candidate, group: int | None, now: int, *, chosen: bool, verified: bool
) -> StepRecord:
    return StepRecord(
        id=f"{account}#{each.id}",
        account=account,
        node=CANDIDATE,
        model=each.model,
        kind=state["difficulty"]["kind"],
        difficulty=state["difficulty"]["score"],
        effort_planned=each.effort.value,
        purpose=each.purpose,
        error=each.error.partition(":")[0] if each.error else "",  # the kind: the rest may quote anything
        candidate={
            **{name: getattr(each, name) for name in _KEPT},
            "scores": dict(each.scores),
            "chosen": chosen,
            "verified": verified,
            "group": group,
            "cost": _cost(each.spend),
            "scoring": _cost(each.scoring),
        },
        at_ms=now,
        milliseconds=each.spend.milliseconds,
    )


def _cost(spend: Spend) -> dict[str, int | None]:
    return {name: getattr(spend, name) for name in _COST}


def _decision(
    solver: Solver, state: SolverState, account: str, decision: dict[str, Any], chosen: str | None, now: int
) -> StepRecord:
    name = "end" if decision["action"] in ("accept", "stop") else f"d{state['round']}"
    return StepRecord(
        id=f"{account}#{name}",
        account=account,
        node=DECISION,
        reasons=(decision["why"],),
        candidate={
            "round": state["round"],
            "action": decision["action"],
            "chosen": chosen,
            "strategy": name_of(solver.strategy),
            "scorer": solver.scorer.name if solver.scorer is not None else None,
            "baselines": decision.get("baselines"),
            **({"question": state["question"][:_MOST_CHARS]} if solver.keep_text and name == "end" else {}),
        },
        at_ms=now,
    )
