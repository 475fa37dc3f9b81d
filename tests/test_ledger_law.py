"""Random histories drive every ledger, with a model of the truth beside it: overspent = lost = counted twice = 0.

2,000 histories of 100 steps; `make soak` does ten thousand on every ledger, or `HISTORIES=…` as many as you like.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from postgres_server import PostgresServer
from rheostat.testing import ledger_machine
from stores import MemoryStore, PostgresStore, SQLiteStore

STEPS = 100
HISTORIES = int(os.environ.get("RHEOSTAT_HISTORIES", "0"))


def histories(number: int) -> settings:
    return settings(
        max_examples=HISTORIES or number, stateful_step_count=STEPS, deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


@pytest.mark.no_cover  # it would take three times as long
@pytest.mark.timeout(0)
def test_the_memory_ledger_keeps_the_law() -> None:
    run_state_machine_as_test(ledger_machine(MemoryStore), settings=histories(1500))


@pytest.mark.no_cover  # it would take three times as long
@pytest.mark.timeout(0)
def test_the_sqlite_ledger_keeps_the_law() -> None:
    run_state_machine_as_test(ledger_machine(SQLiteStore), settings=histories(400))


@pytest.mark.no_cover  # it would take three times as long
@pytest.mark.timeout(0)
def test_the_postgres_ledger_keeps_the_law(postgres: PostgresServer) -> None:
    run_state_machine_as_test(ledger_machine(lambda: PostgresStore(postgres)), settings=histories(100))
