"""`rheostat ledger …` on a real file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rheostat import Account, Budget, Spend, SQLiteLedger
from rheostat.cli.app import app
from rheostat.errors import BadInput, BudgetInvalid, LedgerError
from rheostat.money.ledger import RateSeen

NOW = 1_780_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path, wall=lambda: NOW)
    ledger.open(Account("tenant", Budget(usd="1")))
    ledger.open(Account("run", Budget(tokens=10_000), "tenant"))
    amount = Spend(usd_nanos=10_000_000, input_tokens=100, output_tokens=400, calls=1)
    [a, b, c, d, _] = ledger.hold("run", [amount] * 5, {"model": "gpt-6-sol", "node": "call"})
    for one in (a, b, c):
        ledger.begin(one.id)
    ledger.settle(a.id, Spend(usd_nanos=2_000_000, input_tokens=90, output_tokens=50, calls=1), "req-a")
    ledger.settle(b.id, Spend(usd_nanos=3_000_000, input_tokens=91, output_tokens=70, calls=1), "req-b")
    ledger.mark_unknown(c.id)
    ledger.void(d.id)
    ledger.close()
    return path


def rheostat(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["ledger", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def test_show(file: Path) -> None:
    [row] = json.loads(rheostat("show", str(file), "--by", "model", "--json"))
    assert (row["name"], row["settled_usd_nanos"], row["unknown_calls"], row["held_calls"]) == (
        "gpt-6-sol",
        5_000_000,
        1,
        1,
    )
    days = list(csv.DictReader(io.StringIO(rheostat("show", str(file), "--by", "day", "--csv"))))
    assert [day["name"] for day in days] == ["2026-05-28"]
    assert "$0.005" in rheostat("show", str(file))
    with pytest.raises(BadInput, match="--by colour: choose account, model"):
        rheostat("show", str(file), "--by", "colour")


def test_accounts(file: Path) -> None:
    rows = {row["account"]: row for row in json.loads(rheostat("accounts", str(file), "--json"))}
    assert rows["run"]["parent"] == "tenant"
    assert rows["tenant"]["usd_nanos"] == 5_000_000
    text = rheostat("accounts", str(file))
    assert text.index("tenant") < text.index("run")


def test_open_and_amend(tmp_path: Path) -> None:
    file = str(tmp_path / "new.db")
    assert "team: $5" in rheostat("open", file, "team", "--usd", "5", "--each", "day", "--zone", "Europe/Berlin")
    rheostat("open", file, "user", "--calls", "3", "--parent", "team")
    assert "new limits" in rheostat("open", file, "team", "--usd", "7")
    rows = {row["account"]: row for row in json.loads(rheostat("accounts", file, "--json"))}
    assert (rows["team"]["budget"], rows["team"]["window"], rows["user"]["parent"]) == (
        "$7",
        "day Europe/Berlin",
        "team",
    )
    with pytest.raises(BudgetInvalid, match="at least one limit"):
        rheostat("open", file, "nothing")
    with pytest.raises(LedgerError, match="'nobody' is not open"):
        rheostat("open", file, "x", "--calls", "1", "--parent", "nobody")


def test_rates_are_opened_amended_and_shown(tmp_path: Path) -> None:
    file = str(tmp_path / "new.db")
    said = rheostat("open", file, "key", "--rpm", "50", "--input-tpm", "30000", "--output-tpm", "8000")
    assert "key: 50 requests · 30,000 input tokens · 8,000 output tokens a minute" in said
    rheostat("open", file, "fleet", "--usd", "5", "--parent", "key")
    ledger = SQLiteLedger(file)
    admitted, _ = ledger.admit("fleet", Spend(usd_nanos=5, input_tokens=100, output_tokens=400, calls=1))
    ledger.heed("fleet", RateSeen(requests=20, stop_seconds=90))
    csv_rows = {row["account"]: row for row in csv.DictReader(io.StringIO(rheostat("accounts", file, "--csv")))}
    assert csv_rows["key"]["rate_input_tokens_in_flight"] == "100"
    assert csv_rows["key"]["rate_requests_used"] == "29"
    assert csv_rows["fleet"]["rate_requests_limit"] == ""
    ledger.void(admitted.id)
    ledger.close()
    text = rheostat("accounts", file)
    for part in ("30,000", "stopped by", "21 requests"):
        assert part in text
    assert "new limits" in rheostat("open", file, "key", "--tpm", "9000", "--counts-max-tokens")
    rows = {row["account"]: row for row in json.loads(rheostat("accounts", file, "--json"))}
    assert rows["key"]["rate"] == "9,000 tokens a minute (max_tokens counted)"
    with pytest.raises(BadInput, match="a rate needs at least one limit"):
        rheostat("open", file, "nothing", "--counts-max-tokens")


def test_of_an_account_means_with_all_beneath_it(file: Path) -> None:
    [row] = json.loads(rheostat("show", str(file), "--by", "model", "--account", "tenant", "--json"))
    assert row["settled_calls"] == 2
    with pytest.raises(BadInput, match="no account 'nobody'"):
        rheostat("show", str(file), "--account", "nobody")


def test_unknown_and_void(file: Path) -> None:
    rows = json.loads(rheostat("unknown", str(file), "--json"))
    assert sorted(row["status"] for row in rows) == ["held", "unknown"]
    lost = next(row["id"] for row in rows if row["status"] == "unknown")
    rheostat("void", str(file), lost, "--yes")
    assert len(json.loads(rheostat("unknown", str(file), "--json"))) == 1
    with pytest.raises(BadInput, match="no reservation"):
        rheostat("void", str(file), lost, "--yes")
    rheostat("unknown", str(file), "--expire", "0")
    assert "nothing is unknown" in rheostat("unknown", str(file))


def test_void_asks_first(file: Path) -> None:
    lost = next(r["id"] for r in json.loads(rheostat("unknown", str(file), "--json")) if r["status"] == "unknown")
    result = CliRunner().invoke(app, ["ledger", "void", str(file), lost], input="n\n")
    assert result.exit_code == 1
    assert len(json.loads(rheostat("unknown", str(file), "--json"))) == 2


def test_export(file: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(rheostat("export", str(file)))))
    assert len(rows) == 5
    assert sorted(row["status"] for row in rows) == ["held", "settled", "settled", "unknown", "void"]
    assert {row["request_id"] for row in rows} == {"req-a", "req-b", ""}
    assert len(json.loads(rheostat("export", str(file), "--json"))) == 5


def test_prune(file: Path) -> None:
    before = rheostat("accounts", str(file), "--json")
    assert "0 lines" in rheostat("prune", str(file), "--days", "100000")
    assert "3 lines" in rheostat("prune", str(file))
    assert len(json.loads(rheostat("unknown", str(file), "--json"))) == 2  # what is still charged stays
    assert rheostat("accounts", str(file), "--json") == before


def test_reconcile(file: Path, tmp_path: Path) -> None:
    """One row agrees, one disagrees, one settles what was unknown (by time), one is nobody's."""
    usage = tmp_path / "usage.csv"
    usage.write_text(
        "Request_ID,timestamp,model,prompt_tokens,completion_tokens,cost_usd\n"
        f"req-a,{NOW + 1},gpt-6-sol,90,50,0.002\n"
        f"req-b,{NOW + 1},gpt-6-sol,91,75,0.0031\n"
        f"req-c,{NOW + 4},gpt-6-sol-2026-04,95,222,0.004\n"
        f"req-x,{NOW + 9000},gpt-6-sol,1,1,0.1\n"
    )
    said = json.loads(rheostat("reconcile", str(file), str(usage), "--json"))
    assert said["matched"] == 3
    assert len(said["could_be_settled"]) == 1
    assert [(wrong["row"], "70, provider 75" in wrong["why"]) for wrong in said["wrong"]] == [(3, True)]
    assert said["billed_only"] == [5]
    assert said["ledger_only"] == []
    text = rheostat("reconcile", str(file), str(usage), "--apply")
    assert "settled" in text
    tenant = next(row for row in json.loads(rheostat("accounts", str(file), "--json")) if row["account"] == "tenant")
    assert (tenant["unknown_calls"], tenant["calls"], tenant["usd_nanos"]) == (0, 3, 9_000_000)


def test_what_fits_two_is_not_guessed(file: Path, tmp_path: Path) -> None:
    usage = tmp_path / "usage.csv"
    usage.write_text("time,output_tokens\n" + f"{int(NOW + 4)},20\n" + "2026-05-28T20:26:45+00:00,30\n")
    said = json.loads(rheostat("reconcile", str(file), str(usage), "--json"))
    assert (said["matched"], len(said["billed_only"])) == (0, 2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("colour,size\nred,5\n", "neither a request_id nor a time column"),
        ("request_id,output_tokens\na,many\n", "line 2"),
        ("time,usd\nyesterday,1\n", "line 2"),
        ("", "empty"),
        ("x", "neither"),
        (f"time,usd\n{'1' * 200_000},1\n", "no CSV file"),
    ],
)
def test_exports_that_make_no_sense(file: Path, tmp_path: Path, text: str, why: str) -> None:
    usage = tmp_path / "usage.csv"
    usage.write_text(text)
    with pytest.raises(BadInput, match=why):
        rheostat("reconcile", str(file), str(usage))


def test_no_such_ledger(tmp_path: Path) -> None:
    for command in ("show", "accounts", "unknown", "export"):
        with pytest.raises(BadInput, match="no file"):
            rheostat(command, str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []
