"""Runs one command under limits and ends everything that it started. A script of its own, standard library only.

The limits are set here and not in a `preexec_fn`: that one may deadlock in a process with threads, which every process
with an event loop or a tool executor is.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from types import FrameType
from typing import Any, NoReturn

_SUBREAPER, _AMBIENT, _AMBIENT_CLEAR = 36, 47, 4
_SET_INTERFACE_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


class _Stop(BaseException):
    """The run is over."""


def main(order: dict[str, Any]) -> int:
    """Run `order["command"]`; returns its exit code, 128 + the number for a signal, as a shell does."""
    _own_orphans()
    _loopback_up()
    deadline = time.monotonic() + order["seconds"]

    def watch(signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGTERM or time.monotonic() > deadline:
            raise _Stop
        if _crowd() > order["processes"]:
            print(f"\nrheostat: stopped, more than {order['processes']} processes", flush=True)  # noqa: T201 - its output is the result
            raise _Stop

    code = 128 + signal.SIGKILL
    try:
        signal.signal(signal.SIGTERM, watch)
        signal.signal(signal.SIGALRM, watch)
        child = os.fork()
        if child == 0:
            _become(order)
        interval = 0.1 if os.getpid() == 1 else 0.5
        signal.setitimer(signal.ITIMER_REAL, interval, interval)
        status = None
        while status is None:
            ended, ended_status = os.wait()
            if ended == child:
                status = ended_status
        exit_code = os.waitstatus_to_exitcode(status)
        code = exit_code if exit_code >= 0 else 128 - exit_code
    except _Stop:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_the_rest()
    return code


def _become(order: dict[str, Any]) -> NoReturn:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
        os.nice(5)  # whoever watches comes first
        processes = _tasks_of_user() + order["processes"]
        for limit, most in (
            ("RLIMIT_AS", int(order["memory_bytes"])),
            ("RLIMIT_CPU", math.ceil(order["seconds"]) + 1),
            ("RLIMIT_FSIZE", order["file_bytes"]),
            ("RLIMIT_NPROC", processes),
            ("RLIMIT_CORE", 0),
        ):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                which = getattr(resource, limit)
                hard = resource.getrlimit(which)[1]
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901 - the lower of the two
                resource.setrlimit(which, (most, most))
        os.execvp(order["command"][0], order["command"])  # noqa: S606 - fixed by whoever built the tool
    except BaseException as error:
        print(f"rheostat: {order['command'][0]} can't be started: {error}", flush=True)  # noqa: T201 - its output is the result
    os._exit(127)


def _own_orphans() -> None:
    """Processes whose parent ends become ours, so that none is lost sight of."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _loopback_up() -> None:
    """A new network has its loopback down, and tests may talk to themselves."""
    if os.getpid() != 1:
        return
    with contextlib.suppress(OSError, ImportError):
        import fcntl
        import socket
        import struct

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def _processes() -> list[tuple[int, int]]:
    """Number and parent of every process that shows, if /proc is of our own process namespace."""
    found: list[tuple[int, int]] = []
    for name in os.listdir("/proc") if _sees_itself() else ():
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as stream:
                found.append((int(name), int(stream.read().rpartition(b")")[2].split()[1])))
    return found


def _crowd() -> int:
    """How many processes the command has become. The limit of the system doesn't bind root."""
    if os.getpid() == 1 and _sees_itself():
        return sum(name.isdigit() for name in os.listdir("/proc"))
    return len(_descendants())


def _sees_itself() -> bool:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self") == str(os.getpid())
    return False


def _tasks_of_user() -> int:
    """Threads that count against the limit of processes already."""
    tasks = 0
    for pid, _ in _processes():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():
                tasks += len(os.listdir(f"/proc/{pid}/task"))
    return tasks


def _descendants() -> list[int]:
    children = defaultdict(list)
    for pid, parent in _processes():
        children[parent].append(pid)
    found = children[os.getpid()]
    for pid in found:
        found += children[pid]
    return found


def _end_the_rest() -> None:
    until = time.monotonic() + 2
    while time.monotonic() < until:
        if os.getpid() == 1:
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
        else:
            for pid in _descendants():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
