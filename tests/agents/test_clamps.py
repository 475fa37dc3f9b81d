"""Length caps from use: what is learned, where it is kept, and what an agent sends."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from typer.testing import CliRunner

from conftest import Runner
from rheostat import Budget, BudgetExceeded, Ledger, MemoryLedger, SQLiteLedger
from rheostat.bench.clamps import levels, replayed
from rheostat.cli.app import app
from rheostat.judgement.policy import Caps, ModelFacts, Policy
from rheostat.judgement.schedule import Pacing
from rheostat.money.ledger import StepRecord, Use
from rheostat.money.pricing import listed_price, price_of
from rheostat.providers import endpoint_for
from rheostat.task import Effort, ThinkingPlan
from rheostat.testing import free
from rheostat.testing.server import Turn
from rheostat.thinking.clamps import LEAST_CALLS, Clamps
from rheostat.thinking.difficulty import THOUGHT_WITH, read_trajectory
from test_middleware import ASK, DONE, Case, call
from wire import ADAPTIVE, CHAT, MANUAL, RESPONSE, Api, simulated

STEP = ThinkingPlan(effort=Effort.medium, thinking_tokens=8_192, answer_tokens=4_096, purpose="step", model="m")


def most(body: dict[str, Any]) -> int:
    return next(
        int(body[name]) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body
    )


def step(number: int, output_tokens: int, **more: Any) -> StepRecord:
    return StepRecord.from_dict({
        "id": f"s{number}", "account": "a", "at_ms": number, "model": "m", "effort_planned": "medium",
        "purpose": "step", "requests": [{"spend": {"output_tokens": output_tokens, "input_tokens": 1, "calls": 1}}],
        **more,
    })  # fmt: skip


def learned(used: list[int], ledger: Ledger | None = None) -> Clamps:
    ledger = ledger or MemoryLedger()
    for number, tokens in enumerate(used):
        ledger.record(step(number, tokens))
    return Clamps("m", ledger.uses("m"))


# --- what is counted -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_never_below_the_true_one_and_at_most_five_percent_above(used: list[int], share: float) -> None:
    use = learned(used).uses["m", "medium", "step"]
    wanted = share * len(used)
    true = next(value for rank, value in enumerate(sorted(used), 1) if rank >= wanted)
    assert true <= use.quantile(share) <= 1.05 * true + 1
    assert use.calls == len(used)


@pytest.fixture
def stores(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Callable[[], Ledger]]]:
    from rheostat import PostgresLedger

    memory, opened = MemoryLedger(), []

    def keep(ledger: Any) -> Any:
        opened.append(ledger)
        return ledger

    ways: list[Callable[[], Ledger]] = [lambda: memory, lambda: keep(SQLiteLedger(tmp_path / "ledger.db"))]
    from postgres_server import installation

    if installation() is not None:
        address = request.getfixturevalue("postgres").address
        ways.append(lambda: keep(PostgresLedger(address)))
    yield ways
    for each in opened:
        each.close()


def test_every_ledger_counts_the_same_and_adds_up_over_processes(stores: list[Callable[[], Ledger]]) -> None:
    for make in stores:
        first, second = make(), make()
        for number in range(40):
            (first if number % 2 else second).record(step(number, 10 * number + 1))
        second.record(step(99, 64, starved=True, most_output_tokens=64))  # cut: it would have gone on
        first.record(step(98, 0, error="RateLimitError", requests=[]))  # says nothing of use
        use = first.uses("m")["m", "medium", "step"]
        assert use.calls == 41
        assert second.uses()["m", "medium", "step"].calls_by_bucket == use.calls_by_bucket
        assert first.uses("another") == {}
        one = Use()
        for tokens in [*(10 * number + 1 for number in range(40)), 128]:
            one.count(next(iter(learned([tokens]).uses["m", "medium", "step"].calls_by_bucket)))
        assert one.calls_by_bucket == use.calls_by_bucket


def test_a_database_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    ledger = SQLiteLedger(path)
    ledger.record(step(1, 100))
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE rheostat_uses")
        connection.execute("PRAGMA user_version = 2")
    ledger = SQLiteLedger(path)
    ledger.record(step(2, 100))
    assert ledger.uses()["m", "medium", "step"].calls == 1
    assert len(ledger.steps()) == 2
    ledger.close()


def test_usage_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path)
    learned([100] * 99 + [5_000], ledger)
    ledger.close()
    shown = CliRunner().invoke(app, ["ledger", "usage", str(path), "--json"])
    [row] = json.loads(shown.stdout)
    assert (row["model"], row["effort"], row["purpose"], row["calls"]) == ("m", "medium", "step", 100)
    assert 100 <= row["p50"] <= 105
    assert row["p99"] <= 105
    assert row["p99.9"] >= 5_000
    assert "p99" in CliRunner().invoke(app, ["ledger", "usage", str(path)]).stdout


# --- what comes of it ------------------------------------------------------------------------------------------------


def test_two_hundred_calls_make_a_clamp() -> None:
    assert learned([3_000] * (LEAST_CALLS - 1)).on(STEP) == STEP
    clamped = learned([3_000] * LEAST_CALLS).on(STEP)
    assert 4_500 <= clamped.max_output_tokens <= 4_500 * 1.05
    assert "200 replies" in clamped.reasons[-1]
    assert learned([10] * LEAST_CALLS).on(STEP).max_output_tokens == 2_048, "a long report may come after short calls"


@given(
    st.lists(st.integers(1, 50_000), min_size=LEAST_CALLS, max_size=LEAST_CALLS),
    st.integers(0, 60_000),
    st.integers(1, 20_000),
    st.none() | st.integers(1, 100_000),
    st.booleans(),
)
def test_shorter_is_shorter(used: list[int], thinking: int, answer: int, own: int | None, widened: bool) -> None:
    clamps = Clamps("m", learned(used).uses, own)
    plan = clamps.on(STEP.sized(thinking, answer), widened=widened)
    assert plan.max_output_tokens >= 1
    assert (plan.thinking_tokens > 0) == (thinking > 0)
    assert plan.widened == (widened and own is None)
    tried = [plan.max_output_tokens, *(each.max_output_tokens for each in clamps.shorter(plan))]
    assert tried == sorted(set(tried), reverse=True)
    assert all(each >= 1_024 for each in tried[1:])
    assert all(each.decided_by == "budget" for each in clamps.shorter(plan))


def test_an_agent_learns_its_clamp(run: Runner) -> None:
    """From the ledger's counts; the plan, the body and the record say the same."""
    with simulated(call(), DONE) as server:
        case = Case(CHAT, server, effort=Effort.medium)
        for number in range(LEAST_CALLS):
            case.ledger.record(step(number, 2_000, model=CHAT.model))
        result = run(case.agent(), ASK)
        assert {most(body) for body in server.bill.bodies} == {caps(case)}
        assert 3_000 <= caps(case) <= 3_150
        assert "replies took" in " ".join(result["rheostat"]["thinking"]["reasons"])
        case.agrees(result)


