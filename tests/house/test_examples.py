"""The examples run as they are, each in a process of its own, and print what they promise."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXAMPLES = {
    "agent_in_an_app.py": "Order 1042 left our warehouse today",
    "long_task.py": "done · Done: two sentences",
    "hosted_loop.py": "| 7 | failure |",
}


@pytest.mark.parametrize(("name", "promised"), EXAMPLES.items(), ids=EXAMPLES)
def test_an_example(name: str, promised: str) -> None:
    command = [sys.executable, "-W", "error::UserWarning", f"examples/{name}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert promised in done.stdout
