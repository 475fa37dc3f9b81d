"""The nightly task of `examples/`: killed in mid-call, asked on the way, capped each night; the books are the bill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from programs import EXAMPLES, at, command, module
from rheostat import SQLiteLedger
from rheostat.testing.server import Fault, ProviderServer, Turn
from wire import simulated

SIMULATED = module("nightly/night_endpoint.py").simulated
NIGHTLY = "nightly/nightly.py"


def nightly(server: ProviderServer, *arguments: str, code: int = 0) -> str:
    """Run the program to its end."""
    done = subprocess.run(
        command(NIGHTLY, *arguments), env=at(server, NIGHTLY_MODEL="openai:gpt-5.1"), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout


def with_notes(server: ProviderServer, home: Path) -> str:
    nightly(server, "new", str(home), "List every open question in the notes")
    for name in "abc":
        (home / "files" / f"{name}.txt").write_text(f"what is {name}?\n")
    return str(home)


def account(home: Path) -> dict[str, Any]:
    ledger = SQLiteLedger(home / "spend.db")
    found: dict[str, Any] = ledger.reading("nightly")
    ledger.close()
    return found


def the_ledger_is_the_bill(home: Path, server: ProviderServer) -> None:
    spent = account(home)
    for name in ("usd_nanos", "input_tokens", "output_tokens"):
        assert spent[name] == server.bill.total(name)
    assert spent["calls"] == server.bill.requests
    assert spent["held_usd_nanos"] == spent["unknown_usd_nanos"] == 0


def export(server: ProviderServer, path: Path) -> None:
    """What a provider's console gives: one row a request."""
    ahead = time.time() - time.monotonic()
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["request_id", "timestamp", "model", "input_tokens", "output_tokens", "usd"])
        for number, (line, when) in enumerate(zip(server.bill.lines, server.bill.times, strict=True)):
            told = datetime.fromtimestamp(when + ahead, UTC).isoformat()
            usd = f"{line.usd_nanos / 1e9:.9f}"
            rows.writerow([f"chatcmpl-{number}", told, line.model, line.input_tokens, line.output_tokens, usd])


@pytest.mark.parametrize("killed_at", [0, 3, 4, 9], ids=["outline", "tool's call", "step's answer", "report"])
def test_kill_9_in_mid_call_and_go_on(tmp_path: Path, killed_at: int) -> None:
    home, arrived = tmp_path / "home", threading.Event()

    def planned(number: int, body: dict[str, Any]) -> Turn:
        turn = SIMULATED(number, body)
        if number != killed_at:
            return turn
        arrived.set()
        return Turn(text=turn.text, tool_calls=turn.tool_calls, fault=Fault(seconds=1.0))

    with simulated(planned=planned) as server:
        where = with_notes(server, home)
        env = at(server, NIGHTLY_MODEL="openai:gpt-5.1")
        child = subprocess.Popen(command(NIGHTLY, "run", where), env=env, stdout=subprocess.PIPE)
        assert arrived.wait(60)
        time.sleep(0.2)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert server.bill.requests == killed_at + 1

        said = nightly(server, "run", where)
        assert said.startswith("# The task is done")
        assert "1 calls were cut" in said
        assert (home / "files" / "open.md").read_text().split("|")[-1].strip() == "what is c?"
        bodies = [json.dumps(body, sort_keys=True) for body in server.bill.bodies]
        assert server.bill.requests == 11  # ten, and the one that was lost again
        assert {body for body in bodies if bodies.count(body) > 1} <= {bodies[killed_at]}

        spent = account(home)
        assert (spent["calls"], spent["unknown_calls"], spent["held_calls"]) == (10, 1, 0)
        billed = server.bill.total("usd_nanos")
        assert spent["usd_nanos"] <= billed <= spent["usd_nanos"] + spent["unknown_usd_nanos"]

        export(server, tmp_path / "usage.csv")
        settle = ["-m", "rheostat", "ledger", "reconcile", f"{where}/spend.db", str(tmp_path / "usage.csv"), "--apply"]
        done = subprocess.run([sys.executable, *settle], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        the_ledger_is_the_bill(home, server)


def test_it_asks_in_the_night_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    home = tmp_path / "home"
    how = ("--usd", "0.10", "--check-in", "0.03")
    with simulated(planned=SIMULATED) as server:
        where = with_notes(server, home)
        assert nightly(server, "run", where, *how).startswith("# A question for you")
        question = json.loads((home / "question.json").read_text())
        assert question["type"] == "check_in"
        assert question["done"]
        asked = server.bill.requests
        assert "waiting for an answer" in nightly(server, "run", where, *how)
        assert server.bill.requests == asked  # nothing is spent while nobody answers

        nightly(server, "answer", where, "read b.txt last")
        assert nightly(server, "run", where, *how).startswith("# The task is done")
        assert any("The user says: read b.txt last" in json.dumps(body) for body in server.bill.bodies[asked:])
        assert not (home / "question.json").read_text()
        assert "the task is done" in nightly(server, "run", where, *how)
        the_ledger_is_the_bill(home, server)
        assert nightly(server, "summary", where).startswith("# The task is done")


def test_stop_is_an_answer(tmp_path: Path) -> None:
    how = ("--usd", "0.10", "--check-in", "0.03")
    with simulated(planned=SIMULATED) as server:
        where = with_notes(server, tmp_path / "home")
        nightly(server, "run", where, *how)
        nightly(server, "answer", where, "stop")
        assert nightly(server, "run", where, *how).startswith("# The task was stopped")
        nightly(server, "answer", where, "go on", code=2)  # nothing was asked
        the_ledger_is_the_bill(tmp_path / "home", server)


ON_A_DAY = """
import functools, sys
day, folder, *sys.argv = sys.argv[1:]
sys.path.insert(0, folder)
import nightly
nightly.SQLiteLedger = functools.partial(nightly.SQLiteLedger, wall=lambda: 1_780_000_000 + 86_400 * int(day))
sys.exit(nightly.main())
"""


def test_a_night_ends_at_its_cap_and_the_next_goes_on(tmp_path: Path) -> None:
    home, usd = tmp_path / "home", 0.08

    def planned(number: int, body: dict[str, Any]) -> Turn:
        turn = SIMULATED(number, body)
        return Turn(text=turn.text + "\n" + "so " * 1_200 * turn.text.startswith("found"), tool_calls=turn.tool_calls)

    def run(day: int) -> tuple[int, str]:
        program = [sys.executable, "-c", ON_A_DAY, str(day), str(EXAMPLES / "nightly"), NIGHTLY]
        night = subprocess.run(
            [*program, "run", where, "--usd", str(usd), "--check-in", "0"], capture_output=True, text=True, timeout=120,
            env=at(server, NIGHTLY_MODEL="openai:gpt-5.1"), check=False,
        )  # fmt: skip
        return night.returncode, night.stdout + night.stderr

    with simulated(planned=planned) as server:
        where = with_notes(server, home)
        code, said = run(0)
        assert code == 0, said
        assert said.startswith("# Tonight's budget is used up; the task goes on tomorrow night")
        code, said = run(0)  # started once more: it is still the same night's budget
        assert code in (0, 75), said
        first_night = server.bill.total("usd_nanos")
        assert 0.02e9 < first_night <= usd * 1e9

        requests = server.bill.requests
        code, said = run(1)
        assert said.startswith("# The task is done"), said
        assert server.bill.total("usd_nanos") - first_night <= usd * 1e9
        assert "In earlier nights this was done:" in json.dumps(server.bill.bodies[requests])
        the_ledger_is_the_bill(home, server)
