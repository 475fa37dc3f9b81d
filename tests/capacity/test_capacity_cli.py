"""`rheostat capacity`: what a user types, from a ledger, a record, a profile and assumptions; and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paced import paced
from rheostat import BadInput, Budget, Policy, SQLiteLedger, build_solver, resolve
from rheostat.capacity import StepTable
from rheostat.cli.app import app
from rheostat.errors import ProviderFailed
from rheostat.testing import Said, ScriptedModel
from small_tables import table

ROOT = Path(__file__).parents[2]
USERS = ("--users", "60", "--per-hour", "60")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def steps(tmp_path: Path) -> str:
    path = tmp_path / "steps.json"
    path.write_text(table().to_text())
    return str(path)


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["capacity", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def plain(*arguments: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(said("plan", *USERS, *arguments, "--json"))
    return data


def test_a_ledger_becomes_a_plan(tmp_path: Path, steps: str) -> None:
    path = tmp_path / "spend.db"
    kept = SQLiteLedger(path)
    for answer in ("7", "8", "7"):
        script = [Said(text=f"Answer: {answer}", input_tokens=40, output_tokens=100)] * 20
        at = resolve(ScriptedModel(script=script, model="mine"))
        at.dial.facts = replace(at.dial.facts, name="mine")
        build_solver(
            at, budget=Budget(tokens=5000), ledger=kept, policy=Policy(), verifier=lambda given: given == "7"
        ).compile().invoke({"question": "How many apples are 3 and 4 apples? Calculate."})
    kept.close()
    [policy] = plain(str(path), "--profile", steps, "--gpu-usd", "4")["policies"]
    assert policy["policy"] == "as recorded"
    assert policy["p_right"] == pytest.approx(2 / 3)
    assert policy["calls_per_task"] > 1
    assert policy["usd_per_right"] == pytest.approx(policy["usd_per_task"] * 1.5)
    hosted = plain(str(path), "--provider", "rpm=10k,tpm=1M,counts_max_tokens=yes")
    assert hosted["policies"][0]["clamp_tokens"] > 100


def test_the_committed_record_and_an_assumption_side_by_side(steps: str, tmp_path: Path) -> None:
    plot = tmp_path / "plan.svg"
    text = said(
        "plan", str(ROOT / "docs/benchmarks/arms.jsonl"), *USERS, "--profile", steps, "--gpu-usd", "4",
        "--only", "policy, fast", "--only", "mine", "--assume", "mine=100:400@0.8", "--plot", str(plot),
        "--shape", "office",
    )  # fmt: skip
    for part in (
        "policy, fast",
        "mine",
        "80%",
        "goodput by replicas",
        "by each limit alone",
        "GPU-hours a day",
        "plot:",
    ):
        assert part in text
    assert "thorough" not in text
    assert plot.exists()


def test_a_profile_becomes_a_plan(steps: str) -> None:
    path = str(ROOT / "src/rheostat/judgement/profiles/embedded.json")
    data = plain(path, "--profile", steps, "--kind", "maths", "--only", "qwen2.5-coder-0.5b · none · steps")
    assert data["policies"][0]["p_right"] > 0.3


def test_the_same_command_says_the_same(steps: str) -> None:
    arguments = ("--assume", "x=60:200", "--profile", steps)
    assert plain(*arguments) == plain(*arguments)
    assert plain(*arguments) != plain(*arguments, "--seed", "1")


def test_tables_are_listed_and_shown(steps: str) -> None:
    text = said("tables")
    assert "h200-qwen3-32b-fp8-kv-fp8" in text
    assert "KV bfloat16, 368,904 tokens" in text
    assert len(json.loads(said("tables", "--json"))) == 8
    assert "Apache-2.0" in said("tables", "h100-qwen3-30b-a3b")
    assert json.loads(said("tables", steps, "--json"))["kv_tokens"] == 100_000


def test_hostile_labels_are_harmless(steps: str, tmp_path: Path) -> None:
    plot = tmp_path / "plan.svg"
    label = "\x1b[31m[red]$_x"
    text = said("plan", *USERS, "--assume", f"{label}=60:200", "--profile", steps, "--plot", str(plot))
    assert "\x1b" not in text
    assert "\x1b" not in plot.read_text()
    assert "\\x1b" in text


def test_a_live_server_becomes_a_table(tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    how = ("--kv-tokens", "20000", "--kv-dtype", "f16", "--max-context", "4096", "--concurrency", "1,2")
    more = ("--contexts", "40,200", "--output-tokens", "8", "--out", str(out))
    with paced(step=0.001, each=0.001, read=1e-5) as server:
        said("calibrate", server.url, *how, *more)
    assert StepTable.read(out).batch == (1, 2)
    assert plain("--assume", "x=100:400", "--input-tokens", "50", "--profile", str(out))["table"] == "small\\x1b[31m"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --profile TABLE for servers of your own, or --provider"),
        (("--profile", "x", "--provider", "rpm=1"), "give --profile TABLE"),
        (("--profile", "nothing"), "no step table nothing: give a file, or one of h100"),
        (("--profile", "h200-qwen3-32b-fp8"), "give a ledger, a profile or a record; or assumed lengths"),
        (("nothing.db", "--profile", "h200-qwen3-32b-fp8"), "no file nothing.db"),
        (("nothing.jsonl", "--profile", "h200-qwen3-32b-fp8"), "can't read the record file nothing.jsonl"),
        (("nothing.json", "--profile", "h200-qwen3-32b-fp8"), "can't read the profile file"),
        (("--assume", "x=1", "--profile", "h200-qwen3-32b-fp8"), "assumed lengths are LABEL=MEAN:P99"),
        (("--assume", "x=9:50", "--only", "y", "--profile", "h200-qwen3-32b-fp8"), "no policy begins with y"),
        (("--assume", "x=9:50", "--provider", "rpm=1", "--gpu-usd", "3"), "not for --provider"),
        (("--assume", "x=9:50", "--profile", "h200-qwen3-32b-fp8", "--clamp", "3"), "--clamp goes with --provider"),
        (("--assume", "x=9:50", "--profile", "h200-qwen3-32b-fp8", "--shape", "lunch"), "day's shape is flat, office"),
        (("--assume", "x=9:50", "--profile", "h200-qwen3-32b-fp8", "--safety", "0"), "factor of safety"),
        (
            ("--assume", "x=9:50", "--profile", "h200-qwen3-32b-fp8", "--tpot-p95", "0.001"),
            "even for one request alone",
        ),
        (("--assume", "x=9:50", "--profile", "h200-qwen3-32b-fp8", "--growth", "nan"), "growth is a number above 0"),
    ],
)
def test_bad_input_of_a_plan(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["capacity", "plan", *USERS, *arguments])
    assert isinstance(result.exception, BadInput)
    assert message in str(result.exception)


def test_bad_lines_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for text, message in (("{", "line 1: not JSON"), ('{"a": 1}\n', "line 1: not a row of a record")):
        path.write_text(text)
        result = CliRunner().invoke(app, ["capacity", "plan", *USERS, str(path), "--profile", "h200-qwen3-32b-fp8"])
        assert isinstance(result.exception, BadInput)
        assert message in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --kv-tokens and --kv-dtype"),
        (("--kv-tokens", "9", "--kv-dtype", "f16", "--concurrency", "a"), "--concurrency is a list of whole numbers"),
        (("--kv-tokens", "9", "--kv-dtype", "f16", "--contexts", "0"), "--contexts is a list of whole numbers"),
        (("--kv-tokens", "9", "--kv-dtype", "f16"), "don't fit into --max-context 9"),
    ],
)
def test_bad_input_of_calibrate(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["capacity", "calibrate", "http://127.0.0.1:9/v1", *arguments])
    assert isinstance(result.exception, BadInput)
    assert message in str(result.exception)


def test_without_numpy_the_command_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None; sys.argv = ['rheostat', 'capacity', 'tables']\n"
        "from rheostat.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "capacity planning needs an optional dependency: pip install 'rheostat[capacity]'" in done.stderr


def test_a_server_that_is_not_there() -> None:
    how = ("--kv-tokens", "99999", "--kv-dtype", "f16", "--contexts", "9,90", "--concurrency", "1")
    result = CliRunner().invoke(app, ["capacity", "calibrate", "http://user:secret@127.0.0.1:9/v1", *how])
    assert isinstance(result.exception, ProviderFailed)
    assert "secret" not in str(result.exception)
