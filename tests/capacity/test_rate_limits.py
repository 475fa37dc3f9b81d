"""A provider's limits: against cases that can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.capacity import RateLimits, Traffic, assumed, serve_hosted
from rheostat.capacity.hosted import queue
from rheostat.errors import BadInput
from small_tables import demand

ONE = Traffic(users=3600, per_hour=1)
"""One task a second."""


@pytest.mark.parametrize("load", [0.4, 0.8])
def test_a_bucket_of_one_call_is_an_m_d_1_queue(load: float) -> None:
    service = 0.5
    arrivals = np.cumsum(np.random.default_rng(1).exponential(service / load, 60_000))
    leaves = queue(arrivals, [(np.ones(len(arrivals)), 1.0, 1 / service)])
    assert (leaves - arrivals).mean() == pytest.approx(load * service / 2 / (1 - load), rel=0.06)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(1, 40)), min_size=1, max_size=40))
def test_no_window_gets_more_than_bucket_and_inflow(calls: list[tuple[float, float]]) -> None:
    arrivals, takes = (np.array(each) for each in zip(*sorted(calls), strict=True))
    leaves = queue(arrivals, [(takes, 40.0, 2.0)])
    assert (leaves >= arrivals - 1e-9).all()
    assert (np.diff(leaves) >= -1e-9).all()
    for first in range(len(leaves)):
        for last in range(first, len(leaves)):
            assert takes[first : last + 1].sum() <= 40 + 2 * (leaves[last] - leaves[first]) + 1e-6


def test_a_cap_of_64k_needs_3_9_million_tokens_a_minute_whatever_is_used() -> None:
    high = assumed("high", mean_tokens=8000, p99_tokens=60_000, input_tokens=1)
    up_front = RateLimits.from_text("otpm=5M,counts_max_tokens=yes")
    found = serve_hosted(high, up_front, ONE, clamp_tokens=65_536)
    assert found.asked_per_minute["otpm"] == 60 * 65_536
    assert found.used == {"otpm": pytest.approx(0.786, abs=0.001)}
    used = serve_hosted(high, RateLimits(otpm=5e6), ONE)
    assert used.asked_per_minute["otpm"] == pytest.approx(480_000, rel=0.05)
    assert used.most_users > 7 * found.most_users


def test_what_binds_and_how_many_fit() -> None:
    found = serve_hosted(demand([(0, 0, 100, 50)]), RateLimits(rpm=600, tpm=18_000), ONE)
    assert (found.binds, found.used) == ("tpm", {"rpm": 0.1, "tpm": 0.5})
    assert found.most_users == pytest.approx(7200)
    assert found.wait_seconds is not None
    assert found.wait_seconds[95] == 0


def test_too_many_users_wait_without_end() -> None:
    found = serve_hosted(demand(), RateLimits(rpm=30), ONE)
    assert (found.wait_seconds, found.delayed, found.binds) == (None, 1.0, "rpm")
    assert found.most_users == pytest.approx(1800)


def test_caps_of_each_call_count_and_cut() -> None:
    calls = demand([(0, 0, 10, 50), (1, 0, 10, 300)], clamp_tokens=np.array([100, 200]))
    found = serve_hosted(calls, RateLimits(otpm=100_000, counts_max_tokens=True), ONE)
    assert found.asked_per_minute["otpm"] == 60 * 150
    assert found.clamp_tokens == 150
    assert found.cut == 0.5
    assert serve_hosted(calls, RateLimits(otpm=100_000), ONE).asked_per_minute["otpm"] == 60 * 125


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one limit"),
        ("rps=5", "one of rpm, tpm, itpm, otpm, counts_max_tokens; not 'rps=5'"),
        ("rpm", "not 'rpm'"),
        ("rpm=x", "rpm is a number such as 500, 200k or 2M, not 'x'"),
        ("rpm=-5", "rpm is a number above 0"),
        ("rpm=nan", "rpm is a number above 0"),
        ("rpm=5,counts_max_tokens=maybe", "counts_max_tokens is"),
        ("counts_max_tokens=yes", "at least one limit"),
    ],
)
def test_limits_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        RateLimits.from_text(text)
    assert RateLimits.from_text("rpm=500, tpm=2M, itpm=30k") == RateLimits(rpm=500, tpm=2e6, itpm=3e4)


def test_calls_that_would_never_leave() -> None:
    with pytest.raises(BadInput, match=r"a call counts 150 against tpm=100, a whole minute's worth"):
        serve_hosted(demand([(0, 0, 100, 50)]), RateLimits(tpm=100), ONE)
    with pytest.raises(BadInput, match=r"100% of the calls have none on record: give --clamp"):
        serve_hosted(demand(), RateLimits(tpm=100, counts_max_tokens=True), ONE)
