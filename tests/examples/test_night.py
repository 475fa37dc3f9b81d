"""The night of tasks of `examples/fleet`: real processes, killed on the way, each task ended once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from programs import command
from rheostat import SQLiteLedger


def test_a_night_on_the_simulator(tmp_path: Path) -> None:
    db = tmp_path / "night.db"
    night = command("fleet/night.py", "--tasks", "12", "--workers", "1", "--db", str(db))
    done = subprocess.run(night, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = re.search(r"(\d+) of 12 right, ([\d,]+) tokens, (\d+) calls; done", done.stdout)
    assert said is not None, done.stdout
    assert 0 < int(said[1]) <= 12
    ledger = SQLiteLedger(db)
    reading = ledger.reading("fleet/night")
    assert reading["calls"] == int(said[3]) >= 12
    assert not reading["held_calls"]
    assert not reading["unknown_calls"]
    ledger.close()
    again = subprocess.run(night, capture_output=True, text=True, timeout=200, check=False)
    assert again.stdout == done.stdout, "nothing is left to do"
