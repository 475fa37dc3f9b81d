"""A tree search that is killed (-9) in the middle goes on, and nothing is paid twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from rheostat import SQLiteLedger
from rheostat.testing.server import Fault, Turn
from wire import simulated

NODES, AT_ONCE = 64, 8
"""The first node comes alone, since a verifier can tell; then the rounds are 1 to 8, 9 to 16 …"""

PROGRAM = """
import sys
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from rheostat import Budget, Caps, SQLiteLedger, build_solver
from rheostat.strategies import TreeSearch

def graph(url, ledger):
    return build_solver(
        ChatOpenAI(model="gpt-4-tiny", base_url=url, api_key="k", timeout=30),
        budget=Budget(tokens=400_000), ledger=SQLiteLedger(ledger), effort="none",
        verifier=lambda answer: f"{answer} is not it", caps=Caps(max_samples=64, max_rounds=64, answer_tokens=64),
        strategy=TreeSearch(samples=64, at_once=8),
    )

if __name__ == "__main__":
    url, checkpoints, ledger = sys.argv[1:]
    with SqliteSaver.from_conn_string(checkpoints) as saver:
        compiled = graph(url, ledger).compile(checkpointer=saver)
        compiled.invoke({"question": "Guess a word."}, {"configurable": {"thread_id": "t"}}, durability="sync")
"""


def test_a_64_node_tree_is_killed_and_goes_on(tmp_path: Path) -> None:
    checkpoints, ledger = str(tmp_path / "checkpoints.sqlite"), str(tmp_path / "ledger.sqlite")
    (tmp_path / "program.py").write_text(PROGRAM)
    arrived, hold, lock = threading.Event(), threading.Event(), threading.Lock()
    stuck: list[int] = []

    def planned(number: int, body: dict[str, Any]) -> Turn:
        text = f"The word is word{number}."
        with lock:
            late = number > NODES // 2 and not hold.is_set() and len(stuck) < AT_ONCE // 2
            if late:
                stuck.append(number)
                if len(stuck) == AT_ONCE // 2:
                    arrived.set()
        return Turn(text=text, fault=Fault(seconds=5.0 if late else 0.0))

    with simulated(planned=planned) as server:
        child = subprocess.Popen([sys.executable, str(tmp_path / "program.py"), server.openai_url, checkpoints, ledger])
        assert arrived.wait(90), "the child never came to the middle"
        threading.Event().wait(1.0)  # its siblings are done and saved
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        hold.set()
        before = server.bill.requests

        sys.path.insert(0, str(tmp_path))
        try:
            import program
        finally:
            sys.path.remove(str(tmp_path))
        with SqliteSaver.from_conn_string(checkpoints) as saver:
            config: Any = {"configurable": {"thread_id": "t"}}
            result = program.graph(server.openai_url, ledger).compile(checkpointer=saver).invoke(None, config)

        candidates = result["candidates"]
        assert len(candidates) == NODES
        assert len({each["id"] for each in candidates}) == NODES
        words = [re.findall(r"word\d+", each["text"])[-1] for each in candidates]
        assert len(set(words)) == NODES, "a reply was used twice"
        # only what was in flight at the kill, or not yet saved, was sent again
        assert NODES + len(stuck) <= server.bill.requests <= NODES + AT_ONCE
        assert before < NODES
        opened = SQLiteLedger(ledger)
        reading = opened.reading(result["rheostat"]["run"]["account"])
        opened.close()
        assert reading["unknown_calls"] + reading["held_calls"] <= AT_ONCE
        assert reading["calls"] + reading["unknown_calls"] + reading["held_calls"] == server.bill.requests
        for name in ("input_tokens", "output_tokens"):
            charged = sum(reading[part + name] for part in ("", "unknown_", "held_"))
            assert charged >= server.bill.total(name)
        assert any(each["parent"] for each in candidates)