def caps(case: Case) -> int:
    [most] = {record.most_output_tokens for record in case.ledger.steps() if record.most_output_tokens}
    assert most is not None
    return most


def test_a_level_in_tokens_keeps_its_tokens() -> None:
    with simulated(DONE) as server:
        case = Case(MANUAL, server, effort=Effort.medium)
        for number in range(LEAST_CALLS):
            case.ledger.record(step(number, 50, model=MANUAL.model))
        case.agent().invoke(ASK)
        assert server.bill.bodies[0]["thinking"]["budget_tokens"] == 4_096


@pytest.mark.parametrize(("usd", "wanted"), [("20", 30_000), ("0.20", 10_600)])
def test_a_max_tokens_of_the_users_gives_way_only_where_room_is_short(usd: str, wanted: int) -> None:
    with simulated(DONE) as server:
        case = Case(CHAT, server, effort=Effort.medium, budget=Budget(usd=usd))
        case.chat = CHAT.chat(server, max_tokens=30_000)
        case.agent().invoke(ASK)
        assert most(server.bill.bodies[0]) == wanted
        assert server.bill.bodies[0]["reasoning_effort"] == "medium"


@pytest.mark.parametrize(("own", "effort"), [(2_000, "medium"), (900, "none")])
def test_a_max_tokens_of_the_users_is_the_cap(own: int, effort: str, run: Runner) -> None:
    """Neither raised nor lowered; where it leaves no room for a thought, there is none."""
    with simulated(DONE) as server:
        case = Case(CHAT, server, effort="balanced")
        case.chat = CHAT.chat(server, max_tokens=own)
        hard = "Prove that the sum is never prime; calculate 12 * 34 / 5 for each of the 3 cases, in at most 4 steps."
        run(case.agent(), {"messages": [HumanMessage(hard)]})
        assert most(server.bill.bodies[0]) == own
        assert server.bill.bodies[0]["reasoning_effort"] == effort


