"""`rheostat fleet`: what its commands say. `tests/fleet` runs fleets through it, and kills them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from typer.testing import CliRunner

from rheostat import BadInput, Budget, open_ledger
from rheostat.cli.app import app
from rheostat.fleet import Fleet

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # DBOS leaves its pools to the collector


class State(TypedDict, total=False):
    question: str
    answer: str


def answer(state: State) -> State:
    if "fail" in state["question"]:
        raise ValueError("a defect \x1b[31m")
    return {"answer": state["question"].upper()}


def graph() -> Any:
    made = StateGraph(State)
    made.add_node("answer", answer)
    made.add_edge(START, "answer")
    made.add_edge("answer", END)
    return made


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("fleet") / "fleet.db"
    with Fleet("f", graph(), budget=Budget(usd="1"), db=path, attempts=1) as fleet:
        fleet.submit([{"id": "a", "question": "hi"}, {"id": "b", "question": "fail"}])
        fleet.work()
        fleet.pause()
        fleet.submit([{"id": "c", "question": "later"}])
    return str(path)


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["fleet", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_results_are_one_line_a_task(db: str, tmp_path: Path) -> None:
    rows = {row["id"]: row for row in map(json.loads, said("results", "f", "--db", db).splitlines())}
    assert {name: row["state"] for name, row in rows.items()} == {"a": "done", "b": "failed", "c": "queued"}
    assert rows["a"]["answer"] == "HI"
    assert "a defect" in rows["b"]["why"]
    out = tmp_path / "out.jsonl"
    said("results", "f", "--db", db, "--out", str(out))
    assert len(out.read_text().splitlines()) == 3
    assert len(json.loads(said("results", "f", "--db", db, "--json"))) == 3


def test_status_tells_the_state_the_forecast_and_the_worst(db: str) -> None:
    shown = said("status", "f", "--db", db)
    assert "paused by the user" in shown
    assert "1 of 3" in shown
    assert "a defect" in shown
    assert "\x1b[31m" not in shown
    told = json.loads(said("status", "f", "--db", db, "--json"))
    assert told["tasks"] == {"total": 3, "queued": 1, "running": 0, "done": 1, "failed": 1, "of_another_version": 0}
    assert told["worst"][0]["id"] == "b"


def test_failed_tasks_are_queued_again(db: str) -> None:
    assert "1 tasks are queued again" in said("retry", "f", "--db", db, "--failed")
    assert json.loads(said("pause", "f", "--db", db, "--json")) == {"fleet": "f", "paused": True, "running": 0}
    said("resume", "f", "--db", db, "--workers", "0")
    assert json.loads(said("status", "f", "--db", db, "--json"))["tasks"]["queued"] == 2


def test_a_fleet_that_is_not_there_and_a_new_one_without_a_cap(db: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no fleet 'g' in this database; there are f"):
        said("status", "g", "--db", db)
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"question": "q"}\n')
    with pytest.raises(BadInput, match="needs a hard cap"):
        said("run", str(tasks), "--graph", f"{__file__}:graph", "--db", db)


def test_the_cap_can_be_amended(db: str) -> None:
    result = CliRunner().invoke(app, ["ledger", "amend", db, "fleet/f", "--usd", "2", "--json"])
    assert json.loads(result.output)["budget"] == {"usd": "2"}
    ledger = open_ledger(db)
    assert ledger.room("fleet/f").usd_nanos == 2_000_000_000
    ledger.close()
