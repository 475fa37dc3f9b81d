"""The command line as a person uses it: a process, its output and its exit code."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rheostat import cli
from rheostat.local.server import shared_server

QUESTION = "A pen costs 3 dollars. How many dollars do 6 pens cost?"


def rheostat(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "rheostat", *arguments],
        capture_output=True,
        timeout=180,
        env=environment,
        input=stdin,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "Usage"),
        (["solve"], 2, "no question"),
        (["solve", "   "], 2, "no question"),
        (["solve", "x", "--effort", "enormous"], 2, "choose auto"),
        (["solve", "x", "--budget-usd", "-1"], 2, "above zero"),
        (["solve", "x", "--budget-usd", "lots"], 2, "not an amount"),
        (["solve", "x", "--budget-tokens", "0"], 2, "above zero"),
        (["solve", "x", "--seconds", "nan"], 2, "finite"),
        (["solve", "x", "--budget", "5"], 2, "--budget-usd"),
        (["solve", "x", "--model", "gpt-9000"], 2, "no model"),
        (["solve", "x", "--model", "/nothing.gguf"], 2, "no file"),
        (["solve", "x", "--exact", "a", "--equals", "1"], 2, "one check at a time"),
        (["solve", "x", "--tests", "/nothing.py"], 2, "can't read the tests file"),
        (["models", "path", "nothing"], 2, "no local model named"),
        (["models", "pull", "nothing"], 2, "no local model named"),
        (["bench", "report", "/nothing"], 2, "holds no outcome"),
        (["bench", "report", "/dev/zero"], 2, "not a regular file"),
        (["ledger", "accounts", "x" * 5_000], 2, "File name too long"),
        (["--help"], 0, "solve"),
        (["solve", "--help"], 0, "Examples"),
    ],
)
def test_bad_input_is_one_clear_message(
    arguments: list[str], code: int, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ended, output = main(*arguments, capfd=capfd)
    assert ended == code, output
    assert says in output


def main(*arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The command in this process: the exit code, and all that it printed in one line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rheostat", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), " ".join((out + err).split())


def test_bad_files_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cases = {
        "binary.py": (b"\x00\x01", "binary"),
        "latin.py": ("é".encode("latin-1"), "not UTF-8: byte 0 is 0xe9"),
        "empty.py": (b"  ", "is empty"),
        "huge.py": (b"#" * (2 << 20), "the most is"),
        "broken.py": (b"assert (", "don't parse"),
    }
    for name, (content, says) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        ended, output = main("solve", "Write f.", "--tests", str(path), capfd=capfd)
        assert ended == 2
        assert says in output
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "strnig"}')
    assert "not a valid JSON Schema" in main("solve", "x", "--schema", str(schema), capfd=capfd)[1]
    big = tmp_path / "question.txt"
    big.write_text("x" * 1_000_000)
    assert "characters" in main("solve", "--file", str(big), capfd=capfd)[1]
    assert b"not UTF-8" in rheostat("solve", "-", stdin=b"\xff\xfe").stderr


@pytest.mark.model
def test_solve_answers_in_json(tmp_path: Path) -> None:
    tests = tmp_path / "tests.py"
    tests.write_text("assert double(4) == 8")
    ran = rheostat("solve", "Write a Python function double(n).", "--tests", str(tests), "--json")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["status"] == "solved"
    assert "def double" in said["answer"]
    assert said["spend"]["calls"] >= 1


@pytest.mark.model
def test_solve_says_what_a_budget_would_need() -> None:
    ran = rheostat("solve", QUESTION, "--budget-tokens", "50")
    assert ran.returncode == 3
    assert "was not sent" in " ".join(ran.stderr.decode().split())


@pytest.mark.model
def test_quiet_prints_the_answer_only_and_the_plain_view_prints_the_spend() -> None:
    quiet = rheostat("solve", QUESTION, "--quiet", "--effort", "low")
    assert quiet.returncode == 0
    assert quiet.stdout.strip().decode().replace("$", "").replace(".", "").isdigit()
    plain = rheostat("solve", QUESTION, "--effort", "low").stdout.decode()
    assert "spend:" in plain
    assert "stopped:" in plain


@pytest.mark.model
def test_ctrl_c_ends_at_once_with_the_spend() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rheostat", "solve", "Write a long story about the sea.", "--effort", "max", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    in_flight = 0
    while in_flight < 10:  # a request that stays open for a second: the call, not a health check
        time.sleep(0.1)
        assert process.poll() is None
        open_ones = [c for c in psutil.Process(process.pid).net_connections() if c.status == psutil.CONN_ESTABLISHED]
        in_flight = in_flight + 1 if open_ones else 0
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 130, err
    said = json.loads(out or "{}")
    assert said, err
    assert said["stopped"] == "interrupted by the user"
    assert said["spend"]["unknown_calls"] == 1
    assert b"Traceback" not in err


@pytest.mark.model
def test_a_served_model_is_shared_and_ends_with_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(rheostat("models", "path").stdout.decode().strip())
    home = {**os.environ, "RHEOSTAT_HOME": str(tmp_path)}
    serving = subprocess.Popen(
        [sys.executable, "-m", "rheostat", "models", "serve", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=home,
    )
    assert serving.stdout is not None
    url = serving.stdout.readline().split()[-1]
    monkeypatch.setenv("RHEOSTAT_HOME", str(tmp_path))
    found = shared_server(path)
    assert found is not None
    assert found[0] == url
    serving.send_signal(signal.SIGINT)
    _, err = serving.communicate(timeout=20)
    assert serving.returncode == 0, err
    assert shared_server(path) is None
    assert not list((tmp_path / "run").glob("*.json"))


@pytest.mark.model
def test_models_are_listed_and_found() -> None:
    rows = json.loads(rheostat("models", "list", "--json").stdout)
    assert {row["name"] for row in rows} == {"qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"}
    path = rheostat("models", "path").stdout.decode().strip()
    assert Path(path).stat().st_size == 491_400_064


def test_an_error_is_json_where_json_was_asked_for() -> None:
    ran = rheostat("solve", "--json", "x", "--budget-tokens", "-5")
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["error"] == "BudgetInvalid"


def test_version() -> None:
    assert rheostat("--version").stdout.decode().strip() == importlib.metadata.version("rheostat")
