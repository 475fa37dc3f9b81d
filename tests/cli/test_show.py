"""`rheostat show` prints a run again; `rheostat solve` takes strategies and scorers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner

from postgres_server import PostgresServer
from rheostat import (
    Account,
    BadInput,
    Caps,
    PostgresLedger,
    SQLiteLedger,
    resolve,
)
from rheostat.cli import solve as solving
from rheostat.cli.app import app
from rheostat.money.ledger import StepRecord
from rheostat.strategies import BestOfN, Vote
from searched import CANARY, QUESTION, judging, numbered, searching


def rheostat(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "140"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def finished(tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A ledger file and the result of the run in it."""
    ledger = SQLiteLedger(tmp_path / "spend.db")
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    result = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "42"}})
    ledger.close()
    return str(tmp_path / "spend.db"), result


def test_show_draws_the_tree_with_scores_prices_and_the_chosen_one(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    text = rheostat("show", path, "thread/42")
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines() if "bare" in line}
    for each in result["candidates"]:
        depth = 0 if each["parent"] is None else 1
        name = next(name for name in lines if name.endswith(each["id"]))
        assert ("└" in name or "├" in name) == bool(depth)
        assert f"{each['score']:.2f}" in lines[name]
        assert "$" in lines[name]
        assert ("chosen" in lines[name]) == (each["id"] == result["chosen"])
    assert "tree · chat 0.00 · scored by judge" in text
    assert "total: 5 candidates · judge:" in text
    assert f"accept: {result['stopped']}" in text
    assert CANARY not in text


def test_show_by_run_thread_and_prefix(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    account = result["rheostat"]["run"]["account"]
    texts = {rheostat("show", path, what) for what in (account, account[:20], "thread/42", "42", "thread/4")}
    assert len(texts) == 1


def test_show_a_thread_shows_all_of_its_runs_and_no_other(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "spend.db")
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    for thread in ("4", "4", "42"):
        graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": thread}})
    ledger.close()
    found = json.loads(rheostat("show", str(tmp_path / "spend.db"), "thread/4", "--json"))["runs"]
    assert [each["account"].rpartition("/")[0] for each in found] == ["thread/4", "thread/4"]


def test_show_an_account_above_shows_the_runs_of_its_threads(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "spend.db")
    for user in ("user/ada", "user/ben"):
        ledger.open(Account(user))
        graph = searching(ledger, account=user).compile(checkpointer=InMemorySaver())
        graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": f"of-{user[-3:]}"}})
    ledger.close()
    found = json.loads(rheostat("show", str(tmp_path / "spend.db"), "user/ada", "--json"))["runs"]
    assert [each["account"].rpartition("/")[0] for each in found] == ["thread/of-ada"]


def test_show_as_json_has_a_stable_shape(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    document = json.loads(rheostat("show", path, "42", "--json"))
    [run] = document["runs"]
    assert set(run) == {
        "account", "strategy", "scorer", "kind", "difficulty", "ended", "chosen", "candidates", "decisions", "totals",
        "spend",
    }  # fmt: skip
    assert set(run["candidates"][0]) == {
        "id", "number", "parent", "round", "way", "purpose", "status", "passed", "score", "scores", "chosen", "group",
        "cost", "scoring", "model", "effort", "error", "verified",
    }  # fmt: skip
    assert set(run["candidates"][0]["cost"]) == {
        "usd_nanos", "input_tokens", "output_tokens", "thinking_tokens", "calls"
    }  # fmt: skip
    assert set(run["totals"]) == {
        "candidates", "cancelled", "failed", "tokens", "usd_nanos", "scoring_tokens", "scoring_usd_nanos",
        "scoring_share",
    }  # fmt: skip
    assert set(run["decisions"][0]) == {"round", "action", "why"}
    assert (run["chosen"], run["strategy"], run["ended"]) == (result["chosen"], "tree", True)
    reading = result["rheostat"]["run"]
    assert run["totals"]["tokens"] == reading["input_tokens"] + reading["output_tokens"]


def test_show_reads_postgres(postgres: PostgresServer) -> None:
    ledger = PostgresLedger(postgres.address)
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    result = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "shown"}})
    ledger.close()
    [run] = json.loads(rheostat("show", postgres.address, "thread/shown", "--json"))["runs"]
    assert run["chosen"] == result["chosen"]


