"""The Python blocks of the pages about the example programs run as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from programs import EXAMPLES, STRICT

DOCS = EXAMPLES.parent / "docs"
PAGES = (
    "how-to/chat-service.md",
    "how-to/deepagents.md",
    "how-to/notebook.md",
    "tutorials/coding-assistant.md",
    "tutorials/nightly-task.md",
)
BLOCKS = [
    (page, block) for page in PAGES for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_a_block_runs(page: str, block: str, tmp_path: Path) -> None:
    """In a process of its own, as a reader runs it: event loops, ledgers and servers end with it."""
    program = [sys.executable, *STRICT, "-c", block]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout


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


def test_every_page_has_a_block_that_runs() -> None:
    assert {page for page, _ in BLOCKS} | {"how-to/notebook.md"} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_points_to_is_there(page: str) -> None:
    at = (DOCS / page).parent
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", (DOCS / page).read_text()):
        assert (at / link).exists(), link
