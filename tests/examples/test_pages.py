"""The cells of the page about notebooks, which `tests/house/test_docs.py` can't run: they await at the top."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from programs import EXAMPLES, STRICT

DOCS = EXAMPLES.parent / "docs"

CELLS = """
import ast, asyncio, inspect, json, sys

async def main():
    names = {"__name__": "__main__"}
    for cell in json.loads(sys.argv[1]):
        done = eval(compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(done):
            await done
    spent, billed = names["ledger"].reading("notebook")["usd_nanos"], names["server"].bill.total("usd_nanos")
    assert spent == billed > 0, (spent, billed)

asyncio.run(main())
"""


def test_the_cells_of_the_notebook_run_in_order_on_one_loop(tmp_path: Path) -> None:
    """As Jupyter runs them: `await` at the top, blocking calls on the loop's thread."""
    cells = re.findall(r"```python no-run\n(.*?)```", (DOCS / "how-to/notebook.md").read_text(), re.S)
    program = [sys.executable, *STRICT, "-c", CELLS, json.dumps(cells)]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "[none] A rheostat is a dial on current. [$0.0" in done.stdout
    assert done.stdout.count("A rheostat is a dial on current.") == 5