def test_an_unknown_run_and_one_without_candidates(tmp_path: Path, finished: tuple[str, dict[str, Any]]) -> None:
    path, _ = finished
    with pytest.raises(BadInput, match=r"begins with 'nothing': rheostat ledger accounts .* --all"):
        rheostat("show", path, "nothing")
    with pytest.raises(BadInput, match="begins with ''"):
        rheostat("show", path, "")
    ledger = SQLiteLedger(Path(path))
    ledger.record(StepRecord(id="s", account="thread/agent/run", node="model"))
    ledger.close()
    with pytest.raises(BadInput, match=r"thread/agent/run has no candidates: .* rheostat explain .* thread/agent"):
        rheostat("show", path, "thread/agent")
    with pytest.raises(BadInput, match="no file"):
        rheostat("show", str(tmp_path / "none.db"), "x")


def test_explain_shows_calls_as_before_and_their_candidates(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    text = rheostat("explain", path, "thread/42")
    assert text.count("request 1") == text.count("candidate") == 5
    child = next(each for each in result["candidates"] if each["parent"])
    assert f"{child['id']}, from {child['parent']}, asked by bare" in text
    assert len(json.loads(rheostat("explain", path, "thread/42", "--json"))) == 5


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model line` and `--judge judge` are scripted."""
    models = {"line": numbered(), "judge": judging()}
    monkeypatch.setattr(solving, "resolve", lambda name: resolve(models[name]))


@pytest.mark.usefixtures("scripts")
def test_solve_takes_a_strategy_samples_and_a_judge(tmp_path: Path) -> None:
    path = str(tmp_path / "spend.db")
    asked = ["solve", QUESTION, "--model", "line", "--effort", "none", "--budget-tokens", "200000", "--ledger", path]
    asked += ["--strategy", "tree", "--samples", "5", "--judge", "judge"]
    said = json.loads(rheostat(*asked, "--json"))
    assert len(said["candidates"]) == 5
    assert said["chosen"] in {each["id"] for each in said["candidates"]}
    [run] = json.loads(rheostat("show", path, said["run"], "--json"))["runs"]
    assert (run["chosen"], run["strategy"]) == (said["chosen"], "tree")
    text = rheostat(*asked)
    assert "tree · 5 candidates · judge: " in text
    assert "not verified: score 0." in text
    assert f"again: rheostat show {path} run/" in text


@pytest.mark.usefixtures("scripts")
def test_solve_says_in_one_line_what_a_strategy_needs(tmp_path: Path) -> None:
    asked = ["solve", QUESTION, "--model", "line"]
    for more, says in (
        (["--strategy", "guess"], "no strategy named 'guess'; choose auto, direct"),
        (["--strategy", "tree"], "needs something that tells good answers from bad ones"),
        (["--strategy", "direct", "--samples", "3"], "--samples is for a strategy that takes it: --strategy vote"),
        (["--samples", "3"], "not auto"),
        (["--judge", "judge", "--confidence"], "one scorer at a time"),
        (["--worth", "much"], "worth"),
    ):
        with pytest.raises(BadInput, match=says):
            rheostat(*asked, *more)


def test_samples_raise_the_caps() -> None:
    assert solving.caps_for(None) == solving.caps_for(3) == Caps()
    assert (solving.caps_for(40).max_samples, solving.caps_for(40).max_rounds) == (40, 40)
    assert solving.named_strategy("vote", 7) == Vote(most_samples=7)
    assert solving.named_strategy("best-of-n", 7) == BestOfN(samples=7)
    assert solving.named_strategy("auto", None) == "auto"
