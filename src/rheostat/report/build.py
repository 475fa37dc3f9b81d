"""From a ledger to a report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from rheostat.judgement.baselines import compared
from rheostat.money.ledger import Account, MemoryLedger, Reading
from rheostat.money.ledger.durable import DurableLedger
from rheostat.money.ledger.meant import meant, parents_of
from rheostat.money.usage import Spend
from rheostat.report.calls import points_of, steps_of
from rheostat.report.data import AccountRow, Limit, Named, Report, Step, Totals
from rheostat.report.redact import redacted
from rheostat.report.trees import runs_of

__all__ = ["build_report"]

ReadableLedger: TypeAlias = MemoryLedger | DurableLedger


def build_report(ledger: ReadableLedger, what: str, redact: bool = False, *, address: str = "LEDGER") -> Report:
    """Tell what a run, a thread, or an account and all beneath it did, from the ledger alone.

    Args:
        ledger: It is only read. A memory ledger keeps no journal lines of closed calls: there, calls without a plan (a
            judge's, say) are in the totals only.
        what: A run's account; a thread or an account above it, for all of its runs; or the beginning of one.
        redact: Names of accounts and models, reasons and all other text that isn't Rheostat's own vocabulary become
            short pseudonyms; a question that was kept is left out. An account has the same pseudonym in every report of
            a ledger.
        address: The ledger's address, for messages.

    Raises:
        BadInput: Nothing in the ledger is meant by `what`.
        LedgerError: The ledger can't be read.
    """
    records = ledger.steps()
    known = {account.id: (account, reading) for account, reading in ledger.accounts()}
    parents = parents_of(account for account, _ in known.values())
    inside = meant(what, dict.fromkeys((*known, *(each.account for each in records))), parents, ledger=address)
    records = [each for each in records if each.account in inside]
    steps = steps_of(records, (line for line in ledger.journal() if line.account in inside))
    rows = _rows({name: known[name] for name in inside if name in known})
    strangers = [step for step in steps if step.account not in known]
    tops = [known[row.account][1] for row in rows if row.depth == 0]
    totals = sum((row.totals for row in rows if row.depth == 0), _totals_of(strangers))
    told = sum((step.charge for step in steps), Spend())
    about = _about(rows)
    compared_runs = compared(records).get("all")
    report = Report(
        what=what,
        made_at_ms=int(1000 * time.time()),
        redacted=redact,
        kept_whole=(told.tokens, told.calls) == (totals.charged.tokens, totals.charged.calls),
        totals=totals,
        limits=about.limits if about else (),
        window=about.window if about else "",
        accounts=rows,
        models=_named(tops, "by_model", strangers, "model"),
        nodes=_named(tops, "by_node", strangers, "node"),
        steps=steps,
        runs=runs_of(records),
        points=points_of(steps, totals.charged),
        beside=tuple(compared_runs.beside()) if compared_runs else (),
    )
    if not redact:
        return report
    return redacted(report, [(name, _kind(known[name][0])) for name in _in_order_of_opening(known)])


def _in_order_of_opening(known: Mapping[str, tuple[Account, Reading]]) -> list[str]:
    return sorted(known, key=lambda name: (known[name][1].get("opened_at", 0), name))


def _rows(found: Mapping[str, tuple[Account, Reading]]) -> tuple[AccountRow, ...]:
    """The accounts, each below its parent, the oldest first."""
    beneath: dict[str | None, list[str]] = {}
    for name in _in_order_of_opening(found):
        parent = found[name][0].parent
        beneath.setdefault(parent if parent in found else None, []).append(name)
    rows: list[AccountRow] = []
    stack = [(0, name) for name in reversed(beneath.get(None, []))]
    while stack:
        depth, name = stack.pop()
        account, reading = found[name]
        totals = _totals(reading)
        rows.append(
            AccountRow(
                account=name,
                kind=_kind(account),
                depth=depth,
                above=account.parent or "",
                totals=totals,
                limits=_limits(account, totals, reading),
                window=account.window.every if account.window else "",
            )
        )
        stack += [(depth + 1, child) for child in reversed(beneath.get(name, []))]
    return tuple(rows)


def _kind(account: Account) -> Literal["account", "thread", "run"]:
    """By the names that threads and runs give their accounts: `thread/ID`, `thread/ID/RUN`, `run/ID`, `run/ID/RUN`."""
    above, found, rest = account.id.partition("/")
    if not found or above not in ("thread", "run"):
        return "account"
    below_thread = account.parent is not None and account.id.startswith(f"{account.parent}/")
    return "run" if below_thread or (above == "run" and "/" not in rest) else "thread"


def _totals(reading: Reading) -> Totals:
    def part(prefix: str) -> Spend:
        return Spend(**{name: reading[f"{prefix}{name}"] for name in Spend().to_dict()})

    return Totals(
        settled=part(""), held=part("held_"), unknown=part("unknown_"), overrun_usd_nanos=reading["overrun_usd_nanos"]
    )


def _totals_of(steps: Sequence[Step]) -> Totals:
    """The totals of calls whose account the ledger doesn't know, as after an eviction."""

    def part(state: str) -> Spend:
        charges = (each.charge for step in steps for each in step.requests if each.state == state)
        return sum(charges, Spend())

    return Totals(settled=part("settled"), held=part("in flight"), unknown=part("unknown"))


def _limits(account: Account, totals: Totals, reading: Reading) -> tuple[Limit, ...]:
    budget, charged = account.budget, totals.charged
    if budget is None:
        return ()
    if account.window is not None:  # a reading counts from the opening on
        return tuple(Limit(name=name, most=most, used=None) for name, most in budget.limits.items())
    made = [Limit(name=name, most=most, used=getattr(charged, name)) for name, most in budget.limits.items()]
    if budget.seconds is not None:
        made.append(Limit(name="seconds", most=budget.seconds, used=reading["elapsed_milliseconds"] / 1000))
    return tuple(made)


def _about(rows: Sequence[AccountRow]) -> AccountRow | None:
    """The account whose limits the report is about: the only one at the top, or the only one that has limits."""
    tops = [row for row in rows if row.depth == 0]
    limited = [row for row in rows if row.limits]
    if len(tops) == 1 and tops[0].limits:
        return tops[0]
    return limited[0] if len(tops) == 1 and len(limited) == 1 else None


def _named(readings: Sequence[Reading], by: str, strangers: Sequence[Step], name: str) -> tuple[Named, ...]:
    """The settled spend by model or node, the largest first."""
    found: dict[str, Spend] = {}
    for reading in readings:
        rows: dict[str, Any] = reading[by]
        for each, spend in rows.items():
            found[each] = found.get(each, Spend()) + Spend.from_dict(spend)
    for step in strangers:
        for request in step.requests:
            if request.state == "settled":
                each = request.model if name == "model" else step.node
                found[each] = found.get(each, Spend()) + request.charge
    ranked = sorted(found.items(), key=lambda item: (-(item[1].usd_nanos or 0), -item[1].tokens, item[0]))
    return tuple(Named(name=each, spend=spend) for each, spend in ranked)
