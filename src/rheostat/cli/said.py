"""What a command says: words for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Any, TypeAlias

import typer

from rheostat.cli.safe_text import for_csv, one_line
from rheostat.cli.screen import tell, tell_json
from rheostat.errors import BadInput

__all__ = ["Csv", "Json", "put", "say"]

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Csv: TypeAlias = Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")]


def say(data: dict[str, Any], *lines: str, as_json: bool) -> None:
    """Print the lines, or the data."""
    if as_json:
        tell_json(data)
        return
    for each in lines:
        tell(one_line(each))


def put(rows: list[dict[str, Any]], *, as_json: bool, as_csv: bool) -> bool:
    """Machine-readable output, if requested."""
    if as_json and as_csv:
        raise BadInput("give --json or --csv, not both")
    if as_json:
        tell_json(rows)
    if as_csv:
        names = list(rows[0]) if rows else ["empty"]
        # quoted, so that no locale sees the end of a cell inside a text
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        writer.writerows({name: for_csv(value) for name, value in row.items()} for row in rows)
    return as_json or as_csv
