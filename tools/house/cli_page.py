"""Write docs/reference/cli.md from the command line's own help: `python tools/house/cli_page.py`."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from rheostat.cli.app import whole

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
_TOP = """# Command line

`pip install 'rheostat[agents,local,verifiers,report,cli]'` installs all of it. [Exit statuses](exit-statuses.md) are
the same for all commands. This page is what `rheostat COMMAND --help` prints, written by `make docs-pages`.
"""


def page() -> str:
    """The page as Markdown."""
    command = whole()
    told = get_docs_for_click(obj=command, ctx=typer.Context(command), name="rheostat", indent=1)
    lines = [line.rstrip() for line in told.splitlines() if "--help`: Show this message" not in line]
    return f"{_TOP}\n{chr(10).join(lines).rstrip()}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
