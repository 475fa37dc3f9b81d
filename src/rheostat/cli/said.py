"""What a command says: words for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from typing import Annotated, Any, TypeAlias

import typer

from rheostat.cli.safe_text import for_csv
from rheostat.errors import BadInput

__all__ = ["Csv", "Json", "put", "say"]

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Csv: TypeAlias = Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")]


def say(data: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the text, or the data."""
    typer.echo(json.dumps(data, default=str) if as_json else text)


def put(rows: list[dict[str, Any]], *, as_json: bool, as_csv: bool) -> bool:
    """Machine-readable output, if requested."""
    if as_json and as_csv:
        raise BadInput("give --json or --csv, not both")
    if as_json:
        typer.echo(json.dumps(rows))
    if as_csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else ["empty"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: for_csv(value) for name, value in row.items()} for row in rows)
    return as_json or as_csv
