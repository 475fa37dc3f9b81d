"""What a report says equals what the ledger says, on every ledger."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postgres_server import PostgresServer
from reported import ACTUAL, call, decision, sample, team
from rheostat import Account, BadInput, Budget, Ledger, MemoryLedger, PostgresLedger, SQLiteLedger, Window
from rheostat.money.usage import Spend
from rheostat.report import Report, build_report
from rheostat.report.data import Totals


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    if request.param == "sqlite":
        made: Any = SQLiteLedger(tmp_path / "spend.db")
    else:
        server: PostgresServer = request.getfixturevalue("own_postgres")
        made = PostgresLedger(server.address)
    yield made
    made.close()


def read(ledger: Ledger, account: str) -> Totals:
    reading = ledger.reading(account)

    def part(prefix: str) -> Spend:
        return Spend(**{name: reading[prefix + name] for name in Spend().to_dict()})

    return Totals(settled=part(""), held=part("held_"), unknown=part("unknown_"))


def added(spends: Iterator[Spend]) -> Spend:
    return sum(spends, Spend())


def test_totals_tables_and_timeline_are_the_ledgers(ledger: Any) -> None:
    team(ledger)
    made = build_report(ledger, "team")
    assert made.totals == read(ledger, "team")
    assert {row.account: row.totals for row in made.accounts} == {
        account.id: read(ledger, account.id) for account, _ in ledger.accounts()
    }
    assert added(row.spend for row in made.models) == added(row.spend for row in made.nodes) == made.totals.settled
    assert {row.name: row.spend.calls for row in made.models} == {"small": 4, "large": 1}
    assert [(limit.name, limit.most) for limit in made.limits] == [("usd_nanos", 10**9), ("seconds", 3600)]
    assert made.limits[0].used == made.totals.charged.usd_nanos
    durable = not isinstance(ledger, MemoryLedger)
    assert made.kept_whole == durable
    if durable:
        assert added(step.charge for step in made.steps) == made.totals.charged
    assert made.points[-1].usd_nanos == made.totals.charged.usd_nanos
    assert made.points[-1].tokens == made.totals.charged.tokens


def test_the_timeline_has_what_was_planned_and_what_became_of_it(ledger: Any) -> None:
    team(ledger)
    made = build_report(ledger, "thread/b")
    told = {(step.node, step.state): step for step in made.steps}
    starved = told["model", "settled"]
    assert (starved.starved, starved.stop, starved.charge) == (True, "length", ACTUAL)
    assert (starved.effort_asked, starved.effort_planned, starved.effort_seen) == ("balanced", "low", "low")
    assert starved.reasons == ("difficulty 0.10",)
    assert told["model", "unknown"].error == "APITimeoutError"
    assert told["model", "unknown"].charge.usd_nanos == 5_000
    assert told["model", "in flight"].charge.usd_nanos == 9_000
    if not isinstance(ledger, MemoryLedger):
        assert not told["router", "settled"].planned
    assert [step.number for step in made.steps] == list(range(1, len(made.steps) + 1))


def test_candidates_are_a_tree_and_calls_know_their_verdict(ledger: Any) -> None:
    team(ledger)
    made = build_report(ledger, "a")
    [run] = made.runs
    assert [(each.candidate, each.depth) for each in run.candidates] == [("r1s0", 0), ("r2s0", 1), ("r1s1", 0)]
    assert [each.chosen for each in run.candidates] == [False, True, False]
    assert [each.action for each in run.decisions] == ["correct", "accept"]
    assert (run.ended, run.question, run.kind, run.strategy) == (True, "Why?", "maths", "auto")
    assert {step.candidate: step.verdict for step in made.steps} == {
        "r1s0": "refused", "r1s1": "refused", "r2s0": "passed"
    }  # fmt: skip
    ours, baseline = made.beside
    assert (ours.right, ours.of, ours.spent, ours.per_right) == (1, 1, 3 * 1_200, 3 * 1_200)
    assert (baseline.name, baseline.saved) == ("best fixed", 9_000 - 3 * 1_200)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("thread/a/run", {"thread/a/run"}),
        ("thread/a", {"thread/a", "thread/a/run"}),
        ("b", {"thread/b", "thread/b/run"}),
        ("user/ada", {"user/ada", "thread/a", "thread/a/run"}),
        ("user/", {"user/ada", "thread/a", "thread/a/run", "user/ben", "thread/b", "thread/b/run"}),
        ("tea", {"team", "user/ada", "thread/a", "thread/a/run", "user/ben", "thread/b", "thread/b/run"}),
    ],
)
def test_what_is_meant(what: str, expected: set[str]) -> None:
    ledger = MemoryLedger()
    team(ledger)
    ledger.open(Account("other"))
    call(ledger, "other")
    made = build_report(ledger, what)
    assert {row.account for row in made.accounts} == expected
    assert {step.account for step in made.steps} <= expected


@pytest.mark.parametrize("what", ["", "nobody", "read/a"])
def test_nothing_is_meant(what: str) -> None:
    ledger = MemoryLedger()
    team(ledger)
    with pytest.raises(BadInput, match="no run in this ledger begins with"):
        build_report(ledger, what)


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["thread/1/r", "thread/1/s", "thread/2/r"]),
        st.sampled_from(["settled", "unknown", "void", "held"]),
        st.booleans(),
        st.sampled_from(["m1", "m2"]),
        st.builds(
            Spend,
            usd_nanos=st.integers(0, 9_000),
            input_tokens=st.integers(0, 90),
            output_tokens=st.integers(0, 900),
            calls=st.just(1),
        ),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(CALLS)
def test_any_past_adds_up(calls: list[tuple[str, str, bool, str, Spend]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        durable = SQLiteLedger(Path(folder) / "spend.db")
        for ledger in (durable, MemoryLedger()):
            ledger.open(Account("org"))
            for thread in ("thread/1", "thread/2"):
                ledger.open(Account(thread, parent="org"))
            for run in ("thread/1/r", "thread/1/s", "thread/2/r"):
                ledger.open(Account(run, Budget(usd="1"), run[:8]))
            for account, end, planned, model, actual in calls:
                call(ledger, account, end=end, planned=planned, model=model, actual=actual)
            made = build_report(ledger, "org")
            assert made.totals == read(ledger, "org")
            assert added(row.spend for row in made.models) == made.totals.settled
            assert added(row.totals.charged for row in made.accounts if row.kind == "run") == made.totals.charged
            assert all(a.tokens <= b.tokens for a, b in zip(made.points, made.points[1:], strict=False))
            if ledger is durable:
                assert added(step.charge for step in made.steps) == made.totals.charged
                assert made.kept_whole
        durable.close()


def test_a_bill_that_settles_an_unknown_call_is_seen(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "spend.db")
    ledger.open(Account("run/x"))
    name = call(ledger, "run/x", end="unknown")
    assert build_report(ledger, "x").steps[0].state == "unknown"
    ledger.settle(name, ACTUAL, "req")
    [step] = build_report(ledger, "x").steps
    assert (step.state, step.charge) == ("settled", ACTUAL)
    ledger.close()


def test_pruned_lines_are_in_the_totals_and_the_report_says_that_they_are_missing(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "spend.db")
    ledger.open(Account("run/x"))
    call(ledger, "run/x")
    call(ledger, "run/x", end="unknown")
    ledger.prune(0)
    made = build_report(ledger, "x")
    assert made.totals == read(ledger, "run/x")
    assert not made.kept_whole
    assert made.points[-1].tokens == made.totals.charged.tokens
    assert "doesn't hold all that was charged" in made.html()
    ledger.close()


def test_damaged_records_and_circles_are_shown_as_far_as_they_go() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("run/x"))
    call(ledger, "run/x", reasons=(None, 7), difficulty=float("nan"), candidate={"id": ["?"]})
    sample(ledger, "run/x", "a", parent="b", cost="none", scores=[1], score="high", passed="yes", number="one")
    sample(ledger, "run/x", "b", parent="a", group="g", scoring={"usd_nanos": None})
    sample(ledger, "run/x", "c", parent="gone", cost={"usd_nanos": float("inf"), "calls": True})
    decision(ledger, "run/x", "stop", round=None, baselines=[{"name": 1}])
    made = build_report(ledger, "x")
    assert [each.depth for each in made.runs[0].candidates] == [0, 0, 0]
    assert made.runs[0].candidates[1].scoring.usd_nanos is None
    assert "<h1>run/x</h1>" in made.html()


def test_a_monthly_limit_is_shown_without_a_share_because_a_reading_counts_all_months() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("org", Budget(usd="1"), window=Window("month")))
    call(ledger, "org")
    made = build_report(ledger, "org")
    assert [(each.most, each.used, each.share) for each in made.limits] == [(10**9, None, None)]
    html = made.html()
    assert "Budget of each month" in html
    assert 'role="meter"' not in html


def test_deep_trees_stay_within_what_a_browser_nests() -> None:
    ledger = MemoryLedger()
    ledger.open(Account("run/x"))
    for place in range(600):
        sample(ledger, "run/x", f"s{place}", parent=f"s{place - 1}" if place else None, number=place)
    html = build_report(ledger, "x").html()
    [tree] = html.split('<div class="tree">')[1:]
    tree = tree.partition("</details>")[0]
    assert tree.count("<ul>") == tree.count("</ul>") == 25
    assert tree.count("<li>") == tree.count("</li>") == 600


def test_a_redacted_report_has_no_text_of_anyone() -> None:
    """A canary stands in every text that a record can hold."""
    ledger = MemoryLedger()
    ledger.open(Account("canary-org"))
    ledger.open(Account("thread/canary", Budget(usd="1"), "canary-org"))
    about = {"id": "canary-id", "parent": "canary-parent", "way": "canary-way"}
    texts = ("effort_asked", "effort_planned", "effort_seen", "decided_by", "stop", "error", "purpose", "kind")
    given = {name: f"canary-{name}" for name in texts}
    call(
        ledger, "thread/canary", model="canary-model", node="canary-node", candidate=about,
        reasons=("canary", "at thread/canary"), **given,
    )  # fmt: skip
    call(ledger, "thread/canary", model="canary-other", end="held")
    sample(
        ledger, "thread/canary", "canary-id", parent="canary-parent", way="canary", purpose="canary", status="canary",
        scores={"canary": 0.5}, chosen=True,
    )  # fmt: skip
    decision(
        ledger, "thread/canary", "canary-do", "canary why", strategy="canary", scorer="canary", chosen="canary-id",
        question="canary?", baselines=[{"name": "canary", "arm": "canary", "chance": 0.5, "cost": 9.0, "unit": "usd"}],
    )  # fmt: skip
    decision(ledger, "thread/canary", "stop", "canary", question="canary?", round=2)
    plain = build_report(ledger, "canary-org")
    assert json.dumps(plain.to_dict()).count("canary") > 20
    made = build_report(ledger, "canary-org", redact=True)
    for text in (json.dumps(made.to_dict()), made.html(), made._repr_html_()):
        assert "canary" not in text
    assert made.totals == plain.totals
    assert made.steps[0].account == made.accounts[1].account == "thread-2"
    assert made.runs[0].question == ""


def test_a_pseudonym_is_the_same_in_every_report_of_a_ledger() -> None:
    ledger = MemoryLedger()
    team(ledger)
    whole, part = (build_report(ledger, what, redact=True) for what in ("team", "user/ben"))
    [ben] = [row for row in part.accounts if row.depth == 0]
    assert ben.account in {row.account for row in whole.accounts}
    by_name = {row.account: row.totals for row in whole.accounts}
    assert all(by_name[row.account] == row.totals for row in part.accounts)


def test_a_report_is_plain_and_frozen() -> None:
    ledger = MemoryLedger()
    team(ledger)
    made = build_report(ledger, "team")
    with pytest.raises(AttributeError):
        made.what = "x"  # type: ignore[misc]
    assert isinstance(made, Report)
    assert json.loads(json.dumps(made.to_dict()))["totals"]["settled"]["calls"] == made.totals.settled.calls
