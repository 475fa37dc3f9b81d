"""Reading what a user points at, and fetching a model with a progress bar."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rheostat.errors import BadInput
from rheostat.local import CATALOGUE, LocalModel, model_path, pull

__all__ = ["ensure_model", "pull_with_bar", "read_text"]

_MAX_BYTES = 1 << 20


def read_text(path: Path, what: str) -> str:
    """A text file of a sane size.

    Raises:
        BadInput: not there, a folder, too large, binary, not UTF-8, or empty.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise BadInput(f"{what} file {path} has {size:,} bytes; the most is {_MAX_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"can't read the {what} file {path}: {error.strerror}") from None
    if b"\x00" in data:
        raise BadInput(f"{what} file {path} is binary (it holds NUL bytes)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} file {path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
    if not text.strip():
        raise BadInput(f"{what} file {path} is empty")
    return text


def pull_with_bar(model: LocalModel, *, source: str | None = None, quiet: bool = False) -> Path:
    """Fetch a model, showing how far it is."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
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
    """If this is a local name and its file isn't here, fetch it."""
    model = CATALOGUE.get(name)
    if model is not None and not model_path(model).exists():
        pull_with_bar(model, quiet=quiet)
