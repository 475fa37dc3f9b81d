"""A progress bar for anything that takes more than two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rheostat.cli.screen import Screen

__all__ = ["stepping"]

_QUIET_SECONDS = 2


@contextmanager
def stepping(text: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a loop is, once it has run for two seconds; yields the function to call with (done, all)."""
    console = Screen(err=True)
    bar = Progress(
        TextColumn(text, markup=False), BarColumn(), TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    task = bar.add_task("", total=None)
    began = time.monotonic()

    def on_step(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not bar.live.is_started and time.monotonic() - began > _QUIET_SECONDS:
            bar.start()

    try:
        yield on_step
    finally:
        bar.stop()
