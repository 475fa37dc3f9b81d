"""What a command says: words for people, or one JSON document for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeAlias

import typer

__all__ = ["Json", "say"]

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def say(data: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the text, or the data."""
    typer.echo(json.dumps(data, default=str) if as_json else text)
