"""`langgraph dev` serves the solver; a real HTTP request brings answer and spend."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client

ROOT = Path(__file__).parents[2]


@pytest.mark.model
def test_langgraph_dev_serves_the_solver(tmp_path: Path) -> None:
    shutil.copy(ROOT / "langgraph.json", tmp_path)
    shutil.copytree(ROOT / "graphs", tmp_path / "graphs")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "0"\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "langgraph"), "dev", "--host", "127.0.0.1", "--port", str(port),
            "--no-browser", "--no-reload",
        ],
        cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "LANGSMITH_TRACING": "false"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ok", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
        with get_sync_client(url=f"http://127.0.0.1:{port}") as client:
            served = {each["graph_id"] for each in client.assistants.search(limit=100)}
            assert served == {"solver", "agent", "coder", "autonomous"}
            question = {"question": "A box holds 12 eggs. Mia buys 4 boxes and uses 9 eggs. How many are left?"}
            result = client.runs.wait(None, "solver", input=question)
            assert result["answer"], (tmp_path / "log").read_text()
            assert result["status"] == "answered"
            spend = result["rheostat"]["spend"]
            assert spend["calls"] >= 1
            assert spend["output_tokens"] > 0
            assert spend["usd_nanos"] == 0
            thread = client.threads.create()
            events = list(
                client.runs.stream(thread["thread_id"], "solver", input=question, stream_mode=["custom", "values"])
            )
            assert {"plan", "decision"} <= {e.data["type"] for e in events if e.event == "custom"}
            state = client.threads.get_state(thread["thread_id"])
            assert state["values"]["rheostat"]["spend"]["calls"] >= 1
    finally:
        server.terminate()
        server.wait(20)
        log.close()
