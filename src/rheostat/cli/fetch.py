"""Fetching a model with a progress bar."""

from __future__ import annotations

from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rheostat.cli.screen import Screen
from rheostat.local import CATALOGUE, LocalModel, model_path, pull

__all__ = ["ensure_model", "pull_with_bar"]


def pull_with_bar(model: LocalModel, *, source: str | None = None, quiet: bool = False) -> Path:
    """Fetch a model, with a progress bar."""
    console = Screen(err=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=quiet, transient=True) as bars:
        task = bars.add_task(model.name, total=model.size_bytes)

        def show(what: str, done: int, total: int) -> None:
            bars.update(task, description=f"{model.name}: {what}", completed=done, total=total)

        return pull(model, source=source, progress=show)


def ensure_model(name: str, *, quiet: bool = False) -> None:
    """Fetch the model if this is a local name and its file is missing."""
    model = CATALOGUE.get(name)
    if model is not None and not model_path(model).exists():
        pull_with_bar(model, quiet=quiet)
