"""`rheostat report` writes the page and prints its path."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner

from reported import team
from rheostat import BadInput, SQLiteLedger
from rheostat.cli.app import app
from rheostat.errors import MissingExtra
from rheostat.report import build_report
from rheostat.report.page import _environment
from searched import QUESTION, searching


def rheostat(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["report", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    ledger = SQLiteLedger(tmp_path / "spend.db")
    team(ledger)
    ledger.close()
    return "spend.db"


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("thread/a", "report-thread-a.html"),
        ("team", "report-team.html"),
        ("../../etc/team", None),
    ],
)
def test_the_file_has_a_safe_name(path: str, what: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(BadInput, match="begins with"):
            rheostat(path, what)
        return
    assert rheostat(path, what).strip() == name
    assert f"<h1>{what}</h1>" in Path(name).read_text()


def test_an_accounts_name_cant_leave_the_folder(path: str) -> None:
    from rheostat import Account

    ledger = SQLiteLedger(Path(path))
    for name in ("../up", "/root/x", "a" * 300, "..", "\x1b[31m"):
        ledger.open(Account(name))
    ledger.close()
    before = set(Path().iterdir())
    for name in ("../up", "/root/x", "a" * 300, "..", "\x1b[31m"):
        said = rheostat(path, name).strip()
        assert Path(said).parent == Path()
        assert "\x1b" not in said
    assert {each.suffix for each in set(Path().iterdir()) - before} == {".html"}


def test_out_open_and_redact(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(webbrowser, "open", seen.append)
    out = tmp_path / "my page.html"
    assert rheostat(path, "team", "--out", str(out), "--open", "--redact").strip() == str(out)
    assert seen == [out.as_uri()]
    text = out.read_text()
    assert "user/ada" not in text
    assert "Why?" not in text
    assert "account-" in text
    assert rheostat(path, "team", "--redact").strip() == "report.html"  # nor in the file's name
    for wrong in (tmp_path, tmp_path / "no" / "page.html"):
        with pytest.raises(BadInput, match="can't write"):
            rheostat(path, "team", "--out", str(wrong))


def test_json_is_the_reports_data(path: str) -> None:
    before = set(Path().iterdir())
    document = json.loads(rheostat(path, "team", "--json"))
    assert set(Path().iterdir()) == before
    ledger = SQLiteLedger(Path(path))
    made = json.loads(json.dumps(build_report(ledger, "team").to_dict()))
    ledger.close()
    assert document | {"made_at_ms": 0} == made | {"made_at_ms": 0}
    rheostat(path, "team", "--json", "--out", "both.html")
    assert Path("both.html").exists()


def test_a_real_search_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = SQLiteLedger(tmp_path / "spend.db")
    graph = searching(ledger, keep_text=True).compile(checkpointer=InMemorySaver())
    result = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "42"}})
    made = build_report(ledger, "42")
    ledger.close()
    [run] = made.runs
    assert {each.candidate for each in run.candidates} == {each["id"] for each in result["candidates"]}
    assert [each.candidate for each in run.candidates if each.chosen] == [result["chosen"]]
    assert run.question == QUESTION
    reading = result["rheostat"]["run"]
    assert (made.totals.settled.calls, made.totals.settled.tokens) == (
        reading["calls"], reading["input_tokens"] + reading["output_tokens"]
    )  # fmt: skip
    assert [step.node for step in made.steps].count("judge") == 5  # without a plan, from the journal
    html = made.html()
    assert QUESTION in html
    assert result["stopped"] in html


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_without_the_extra_it_says_what_to_install(path: str, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    _environment.cache_clear()
    with pytest.raises(MissingExtra, match=r"rheostat\[report\]"):
        rheostat(path, "team")
    assert json.loads(rheostat(path, "team", "--json"))["what"] == "team"
    _environment.cache_clear()
