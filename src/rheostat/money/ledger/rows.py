"""The tables of accounts and reservations, which are the same in SQLite and in Postgres."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import orjson

from rheostat.money.budget import Budget
from rheostat.money.ledger.counts import spend_of
from rheostat.money.ledger.entry import Entry, Held
from rheostat.money.ledger.journal import Line
from rheostat.money.ledger.pace import Pace
from rheostat.money.ledger.protocol import Account
from rheostat.money.ledger.rate import Rate
from rheostat.money.ledger.window import Window

__all__ = [
    "ENTRY",
    "HELD",
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "Statement",
    "account_of",
    "budget_of",
    "entry_of",
    "held_of",
    "line_of",
    "packed",
    "rate_of",
    "row_of",
]

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL with `?` for each parameter, and the parameters."""

_FIRST = (
    """
    CREATE TABLE rheostat_accounts (
        id TEXT PRIMARY KEY,
        parent TEXT REFERENCES rheostat_accounts(id),
        budget TEXT,
        window_every TEXT,
        window_zone TEXT,
        opened_at_ms BIGINT NOT NULL,
        version BIGINT NOT NULL,
        state TEXT NOT NULL
    )""",
    """
    CREATE TABLE rheostat_reservations (
        id TEXT PRIMARY KEY,
        account TEXT NOT NULL REFERENCES rheostat_accounts(id),
        status TEXT NOT NULL,
        model TEXT NOT NULL,
        node TEXT NOT NULL,
        request_id TEXT NOT NULL,
        held_at_ms BIGINT NOT NULL,
        begun_at_ms BIGINT,
        closed_at_ms BIGINT,
        amount TEXT NOT NULL,
        actual TEXT
    )""",
    "CREATE INDEX rheostat_reservations_open ON rheostat_reservations (held_at_ms)"
    " WHERE status IN ('held', 'sent', 'unknown')",
)
_STEPS = (
    "CREATE TABLE rheostat_steps"
    " (id TEXT PRIMARY KEY, account TEXT NOT NULL, at_ms BIGINT NOT NULL, record TEXT NOT NULL)",
    "CREATE INDEX rheostat_steps_of ON rheostat_steps (account, at_ms)",
)
_USES = (
    "CREATE TABLE rheostat_uses"
    " (model TEXT NOT NULL, effort TEXT NOT NULL, purpose TEXT NOT NULL, bucket INTEGER NOT NULL,"
    " calls BIGINT NOT NULL, PRIMARY KEY (model, effort, purpose, bucket))",
)
_STANDING: tuple[str, ...] = ()
"""A new status (`standing`), and its total and the line in an account's state; older versions can't read these."""
_RATES: tuple[str, ...] = ()
"""A rate and what counts against it (`pace`) in an account's state; older versions can't read these."""
MIGRATIONS = (_FIRST, _STEPS, _USES, _STANDING, _RATES)
"""The statements that make each schema version from the one before; a database of an older Rheostat is migrated."""
SCHEMA_VERSION = len(MIGRATIONS)
ENTRY = "id, parent, budget, window_every, window_zone, opened_at_ms, version, state"
HELD = "id, account, status, model, node, request_id, held_at_ms, begun_at_ms, closed_at_ms, amount, actual"


@functools.lru_cache(maxsize=1000)
def budget_of(text: str) -> Budget:
    """The budget of a JSON text; cached, because parsing checks it, and most accounts share a few budgets."""
    return Budget.from_dict(orjson.loads(text))


def packed(data: Any) -> str:
    """Data as compact JSON."""
    try:
        return orjson.dumps(data).decode()
    except TypeError:  # half of a surrogate pair, which a model may say, can't be stored
        return json.dumps(data, ensure_ascii=False).encode(errors="replace").decode()


def entry_of(row: tuple[Any, ...]) -> Entry:
    """An account from the columns `ENTRY`."""
    name, parent, budget, every, zone, opened_at_ms, version, text = row
    state = orjson.loads(text)
    if "pace" in state:
        state["pace"] = Pace.from_dict(state["pace"])
    return Entry(
        id=name,
        budget=None if budget is None else budget_of(budget),
        parent=parent,
        window=None if every is None else Window(every, zone),
        opened_at_ms=opened_at_ms,
        version=version,
        **state,
    )


def rate_of(state: str) -> Rate | None:
    """The rate in an account's state."""
    pace = orjson.loads(state).get("pace")
    return None if pace is None else Pace.from_dict(pace).rate


def account_of(entry: Entry) -> Account:
    """An account as it was opened, with the limits that it has now."""
    return Account(entry.id, entry.budget, entry.parent, entry.window, entry.rate)


def held_of(row: tuple[Any, ...]) -> Held:
    """A reservation from the columns `HELD`."""
    name, account, status, model, node, request_id, held_at, begun_at, closed_at, amount, actual = row
    return Held(
        id=name,
        account=account,
        status=status,
        model=model,
        node=node,
        request_id=request_id,
        held_at_ms=held_at,
        begun_at_ms=begun_at,
        closed_at_ms=closed_at,
        amount=orjson.loads(amount),
        actual=None if actual is None else orjson.loads(actual),
    )


def row_of(held: Held) -> list[Any]:
    """The columns `HELD` of a reservation."""
    return [
        held.id, held.account, held.status, held.model, held.node, held.request_id, held.held_at_ms, held.begun_at_ms,
        held.closed_at_ms, packed(held.amount), None if held.actual is None else packed(held.actual),
    ]  # fmt: skip


def line_of(held: Held) -> Line:
    """A reservation as a line of the journal."""
    return Line(
        id=held.id,
        account=held.account,
        status=held.status,
        model=held.model,
        node=held.node,
        request_id=held.request_id,
        held_at_ms=held.held_at_ms,
        begun_at_ms=held.begun_at_ms,
        closed_at_ms=held.closed_at_ms,
        amount=spend_of(held.amount),
        actual=None if held.actual is None else spend_of(held.actual),
    )
