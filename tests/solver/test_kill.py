"""kill -9 in the middle of a call, then resume: the lost call is charged as unknown, and the cap holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from rheostat import Budget, build_solver
from rheostat.testing.server import Fault, Turn
from wire import PLAIN, simulated

QUESTION = "What is 2 + 2?"

PROGRAM = """
import sys
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from rheostat import Budget, build_solver
url, database, calls, durability = sys.argv[1:]
model = ChatOpenAI(model="gpt-4-tiny", base_url=url, api_key="k", timeout=30)
with SqliteSaver.from_conn_string(database) as saver:
    graph = build_solver(model, budget=Budget(calls=int(calls)), effort="none").compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke({"question": "What is 2 + 2?"}, config, durability=durability)
"""


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("calls", [1, 2])
def test_kill_9_in_the_middle_of_a_call(tmp_path: Path, durability: str, calls: int) -> None:
    database = str(tmp_path / "checkpoints.sqlite")
    arrived = threading.Event()

    def planned(number: int, body: dict[str, Any]) -> Turn:
        arrived.set()
        return Turn(text="The answer is 4.", fault=Fault(seconds=0.0 if number else 1.0))

    with simulated(planned=planned) as server:
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, server.openai_url, database, str(calls), durability])
        assert arrived.wait(60)
        time.sleep(0.2)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert server.bill.requests == 1

        with SqliteSaver.from_conn_string(database) as saver:
            graph = build_solver(PLAIN.at(server, timeout=30), budget=Budget(calls=calls), effort="none").compile(
                checkpointer=saver
            )
            config: Any = {"configurable": {"thread_id": "t"}}
            result = graph.invoke(None, config)
        spend = result["rheostat"]["spend"]
        assert spend["unknown_calls"] == 1
        assert spend["calls"] == calls - 1
        assert server.bill.requests == calls  # never one more than the cap
        if calls == 2:
            assert result["answer"] == "4"
        else:
            assert result["answer"] is None
            assert "budget" in result["stopped"]
