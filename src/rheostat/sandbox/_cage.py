"""The first process inside a sandbox: runs one command under limits, and ends everything that the command started.

It is passed as text, with `_calls` and `_memory`, because nothing else of the package can be imported there. The limits
are set here and not in a `preexec_fn`, which may deadlock in a process with threads, as every process with an event
loop is.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import math
import os
import re
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections import defaultdict
from typing import Any, NoReturn

from rheostat.sandbox._calls import refuse_calls
from rheostat.sandbox._memory import Memory, more_files_than, space

_SUBREAPER, _AMBIENT, _AMBIENT_CLEAR, _NO_NEW_PRIVILEGES, _DUMPABLE, _BOUNDING_DROP = 36, 47, 4, 38, 4, 24
_SET_INTERFACE_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41
_READ_ONLY, _NO_SUID, _NO_DEV, _NO_EXEC, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_DEVICES = ("null", "zero", "full", "random", "urandom")
_WATCHED_SECONDS = 0.1
_LOOK_INTO_OTHERS = 1 << 19
_STACKS_BYTES = 1 << 30
"""Address space beyond the memory: 128 threads reserve 8 MB each for stacks that they hardly use."""


def main(order: dict[str, Any]) -> int:
    """Run `order["command"]`, and return its exit code; for a signal 128 + its number, as in a shell."""
    limits = order["limits"]
    if order["shows"]:
        _build(order["root"], order["shows"])
    _own_orphans()
    _loopback_up()
    counted = _be_alone()
    deadline = time.monotonic() + limits["seconds"]
    memory = Memory(order["memory"], limits["memory_bytes"], counted=counted)
    before = {place: space(place) for place in (*order["writable"], *order["memory"])}

    heard, over = _listening()
    child = os.fork()
    if child == 0:
        _become(order)
    interval = _WATCHED_SECONDS if os.getpid() == 1 else 5 * _WATCHED_SECONDS
    looked, code = time.monotonic(), None
    while code is None:
        if select.select([heard], [], [], interval)[0]:
            os.read(heard, 1 << 16)
        code = _reaped(child)
        if code is None and time.monotonic() > looked + interval:
            if too_much := _too_much(before, memory, limits):
                _say(f"stopped, {too_much}")
            looked = time.monotonic()  # it may take longer than the interval
            if too_much or looked > deadline:
                code = 128 + signal.SIGKILL
        if over:
            code = 128 + signal.SIGKILL
    _end_the_rest()
    return code


def _listening() -> tuple[int, list[int]]:
    """A pipe that can be read after each signal, and a list with the signals to end."""
    over: list[int] = []
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: over.append(number))
    return heard, over


def _reaped(child: int) -> int | None:
    """Reap what has ended; the exit code of `child` if it is among that."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                exit_code = os.waitstatus_to_exitcode(ended[1])
                return exit_code if exit_code >= 0 else 128 - exit_code
    return None


def _too_much(before: dict[str, tuple[int, int, int]], memory: Memory, limits: dict[str, Any]) -> str | None:
    """The limit that was exceeded, or `None`."""
    processes, threads = _crowd()
    if processes > limits["processes"]:
        return f"more than {limits['processes']} processes"
    if threads > limits["threads"]:
        return f"more than {limits['threads']:,} threads"
    if memory.is_too_much():
        return f"its processes and files in memory hold more than {limits['memory_bytes']:,} bytes"
    return _too_much_on_disk(before, memory, limits)


def _too_much_on_disk(before: dict[str, tuple[int, int, int]], memory: Memory, limits: dict[str, Any]) -> str | None:
    """The limit of disk or files that was exceeded, or `None`; files that others made are added to `before`."""
    for place, (free_before, used_before, files_before) in before.items():
        free, _, files = space(place)
        if free_before - free > limits["disk_bytes"]:
            return f"the disk lost more than {limits['disk_bytes']:,} bytes"
        if files - files_before > limits["files"]:
            if place in memory.places or more_files_than(place, limits["files"]):
                return f"it made more than {limits['files']:,} files and folders"
            before[place] = (free_before, used_before, files)
    return None


