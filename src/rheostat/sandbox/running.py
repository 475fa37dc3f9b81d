"""Run a command in a sandbox, watch its time and output, and end all of its processes."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from rheostat.sandbox.allowed import Limits, Show, environment, program, shown
from rheostat.sandbox.kinds import Sandbox, choose, command_inside
from rheostat.sandbox.scratch import remove

__all__ = ["Ended", "Running"]

_GRACE_SECONDS = 2.0
_KILLED_SECONDS = 20.0
"""The longest wait for processes that were killed; a busy machine needs some seconds for a hundred of them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome of a command."""

    exit_code: int | None
    """For a signal 128 + its number, as in a shell. `None`: its time was up, its output too long, or it was stopped."""
    seconds: float
    output_bytes: int
    sandbox: Sandbox
    """The kind of sandbox in which it ran."""
    too_much: bool = False
    """It was ended because its output was too long."""


class Running:
    """A command that runs in a sandbox; as a context manager, it ends all processes of the command at the end.

    Args:
        command: The command; "python" as its first word is the running interpreter.
        shows: The visible directories and files of this run, beside the system and the interpreter.
        directory: The working directory, as a path inside the sandbox (with `sandbox="none"`: on the host).
        limits: The limits of the run.
        sandbox: The kind of sandbox; `auto` takes the best one that works.
        temporary: A directory to show as /tmp, so that two runs can share it.
        output: Whether its output is read (`watch`) or thrown away.
        keep_fds: File descriptors that it inherits.
        variables: Additional environment variables.

    Raises:
        SandboxMissing: This kind doesn't work on this machine.
    """

    def __init__(
        self,
        command: Sequence[str],
        shows: Sequence[Show],
        *,
        directory: str,
        limits: Limits,
        sandbox: Sandbox = "auto",
        temporary: str | None = None,
        output: bool = True,
        keep_fds: Sequence[int] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.sandbox, self.limits = choose(sandbox), limits
        """The kind of sandbox in use, and the limits of the run."""
        self._own = tempfile.mkdtemp(prefix="rheostat-run-")
        bare = self.sandbox == "none"
        everything = shown([*program(command[0]), *shows], temporary=temporary, memory_bytes=limits.memory_bytes)
        python = os.path.normpath(sys.executable)  # "x/../.venv/bin/python" isn't found where x isn't shown
        words = [python if command[0] == "python" else command[0], *command[1:]]
        own = environment(home=self._own, temporary=temporary or self._own) if bare else environment()
        self._began = time.monotonic()
        # the first process inside ends the run only if this process fails to
        inner = replace(limits, seconds=limits.seconds + _GRACE_SECONDS)
        try:
            with command_inside(self.sandbox, words, everything, directory, inner, root=self._own) as (start, fds):
                self._process = subprocess.Popen(  # noqa: S603 - the command is fixed where the tool is built
                    start,
                    cwd=directory if bare else "/",
                    env={**own, **(variables or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if output else subprocess.DEVNULL,
                    stderr=subprocess.STDOUT if output else subprocess.DEVNULL,
                    start_new_session=True,
                    pass_fds=(*keep_fds, *fds),
                )
        except BaseException:
            remove(self._own)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def watch(self, take: Callable[[bytes], None], *, stop: threading.Event | None = None) -> Ended:
        """Read its output until it ends, its time is up, its output is too long, or `stop` is set."""
        output_bytes, code, over = 0, None, False
        process, stream = self._process, self._process.stdout
        assert stream is not None  # noqa: S101 - asked for above
        deadline = self._began + self.limits.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0 and output_bytes <= self.limits.output_bytes:
                if stop is not None and stop.is_set():
                    break
                over = process.poll() is not None
                if selector.select(timeout=0 if over else min(left, 0.1 if stop is None else 0.02)):
                    output = os.read(stream.fileno(), 1 << 16)
                    output_bytes += len(output)
                    take(output)
                    if output:
                        continue
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        code = process.wait(timeout=max(0.0, deadline - time.monotonic()))
                    break
                if over:
                    code = process.returncode
                    break
        self.end()
        if code is not None and code < 0:
            code = 128 - code  # the first process inside was killed
        too_much = output_bytes > self.limits.output_bytes
        seconds = round(time.monotonic() - self._began, 3)
        return Ended(code, seconds, output_bytes, self.sandbox, too_much)

    def end(self) -> None:
        """End all of its processes at once."""
        process = self._process
        ended_by_itself = process.poll() is not None and process.returncode >= 0 and sys.platform == "linux"
        if not ended_by_itself:
            if self.sandbox == "none":  # only the first process knows those that left the group
                with contextlib.suppress(OSError):
                    process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_GRACE_SECONDS)
            for pid in () if self.sandbox == "none" else _children(process.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)  # the first process inside; when its parent knows, all have ended
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_KILLED_SECONDS)
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        remove(self._own)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            return [int(each) for each in stream.read().split()]
    except OSError:
        return []
