"""What every ledger does, each case on all three of them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelError
from langgraph.types import default_retry_on

from conftest import in_loop
from rheostat import (
    Account,
    BadInput,
    Budget,
    BudgetExceeded,
    HoldExceeded,
    Ledger,
    LedgerError,
    LedgerUnavailable,
    LimitWarning,
    MemoryLedger,
    NoPrice,
    PostgresLedger,
    Spend,
    SQLiteLedger,
    Window,
    latest_reading,
    open_ledger,
)
from stores import MemoryStore, PostgresStore, SQLiteStore


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[MemoryStore | SQLiteStore | PostgresStore]:
    made: MemoryStore | SQLiteStore | PostgresStore
    if request.param == "postgres":
        made = PostgresStore(request.getfixturevalue("postgres"))
    else:
        made = MemoryStore() if request.param == "memory" else SQLiteStore()
    yield made
    made.stop()


@pytest.fixture
def ledger(store: MemoryStore | SQLiteStore | PostgresStore, time: Time) -> Ledger:
    return store.start(time)


def out(tokens: int) -> Spend:
    return Spend(output_tokens=tokens, calls=1)


def test_sixteen_holders_never_pass_the_cap_together(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(tokens=350)))
    barrier = threading.Barrier(16)

    def spend() -> int:
        barrier.wait()
        got = 0
        for _ in range(5):
            try:
                [held] = ledger.hold("a", [out(7)])
            except BudgetExceeded:
                continue
            ledger.settle(held.id, out(7))
            got += 7
        return got

    with ThreadPoolExecutor(16) as pool:
        spent = sum(future.result() for future in [pool.submit(spend) for _ in range(16)])
    assert spent == ledger.reading("a")["output_tokens"] == 350


def test_all_or_none(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(tokens=100)))
    with pytest.raises(BudgetExceeded, match="tokens: asked 120, left 100 of 100"):
        ledger.hold("a", [out(60), out(60)])
    assert ledger.room("a").tokens == 100


def test_a_refusal_says_which_account_which_limit_and_where_it_went(ledger: Ledger) -> None:
    ledger.open(Account("tenant", Budget(tokens=100)))
    ledger.open(Account("user", parent="tenant"))
    ledger.open(Account("run", Budget(calls=50), "user"))
    [first, second, _] = ledger.hold("run", [out(20), out(30), out(10)])
    ledger.settle(first.id, out(15))
    ledger.mark_unknown(second.id)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.hold("run", [out(50)])
    error = refused.value
    assert (error.account, error.child, error.limit) == ("tenant", "run", "tokens")
    assert (error.asked, error.left, error.cap) == (50, 45, 100)
    assert (error.settled, error.held, error.unknown) == (15, 10, 30)
    assert "account 'tenant' (above 'run'): tokens: asked 50, left 45 of 100 (settled 15, held 10, unknown 30)" in str(
        error
    )
    [_] = ledger.hold("run", [out(45)])
    assert ledger.room("run").tokens == 0


def test_what_a_child_spends_is_in_every_parent(ledger: Ledger) -> None:
    ledger.open(Account("tenant", Budget(calls=5)))
    for run in ("one", "two"):
        ledger.open(Account(run, Budget(calls=3), "tenant"))
        [held] = ledger.hold(run, [out(10)], {"model": "m", "node": run})
        assert ledger.begin(held.id) is not None
        assert ledger.settle(held.id, out(8), "request")
    reading = ledger.reading("tenant")
    assert (reading["calls"], reading["output_tokens"]) == (2, 16)
    assert reading["by_model"]["m"]["output_tokens"] == 16
    assert {name: spend["calls"] for name, spend in reading["by_node"].items()} == {"one": 1, "two": 1}
    assert ledger.reading("one")["calls"] == 1


def test_a_request_leaves_once_under_a_reservation(ledger: Ledger) -> None:
    """The second one that wants to send it comes after a crash: the first may have been billed."""
    ledger.open(Account("a", Budget(calls=2)))
    [held] = ledger.hold("a", [out(5)])
    assert ledger.begin(held.id) is not None
    assert ledger.begin(held.id) is None
    assert ledger.reading("a")["unknown_calls"] == 1
    assert ledger.begin("nobody's") is None
    assert ledger.settle(held.id, out(5)) is True  # late news
    assert ledger.settle(held.id, out(5)) is False
    assert ledger.reading("a")["calls"] == 1


def test_an_overrun_is_posted_in_full_and_raised(ledger: Ledger) -> None:
    ledger.open(Account("t", Budget(usd="1")))
    ledger.open(Account("a", Budget(usd="1"), "t"))
    [held] = ledger.hold("a", [Spend(usd_nanos=100, output_tokens=10)])
    with pytest.raises(HoldExceeded, match="posted in full"):
        ledger.settle(held.id, Spend(usd_nanos=150, output_tokens=15))
    for account in ("a", "t"):
        reading = ledger.reading(account)
        assert (reading["usd_nanos"], reading["output_tokens"], reading["overrun_usd_nanos"]) == (150, 15, 50)
        assert reading["held_output_tokens"] == 0


def test_a_limit_in_money_refuses_what_has_no_price(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(usd="1")))
    with pytest.raises(NoPrice, match="limit in money"):
        ledger.hold("a", [Spend(usd_nanos=None, output_tokens=1)])
    ledger.open(Account("b", Budget(tokens=100)))
    [held] = ledger.hold("b", [Spend(usd_nanos=None, output_tokens=5, calls=1)])
    assert ledger.reading("b")["held_usd_nanos"] is None
    ledger.settle(held.id, Spend(usd_nanos=None, output_tokens=3, calls=1))
    reading = ledger.reading("b")
    assert (reading["held_usd_nanos"], reading["usd_nanos"]) == (0, None)  # unknown is not zero, and it isn't held


def test_unlisted_thought_counts_at_its_most(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(thinking_tokens=10)))
    with pytest.raises(BudgetExceeded, match="thinking_tokens"):
        ledger.hold("a", [Spend(output_tokens=11, thinking_tokens=None)])


@pytest.mark.parametrize("amount", [Spend(output_tokens=-1), Spend(usd_nanos=-5), Spend(calls=-1)])
def test_a_negative_amount_is_refused(ledger: Ledger, amount: Spend) -> None:
    ledger.open(Account("a", Budget(tokens=100)))
    with pytest.raises(LedgerError, match="negative"):
        ledger.hold("a", [amount])
    [held] = ledger.hold("a", [out(1)])
    with pytest.raises(LedgerError, match="negative"):
        ledger.settle(held.id, amount)
    assert ledger.room("a").tokens == 99


def test_a_deadline_counts_from_the_first_opening_even_after_a_restart(
    store: MemoryStore | SQLiteStore | PostgresStore, time: Time
) -> None:
    ledger = store.start(time)
    account = Account("a", Budget(seconds=10))
    ledger.open(account, {})
    time.now += 4
    assert ledger.room("a").seconds == pytest.approx(6)
    reading = ledger.reading("a")
    ledger = store.restart(time)
    ledger.open(account, reading)
    time.now += 3
    assert ledger.room("a").seconds == pytest.approx(3)
    time.now += 4
    with pytest.raises(BudgetExceeded, match="the deadline of 10 s has passed"):
        ledger.hold("a", [Spend()])


def test_a_clock_that_jumps_back_gives_no_time_back(ledger: Ledger, time: Time) -> None:
    ledger.open(Account("a", Budget(seconds=100)))
    time.now += 60
    ledger.hold("a", [out(1)])  # noted at 60 s
    time.now -= 3600
    assert ledger.room("a").seconds == pytest.approx(40)
    ledger.hold("a", [out(1)])
    time.now += 30
    assert ledger.room("a").seconds == pytest.approx(10)
    time.now += 10
    with pytest.raises(BudgetExceeded, match="seconds"):
        ledger.hold("a", [out(1)])


def test_a_days_limit_starts_anew_at_midnight_of_its_zone(ledger: Ledger, time: Time) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    time.now = datetime(2026, 3, 28, 23, 50, tzinfo=berlin).timestamp()  # the next day has 23 hours
    ledger.open(Account("a", Budget(calls=2), window=Window("day", "Europe/Berlin")))
    [_, late] = ledger.hold("a", [out(1), out(1)])
    with pytest.raises(BudgetExceeded, match="calls"):
        ledger.hold("a", [out(1)])
    time.now += 15 * 60
    assert ledger.room("a").calls == 2
    ledger.settle(late.id, out(1))  # it was held yesterday: yesterday's
    assert ledger.room("a").calls == 2
    time.now = datetime(2026, 3, 29, 23, 59, tzinfo=berlin).timestamp()
    ledger.hold("a", [out(1)])
    time.now += 120
    assert ledger.room("a").calls == 2
    ledger.hold("a", [out(1)])
    time.now -= 86_400  # a clock that jumps back opens no old day again
    [held] = ledger.hold("a", [out(1)])
    assert ledger.room("a").calls == 0
    ledger.void(held.id)
    assert ledger.room("a").calls == 1
    assert ledger.reading("a")["held_calls"] == 3  # the reading is of its whole life


def test_a_month_in_december() -> None:
    start, end = Window("month").around(int(datetime(2026, 12, 31, 23, tzinfo=ZoneInfo("UTC")).timestamp() * 1000))
    assert datetime.fromtimestamp(start / 1000, ZoneInfo("UTC")).isoformat() == "2026-12-01T00:00:00+00:00"
    assert datetime.fromtimestamp(end / 1000, ZoneInfo("UTC")).isoformat() == "2027-01-01T00:00:00+00:00"


def test_accounts_and_windows_that_make_no_sense() -> None:
    with pytest.raises(BadInput, match="own parent"):
        Account("a", parent="a")
    with pytest.raises(BadInput, match="1 to 500 characters"):
        Account("")
    with pytest.raises(BadInput, match="deadline of one run"):
        Account("a", Budget(seconds=5), window=Window("day"))
    with pytest.raises(BadInput, match="'day' or 'month'"):
        Window("week")
    with pytest.raises(BadInput, match="no time zone 'Mars/Olympus'"):
        Window("day", "Mars/Olympus")


def test_a_parent_must_be_open_and_never_changes(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="'nobody' is not open"):
        ledger.open(Account("a", parent="nobody"))
    with pytest.raises(LedgerError, match="open it first"):
        ledger.hold("a", [Spend()])
    for name in ("t", "u"):
        ledger.open(Account(name, Budget(calls=1)))
    ledger.open(Account("a", parent="t"))
    with pytest.raises(LedgerError, match="open under 't', not under 'u'"):
        ledger.open(Account("a", parent="u"))
    with pytest.raises(LedgerError, match="open under None, not under 'a'"):
        ledger.open(Account("t", parent="a"))  # a cycle


def test_a_childs_looser_limit_is_allowed_and_said(ledger: Ledger) -> None:
    ledger.open(Account("t", Budget(usd="0.50", calls=10)))
    with pytest.warns(
        UserWarning, match=r"limit of \$5 is looser than that of 't' above it \(\$0.5\): the account above"
    ):
        ledger.open(Account("a", Budget(usd="5"), "t"))


def test_opening_again_with_other_limits_changes_nothing_and_says_so(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(usd=1)))
    ledger.open(Account("a", Budget(usd="1.00")))
    with pytest.warns(LimitWarning, match=r"keeps its limits \(\$1\), not \$5: ledger.amend\('a', …\)"):
        ledger.open(Account("a", Budget(usd=5)))
    assert ledger.room("a").usd_nanos == 10**9


def test_more_budget_for_an_open_account(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(calls=1)))
    ledger.hold("a", [out(1)])
    ledger.amend("a", Budget(calls=2))
    ledger.hold("a", [out(1)])
    ledger.amend("a", Budget(calls=1))
    assert ledger.room("a").calls == -1


def test_a_window_takes_no_deadline_later_either(ledger: Ledger) -> None:
    ledger.open(Account("a", Budget(calls=1), window=Window("day")))
    with pytest.raises(BadInput, match="deadline of one run"):
        ledger.amend("a", Budget(seconds=5))
    assert ledger.room("a").calls == 1


def test_a_hold_expires_when_its_holder_has_died(ledger: Ledger, time: Time) -> None:
    ledger.open(Account("a", Budget(calls=10)))
    [never_sent, sent] = ledger.hold("a", [out(1), out(1)])
    ledger.begin(sent.id)
    time.now += 100
    [fresh] = ledger.hold("a", [out(1)])
    assert ledger.expire(60) == 2
    reading = ledger.reading("a")
    assert (reading["held_calls"], reading["unknown_calls"]) == (1, 1)
    assert ledger.begin(never_sent.id) is None
    assert ledger.begin(fresh.id) is not None


def test_the_awaitable_forms_do_the_same(ledger: Ledger) -> None:
    async def run() -> None:
        await ledger.aopen(Account("a", Budget(calls=3)), {})
        [one, two, three] = await ledger.ahold("a", [out(1)] * 3)
        assert await ledger.abegin(one.id) is not None
        assert await ledger.asettle(one.id, out(1), "r")
        assert await ledger.amark_unknown(two.id)
        assert await ledger.avoid(three.id)
        assert (await ledger.aroom("a")).calls == 1
        await ledger.aamend("a", Budget(calls=9))
        assert await ledger.aexpire(1000) == 0
        assert (await ledger.areading("a"))["unknown_calls"] == 1
        with pytest.raises(BudgetExceeded):
            await ledger.ahold("a", [out(1)] * 8)

    in_loop(run())


def test_a_cancelled_hold_leaks_nothing(ledger: Ledger) -> None:
    async def run() -> None:
        await ledger.aopen(Account("a", Budget(calls=100)), {})
        for _ in range(20):
            task = asyncio.create_task(ledger.ahold("a", [out(1)]))
            await asyncio.sleep(0)
            if not task.cancel():
                for held in await task:
                    await ledger.avoid(held.id)
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled() and not task.exception():
                for held in task.result():
                    await ledger.avoid(held.id)

    in_loop(run())
    assert ledger.reading("a")["held_calls"] == 0


def test_a_thousand_models_are_twenty_and_others(ledger: Ledger) -> None:
    ledger.open(Account("a"))
    for number in range(60):
        [held] = ledger.hold("a", [out(number + 1)], {"model": f"m{number}", "node": "n"})
        ledger.settle(held.id, out(number + 1))
    by_model = ledger.reading("a")["by_model"]
    assert len(by_model) == 21
    assert sum(spend["output_tokens"] for spend in by_model.values()) == ledger.reading("a")["output_tokens"]


# --- one's own reading -------------------------------------------------------------------------


def test_a_damaged_reading_is_refused(time: Time) -> None:
    ledger = MemoryLedger()
    ledger.open(Account("a", Budget(calls=5)), {})
    good = ledger.reading("a")
    for wrong in ({"calls": -5}, {"usd_nanos": "much"}, {"by_model": 3}, {"version": None}):
        with pytest.raises(LedgerError, match=r"damaged|negative"):
            MemoryLedger().open(Account("a", Budget(calls=5)), {**good, **wrong})


def test_a_lower_reading_changes_nothing(ledger: Ledger) -> None:
    account = Account("a", Budget(calls=5))
    ledger.open(account, {})
    empty = ledger.reading("a")
    ledger.hold("a", [out(1)] * 4)
    ledger.open(account, {**empty, "version": 10**6})
    assert ledger.room("a").calls == 1
    assert ledger.reading("a")["version"] >= 10**6  # so that the true reading wins over the false one in state


def test_the_memory_ledger_stays_bounded_over_many_threads() -> None:
    ledger = MemoryLedger(max_accounts=1000)
    ledger.open(Account("tenant", Budget(calls=10**6)))
    readings = {}
    for number in range(20_000):
        account = Account(f"thread/{number}", Budget(calls=2), "tenant")
        ledger.open(account, {})
        [held] = ledger.hold(account.id, [out(1)])
        ledger.settle(held.id, out(1)) if number % 2 else ledger.mark_unknown(held.id)
        readings[number] = ledger.reading(account.id)
    assert len(ledger._book.entries) <= 1000
    assert len(ledger._book.reservations) <= 1000
    assert ledger.room("tenant").calls == 10**6 - 20_000
    for number in (0, 1):
        account = Account(f"thread/{number}", Budget(calls=2), "tenant")
        ledger.open(account, readings[number])
        assert ledger.room(account.id).calls == 1
    busy = ledger.hold("thread/1", [out(1)])
    for number in range(5000):
        ledger.open(Account(f"other/{number}"), {})
        ledger.reading(f"other/{number}")
    assert ledger.settle(busy[0].id, out(1))  # what is in flight keeps its account


readings = st.builds(lambda version: {"version": version, "account": "a"}, st.integers(0, 50))


@given(readings, readings, readings)
def test_the_reducer_is_a_maximum(a: dict, b: dict, c: dict) -> None:
    assert latest_reading(a, a) == a
    assert latest_reading(a, b) == latest_reading(b, a)
    assert latest_reading(latest_reading(a, b), c) == latest_reading(a, latest_reading(b, c))
    assert latest_reading(None, a) == latest_reading(a, None) == a
    assert latest_reading(a, {"version": 99, "account": "somebody else"}) == a


def test_a_spent_budget_is_neither_retried_by_langgraph_nor_by_langchain() -> None:
    error = BudgetExceeded(account="a", limit="tokens", asked=2, left=1, cap=1)
    assert not default_retry_on(error)
    assert isinstance(error, ModelError)
    assert error.is_retryable is False


# --- files -------------------------------------------------------------------------------------


def test_a_file_that_is_no_ledger_is_left_untouched(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database, but long enough to be looked at as one. " * 100)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    for path, why in ((text, "not an SQLite file"), (other, "something else")):
        before = path.read_bytes()
        with pytest.raises(LedgerError, match=why):
            SQLiteLedger(path)
        assert path.read_bytes() == before
        assert sorted(tmp_path.glob(f"{path.name}*")) == [path]


def test_a_newer_schema_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SQLiteLedger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"newer Rheostat.*schema 99"):
        SQLiteLedger(path)
    assert path.read_bytes() == before


def test_a_damaged_ledger_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path)
    ledger.open(Account("a", Budget(calls=5)))
    for _ in range(300):
        ledger.hold("a", [Spend()])
    ledger.close()
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="damaged"):
        SQLiteLedger(path).hold("a", [out(1)])


def test_addresses(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no ledger at 'mysql://x'"):
        open_ledger("mysql://x")
    with pytest.raises(BadInput, match="no file"):
        open_ledger(str(tmp_path / "none.db"), must_exist=True)
    with pytest.raises(BadInput, match="use MemoryLedger"):
        SQLiteLedger(":memory:")
    with pytest.raises(LedgerUnavailable, match="can't be used"):
        SQLiteLedger(tmp_path / "no folder" / "ledger.db")
    ledger = open_ledger(str(tmp_path / "some.db"))
    ledger.close()
    assert (tmp_path / "some.db").exists()


def test_no_postgres_there() -> None:
    with pytest.raises(LedgerUnavailable, match="can't be reached"):
        PostgresLedger("postgresql://nobody@127.0.0.1:1/none", wait_seconds=0.5)


def test_power_safe_keeps_the_law_too(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "ledger.db", power_safe=True)
    ledger.open(Account("a", Budget(calls=1)))
    [held] = ledger.hold("a", [out(1)])
    assert ledger.begin(held.id) is not None
    ledger.settle(held.id, out(1))
    ledger.close()
    assert SQLiteLedger(tmp_path / "ledger.db").room("a").calls == 0


def test_the_former_name_of_mark_unknown_works_on(ledger: MemoryLedger | SQLiteLedger | PostgresLedger) -> None:
    ledger.open(Account("a", Budget(tokens=100)))
    one, two = ledger.hold("a", [out(10), out(20)])
    for held in (one, two):
        ledger.begin(held.id)
    with pytest.warns(DeprecationWarning, match="mark_unknown"):
        assert ledger.lose(one.id)
    with pytest.warns(DeprecationWarning, match="mark_unknown"):
        assert in_loop(ledger.alose(two.id, out(5)))
    assert ledger.reading("a")["unknown_output_tokens"] == 15
