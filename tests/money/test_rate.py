"""Rates: never more than the limit in any sliding minute, whenever the provider counts; and all are served in turn."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import in_loop
from rheostat import (
    Account,
    BadInput,
    Budget,
    BudgetExceeded,
    LedgerError,
    LimitWarning,
    MemoryLedger,
    Meter,
    Rate,
    Reading,
    Room,
    Spend,
    SQLiteLedger,
)
from rheostat.flow import Effect, adrive, drive
from rheostat.money.ledger import Ledger, RateSeen, open_ledger, patience, rows
from rheostat.money.ledger.line import line_of
from rheostat.money.ledger.pace import Pace
from rheostat.money.ledger.patience import patiently
from stores import MemoryStore, SQLiteStore
from waiting import wait_for, waiting

HISTORIES = int(os.environ.get("RHEOSTAT_HISTORIES", "0")) or 150
ONE = Spend(input_tokens=100, output_tokens=200, calls=1)
USED = Spend(input_tokens=100, output_tokens=20, calls=1)


class Clock:
    """Time as a test sets it."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


def paced(rate: Rate, clock: Callable[[], float] = time.monotonic) -> MemoryLedger:
    ledger = MemoryLedger(clock=clock, wall=clock)
    ledger.open(Account("key", rate=rate))
    ledger.open(Account("fleet", Budget(tokens=10**9), "key"))
    return ledger


def sent(ledger: Ledger, amount: Spend = ONE, account: str = "fleet") -> str:
    """The id of a reservation that was admitted."""
    return ledger.admit(account, amount)[0].id


def refusal(ledger: Ledger, amount: Spend = ONE, account: str = "fleet") -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as refused:
        ledger.admit(account, amount)
    return refused.value


