"""Evaluate a function of text in a separate process, under limits of time and memory.

For libraries such as sympy or a parser, which may run for ever on a hostile text and can't be stopped from within.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import IO, Any

from rheostat.sandbox.processes import environment, python_module

__all__ = ["TooMuch", "Worker"]

_START_SECONDS = 60.0


class TooMuch(Exception):
    """The evaluation exceeded its time or memory, or ended its process."""


class Worker:
    """Evaluates `function` of `module` on one text at a time. The process starts at the first text and is kept.

    Args:
        module: The module of the function, which is imported only in the worker's process.
        function: The name of the function, which takes a text and returns a text or `None`.
        seconds: The time limit of one evaluation.
        memory_bytes: The limit of the process's address space.
        first: A text that a new process evaluates before any clock runs, so that it loads its libraries; empty: none.
    """

    def __init__(self, module: str, function: str, *, seconds: float, memory_bytes: int, first: str = "") -> None:
        self._target = (module, function, first)
        self.seconds, self.memory_bytes = seconds, memory_bytes
        """The limits of one evaluation."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._pid = 0
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask(self, text: str) -> str | None:
        """The function's result for a text. Blocks for at most `seconds`, and the time to start a process.

        Raises:
            TooMuch: The evaluation exceeded a limit.
        """
        with self._lock:
            try:
                process = self._started()
                assert process.stdin is not None  # noqa: S101 - asked for where it is started
                process.stdin.write(json.dumps(text) + "\n")
                process.stdin.flush()
                value: str | None = json.loads(self._replies.get(timeout=self.seconds))["value"]
            except (queue.Empty, OSError, ValueError):  # too slow, dead, or killed while it wrote
                self._end()
                raise TooMuch(f"more than {self.seconds:g} s or {self.memory_bytes:,} bytes") from None
            except BaseException:
                self._end()
                raise
            return value

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._pid == os.getpid() and self._process.poll() is None:
            return self._process
        if self._process is not None:
            self._end()
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            python_module("rheostat.sandbox.worker", *self._target, str(self.seconds), str(self.memory_bytes)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment(),
            cwd=os.path.abspath(os.sep),
            start_new_session=True,
        )
        self._pid = os.getpid()
        self._replies = queue.SimpleQueue()
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        threading.Thread(target=_read, args=(self._process.stdout, self._replies), daemon=True).start()
        atexit.register(self._end)
        self._replies.get(timeout=_START_SECONDS)  # "ready"; if it came later, it would be taken for a reply
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        atexit.unregister(self._end)
        if process is None or self._pid != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _read(stream: IO[str], replies: queue.SimpleQueue[str]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in stream:
            replies.put(line)
    replies.put("")  # the process has ended


def _limited(memory_bytes: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_after(seconds: float) -> None:
    """Let the kernel end this process after so long, if the one that asked can't; 0: not at all."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _main(module: str, function: str, first: str, seconds: str, memory_bytes: str) -> None:
    _limited(int(memory_bytes))
    evaluate: Any = getattr(importlib.import_module(module), function)
    out = sys.stdout
    sys.stdout = sys.stderr  # keep prints of a library out of the replies
    if first:
        evaluate(first)
    out.write("ready\n")
    out.flush()
    for line in sys.stdin:
        _end_after(float(seconds) + 1.0)
        try:
            value = evaluate(json.loads(line))
        except MemoryError:
            os._exit(1)
        _end_after(0)
        out.write(json.dumps({"value": value}) + "\n")
        out.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
