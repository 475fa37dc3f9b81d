"""Random histories drive every ledger, with a model of the truth beside it: overspent = lost = counted twice = 0.

550 histories of 100 steps; `make soak` does ten thousand on every ledger, or `HISTORIES=…` as many as you like.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from postgres_server import PostgresServer
from rheostat import MemoryLedger
from rheostat.money.ledger import entry, law, pace
from rheostat.money.ledger import postgres as postgres_ledger
from rheostat.testing import ledger_machine
from stores import MemoryStore, PostgresStore, SQLiteStore

STEPS = 100
HISTORIES = int(os.environ.get("RHEOSTAT_HISTORIES", "0"))


def histories(number: int) -> settings:
    return settings(
        max_examples=HISTORIES or number,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.no_cover  # it would take three times as long
@pytest.mark.timeout(0)
def test_the_memory_ledger_keeps_the_law() -> None:
    run_state_machine_as_test(ledger_machine(MemoryStore), settings=histories(350))


@pytest.mark.no_cover  # it would take three times as long
@pytest.mark.timeout(0)
def test_the_sqlite_ledger_keeps_the_law() -> None:
    run_state_machine_as_test(ledger_machine(SQLiteStore), settings=histories(130))


@pytest.mark.no_cover  # it would take three times as long
@pytest.mark.timeout(0)
def test_the_postgres_ledger_keeps_the_law(postgres: PostgresServer) -> None:
    run_state_machine_as_test(ledger_machine(lambda: PostgresStore(postgres)), settings=histories(70))


def _twice(settle: Any) -> Any:
    def mutant(book: law.Book, reservation: str, spend: Any, request_id: str) -> Any:
        held = book.reservations.get(reservation)
        posted = settle(book, reservation, spend, request_id)
        if held is not None:
            held.status = "held"
        return posted

    return mutant


def _trusting(keep: Any) -> Any:
    def mutant(memory: Any, page: Any) -> None:
        for name, version in page.versions.items():
            if name in memory._accounts:
                memory._accounts[name].version = version
        keep(memory, page)

    return mutant


def _unbounded(mark_unknown: Any) -> Any:
    def mutant(book: Any, name: str, estimate: Any = None) -> bool:
        held = book.reservations.get(name)
        if estimate is not None and held is not None:
            amount, held.amount = held.amount, [10**9] * len(held.amount)
            try:
                return bool(mark_unknown(book, name, estimate))
            finally:
                held.amount = amount
        return bool(mark_unknown(book, name, estimate))

    return mutant


def _forgotten(mark_unknown: Any) -> Any:
    return lambda book, name, estimate=None: mark_unknown(book, name, None if estimate is None else [0] * len(estimate))


MUTANTS: dict[str, tuple[Any, str, Callable[[Any], Any], Any]] = {
    "what is lost is given back": (
        law.Book, "mark_unknown", lambda _: lambda book, name, estimate=None: book.void(name), MemoryStore
    ),
    "a request may leave twice": (
        law.Book, "begin", lambda _: lambda book, name, ticket=None: name in book.reservations, MemoryStore
    ),
    "everything fits": (entry.Entry, "shortage", lambda _: lambda account, asked: None, MemoryStore),
    "parents don't bind": (
        law.Book, "chain", lambda chain: lambda book, name: iter([next(iter(chain(book, name)))]), MemoryStore
    ),
    "a window never ends": (entry.Entry, "counts_in_window", lambda _: lambda account, held: True, SQLiteStore),
    "settling again counts": (law.Book, "settle", _twice, SQLiteStore),
    "what was sent is given back when its holder dies": (
        law.Book, "expire", lambda _: lambda book, name: (book.void(name), "void")[1], MemoryStore
    ),
    "what is remembered is believed, whoever wrote since": (
        postgres_ledger._Memory, "keep", _trusting, PostgresStore
    ),
    "models aren't counted": (law, "tally", lambda _: lambda *_: None, MemoryStore),
    "an estimate above the hold is believed": (law.Book, "mark_unknown", _unbounded, MemoryStore),
    "an estimate is charged nowhere": (law.Book, "mark_unknown", _forgotten, SQLiteStore),
    "what is admitted hasn't left": (
        MemoryLedger, "admit", lambda _: lambda ledger, account, amount, note=None, ticket=None: (
            ledger.hold(account, [amount], note)[0], ledger.room(account)), MemoryStore
    ),
    "a standing hold grows for nothing": (
        law.Book, "resize", lambda resize: lambda book, name, account, amount, note: resize(
            book, name, account, [min(had, new) for had, new in zip(
                book.reservations[name].amount, amount, strict=True)] if name in book.reservations else amount, note
        ), MemoryStore
    ),
    "what is drawn is held twice": (
        law.Book, "draw", lambda _: lambda book, standing, ids, account, amounts, note: book.hold(
            ids, account, amounts, note), SQLiteStore
    ),
    "newcomers overtake": (law.Book, "_check_line", lambda _: lambda book, chain, ticket, asked: None, MemoryStore),
    "a rate binds nothing": (law, "check_rates", lambda _: lambda chain, asked, ticket, wall_ms: None, MemoryStore),
    "what has ended no longer counts": (pace.Pace, "_post", lambda _: lambda rate, amount, now_ms: None, SQLiteStore),
    "what has ended counts for a moment": (pace.Pace, "_kept_ms", lambda _: property(lambda rate: 0), MemoryStore),
    "what is in flight doesn't count": (pace.Pace, "in_flight", lambda _: lambda rate, number: 0, MemoryStore),
    "late news counts again": (
        pace.Pace, "ended", lambda ended: lambda rate, hold, cost, now_ms, had_left, assumed=None: ended(
            rate, hold, cost, now_ms, had_left=had_left), MemoryStore
    ),
    "all that is held comes back": (
        law, "refusal", lambda refusal: lambda entry, asking, short, queued=False: _patient(
            refusal(entry, asking, short, queued=queued)), MemoryStore
    ),
}  # fmt: skip


def _patient(error: Any) -> Any:
    error.coming, error.standing = error.coming + error.standing, 0
    return error


@pytest.mark.no_cover
@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_notices_a_broken_law(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Without this, a machine whose histories never come to the point would look like a proof."""
    where, attribute, mutant, store = MUTANTS[name]
    if store is PostgresStore:
        server = request.getfixturevalue("postgres")
        store = functools.partial(PostgresStore, server)
    monkeypatch.setattr(where, attribute, mutant(getattr(where, attribute)))
    quick = settings(histories(3000), phases=[Phase.generate], database=None, derandomize=True)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(ledger_machine(store), settings=quick)
