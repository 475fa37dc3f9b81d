"""Exit statuses, errors in one line, and texts that begin with a dash: as scripts meet them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from rheostat.cli import app as cli
from rheostat.cli.texts import texts_last
from rheostat.testing.server import Fault, ProviderServer, Turn, provider_server

MODEL = ["--model", "openai:gpt-5.1"]
PRICES = '["openai:gpt-5.1"]\ninput_per_million = 1\noutput_per_million = 8\n'
"""Behind another address than OpenAI's a list price doesn't hold: this is the user's own."""


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


class Shell:
    """Runs commands as a script does, against a simulated provider."""

    def __init__(self, server: ProviderServer, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        prices = folder / "prices.toml"
        prices.write_text(PRICES, encoding="utf-8")
        self.env = {
            **os.environ, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.openai_url, "RHEOSTAT_PRICES": str(prices),
            "RHEOSTAT_HOME": str(folder / "home"), "COLUMNS": "400",
        }  # fmt: skip

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "rheostat", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def here(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Where nothing is sent: without a process of its own, which takes seconds to begin."""
        self._capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(self.env):
                patch.delenv(name)
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["rheostat", *words])
            with pytest.raises(SystemExit) as ended:
                cli.run()
        said = self._capfd.readouterr()
        return subprocess.CompletedProcess(words, int(ended.value.code or 0), said.out, said.err)


@pytest.fixture
def shell(server: ProviderServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(server, tmp_path, capfd)


def test_a_question_may_begin_with_a_dash(server: ProviderServer, shell: Shell) -> None:
    server.reset(Turn(text="The answer is 3."))
    done = shell.run("solve", "-5 + 8 = ?", *MODEL, "--budget-usd", "0.10", "--equals", "3", "-q")
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
    assert "-5 + 8 = ?" in json.dumps(server.bill.bodies[0])
    assert shell.here("solve", "--budgt-usd", "1", "x").returncode == 2


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        *((command, 401, "set OPENAI_API_KEY to a valid key") for command in ("solve", "agent", "auto")),
        ("agent", 404, "the provider has no model 'gpt-5.1': check its name"),
    ],
)
def test_a_provider_that_refuses_is_one_line(
    command: str, status: int, says: str, server: ProviderServer, shell: Shell
) -> None:
    server.reset(Turn(fault=Fault(status=status)))
    done = shell.run(command, "What is 2 + 2?", *MODEL, "--budget-usd", "0.10")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Provider: ")
    assert says in lines[0]
    assert "Nothing was charged" in lines[0]
    assert done.returncode == 4


def test_no_key_and_no_network_are_one_line(shell: Shell) -> None:
    shell.env["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    down = shell.run("agent", "Hello.", *MODEL, "--budget-usd", "0.10")
    assert down.returncode == 4
    assert "no connection to http://127.0.0.1:9/v1" in down.stderr
    del shell.env["OPENAI_API_KEY"]
    none = shell.here("agent", "Hello.", *MODEL, "--budget-usd", "0.10", "--json")
    assert none.returncode == 2
    assert "OPENAI_API_KEY" in none.stderr
    assert "OPENAI_API_KEY" in json.loads(none.stdout)["message"]
    assert len([line for line in none.stderr.splitlines() if line.strip()]) == 1


def test_the_budget_ends_a_run_with_status_three(server: ProviderServer, shell: Shell) -> None:
    server.reset(Turn(text="", tool_calls=(("calculate", {"expression": "2 + 2"}),)))
    done = shell.run("agent", "What is 2 + 2?", *MODEL, "--budget-usd", "0.02", "--json")
    assert done.returncode == 3, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["end"]["by"] == "budget"
    assert shown["spend"]["usd_nanos"] <= 20_000_000
    small = shell.here("solve", "What is 2 + 2?", *MODEL, "--budget-usd", "0.000001")
    assert small.returncode == 3
    assert small.stderr.startswith("Budget: ")


def test_a_reply_that_is_no_answer_is_status_one(server: ProviderServer, shell: Shell) -> None:
    server.reset(Turn(text="I can't help with that.", stop="content_filter"))
    done = shell.run("agent", "What is 2 + 2?", *MODEL, "--budget-usd", "0.10", "--json")
    assert (done.returncode, json.loads(done.stdout)["end"]["by"]) == (1, "declined")
    done = shell.run("solve", "What is 2 + 2?", *MODEL, "--budget-usd", "0.10", "--json")
    assert (done.returncode, json.loads(done.stdout)["answer"]) == (1, None)


# --- rheostat code, Ctrl-C, --resume ------------------------------------------------------------------

BUG = Path("examples/bugs/discount")
LINE = "    return amount + amount * percent / 100"
PYTEST = "python -m pytest -q -x -p no:cacheprovider --disable-plugin-autoload"


def edit(old: str, new: str) -> Turn:
    return Turn(text="", tool_calls=(("edit_file", {"path": "checkout.py", "old": old, "new": new}),))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_coder_goes_on_where_it_was_stopped(
    stop: signal.Signals, server: ProviderServer, shell: Shell, tmp_path: Path
) -> None:
    """The diff has the changes from before and after; the budget goes on; the tests are the ones from the start."""
    repository = tmp_path / "shop"
    shutil.copytree(BUG, repository, ignore=shutil.ignore_patterns("solution.patch", "__pycache__"))
    turns = [
        edit('"""Prices at the checkout, in euros."""', '"""Prices at the checkout."""'),
        Turn(text="hm", fault=Fault(seconds=60)),
        edit(LINE, LINE.replace("amount +", "amount -")),
        Turn(text="Done."),
    ]
    server.reset(*turns)
    budget = ["--budget-usd", "0.50", "--seconds", "60", "--test-command", PYTEST]
    process = subprocess.Popen(
        shell.command("code", str(repository), *MODEL, *budget), env=shell.env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while server.bill.requests < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
        if len(server.bill.bodies) >= 2:
            break
    process.send_signal(stop)
    said, problems = process.communicate(timeout=60)
    if stop is signal.SIGINT:
        assert process.returncode == 130, problems
        assert '-"""Prices at the checkout, in euros."""' in said
        assert "--resume" in said
    again = shell.run("code", str(repository), "--resume", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    shown = json.loads(again.stdout)
    assert shown["status"] == "green"
    assert '-"""Prices at the checkout, in euros."""' in shown["diff"]
    assert LINE.replace("amount +", "amount -") in shown["diff"]
    assert len(server.bill.bodies) <= 4  # the first edit wasn't asked for again
    spend = shown["spend"]
    # the lost call is unknown after Ctrl-C, and after kill -9 in flight until it is old enough
    assert spend["calls"] + spend["unknown_calls"] + spend["held_calls"] == 3
    nothing = shell.here("code", str(repository), "--resume")
    assert nothing.returncode == 2
    assert "nothing to resume" in nothing.stderr


# --- texts that begin with a dash -----------------------------------------------------------------------


def command_of(name: str) -> Any:
    command = cli.load(name)
    assert isinstance(command, typer.core.TyperCommand | typer.core.TyperGroup)
    return command


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["-5 + 8 = ?"], ["--", "-5 + 8 = ?"]),
        (["-5"], ["--", "-5"]),
        (["-5", "-q"], ["-q", "--", "-5"]),
        (["--equals", "-3", "-5 + 2"], ["--equals", "-3", "--", "-5 + 2"]),
        (["--equals=-3", "- what is it?"], ["--equals=-3", "--", "- what is it?"]),
        (["-q", "5 - 3"], ["-q", "5 - 3"]),
        (["--", "-5"], ["--", "-5"]),
        (["-x", "-5 + 1"], ["-x", "--", "-5 + 1"]),
        (["-"], ["-"]),
        (["-$5 and €3?", "--budget-usd", "0.1"], ["--budget-usd", "0.1", "--", "-$5 and €3?"]),
    ],
)
def test_texts_come_last(words: list[str], wanted: list[str]) -> None:
    assert texts_last(command_of("solve"), words) == wanted


def test_texts_of_subcommands_come_last() -> None:
    assert texts_last(command_of("ledger"), ["show", "-5 db", "--json"]) == ["show", "--json", "--", "-5 db"]


@given(st.lists(st.sampled_from(["-5 + 8", "-q", "--equals", "3", "--json", "-7", "x y", "--file"]), max_size=6))
def test_nothing_is_lost(words: list[str]) -> None:
    got = texts_last(command_of("solve"), words)
    assert sorted(each for each in got if each != "--") == sorted(words)
