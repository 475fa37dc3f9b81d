"""Processes of a benchmark that start their work at the same moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

__all__ = ["together", "wait_for_the_others"]


def together(command: Sequence[str], processes: int) -> list[str]:
    """Run several of a command, which calls `wait_for_the_others` when it is ready; what each printed after that."""
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
    """In such a process: say that it is ready, and wait."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
