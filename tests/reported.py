"""Ledgers with a past, for tests of reports."""

from __future__ import annotations

import itertools
from typing import Any

from rheostat import Account, Budget, Ledger
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.money.usage import Spend

HOLD = Spend(usd_nanos=9_000, input_tokens=90, output_tokens=900, thinking_tokens=800, calls=1)
ACTUAL = Spend(usd_nanos=1_200, input_tokens=40, output_tokens=210, thinking_tokens=150, calls=1, milliseconds=80)
_numbers = itertools.count()


def call(
    ledger: Ledger, account: str, *, end: str = "settled", planned: bool = True, actual: Spend = ACTUAL, **record: Any
) -> str:
    """One call that was held and, unless `end` says another thing, settled; returns its reservation."""
    note = {"model": record.get("model", "small"), "node": record.get("node", "call")}
    [reservation] = ledger.hold(account, [HOLD], note)
    name = reservation.id
    if end != "held":
        ledger.begin(name)
    if end == "settled":
        ledger.settle(name, actual, f"req_{name[:6]}")
    elif end == "unknown":
        ledger.mark_unknown(name, Spend(usd_nanos=5_000, input_tokens=50, output_tokens=300, calls=1))
    elif end == "void":
        ledger.void(name)
    if planned:
        spend = actual.to_dict() if end == "settled" else None
        request = {"reservation": name, "request_id": "", "model": note["model"], "spend": spend}
        step = {
            "id": f"step-{next(_numbers)}", "account": account, "requests": (request,), "effort_asked": "balanced",
            "effort_planned": "low", "effort_seen": "low", "thinking_tokens": 800, "decided_by": "policy",
            "stop": "end", "reasons": ("difficulty 0.10",), "at_ms": 1_700_000_000_000 + 100 * next(_numbers),
            **note, **record,
        }  # fmt: skip
        ledger.record(StepRecord(**step))
    return name


def sample(ledger: Ledger, account: str, name: str, **candidate: Any) -> None:
    """The record of a candidate."""
    given = {
        "id": name, "number": 0, "parent": None, "round": 1, "way": "plain", "purpose": "solve", "status": "done",
        "passed": None, "score": None, "scores": {}, "chosen": False, "group": 0, "cost": ACTUAL.to_dict(),
        "scoring": Spend().to_dict(), "verified": True, **candidate,
    }  # fmt: skip
    record = StepRecord(
        id=f"{account}#{name}", account=account, node=CANDIDATE, model="small", kind="maths", difficulty=0.4,
        effort_planned="low", candidate=given, at_ms=1_700_000_000_000,
    )  # fmt: skip
    ledger.record(record)


def decision(ledger: Ledger, account: str, action: str, *reasons: str, **candidate: Any) -> None:
    """The record of a decision."""
    given = {"round": 1, "action": action, "chosen": None, "strategy": "auto", "scorer": None, **candidate}
    ledger.record(
        StepRecord(
            id=f"{account}#{action}{next(_numbers)}",
            account=account,
            node=DECISION,
            reasons=reasons,
            candidate=given,
            at_ms=1_700_000_000_500,
        )
    )


def team(ledger: Ledger) -> None:
    """Two users of a team: one with a solver's run of three candidates, one with an agent's run."""
    ledger.open(Account("team", Budget(usd="1", seconds=3600)))
    for user, thread in (("user/ada", "thread/a"), ("user/ben", "thread/b")):
        ledger.open(Account(user, Budget(tokens=50_000), "team"))
        ledger.open(Account(thread, parent=user))
        ledger.open(Account(f"{thread}/run", Budget(calls=9), thread))
    solver, agent = "thread/a/run", "thread/b/run"
    for name, parent, passed in (("r1s0", None, False), ("r1s1", None, False), ("r2s0", "r1s0", True)):
        call(ledger, solver, candidate={"id": name, "parent": parent, "way": "plain"}, kind="maths", difficulty=0.4)
        sample(
            ledger,
            solver,
            name,
            parent=parent,
            passed=passed,
            chosen=passed,
            number=int(name[1]) * 2,
            group=int(name[1]),
        )
    decision(ledger, solver, "correct", "worth its price")
    beside = [{"name": "best fixed", "arm": "small · low", "chance": 0.8, "cost": 9_000.0, "unit": "usd"}]
    decision(
        ledger, solver, "accept", "the verifier passed it", round=2, chosen="r2s0", baselines=beside, question="Why?"
    )
    call(ledger, agent, node="model", model="large", starved=True, stop="length")
    call(ledger, agent, node="model", model="large", end="unknown", error="APITimeoutError")
    call(ledger, agent, node="router", planned=False)
    call(ledger, agent, node="model", model="large", end="held")
