"""`rheostat agent`, `code`, `auto`, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rheostat.cli import agents
from rheostat.cli.agent_view import AgentView
from rheostat.cli.app import app
from rheostat.testing import Said, scripted

BUG = Path("examples/bugs/discount")
PYTEST = "python -m pytest -q -x -p no:cacheprovider --disable-plugin-autoload"


def run(monkeypatch: pytest.MonkeyPatch, script: list[Any], *words: str, stdin: str = "") -> Any:
    at, _ = scripted(*script)
    monkeypatch.setattr(agents, "_ready", lambda model, quiet: at)
    return CliRunner().invoke(app, list(words), input=stdin)


def test_an_agent_calculates(monkeypatch: pytest.MonkeyPatch) -> None:
    script = [Said(tool_calls=(("calculate", {"expression": "17 * 23"}),)), "It is 391."]
    done = run(monkeypatch, script, "agent", "What is 17 * 23?", "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["answer"] == "It is 391."
    assert shown["spend"]["calls"] == 2


def test_code_until_green(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    repository = tmp_path / "shop"
    shutil.copytree(BUG, repository, ignore=shutil.ignore_patterns("solution.patch"))
    old = "    return amount + amount * percent / 100"
    edit = {"path": "checkout.py", "old": old, "new": old.replace("amount +", "amount -")}
    script = [Said(tool_calls=(("edit_file", edit),))]
    done = run(monkeypatch, script, "code", str(repository), "--test-command", PYTEST)
    assert done.exit_code == 0, done.output
    assert "The tests pass" in done.stdout
    assert "+    return amount - amount * percent / 100" in done.stdout
    wrong = run(monkeypatch, ["I can't."], "code", str(tmp_path / "nowhere"))
    assert "no directory" in str(wrong.exception)


def test_a_long_task_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ['{"steps": ["one", "two"]}', "did one", "the report"]
    monkeypatch.setattr("rheostat.testing.model.ScriptedModel.with_structured_output", _by_text, raising=False)
    words = ["auto", "Do it.", "--check-in", "0.0001", "--budget-tokens", "50000", "--effort", "none", "--json"]
    done = run(monkeypatch, script, *words, stdin="stop\n")
    assert done.exit_code == 1, (done.output, done.exception)
    assert done.stdout, done.exception
    shown = json.loads(done.stdout[done.stdout.index("{") :])
    assert shown["status"] == "stopped"
    assert shown["report"] == "the report"
    assert [each["step"] for each in shown["done"]] == ["one"]


def _by_text(self: Any, schema: Any, **kwargs: Any) -> Any:
    from langchain_core.output_parsers import PydanticOutputParser
    from langchain_core.runnables import RunnableMap, RunnablePassthrough

    parser = PydanticOutputParser(pydantic_object=schema)
    return RunnableMap(raw=self) | RunnablePassthrough.assign(parsed=lambda said: parser.invoke(said["raw"]))


def test_an_empty_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the task is empty" in str(run(monkeypatch, ["x"], "agent", " ").exception)


def test_the_view_takes_every_event() -> None:
    from rich.console import Console

    from rheostat import Budget, build_agent

    at, _ = scripted(Said(tool_calls=(("nothing", {}),)), "done")
    budget = Budget(tokens=50_000, calls=5, seconds=60)
    view = AgentView("a task", "a model", budget)
    graph = build_agent(at, budget=budget).compile()
    for event in graph.stream({"messages": [("user", "hi")]}, stream_mode="custom"):
        view.feed(event)
    view.feed({"type": "step", "name": "work", "step": "one"})
    view.feed({"type": "wind_down", "why": "the room is small"})
    console = Console(record=True, width=120)
    console.print(view)
    text = console.export_text()
    assert "there is no tool" in text
    assert "2 of 5" in text
    assert "the room is small" in text
