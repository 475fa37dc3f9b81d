"""What was decided for each call stands beside what it cost, in every ledger; older databases are migrated."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from typer.testing import CliRunner

from conftest import Runner
from rheostat import Account, AdaptiveThinking, Budget, MemoryLedger, SQLiteLedger, build_solver
from rheostat.cli.app import app
from rheostat.graph.events import listen
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.rows import MIGRATIONS
from rheostat.money.usage import Spend
from rheostat.providers import endpoint_for
from rheostat.testing.server import Fault, Turn
from stores import PostgresStore
from wire import ADAPTIVE, CHAT, Api, on_every_api, simulated


def ledgers(kind: str, folder: Path, request: pytest.FixtureRequest) -> Any:
    if kind == "postgres":
        return PostgresStore(request.getfixturevalue("postgres")).start(time.time)  # without others' accounts
    return SQLiteLedger(folder / "spend.db") if kind == "sqlite" else MemoryLedger()


def agent(api: Api, server: Any, ledger: Any) -> Any:
    thinking = AdaptiveThinking(
        budget=Budget(usd="5"),
        ledger=ledger,
        effort="high",
        endpoint=lambda chat: endpoint_for(chat, provider=api.provider),
    )
    return create_agent(api.chat(server, max_retries=2), middleware=[thinking])


ONE_ID = ("estimate", "plan", "hold", "call", "settle")


@on_every_api
def test_a_step_says_what_was_asked_planned_sent_and_paid(api: Api, run: Runner) -> None:
    with simulated(Turn(text="4", thinking_tokens=30)) as server:
        ledger, ids = MemoryLedger(), set()
        stop = listen(lambda type_, data: ids.add(data["id"]) if type_ in ONE_ID else None)
        result = run(agent(api, server, ledger), {"messages": [HumanMessage("SECRET: what is 2 + 2?")]})
        stop()
        [step] = ledger.steps(result["rheostat"]["run"]["account"])
        assert ids == {step.id} == {result["rheostat"]["thinking"]["id"]}
        assert result["messages"][-1].response_metadata["thinking"]["id"] == step.id
        assert (step.effort_asked, step.effort_planned) == ("high", result["rheostat"]["thinking"]["effort"])
        if api.model != "claude-haiku-4-5":  # a budget in tokens, not a level
            assert step.effort_seen in ("high", "adaptive")
        assert step.most_output_tokens == step.thinking_tokens + step.answer_tokens
        assert step.reasons
        assert step.stop == "end"
        assert sum(request["spend"]["usd_nanos"] for request in step.requests) == result["rheostat"]["run"]["usd_nanos"]
        assert "SECRET" not in json.dumps(step.to_dict())


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_every_ledger_keeps_them(kind: str, tmp_path: Path, request: pytest.FixtureRequest, run: Runner) -> None:
    with simulated(Turn(fault=Fault(status=429)), Turn(text="4")) as server:
        ledger = ledgers(kind, tmp_path, request)
        result = run(agent(CHAT, server, ledger), {"messages": [HumanMessage("hi")]})
        [step] = ledger.steps(result["rheostat"]["run"]["account"])
        assert [bool(each["spend"]["input_tokens"]) for each in step.requests] == [False, True]  # the SDK tried again
        assert StepRecord.from_dict(json.loads(json.dumps(step.to_dict()))) == step
        if kind != "memory":
            journal = {line.id: line for line in ledger.journal()}
            assert all(journal[each["reservation"]].status == "settled" for each in step.requests)
            ledger.close()


def test_the_solver_notes_its_samples(run: Runner) -> None:
    from rheostat.testing import ScriptedModel

    ledger = MemoryLedger()
    graph = build_solver(ScriptedModel(script=["It is 4."]), budget=Budget(tokens=9_000), ledger=ledger, effort="none")
    result = run(graph.compile(), {"question": "What is 2 + 2?"})
    steps = [step for step in ledger.steps(result["rheostat"]["run"]["account"]) if step.of_call]
    assert len(steps) == result["rheostat"]["run"]["calls"]
    assert {step.effort_planned for step in steps} == {"none"}


def test_a_ledger_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {0x5268656F}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    ledger = SQLiteLedger(path)
    ledger.open(Account("a", Budget(calls=3)))
    [held] = ledger.hold("a", [Spend(calls=1)])
    ledger.record(StepRecord(id="s", account="a"))
    assert ledger.steps("a") == [StepRecord(id="s", account="a")]
    assert ledger.settle(held.id, Spend(calls=1))
    ledger.close()
    again = SQLiteLedger(path)
    assert len(again.steps()) == 1
    again.close()


def test_explain(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    with simulated(Turn(text="4")) as server:
        ledger = SQLiteLedger(path)
        result = agent(ADAPTIVE, server, ledger).invoke({"messages": [HumanMessage("hi")]})
        ledger.close()
    shown = CliRunner().invoke(app, ["explain", str(path), result["rheostat"]["run"]["account"]])
    assert shown.exit_code == 0
    for said in ("asked high", "claude-opus-4-8", "why", "request 1", "$"):
        assert said in shown.output
    [step] = json.loads(CliRunner().invoke(app, ["explain", str(path), "run/", "--json"]).output)
    assert step["effort_planned"] == "high"
    by_request = CliRunner().invoke(app, ["explain", str(path), step["requests"][0]["reservation"][:8]])
    assert by_request.exit_code == 0
    assert CliRunner().invoke(app, ["explain", str(path), "nothing"]).exit_code != 0