def test_a_step_that_ran_out_is_made_once_more_with_twice_the_room(run: Runner) -> None:
    with simulated(call(), Turn(thinking_tokens=10**6), DONE) as server:
        case = Case(RESPONSE, server, effort=Effort.high)
        result = run(case.agent(), ASK)
        assert result["messages"][-1].text == "42"
        assert [most(body) for body in server.bill.bodies] == [17_700, 17_700, 35_400]
        assert len(result["messages"]) == 4, "an empty reply is no message of the agent's"
        case.agrees(result)


def test_thought_at_five_cents(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "k")
    for model in ("openai:gpt-5.1", "openai:gpt-6-sol", "anthropic:claude-sonnet-5"):
        assert levels(model, "0.05", clamped=False).startswith("none")
        assert levels(model, "0.05", clamped=True).startswith("medium")


@given(st.lists(st.integers(1, 3_000), min_size=300, max_size=600))
def test_what_is_replayed_is_held_and_cut_as_it_says(used: list[int]) -> None:
    found = list(replayed(used))
    assert [most for most, _ in found[:LEAST_CALLS]] == [12_288] * LEAST_CALLS
    assert all(cut == (tokens > most) for tokens, (most, cut) in zip(used, found, strict=True))
    assert all(2_048 <= most <= 1.05 * 1.5 * 3_001 for most, _ in found[LEAST_CALLS + 50 :])


def test_short_room_clamps_before_it_lowers_the_level() -> None:
    with simulated(DONE) as server:
        case = Case(CHAT, server, effort=Effort.medium, budget=Budget(usd="0.05"))
        result = case.agent().invoke({"messages": [HumanMessage("Fix the test.")]})
        assert server.bill.bodies[0]["reasoning_effort"] == "medium"
        assert most(server.bill.bodies[0]) < 10_600
        assert result["rheostat"]["thinking"]["decided_by"] == "budget"


@pytest.mark.parametrize("api", [CHAT, ADAPTIVE, MANUAL], ids=lambda api: api.model)
@pytest.mark.parametrize("with_tools", [False, True])
@pytest.mark.parametrize("limit", ["usd", "tokens"])
def test_a_refusal_names_a_budget_that_is_enough(api: Api, with_tools: bool, limit: str) -> None:
    """With that budget it goes on, at that level."""
    small: dict[str, Any] = {"usd": "0.001"} if limit == "usd" else {"tokens": 300}
    with simulated(DONE) as server:
        tools = None if with_tools else []
        case = Case(api, server, effort=Effort.medium, budget=Budget(**small))
        with pytest.raises(BudgetExceeded, match="At effort medium, Budget") as refused:
            case.agent(tools).invoke(ASK)
        [named] = re.findall(r"At effort medium, (Budget\(.*?\)) is enough", str(refused.value))
        enough: Budget = eval(named, {"Budget": Budget})  # noqa: S307 - ours
        result = Case(api, server, effort=Effort.medium, budget=enough).agent(tools).invoke(ASK)
        assert result["rheostat"]["thinking"]["effort"] == "medium"
        assert not result["rheostat"]["thinking"]["last_word"]


@pytest.mark.parametrize(
    ("clamped", "widened", "wanted"),
    [(True, False, Effort.medium), (True, True, Effort.low), (False, False, Effort.high)],
)
def test_what_comes_after_a_cut_thought(clamped: bool, widened: bool, wanted: Effort) -> None:
    """A name keeps its level, for a wider cap; twice in a row it thinks less; a number of tokens is raised."""
    levels_ = {Effort.low: 100, Effort.medium: 200, Effort.high: 400}
    facts = ModelFacts(name="m", levels=levels_, clamped=clamped)
    before = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])
    before.response_metadata[THOUGHT_WITH] = {"effort": "medium", "starved": True, "widened": widened}
    at = read_trajectory([HumanMessage("Do it."), before, ToolMessage("x", tool_call_id="1")])
    plan = Pacing().plan(at, Policy(), "balanced", Caps(), facts, price=None, cached_tokens=0, tools=True)
    assert plan.effort == wanted


def test_a_model_with_a_list_price_isnt_free_whatever_was_declared_for_its_name() -> None:
    with simulated(DONE) as server:
        chat = free(CHAT.chat(server))
        assert price_of("openai", CHAT.model) == listed_price("openai", CHAT.model)
        price = endpoint_for(chat, provider="openai").price
        assert price is not None
        assert not price.free
