"""`rheostat report`: what a run did, as one HTML page."""

from __future__ import annotations

import re
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from rheostat.cli.accounts import Where, opened_ledger
from rheostat.cli.safe_text import one_line
from rheostat.cli.screen import tell, tell_json
from rheostat.errors import BadInput
from rheostat.files import write_whole
from rheostat.report import build_report

__all__ = ["report"]


def report(
    ledger: Where,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A run; a thread or an account above it, for all of its runs; or the beginning of one."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The file; by default report-WHAT.html, here.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="Names, reasons and other text become pseudonyms: a page to give away.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report's data as JSON; write a page only with --out.")
    ] = False,
) -> None:
    """Write what a run did as one HTML page: calls, candidates, decisions, spend; and print the page's path.

    The page needs no network and loads nothing. For a terminal: rheostat show, rheostat explain.

    Examples:

        rheostat report spend.db thread/42 --open

        rheostat report spend.db team --redact --out team.html
    """
    with opened_ledger(ledger) as opened:
        made = build_report(opened, what, redact, address=ledger)
    path = out or (None if as_json else Path(_file_name("" if redact else what)))
    if path is not None:
        if path.is_dir():
            raise BadInput(f"can't write {path}: it is a folder; give a file with --out")
        try:
            write_whole(path, made.html())
        except OSError as error:
            raise BadInput(f"can't write {path}: {error.strerror}; give another file with --out") from None
    if as_json:
        tell_json(made.to_dict())
    elif path is not None:
        tell(one_line(path))
    if open_it and path is not None:
        webbrowser.open(path.resolve().as_uri())


def _file_name(what: str) -> str:
    """`report-WHAT.html` of letters, digits, dots and dashes, whatever the account is named."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", what).strip("-.")[:80]
    return f"report-{plain}.html" if plain else "report.html"
