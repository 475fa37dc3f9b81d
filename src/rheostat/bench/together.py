"""Start the work of several benchmark processes at the same moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

__all__ = ["together", "wait_for_the_others"]


def together(command: Sequence[str], processes: int) -> list[str]:
    """Run a command in several processes, and return what each prints after its `wait_for_the_others`.

    The command must call `wait_for_the_others` once, when it is ready to start.
    """
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
        for _ in range(processes)
    ]
    for process in running:
        if process.stdout is not None:
            process.stdout.readline()
    for process in running:
        if process.stdin is not None:
            process.stdin.write("go\n")
            process.stdin.flush()
    return [process.communicate()[0] for process in running]


def wait_for_the_others() -> None:
    """In a process that `together` started: report ready, and wait for the start."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
