"""What others say is made safe before it is shown; what a user points at is checked before it is read."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import socket
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from rheostat import Account, Budget
from rheostat.addresses import without_password
from rheostat.cli.app import app
from rheostat.cli.safe_text import escape, for_csv, visible
from rheostat.cli.said import put
from rheostat.errors import BadInput, LedgerError, LedgerUnavailable
from rheostat.files import read_text, write_whole
from rheostat.local import CATALOGUE, store
from rheostat.money.ledger import StepRecord, open_ledger
from rheostat.money.pricing import PRICES, own_prices
from rheostat.visible import one_line, visible_json

HOSTILE = {
    "clears the screen": "\x1b[2J\x1b[H",
    "sets the title": "\x1b]0;owned\x07",
    "writes the clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "a link": "\x1b]8;;http://evil\x1b\\\\click\x1b]8;;\x1b\\\\",
    "one byte CSI": "\x9b31m",
    "goes back": "denied\rallowed",
    "rubs out": "no\x08\x08yes",
    "turns around": "\u202egnp.exe",
    "hides": "pass\u2066word\u2069",
    "hides in tags": "a\U000e0041b",
    "bell": "\x07",
    "markup": "[bold red]error[/]",
    "broken markup": "[/not-open]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_is_shown_steers_the_terminal(text: str) -> None:
    screen = io.StringIO()
    Console(file=screen, force_terminal=True, color_system=None, width=200).print(escape(text), highlight=False)
    shown = screen.getvalue().rstrip("\n")
    assert shown.isprintable()
    assert visible(text) in shown


@given(st.text())
def test_what_is_visible_is_printable_and_stays_so(text: str) -> None:
    shown = visible(text)
    assert not any(ord(char) < 32 and char not in "\t\n" for char in shown)
    assert not set(shown) & set("\u061c\u200b\u200e\u202e\u2066\u2069\u2028\ufeff\u00ad\u3164\U000e0041\U000e0100")
    assert not any(0x7F <= ord(char) < 0xA0 for char in shown)
    assert visible(shown) == shown


@given(st.text())
def test_json_stays_what_it_says(text: str) -> None:
    shown = visible_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    assert visible(shown) == shown


@given(st.text())
def test_a_line_is_one_line(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert one_line(shown) == shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "＝"])
def test_no_cell_is_a_formula(start: str) -> None:
    cell = for_csv(f"{start}cmd|' /C calc'!A0")
    assert cell.startswith("'")


@pytest.mark.parametrize("value", ["-5", "3.5", 7, None, "plain", "a=b"])
def test_what_is_none_stays(value: object) -> None:
    assert for_csv(value) == value


@pytest.mark.parametrize("text", ['x";=1+1;"', "x;=1+1", "a,=1+1", "a\n=1+1", "a\t=1+1"])
def test_no_separator_of_any_locale_ends_a_cell(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    put([{"name": text, "tokens": 7, "gap": None}], as_json=False, as_csv=True)
    _, row = capsys.readouterr().out.splitlines()
    assert row.endswith('",7,""')
    assert row[1:].rpartition('",7')[0].replace('""', "").count('"') == 0


def test_an_account_with_a_hostile_name_in_table_and_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    ledger = open_ledger(str(path))
    ledger.open(Account("=HYPERLINK(0)\x1b[2J", Budget(tokens=100)))
    ledger.close()
    shown = CliRunner().invoke(app, ["ledger", "accounts", str(path)])
    assert "\x1b[2J" not in shown.output
    table = CliRunner().invoke(app, ["ledger", "accounts", str(path), "--csv"])
    row = next(csv.DictReader(io.StringIO(table.output)))
    assert all(not cell.startswith("=") and "\x1b" not in cell for cell in row.values())


ADDRESSES = {
    "postgresql://ann:hunter2@db/books": "postgresql://***@db/books",
    "https://ann:hunter2@host:8000/v1?x=1": "https://***@host:8000/v1?x=1",
    "https://host/v1?api_key=hunter2&x=1": "https://host/v1?api_key=***&x=1",
    "host=db password=hunter2 user=ann": "host=db password=*** user=ann",
    "https://ann:p@ss:hunter2@host/": "https://***@host/",
    "https://host/path": "https://host/path",
    "postgresql://ann:hunt?er#2@db/books": "postgresql://***@db/books",
    "postgresql://ann:hunt/er2@db/books": "postgresql://***@db/books",
    "postgresql+psycopg://ann:hunter2@[::1]:5432/books": "postgresql+psycopg://***@[::1]:5432/books",
    "postgresql://db/books?user=ann&sslpassword=hunter2": "postgresql://db/books?user=ann&sslpassword=***",
    "host=db password = 'hun ter2' user=ann": "host=db password=*** user=ann",
    "https://host/?access_token=hunter2&client_secret=hunter2&sig=hunter2":
        "https://host/?access_token=***&client_secret=***&sig=***",
    "OPENAI_API_KEY=hunter2": "OPENAI_API_KEY=***",
    "{'Authorization': 'Bearer hunter2hunter2', 'x-api-key': 'hunter2hunter2'}":
        "{'Authorization': '***', 'x-api-key': '***'}",
    "Incorrect API key provided: sk-ant-hunter2hunter2": "Incorrect API key provided: ***",
    "http://localhost:8000/v1/a@b": "http://localhost:8000/v1/a@b",
    "postgresql://USER@HOST/DATABASE": "postgresql://USER@HOST/DATABASE",
    "max_tokens=9, tokens: asked 500, left 3; api_key: is missing":
        "max_tokens=9, tokens: asked 500, left 3; api_key: is missing",
}  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_lose_their_password(address: str) -> None:
    assert without_password(address) == ADDRESSES[address]


def test_errors_lose_it_too() -> None:
    for address in ("mysql://ann:hunter2@db/books", "host=db password=hunter2", "postgresql://ann:hunter2 !@db/books"):
        with pytest.raises(BadInput) as raised:
            open_ledger(address)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "kind", ["pipe", "socket", "device", "folder", "large", "binary", "latin", "empty", "none", "link to a pipe"]
)
def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    bound = None
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link to a pipe":
            os.mkfifo(tmp_path / "p")
            path.symlink_to(tmp_path / "p")
        case "socket":
            bound = socket.socket(socket.AF_UNIX)
            monkeypatch.chdir(tmp_path)  # a path of a socket is short
            bound.bind("f")
        case "device":
            path = Path("/dev/zero")
        case "folder":
            path.mkdir()
        case "large":
            path.write_text("x" * (1 << 21))
        case "binary":
            path.write_bytes(b"a\x00b")
        case "latin":
            path.write_bytes("é".encode("latin-1"))
        case "empty":
            path.write_text(" \n")
    with pytest.raises(BadInput, match=str(path.name)):
        read_text(path, "question")
    if bound is not None:
        bound.close()


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="only root sees it, and not in a container")
def test_a_file_that_waits_is_refused_at_once() -> None:
    """The kernel calls it regular, and a read of it never ends."""
    with pytest.raises(BadInput, match="kmsg"):
        read_text(Path("/proc/kmsg"), "question")
    with pytest.raises(LedgerUnavailable, match="a file of the kernel"):
        open_ledger("/proc/kmsg")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_a_regular_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f"
    if kind == "device":
        path.symlink_to("/dev/null")
    else:
        os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(path, "new")
    with pytest.raises(LedgerUnavailable, match="not a regular file"):
        open_ledger(str(path))
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_written_goes_through_no_link_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").write_text("kept")
    monkeypatch.setattr("secrets.token_hex", lambda count: "guessed")
    (tmp_path / ".report.html.guessed").symlink_to(tmp_path / "theirs")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "report.html", "new")
    assert (tmp_path / "theirs").read_text() == "kept"


HOSTILE_LEDGERS = {
    "a view without end": "CREATE VIEW more AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT x FROM c",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
}


@pytest.mark.parametrize("what", HOSTILE_LEDGERS)
def test_a_ledger_in_which_something_runs_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "spend.db"
    open_ledger(str(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [table] = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
        connection.execute(HOSTILE_LEDGERS[what].format(table=table))
    with pytest.raises(LedgerError, match="views or triggers"):
        open_ledger(str(path))


BOMBS = {
    "deep lists": "a = " + "[" * 50_000 + "]" * 50_000,
    "deep tables": "a = " + "{b=" * 20_000 + "1" + "}" * 20_000,
    "deep names": "[" + ".".join(["a"] * 60_000) + "]\nb = 1",
    "large": "a = 1\n" * 100_000,
    "a long number": '["x:y"]\ninput_per_million = 0.' + "1" * 100_000,
    "a large integer": '["x:y"]\ninput_per_million = ' + "1" * 100_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_file_of_prices_that_is_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    monkeypatch.setenv(PRICES, str(path))
    with pytest.raises(BadInput, match=r"prices\.toml"):
        own_prices()


def test_a_model_file_changed_behind_its_time_stamp_is_found(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" + b"a" * 100)
    known = next(iter(CATALOGUE.values()))
    model = replace(known, name="m", file="m.gguf", size_bytes=104, sha256=store.sha256_of(file))
    assert store.verified(file, model)
    before = file.stat()
    file.write_bytes(b"GGUF" + b"b" * 100)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert not store.verified(file, model)


HALF = "a\ud800"
"""Half of a surrogate pair: JSON can hold it, a file and a database can't."""


def test_a_ledger_keeps_what_it_can_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    ledger = open_ledger(str(tmp_path / "books.db"))
    with pytest.raises(BadInput, match="half of a surrogate pair"):
        ledger.open(Account(HALF, Budget(tokens=9)))
    ledger.record(StepRecord(id="s", account="a", node="call", model=HALF, reasons=(HALF, "\x00"), error=HALF))
    [step] = ledger.steps()
    assert (step.model, step.reasons) == ("a?", ("a?", "\x00"))
    ledger.close()
