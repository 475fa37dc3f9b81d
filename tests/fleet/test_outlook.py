"""The forecast of a fleet's end."""

from __future__ import annotations

import pytest

from rheostat.fleet import Counts, TaskResult
from rheostat.fleet.outlook import outlook, worst


def test_the_rest_is_taken_to_be_like_what_ended() -> None:
    counts = Counts(queued=80, running=10, done=9, failed=1, first_ms=0, last_ms=100_000, recent=10)
    ahead = outlook(counts, 2_000_000_000, 50_000_000_000, now_ms=100_000)
    assert ahead.tasks_per_second == pytest.approx(0.1)
    assert ahead.seconds_left == pytest.approx(900)
    assert ahead.usd_nanos == 20_000_000_000
    assert ahead.left_over == 0


def test_a_cap_that_is_too_small_is_foretold() -> None:
    counts = Counts(queued=90, done=10, first_ms=0, last_ms=100_000, recent=10)
    ahead = outlook(counts, 2_000_000_000, 12_000_000_000, now_ms=100_000)
    assert (ahead.usd_nanos, ahead.left_over) == (12_000_000_000, 40)
    assert ahead.seconds_left == pytest.approx(500)


def test_nothing_is_foretold_from_nothing() -> None:
    assert outlook(Counts(queued=3), 0, None, now_ms=1) == outlook(Counts(queued=3, running=2, first_ms=1), 5, 9, 2)


def test_the_worst_failed_or_cost_most() -> None:
    rows = [
        TaskResult(id="cheap", state="done", usd="0.01"),
        TaskResult(id="dear", state="done", usd="0.5"),
        TaskResult(id="waits", state="queued"),
        TaskResult(id="failed", state="failed", usd="0"),
    ]
    assert [each.id for each in worst(rows, 2)] == ["failed", "dear"]
