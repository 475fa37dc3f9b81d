"""Keeps the workers of a fleet on this machine alive, and takes over what workers that are gone left."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rheostat.addresses import without_password
from rheostat.errors import LedgerUnavailable, RheostatError
from rheostat.fleet.checkpoints import forget
from rheostat.fleet.database import Database, Settings
from rheostat.fleet.queue import Queue, Silence
from rheostat.fleet.results import Counts
from rheostat.fleet.worker import AWAY, GRACE_SECONDS, READY
from rheostat.visible import visible

__all__ = ["Supervisor", "WorkersFailed"]

_TICK_SECONDS: Final = 0.3
_SWEEP_SECONDS: Final = 3.0
_PRUNE_SECONDS: Final = 3600.0
_HUNG_SECONDS: Final = 60.0
"""A worker of ours that isn't heard of for this long is killed: its tasks are others' by then, if there are any."""
_QUICK_SECONDS: Final = 20.0
"""A worker that lives no longer than this has died at its start."""
_MOST_QUICK: Final = 2
_TAIL: Final = 4000


class WorkersFailed(RheostatError):
    """The workers of a fleet die as soon as they start; the message has the last one's error."""


@dataclass
class _Process:
    executor: str
    popen: subprocess.Popen[str]
    log: Any
    since: float = field(default_factory=time.monotonic)


@dataclass
class Supervisor:
    """Starts workers as processes, restarts those that die under their id, and ends when nothing is left to do."""

    database: Database
    settings: Settings
    workers: int = 1
    started: int = 0
    """Worker processes started so far, restarts included."""
    _token: str = field(default_factory=lambda: uuid.uuid4().hex[:8], repr=False)
    """Part of the workers' ids: another supervisor on this machine has others."""
    _queue: Queue = field(init=False, repr=False)
    _silence: Silence = field(default_factory=Silence, repr=False)
    _processes: dict[str, _Process] = field(default_factory=dict, repr=False)
    _quick: int = 0
    _swept: float = -math.inf
    _pruned: float = -math.inf
    _stop: bool = False

    def __post_init__(self) -> None:
        self._queue = Queue(self.database, self.settings.name)

    def stop(self) -> None:
        """Let the workers finish the calls under way, and end."""
        self._stop = True

    def run(self, *, stay: bool = False, tell: Callable[[Counts], None] = lambda counts: None) -> Counts:
        """Supervise until all tasks have ended, or none can be begun.

        Args:
            stay: Go on until `stop`, for tasks that are yet to come.
            tell: Called a few times a second with the counts.

        Raises:
            WorkersFailed: Workers can't start.
        """
        try:
            counts = self._queue.counts()
            while not self._stop:
                with contextlib.suppress(LedgerUnavailable):  # it has been waited for, and may come back
                    self.tidy()
                    counts = self._queue.counts()
                    tell(counts)
                    if not stay and self.over(counts):
                        break
                self._keep()
                time.sleep(_TICK_SECONDS)
            return counts
        finally:
            self._end()

    def tidy(self) -> None:
        """Now and then: queue the tasks of dead workers again, and delete what is older than its retention."""
        now = time.monotonic()
        if now - self._swept > _SWEEP_SECONDS:
            self._swept = now
            self._queue.sweep()
            self._kill_hung()
        if now - self._pruned > _PRUNE_SECONDS:
            self._pruned = now
            old = self._queue.old(self.settings.retention_days)
            forget(self.database, [self._queue.thread_of(each) for each in old])
            self._queue.delete(old, self.settings.retention_days)

    def _kill_hung(self) -> None:
        """Kill workers of ours that hang, so that others are started: there may be no other one."""
        if self._processes:
            beats = self.database.beats(self.settings.name)
            started = [
                executor for executor in self._processes if executor in beats
            ]  # it may take long to load a graph
            for executor in self._silence.of(started, beats, _HUNG_SECONDS):
                self._processes[executor].popen.kill()

    def over(self, counts: Counts) -> bool:
        """Whether all tasks have ended, or none can be begun."""
        if counts.running:
            return False
        return counts.queued == counts.foreign or bool(self.database.settings(self.settings.name).paused)

    def _keep(self) -> None:
        for number in range(1, self.workers + 1):
            executor = f"{self.settings.name}/{platform.node()}/{self._token}/{number}"
            process = self._processes.get(executor)
            if process is not None:
                if process.popen.poll() is None:
                    continue
                self._died(process)
                with contextlib.suppress(LedgerUnavailable):
                    self.database.leave(executor)  # until the next one has started
            self._processes[executor] = self._start(executor)

    def _start(self, executor: str) -> _Process:
        import tempfile

        log = tempfile.TemporaryFile("w+", prefix="rheostat-worker-", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed with its process
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "rheostat.fleet.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            env=dict(os.environ),
            start_new_session=True,  # Ctrl-C is for this process; it tells the workers
        )
        asked = {
            "db": self.database.address,
            "fleet": self.settings.name,
            "executor": executor,
            "path": [each for each in sys.path if each],
        }
        with contextlib.suppress(BrokenPipeError):
            if popen.stdin is not None:  # on a pipe, because a command line shows a password to everyone
                popen.stdin.write(json.dumps(asked) + "\n")
                popen.stdin.flush()
        self.started += 1
        return _Process(executor, popen, log)

    def _died(self, process: _Process) -> None:
        said = _tail(process.log)
        began = time.monotonic() - process.since > _QUICK_SECONDS or _has(process.log, READY)
        process.log.close()
        if process.popen.returncode == AWAY or began:  # what dies on a task is that task's fault
            self._quick = 0
            return
        self._quick += 1
        if self._quick > _MOST_QUICK * self.workers:
            raise WorkersFailed(
                f"the workers of {self.settings.name!r} die as soon as they start "
                f"(exit status {process.popen.returncode}). The last one said:\n{said}"
            )

    def _end(self) -> None:
        """Tell the workers to end, and wait for their calls."""
        for process in self._processes.values():
            with contextlib.suppress(OSError):
                if process.popen.stdin is not None:
                    process.popen.stdin.close()
        until = time.monotonic() + GRACE_SECONDS
        for process in self._processes.values():
            try:
                process.popen.wait(max(0.1, until - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
                if isinstance(error, KeyboardInterrupt):  # a second Ctrl-C: all of them, at once
                    until = time.monotonic()
                process.popen.kill()
                process.popen.wait()
            process.log.close()
        self._processes.clear()
        self._queue.sweep()
        self._queue.close()


def _has(log: Any, text: str) -> bool:
    """Whether a line of a log has a text; it may be long before the end."""
    log.seek(0)
    return any(text in line for line in log)


def _tail(log: Any) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - _TAIL))
    text: str = log.read()
    return visible(without_password(text.strip())) or "nothing"
