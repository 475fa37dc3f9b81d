"""`rheostat models`: the embedded models."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rheostat.cli.fetch import pull_with_bar
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json, say
from rheostat.cli.screen import Screen, tell, tell_json
from rheostat.local import CATALOGUE, DEFAULT_MODEL, LocalServer, model_path, require_model
from rheostat.local.catalogue import local_model
from rheostat.local.server import announce
from rheostat.local.store import verified

app = typer.Typer(add_completion=False, help="Small real models that run on your own machine.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help=f"One of: {', '.join(CATALOGUE)}", metavar="NAME")]


@app.command(name="list")
def list_(as_json: Json = False) -> None:
    """List the models, and show which are on this machine."""
    rows = [
        {
            "name": model.name,
            "bytes": model.size_bytes,
            "here": verified(model_path(model), model),
            "path": str(model_path(model)),
            "licence": model.licence,
            "note": model.note,
        }
        for model in CATALOGUE.values()
    ]
    if as_json:
        tell_json(rows)
        return
    table = Table("name", "size", "here", "licence", "note")
    for row in rows:
        size = f"{int(str(row['bytes'])) / 1e6:,.0f} MB"
        table.add_row(str(row["name"]), size, "yes" if row["here"] else "-", str(row["licence"]), str(row["note"]))
    Screen().print(table)


@app.command(name="pull")
def pull_(
    name: Name = DEFAULT_MODEL,
    source: Annotated[str | None, typer.Option("--from", help="Another source: a file or http(s) address.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch a model; resumable, and verified by its SHA-256."""
    path = pull_with_bar(local_model(name), source=source, quiet=quiet or as_json)
    say({"model": name, "path": str(path)}, str(path), as_json=as_json)


@app.command()
def path(name: Name = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Print the path of the model file (an error if it is missing or damaged)."""
    found = require_model(local_model(name))
    say({"model": name, "path": str(found)}, str(found), as_json=as_json)


@app.command()
def inspect(
    url: Annotated[str, typer.Argument(help="The server's address, such as http://localhost:8000/v1.", metavar="URL")],
    as_json: Json = False,
) -> None:
    """Show which server answers at URL, its models, and how its thinking is set. The key comes from OPENAI_API_KEY."""
    from rheostat.providers.servers import inspect_server  # with it come the SDKs, which take a second

    found = inspect_server(url, os.environ.get("OPENAI_API_KEY") or "none")
    if as_json:
        tell_json(asdict(found))
        return
    context = f"{found.context_tokens:,} tokens" if found.context_tokens else "unknown"
    lines = (f"{found.kind} {found.version}", f"models: {', '.join(found.models)}", f"context: {context}")
    say({}, *lines, f"thinking: {found.thinking}", as_json=False)


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="A local name or a GGUF file.", metavar="NAME")] = DEFAULT_MODEL,
    port: Annotated[int, typer.Option(help="The port; 0: any free one.")] = 0,
    as_json: Json = False,
) -> None:
    """Keep a model server running until Ctrl-C; your other rheostat commands find and share it."""
    file = require_model(CATALOGUE[name]) if name in CATALOGUE else Path(name)
    server = LocalServer(file, port=port)
    told = {"model": file.name, "url": server.url, "key": server.key, "log": str(server.log)}
    lines = (f"{file.name} at {server.url}", f"key: {server.key}", f"log: {server.log}", "Ctrl-C ends it.")
    announcement = None
    try:
        announcement = announce(server)
        say(told, *lines, as_json=as_json)
        while server.alive():
            time.sleep(0.5)
        tell(one_line(f"the server stopped by itself; its log: {server.log}"), err=True)
        raise typer.Exit(2)
    except KeyboardInterrupt:
        pass
    finally:
        if announcement is not None:
            announcement.unlink(missing_ok=True)
        server.stop()
