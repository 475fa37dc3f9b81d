"""The command line, `rheostat`."""

from __future__ import annotations

import sys

from rheostat.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Entry point. A Rheostat error is one clear message, never a traceback."""
    try:
        from rheostat.cli.app import run
    except ImportError as error:
        if (error.name or "").split(".")[0] in ("typer", "rich"):
            sys.stderr.write(f"{MissingExtra('the command line', 'cli')}\n")
            sys.exit(2)
        raise
    run()