def _become(order: dict[str, Any]) -> NoReturn:
    limits = order["limits"]
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getppid() == 1:
            _keep_rights(0)
        os.chdir(order["directory"])
        os.nice(5)  # the watching process has priority
        threads = _tasks_of_user() + limits["threads"]
        for limit, most in (
            ("RLIMIT_AS", int(limits["memory_bytes"]) + _STACKS_BYTES),
            ("RLIMIT_CPU", math.ceil(limits["seconds"]) + 1),
            ("RLIMIT_FSIZE", limits["file_bytes"]),
            ("RLIMIT_NOFILE", limits["open_files"]),
            ("RLIMIT_NPROC", threads),
            ("RLIMIT_CORE", 0),
        ):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                which = getattr(resource, limit)
                hard = resource.getrlimit(which)[1]
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901 - the lower of the two
                resource.setrlimit(which, (most, most))
        os.execvp(order["command"][0], order["command"])  # noqa: S606 - fixed where the tool is built
    except BaseException as error:
        _say(f"{order['command'][0]} can't be started: {error}", before="")
    os._exit(127)


def _say(text: str, *, before: str = "\n") -> None:
    print(f"{before}rheostat: {text}", flush=True)  # noqa: T201 - its output is the result


def _build(root: str, shows: list[dict[str, str]]) -> None:
    """Build a new root that has only the given entries, and detach the old root."""
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEV, "size=16m,mode=755")
    for show in [{"at": "/proc", "how": "proc", "source": ""}, {"at": "/dev", "how": "dev", "source": ""}, *shows]:
        at, source = root + show["at"], show["source"]
        os.makedirs(os.path.dirname(at), exist_ok=True)
        if show["how"] == "link":
            os.symlink(source, at)
            continue
        if show["how"] in ("read", "write") and not os.path.isdir(source):
            if not os.path.lexists(at):
                open(at, "wb").close()
        else:
            os.makedirs(at, exist_ok=True)
        if show["how"] == "proc":
            _mount("proc", at, "proc", _NO_SUID | _NO_DEV | _NO_EXEC)
        elif show["how"] == "dev":
            _devices(at)
        elif show["how"] == "empty":
            _mount("tmpfs", at, "tmpfs", _NO_SUID | _NO_DEV, f"size={source},mode=755")
        else:
            _mount(source, at, None, _BIND | _RECURSIVE)
            _narrow(at, read_only=show["how"] == "read")
    _narrow(f"{root}/dev", read_only=True, below=False)
    with contextlib.suppress(OSError), open("/proc/sys/user/max_user_namespaces", "w") as limit:
        limit.write("0")  # no nested user namespaces
    _narrow(root, read_only=True, below=False)
    os.chdir(root)
    if ctypes.CDLL(None, use_errno=True).pivot_root(b".", b"."):
        raise OSError(ctypes.get_errno(), "pivot_root")
    if ctypes.CDLL(None, use_errno=True).umount2(b".", _DETACH):
        raise OSError(ctypes.get_errno(), "umount2")
    os.chdir("/")
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).sethostname(b"sandbox", 7)


