"""The coding assistant of `examples/` on all of `examples/bugs`: a copy, a worktree or in place, asked, interrupted."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from programs import EXAMPLES, at, command, module
from rheostat import SQLiteLedger
from rheostat.testing.server import Fault, ProviderServer, Turn
from wire import simulated

ASSISTANT = "coding_assistant/assistant.py"
SIMULATED = module("coding_assistant/coder_endpoint.py").simulated
BUGS = sorted(path.name for path in (EXAMPLES / "bugs").iterdir() if path.is_dir())
WHERE = ("copy", "worktree", "here")


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", "-C", root, *who, *arguments], check=True, capture_output=True, text=True).stdout


def repository(bug: str, tmp_path: Path) -> Path:
    root = tmp_path / bug
    shutil.copytree(EXAMPLES / "bugs" / bug, root, ignore=shutil.ignore_patterns("solution.patch", "__pycache__"))
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "the bug")
    return root


def solution(bug: str, tmp_path: Path) -> dict[str, str]:
    """The files of a bug's solution, whole."""
    root = tmp_path / "solved"
    shutil.copytree(EXAMPLES / "bugs" / bug, root)
    git(root, "init", "-q")  # else git would look for the paths in the repository around it
    git(root, "apply", "solution.patch")
    before = EXAMPLES / "bugs" / bug
    texts = {path.name: path.read_text() for path in root.glob("*.py")}
    return {name: text for name, text in texts.items() if text != (before / name).read_text()}


def assist(
    server: ProviderServer, root: Path, tmp_path: Path, *more: str, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    arguments = (str(root), "Mend it", "--model", "openai:gpt-5.1", "--state", str(tmp_path / "state"), *more)
    return subprocess.run(
        command(ASSISTANT, *arguments), env=at(server), input=answer, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def account(state: Path) -> dict[str, Any]:
    ledger = SQLiteLedger(state / "spend.db")
    found: dict[str, Any] = ledger.reading("task")
    ledger.close()
    return found


@pytest.mark.parametrize(("bug", "where"), [(bug, WHERE[number % 3]) for number, bug in enumerate(BUGS)])
def test_it_mends_every_bug(bug: str, where: str, tmp_path: Path) -> None:
    files = solution(bug, tmp_path)
    turns = [Turn(tool_calls=(("write_file", {"path": n, "content": text}),), text="") for n, text in files.items()]
    root = repository(bug, tmp_path)
    with simulated(*turns) as server:
        done = assist(server, root, tmp_path, "--where", where, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The tests pass" in done.stdout
        assert f"spent ${server.bill.total('usd_nanos') / 1e9:.6f}".rstrip("0") in done.stdout
    assert {name: (root / name).read_text() for name in files} == files
    assert git(root, "status", "--porcelain").split() == [part for name in sorted(files) for part in ("M", name)]
    assert git(root, "worktree", "list").count("\n") == 1
    assert not any((tmp_path / "state").iterdir())


@pytest.mark.parametrize("where", WHERE)
def test_a_no_leaves_everything_as_it_was(where: str, tmp_path: Path) -> None:
    root = repository("discount", tmp_path)
    with simulated(planned=SIMULATED) as server:
        done = assist(server, root, tmp_path, "--where", where, answer="n\n")
    assert done.returncode == 1
    assert "+    return amount - amount * percent / 100" in done.stdout
    assert git(root, "status", "--porcelain") == ""
    assert not any((tmp_path / "state").iterdir())


@pytest.mark.parametrize("where", ["copy", "here"])
def test_ctrl_c_in_mid_call_and_the_same_command_goes_on(where: str, tmp_path: Path) -> None:
    root, arrived = repository("discount", tmp_path), threading.Event()

    def planned(number: int, body: dict[str, Any]) -> Turn:
        turn = SIMULATED(number, body)
        if number == 1:  # the wrong edit is made, and the tests have failed
            arrived.set()
        return Turn(text="", tool_calls=turn.tool_calls, fault=Fault(seconds=2.0 if number == 1 else 0.0))

    with simulated(planned=planned) as server:
        more = ("--model", "openai:gpt-5.1", "--state", str(tmp_path / "state"), "--where", where)
        child = subprocess.Popen(
            command(ASSISTANT, str(root), "Mend it", *more), env=at(server), stdout=subprocess.PIPE, text=True
        )
        assert arrived.wait(60)
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=60)
        assert child.returncode == 130
        assert "the same command goes on" in said
        if where == "copy":
            assert git(root, "status", "--porcelain") == ""

        [state] = (tmp_path / "state").iterdir()
        spent = account(state)
        assert spent["usd_nanos"] == server.bill.total("usd_nanos")  # the reply was waited for, and is kept
        assert spent["calls"] == server.bill.requests == 2
        done = assist(server, root, tmp_path, "--where", where)  # nobody answers: that is a no
        assert done.stdout.startswith("going on")
        assert "The tests pass" in done.stdout
        assert "+    return amount - amount * percent / 100" in done.stdout
        assert server.bill.requests == 2  # nothing was asked for again
        assert not state.exists()


def test_what_was_in_flight_at_a_kill_9_stays_charged(tmp_path: Path) -> None:
    root, arrived = repository("discount", tmp_path), threading.Event()

    def planned(number: int, body: dict[str, Any]) -> Turn:
        if number == 1:
            arrived.set()
        fault = Fault(seconds=1.0 if number == 1 else 0.0)
        return Turn(text="", tool_calls=SIMULATED(number, body).tool_calls, fault=fault)

    with simulated(planned=planned) as server:
        more = ("--model", "openai:gpt-5.1", "--state", str(tmp_path / "state"))
        child = subprocess.Popen(
            command(ASSISTANT, str(root), "Mend it", *more), env=at(server), stdout=subprocess.PIPE
        )
        assert arrived.wait(60)
        time.sleep(0.2)
        child.kill()
        child.communicate()
        [state] = (tmp_path / "state").iterdir()
        spent = account(state)
        assert (spent["calls"], spent["held_calls"]) == (1, 1)
        done = assist(server, root, tmp_path, "--yes")
        assert done.stdout.startswith("going on")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "amount - amount * percent / 100" in (root / "checkout.py").read_text()
        assert server.bill.requests == 3  # only the lost reply was asked for again


def test_a_file_that_was_changed_in_the_meantime_is_left_alone(tmp_path: Path) -> None:
    root = repository("discount", tmp_path)

    def planned(number: int, body: dict[str, Any]) -> Turn:
        (root / "checkout.py").write_text("# mine\n")
        return SIMULATED(number, body)

    with simulated(planned=planned) as server:
        done = assist(server, root, tmp_path, "--yes")
    assert done.returncode == 1
    assert "not applied: checkout.py was changed in the meantime" in done.stdout
    assert (root / "checkout.py").read_text() == "# mine\n"


def test_a_worktree_needs_a_clean_repository(tmp_path: Path) -> None:
    root = repository("discount", tmp_path)
    (root / "checkout.py").write_text("# mine\n")
    with simulated(planned=SIMULATED) as server:
        done = assist(server, root, tmp_path, "--where", "worktree")
        assert done.returncode == 2
        assert "aren't committed" in done.stderr
        assert server.bill.requests == 0


def test_the_demonstration_needs_no_key(tmp_path: Path) -> None:
    demo = command(ASSISTANT, "--state", str(tmp_path))
    done = subprocess.run(demo, input="n\n", capture_output=True, text=True, timeout=120, check=False)
    assert "The tests pass: 2 steps" in done.stdout, done.stderr
    assert "-    return amount + amount * percent / 100" in done.stdout