# --- what a rate is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({}, "a rate needs at least one limit: rpm, tpm"),
        ({"rpm": 0}, "rpm must be above zero and at most 1,000,000,000,000,000, not 0"),
        ({"tpm": -5}, "tpm must be above zero"),
        ({"tpm": 1.5}, "tpm must be a whole number, not 1.5; for example Rate\\(tpm=1000\\)"),
        ({"rpm": True}, "rpm must be a whole number, not True"),
        ({"rpm": 1, "counts_max_tokens": "yes"}, "counts_max_tokens is True or False, not 'yes'"),
        ({"rpm": 1, "period_seconds": float("nan")}, "period_seconds is 60"),
    ],
)
def test_a_rate_is_checked(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Rate(**given_)
    with pytest.raises(BadInput, match=r"account 'a': rate is a Rate, such as Rate\(rpm=50"):
        Account("a", rate={"rpm": 1})  # type: ignore[arg-type]  # the point


@given(
    limits=st.fixed_dictionaries(
        {"rpm": st.integers(1, 10**6)}, optional={"tpm": st.integers(1, 10**9), "counts_max_tokens": st.booleans()}
    )
)
def test_a_rate_comes_back_from_plain_data(limits: dict[str, Any]) -> None:
    rate = Rate(**limits)
    assert Rate(**json.loads(json.dumps(rate.to_dict()))) == rate
    assert f"{rate.rpm:,} requests" in str(rate)


def test_only_what_was_sent_counts() -> None:
    """What is held or standing waits for its turn; a void gives back, a 4xx counts one request."""
    clock = Clock()
    ledger = paced(Rate(rpm=2, tpm=700), clock)
    ledger.resize("fleet", "last word", ONE)
    held = ledger.hold("fleet", [ONE] * 4)
    assert ledger.reading("key")["rate"]["requests"] == {"limit": 2, "in_flight": 0, "used": 0}
    assert ledger.begin(held[0].id)
    assert ledger.begin(held[1].id)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.begin(held[2].id)
    assert refused.value.rate
    assert refused.value.waits
    assert refused.value.ready_in_seconds is None, "it depends on what is in flight"
    assert "requests a minute: asked 1, left 0 of 2 (in flight 2)" in str(refused.value)
    ledger.void(held[0].id)
    assert ledger.begin(held[2].id), "it was never seen"
    ledger.settle(held[2].id, Spend(calls=1))
    ledger.settle(held[1].id, USED)
    assert ledger.reading("key")["rate"]["tokens"] == {"limit": 700, "in_flight": 0, "used": 120}
    again = refusal(ledger)
    assert again.ready_in_seconds == pytest.approx(61, abs=1.2)
    assert again.ready_at_ms == int((clock.now + (again.ready_in_seconds or 0)) * 1000)
    clock.now += again.ready_in_seconds or 0
    assert ledger.begin(held[3].id)
    assert ledger.room("fleet") == Room(tokens=10**9 - 300 - 300 - 120, call_tokens=700, call_requests=2), (
        "a rate is no part of the room"
    )


def test_when_it_is_ready_is_exact() -> None:
    clock = Clock()
    ledger = paced(Rate(tpm=1_000), clock)
    for _ in range(8):
        ledger.settle(sent(ledger, Spend(output_tokens=100, calls=1)), Spend(output_tokens=100, calls=1))
        clock.now += 3
    wants = Spend(output_tokens=500, calls=1)
    ready = refusal(ledger, wants).ready_in_seconds
    assert ready is not None
    clock.now += ready - 0.01
    assert refusal(ledger, wants).ready_in_seconds == pytest.approx(0.01, abs=0.002)
    clock.now += 0.01
    assert sent(ledger, wants)


def test_what_can_never_leave_is_refused_at_once() -> None:
    """Also when it is only held: nothing would be gained by waiting."""
    ledger = paced(Rate(output_tpm=500))
    large = Spend(output_tokens=501, calls=1)
    for verb in (lambda: ledger.hold("fleet", [ONE, large]), lambda: ledger.admit("fleet", large)):
        with pytest.raises(BudgetExceeded, match="set a smaller max_tokens") as refused:
            verb()
        assert not refused.value.waits
        assert refused.value.limit == "output tokens a minute"
    assert ledger.reading("fleet")["held_calls"] == 0
    room = ledger.room("fleet", patient=True)
    assert (room.paced, room.call_output_tokens) == (True, 500)
    assert room.sends([ONE, ONE, ONE])
    assert not room.sends([ONE, large])
    assert not room.minus(ONE).within(Room(tokens=5)).keeping(Budget(tokens=1)).shared(2).sends([large])


def test_cached_input_counts_until_it_is_known_to_be_cached() -> None:
    ledger = paced(Rate(input_tpm=1_000, tpm=5_000))
    one = sent(ledger, Spend(input_tokens=900, output_tokens=10, calls=1))
    assert refusal(ledger, Spend(input_tokens=200, calls=1)).limit == "input tokens a minute"
    ledger.settle(one, Spend(input_tokens=900, cached_input_tokens=800, output_tokens=5, calls=1))
    rate = ledger.reading("key")["rate"]
    assert (rate["input_tokens"]["used"], rate["tokens"]["used"]) == (100, 905)
    assert sent(ledger, Spend(input_tokens=800, calls=1))


def test_where_max_tokens_count_nothing_is_given_back() -> None:
    clock = Clock()
    ledger = paced(Rate(rpm=3, tpm=700, counts_max_tokens=True), clock)
    one, two = sent(ledger), sent(ledger)
    ledger.settle(one, Spend(input_tokens=1, output_tokens=1, calls=1))
    ledger.void(two)
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 300, "only what never left comes back"
    long = sent(ledger)
    assert refusal(ledger).ready_in_seconds == pytest.approx(65, abs=2)
    clock.now += 67
    assert sent(ledger), "it is still in flight, but was counted when it came"
    ledger.settle(long, Spend(input_tokens=100, output_tokens=150, calls=1))
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 300


def test_an_unknown_cost_counts_for_a_minute_and_late_news_only_beyond_it() -> None:
    clock = Clock()
    ledger = paced(Rate(tpm=1_000), clock)
    one, two = sent(ledger), sent(ledger)
    ledger.mark_unknown(one, Spend(input_tokens=100, output_tokens=50, calls=1))
    clock.now += 4_000
    assert ledger.expire(3_600) == 1, "the holder of the other one was killed"
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 300
    ledger.settle(one, Spend(input_tokens=100, output_tokens=60, calls=1))
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 310
    ledger.settle(two, USED)
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 310
    clock.now += 63
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 0


@pytest.mark.parametrize("make", [MemoryStore, SQLiteStore])
def test_a_clock_that_jumps_back_gives_nothing_back(make: Any) -> None:
    clock, store = Clock(), make()
    ledger = store.start(clock)
    ledger.open(Account("key", rate=Rate(rpm=1)))
    ledger.settle(sent(ledger, account="key"), USED)
    clock.now -= 7_200
    ready = refusal(ledger, account="key").ready_in_seconds
    assert ready == pytest.approx(61, abs=1.2)
    ledger.line_up("key", "t", 5, rate=True)  # as one that waits does
    clock.now += ready or 0
    ledger.line_up("key", "t", 0, rate=True)
    assert sent(ledger, account="key"), "and it doesn't stop for two hours either"
    store.stop()


def test_a_rate_can_be_amended_while_requests_are_in_flight() -> None:
    clock = Clock()
    ledger = paced(Rate(rpm=2), clock)
    one, two = sent(ledger), sent(ledger)
    ledger.amend("key", rate=Rate(rpm=3))
    three = sent(ledger)
    for law in (True, False, True, False):
        ledger.amend("key", rate=Rate(rpm=3, counts_max_tokens=law))
        assert refusal(ledger).limit == "requests a minute"
    for each in (one, two, three):
        ledger.settle(each, USED)
    assert ledger.reading("key")["rate"]["requests"]["in_flight"] == 0
    clock.now += 130
    last = sent(ledger)
    with pytest.raises(LedgerError, match="account 'fleet' has requests in flight that its first rate couldn't count"):
        ledger.amend("fleet", rate=Rate(rpm=1))
    ledger.settle(last, USED)
    ledger.amend("fleet", Budget(tokens=5), rate=Rate(rpm=1))
    assert refusal(ledger).limit == "tokens", "both at one account"


def test_an_account_that_is_opened_again_keeps_its_rate(tmp_path: Path) -> None:
    for ledger in (MemoryLedger(), SQLiteLedger(tmp_path / "ledger.db")):
        ledger.open(Account("key", rate=Rate(rpm=2)))
        ledger.open(Account("key", rate=Rate(rpm=2)))
        with pytest.warns(LimitWarning, match="keeps its limits \\(2 requests a minute\\), not 3 requests a minute"):
            ledger.open(Account("key", rate=Rate(rpm=3)))
        [(account, _)] = ledger.accounts()
        assert account == Account("key", rate=Rate(rpm=2))


def test_an_old_ledger_opens_and_a_new_one_is_refused_by_an_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rheostat.money.ledger import sqlite

    before = len(rows.MIGRATIONS) - 1
    with monkeypatch.context() as old:
        old.setattr(sqlite, "SCHEMA_VERSION", before)
        old.setattr(sqlite, "MIGRATIONS", rows.MIGRATIONS[:before])
        ledger = SQLiteLedger(tmp_path / "ledger.db")
        ledger.open(Account("all", Budget(tokens=1_000)))
        ledger.close()
    ledger = SQLiteLedger(tmp_path / "ledger.db")
    ledger.amend("all", rate=Rate(rpm=1))
    assert sent(ledger, account="all")
    assert refusal(ledger, account="all").rate
    ledger.close()
    monkeypatch.setattr(sqlite, "SCHEMA_VERSION", before)
    with pytest.raises(LedgerError, match="written by a newer Rheostat"):
        SQLiteLedger(tmp_path / "ledger.db")


# --- any sliding minute ----------------------------------------------------------------------------------------------


class Provider:
    """A provider that counts each part of a request at whatever moment between its departure and its end it likes."""

    def __init__(self) -> None:
        self.log: list[tuple[float, int, int, int, int]] = []

    def counts(self, at: float, used: Spend) -> None:
        fresh = used.input_tokens - used.cached_input_tokens
        self.log.append((at, used.calls, used.input_tokens + used.output_tokens, fresh, used.output_tokens))

    def most(self, kind: int, seconds: float = 60.0) -> int:
        """The largest sum within any sliding minute, both of whose ends may fall on a count."""
        log = sorted(self.log)
        return max((sum(e[kind + 1] for e in log if at - seconds < e[0] <= at) for at, *_ in log), default=0)


def ends(
    ledger: Ledger,
    provider: Provider,
    dice: random.Random,
    clock: Clock,
    sent_: tuple[str, Spend, float],
    *,
    arrives: bool,
) -> None:
    """A request ends, one way or another; the provider has counted it at whatever moments."""
    name, hold, began = sent_
    share, how = dice.random(), dice.random()
    cached, output = dice.choice([0, int(hold.input_tokens * share)]), int(hold.output_tokens * share)
    cost = Spend(input_tokens=hold.input_tokens, cached_input_tokens=cached, output_tokens=output, calls=1)
    if how < 0.1:
        ledger.void(name)
        return
    if arrives:
        provider.counts(dice.uniform(began, min(clock.now, began + 5)), hold)
    else:  # at several moments, as it is written
        for part in (Spend(calls=1), replace(cost, output_tokens=0, calls=0)):
            provider.counts(dice.uniform(began, clock.now), part)
        for _ in range(3):
            provider.counts(dice.uniform(began, clock.now), Spend(output_tokens=output // 3))
    if how < 0.2:
        ledger.mark_unknown(name, cost)
    else:
        ledger.settle(name, cost)


@settings(max_examples=HISTORIES)
@given(seed=st.integers(0, 10**9), counts_max_tokens=st.booleans())
@example(seed=1, counts_max_tokens=False)
def test_the_provider_never_sees_more_than_the_limit_in_any_minute(seed: int, counts_max_tokens: bool) -> None:
    dice, clock, provider = random.Random(seed), Clock(), Provider()
    limits = {"rpm": dice.randint(2, 9), "tpm": dice.randint(600, 2_000), "output_tpm": dice.randint(300, 900)}
    given_ = {name: limits[name] for name in dice.sample(sorted(limits), dice.randint(1, 3))}
    ledger = paced(Rate(**given_, input_tpm=700, counts_max_tokens=counts_max_tokens), clock)
    flying: list[tuple[str, Spend, float]] = []
    served = 0
    for _ in range(dice.randint(20, 120)):
        clock.now += dice.choice([0.0, 0.001, 0.4, 1.0, 3.0, dice.uniform(0, 30)])
        if flying and dice.random() < 0.45:
            name, hold, began = flying.pop(dice.randrange(len(flying)))
            ends(ledger, provider, dice, clock, (name, hold, began), arrives=counts_max_tokens)
        else:
            hold = Spend(input_tokens=dice.randint(0, 300), output_tokens=dice.randint(0, 300), calls=1)
            try:
                flying.append((sent(ledger, hold), hold, clock.now))
                served += 1
            except BudgetExceeded as refused:
                assert refused.rate
                assert refused.waits
                if refused.ready_in_seconds is not None and dice.random() < 0.7:
                    clock.now += refused.ready_in_seconds
                    flying.append((sent(ledger, hold), hold, clock.now))
                    served += 1
    assert served > 1
    caps = [given_.get("rpm"), given_.get("tpm"), 700, given_.get("output_tpm")]
    for kind, cap in enumerate(caps):
        assert cap is None or provider.most(kind) <= cap, "more than the limit"
    state = json.dumps(ledger._book.entries["key"].pace.to_dict())  # type: ignore[union-attr]  # it has one
    assert len(state) < 4_000, "constant space"


BROKEN: dict[str, tuple[str, Any]] = {
    "a minute is half of one": ("_kept_ms", property(lambda pace: 30_000)),
    "what is in flight doesn't count": ("in_flight", lambda pace, number: 0),
    "what has ended doesn't count": ("_post", lambda pace, amount, now_ms: None),
    "what was held too much is given back": (
        "ended",
        lambda pace, hold, cost, now_ms, had_left, assumed=None: pace.never_left(hold, 0),
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_the_provider_notices_a_broken_law(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, *BROKEN[broken])
    history = test_the_provider_never_sees_more_than_the_limit_in_any_minute.hypothesis.inner_test  # type: ignore[attr-defined]

    def play() -> None:
        for seed in range(200):
            history(seed=seed, counts_max_tokens=seed % 2 == 0)

    with pytest.raises(AssertionError, match="more than the limit"):
        play()


def test_a_plain_bucket_would_pass_the_limit() -> None:
    """The history that the law is for: a bucket gives back at settlement, and refills, within the same minute."""
    clock, provider = Clock(), Provider()
    ledger, burst = paced(Rate(tpm=1_000), clock), Spend(output_tokens=500, calls=1)
    bucket, refilled_at, seen = 1_000.0, clock.now, 0
    admitted = 0
    for _ in range(60):
        clock.now += 1
        bucket, refilled_at = min(1_000.0, bucket + (clock.now - refilled_at) * 1_000 / 60), clock.now
        used = Spend(output_tokens=400, calls=1)
        if bucket >= 500:
            bucket, seen = bucket - 500 + 100, seen + 400
        try:
            name = sent(ledger, burst)
        except BudgetExceeded:
            continue
        provider.counts(clock.now, used)
        ledger.settle(name, used)
        admitted += 1
    assert seen > 1_000, "as many would have been seen by the bucket"
    assert provider.most(1) <= 1_000
    assert admitted == 2


# --- what the provider says ------------------------------------------------------------------------------------------


def test_what_others_use_counts() -> None:
    clock = Clock()
    ledger = paced(Rate(rpm=10, tpm=10_000), clock)
    ledger.settle(sent(ledger), USED)
    ledger.heed("fleet", RateSeen(requests=9, tokens=9_900))
    assert ledger.reading("key")["rate"]["requests"]["used"] == 1, "it says what we know"
    before = ledger.reading("key")["version"]
    ledger.heed("fleet", RateSeen(requests=2, tokens=99_999, output_tokens=0))
    rate = ledger.reading("key")["rate"]
    assert (rate["requests"]["used"], rate["tokens"]["used"]) == (8, 120)
    assert ledger.reading("key")["version"] > before
    ledger.heed("fleet", RateSeen(requests=2))
    assert ledger.reading("key")["rate"]["requests"]["used"] == 8, "twice said is once used"
    clock.now += 63
    assert ledger.reading("key")["rate"]["requests"]["used"] == 0


def test_a_pause_is_bounded() -> None:
    clock = Clock()
    ledger = paced(Rate(rpm=10), clock)
    ledger.heed("fleet", RateSeen(stop_seconds=12))
    refused = refusal(ledger)
    assert refused.ready_in_seconds == pytest.approx(12)
    assert "The provider asked for a pause" in str(refused)
    ledger.heed("fleet", RateSeen(stop_seconds=1e12))
    assert refusal(ledger).ready_in_seconds == pytest.approx(600)
    ledger.heed("fleet", RateSeen(stop_seconds=1))
    clock.now += 600
    assert sent(ledger)
    ledger.heed("fleet", RateSeen(stop_seconds=-5, requests=-3))
    assert sent(ledger), "nonsense changes nothing"
    alone = MemoryLedger()
    alone.open(Account("a", Budget(tokens=5)))
    alone.heed("a", RateSeen(requests=0, stop_seconds=9))
    assert alone.reading("a")["version"] == 1


# --- in line ---------------------------------------------------------------------------------------------------------


def leaving(ledger: Ledger, amount: Spend, account: str = "fleet") -> Any:
    """A request that waits for its turn and leaves, as at the gate."""

    def work(ticket: str | None) -> Any:
        place = {} if ticket is None else {"ticket": ticket}
        return (
            yield Effect(
                lambda: ledger.admit(account, amount, **place), lambda: ledger.aadmit(account, amount, **place)
            )
        )[0].id

    return patiently(ledger, account, work, wait=True, paced=True)


def test_the_first_waiter_sleeps_until_it_is_ready() -> None:
    ledger = paced(Rate(rpm=2, period_seconds=0.6))
    for _ in range(2):
        ledger.settle(sent(ledger), USED)
    asked = []
    admit = ledger.admit
    ledger.admit = lambda *args, **more: asked.append(1) or admit(*args, **more)  # type: ignore[func-returns-value,method-assign]
    started = time.monotonic()
    drive(leaving(ledger, ONE))
    assert 0.5 < time.monotonic() - started < 3
    assert len(asked) <= 4, "it slept instead of asking again and again"


@pytest.mark.parametrize("how", ["threads", "asyncio"])
def test_all_are_served_in_turn(how: str) -> None:
    import asyncio

    ledger, done = paced(Rate(rpm=4, period_seconds=0.2)), []

    def one(number: int) -> Any:
        name = yield from leaving(ledger, ONE)
        done.append(number)
        yield Effect(lambda: time.sleep(0.01), lambda: asyncio.sleep(0.01))
        ledger.settle(name, USED)
        line_of(ledger).stir()

    if how == "threads":
        threads = []
        for number in range(12):
            threads.append(threading.Thread(target=lambda number=number: drive(one(number))))
            threads[-1].start()
            wait_for(lambda number: len(done) + waiting(ledger) > number, number)
        for thread in threads:
            thread.join(20)
    else:

        async def main() -> None:
            await asyncio.gather(*(adrive(one(number)) for number in range(12)))

        in_loop(main())
    assert done == list(range(12))
    assert line_of(ledger).empty


def test_a_waiter_for_room_and_one_for_the_rate_help_each_other() -> None:
    """All of the budget is held by one that waits for the rate: the other waits for it, and is served."""
    ledger = MemoryLedger()
    ledger.open(Account("all", Budget(tokens=400), rate=Rate(rpm=1, period_seconds=0.5)))
    meter = Meter(ledger, gate=False)
    ledger.settle(sent(ledger, Spend(calls=1), "all"), Spend(calls=1))
    [held] = drive(meter.hold("all", [ONE], {}))
    served = []

    def begins() -> None:
        def work(ticket: str | None) -> Any:
            yield Effect(lambda: ledger.begin(held.id), lambda: ledger.abegin(held.id))

        drive(patiently(ledger, "all", work, wait=False, paced=True))
        served.append("rate")
        drive(meter._settle(held.id, USED))

    def holds() -> None:
        drive(meter.hold("all", [Spend(output_tokens=250, calls=1)], {}))
        served.append("room")

    threads = [threading.Thread(target=each) for each in (holds, begins)]
    threads[0].start()
    wait_for(lambda: waiting(ledger))
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert served == ["rate", "room"]


def test_a_deadline_ends_the_wait_and_is_what_ends_it() -> None:
    ledger = paced(Rate(rpm=1))
    ledger.open(Account("short", Budget(seconds=0.3), "fleet"))
    ledger.settle(sent(ledger), USED)
    started = time.monotonic()
    with pytest.raises(BudgetExceeded, match="seconds") as refused:
        drive(leaving(ledger, ONE, "short"))
    assert refused.value.limit == "seconds"
    assert 0.2 < time.monotonic() - started < 3


def test_if_all_wait_for_one_that_died_it_is_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_SWEEP_SECONDS", 0.1)
    ledger = paced(Rate(rpm=1, period_seconds=0.3))
    drive(Meter(ledger, gate=False, stale_after_seconds=0.4).open(Account("run", None, "fleet"), None))
    sent(ledger)
    assert drive(leaving(ledger, ONE))
    assert ledger.reading("key")["unknown_calls"] == 1


def test_a_place_in_the_ledgers_line_is_kept(tmp_path: Path) -> None:
    """Two ledgers on one file are two processes: the first to come is the first."""
    path, done = tmp_path / "ledger.db", []
    ledgers = [SQLiteLedger(path), SQLiteLedger(path)]
    ledgers[0].open(Account("key", rate=Rate(rpm=1, period_seconds=0.5)))
    ledgers[0].settle(sent(ledgers[0], account="key"), USED)

    def one(number: int) -> None:
        name = drive(leaving(ledgers[number % 2], ONE, "key"))
        done.append(number)
        ledgers[number % 2].settle(name, USED)

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=one, args=(number,)))
        threads[-1].start()
        wait_for(lambda number: len(done) + sum(map(waiting, ledgers)) > number, number)
    for thread in threads:
        thread.join(20)
    assert done[0] == 0
    assert sorted(done) == [0, 1, 2]
    for ledger in ledgers:
        ledger.close()


# --- processes -------------------------------------------------------------------------------------------------------

WORKER = """
import json, sys, time
from rheostat import Account, Spend, open_ledger
from rheostat.flow import Effect, drive
from rheostat.money.ledger.pace import Pace
from rheostat.money.ledger.patience import patiently

address, calls, dies = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "dies"
ledger = open_ledger(address)
amount, used = Spend(output_tokens=200, calls=1), Spend(output_tokens=60, calls=1)

def work(ticket):
    return (yield Effect(lambda: ledger.admit("fleet", amount, ticket=ticket), None))

for _ in range(calls):
    reservation, _ = drive(patiently(ledger, "fleet", work, wait=True, paced=True))
    began = time.time()
    if dies:
        print("sent", flush=True)
        time.sleep(60)
    time.sleep(0.01)
    print(json.dumps([began, time.time()]), flush=True)
    ledger.settle(reservation.id, used)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return str(request.getfixturevalue("own_postgres").address)


def worker(address: str, calls: int, *, dies: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, address, str(calls), "dies" if dies else "lives"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.timeout(120)
def test_processes_share_a_rate(address: str) -> None:
    """Also one that is killed: what it had in flight counts until it is expired, and then for a minute."""
    ledger = open_ledger(address)
    ledger.open(Account("key", rate=Rate(rpm=6, tpm=900, period_seconds=0.6)))
    ledger.open(Account("fleet", parent="key"))
    killed = worker(address, 1, dies=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "sent\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert ledger.reading("key")["rate"]["tokens"]["in_flight"] == 200
    workers = [worker(address, 5) for _ in range(2)]
    calls = []
    for each in workers:
        out, _ = each.communicate(timeout=100)
        assert each.returncode == 0
        calls += [json.loads(line) for line in out.splitlines()]
    assert len(calls) == 10
    ends = sorted(end for _, end in calls)
    for at in ends:
        within = [end for end in ends if at - 0.6 < end <= at]
        assert len(within) <= 6 - 1, "the killed one counts too"
        assert 60 * len(within) <= 900 - 200
    assert ledger.expire(0) == 1
    assert ledger.reading("key")["rate"]["tokens"]["in_flight"] == 0
    assert ledger.reading("key")["rate"]["tokens"]["used"] >= 200
    time.sleep(0.8)
    assert ledger.reading("key")["rate"]["tokens"]["used"] == 0
    reading: Reading = ledger.reading("key")
    assert (reading["output_tokens"], reading["unknown_output_tokens"]) == (10 * 60, 200)
    ledger.close()