def _devices(at: str) -> None:
    _mount("tmpfs", at, "tmpfs", _NO_SUID, "size=64k,mode=755")
    for name in _DEVICES:
        open(f"{at}/{name}", "wb").close()
        _mount(f"/dev/{name}", f"{at}/{name}", None, _BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{at}/{name}")
    os.mkdir(f"{at}/shm")
    _mount("tmpfs", f"{at}/shm", "tmpfs", _NO_SUID | _NO_DEV, "size=64m,mode=777")


def _narrow(at: str, *, read_only: bool, below: bool = True) -> None:
    """Remount a place, and the mounts below it, without set-user-id and devices, and read-only if asked.

    A mount from outside keeps its flags, because otherwise it can't be remounted. One that another covers can't be
    remounted either, and needn't: what is seen there is the other's.
    """
    places = [at]
    if below and os.path.isdir(at):
        start = os.fsencode(os.path.realpath(at)) + b"/"
        with open("/proc/self/mountinfo", "rb") as table:
            points = [re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]) for line in table]
        places += [os.fsdecode(point) for point in points if point.startswith(start)]
    for place in places:
        kept = os.statvfs(place).f_flag & (_READ_ONLY | _NO_SUID | _NO_DEV | _NO_EXEC | os.ST_NOATIME | os.ST_RELATIME)
        flags = (kept & 15) | (1024 if kept & os.ST_NOATIME else 0) | (1 << 21 if kept & os.ST_RELATIME else 0)
        device = 0 if place.endswith(tuple(f"/dev/{name}" for name in _DEVICES)) else _NO_DEV
        try:
            _mount("none", place, None, _BIND | _REMOUNT | flags | _NO_SUID | device | (_READ_ONLY if read_only else 0))
        except OSError as error:
            if place == at or error.errno != errno.EINVAL:
                raise


def _mount(source: str, at: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [os.fsencode(source), os.fsencode(at), kind.encode() if kind else None]
    if ctypes.CDLL(None, use_errno=True).mount(*words, ctypes.c_ulong(flags), options.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} at {at}: {os.strerror(number)}")


def _be_alone() -> bool:
    """Drop all capabilities for good, and keep other processes of the user from reading this process's memory.

    One capability is kept until the command starts: reading processes of this namespace that hide their memory.

    Returns:
        Whether all memory that can be allocated from here on can be counted.
    """
    counted = False
    with contextlib.suppress(OSError, AttributeError):
        system = ctypes.CDLL(None)
        if os.getpid() == 1:
            for capability in range(64):
                system.prctl(_BOUNDING_DROP, capability, 0, 0, 0)
            system.prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
            _keep_rights(_LOOK_INTO_OTHERS)
            system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            counted = refuse_calls(system)
        system.prctl(_DUMPABLE, 0, 0, 0, 0)
    return counted


def _keep_rights(which: int) -> None:
    """Keep only these capabilities of the present ones; a command inherits none of them."""
    header, system = (ctypes.c_uint32 * 2)(0x20080522, 0), ctypes.CDLL(None)
    held = (ctypes.c_uint32 * 6)()
    system.capget(ctypes.byref(header), ctypes.byref(held))
    system.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)(held[0] & which, held[1] & which)))


def _own_orphans() -> None:
    """Become the parent of orphaned descendants, so that none of them escapes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _loopback_up() -> None:
    """Bring up the loopback, which is down in a new network namespace, because tests may use it."""
    if os.getpid() != 1:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def _processes() -> list[tuple[int, int]]:
    """(pid, parent's pid) of every visible process; empty if /proc belongs to another process namespace."""
    found: list[tuple[int, int]] = []
    for name in os.listdir("/proc") if _sees_itself() else ():
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as stream:
                found.append((int(name), int(stream.read().rpartition(b")")[2].split()[1])))
    return found


def _crowd() -> tuple[int, int]:
    """The processes and threads in the sandbox; counted here because the system's limit doesn't bind root."""
    if not (os.getpid() == 1 and _sees_itself()):
        return len(_descendants()), 0
    processes = threads = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        processes += 1
        with contextlib.suppress(OSError):
            threads += os.stat(f"/proc/{pid}/task").st_nlink - 2
    return processes, threads


def _sees_itself() -> bool:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self") == str(os.getpid())
    return False


def _tasks_of_user() -> int:
    """The user's threads, which already count against the limit of processes."""
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


def run() -> int:
    """Carry out the order in the file descriptor that is the first argument."""
    with open(int(sys.argv[1]), encoding="utf-8") as stream:
        order = json.load(stream)
    return main(order)
