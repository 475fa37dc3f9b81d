"""Measure the memory and the files of everything inside a sandbox. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import re

__all__ = ["Memory", "more_files_than", "space"]

_SHM_INFO = 14
_HELD = (b"RssAnon", b"VmSwap", b"HugetlbPages")
_BYTES_OF_A_FILE = 1024
_BYTES_OF_A_SOCKET = 2 * 212_992
"""What its two buffers hold by the kernel's default, which `refuse_calls` keeps programs from raising."""
_MOST_LINES = 200_000
"""The most lines of memory maps that are read at once; it is reached with 8,000 mappings, which take half a second."""


def space(place: str) -> tuple[int, int, int]:
    """(free bytes, used bytes, number of files) of the file system at a place; zeros if it can't be read.

    In memory, attributes of files (`setxattr`) count as further files, a kilobyte each.
    """
    try:
        system = os.statvfs(place)
    except OSError:
        return 0, 0, 0
    files = system.f_files - system.f_ffree
    used = (system.f_blocks - system.f_bfree) * system.f_frsize + files * _BYTES_OF_A_FILE
    return system.f_bavail * system.f_frsize, used, files


def more_files_than(place: str, most: int) -> bool:
    """Whether there are more than `most` files and folders below a place; the file system's own count covers others."""
    found, waiting = 0, [place]
    while waiting and found <= most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:  # too deep, or not readable: it may hide any number
            return True
    return found > most


class Memory:
    """The memory of everything inside: of processes, shared or not, and of files in memory."""

    def __init__(self, places: list[str], most: int, *, counted: bool) -> None:
        self.places, self._most, self._counted, self._lines = places, most, counted, 0
        self._of_machine, self._device = _bytes_in("/proc/meminfo", b"Shmem")[0], b""
        with contextlib.suppress(OSError), contextlib.closing(mmap.mmap(-1, 1)), open("/proc/self/maps", "rb") as maps:
            self._device = next((line.split()[3] for line in maps if b"/dev/zero" in line), b"")

    def is_too_much(self) -> bool:
        """Whether the memory exceeds the limit; `False` without an own process namespace: it can't be measured then."""
        if os.getpid() != 1:
            return False
        held, shared = _system_v_bytes() + sum(space(place)[1] for place in self.places), {}
        held += _sockets() * _BYTES_OF_A_SOCKET
        self._lines = _MOST_LINES
        for pid in filter(str.isdigit, os.listdir("/proc")):
            own, swapped, huge, shared[pid] = _bytes_in(f"/proc/{pid}/status", *_HELD, b"RssShmem")
            held += own + swapped + huge
        if held + sum(shared.values()) > self._most:  # memory that several processes share is counted several times
            held += sum(self._shares(pid, resident)[1] for pid, resident in shared.items() if resident)
            if held > self._most:
                return True
        grown = _bytes_in("/proc/meminfo", b"Shmem")[0] - self._of_machine
        return grown > self._most and (not self._counted or any(self._shares(pid, 0)[0] for pid in shared))

    def _shares(self, pid: str, resident: int) -> tuple[bool, int]:
        """Whether a process maps shared memory without a file, and its visible part of that memory, in bytes.

        Pages that a mapping has dropped stay allocated, and are then visible only in the machine's total. A process
        that can't be read, or only slowly, is assumed to share, with all of its shared memory as its own.
        """
        shares, part, counts = False, 0, False
        try:
            with open(f"/proc/{pid}/smaps", "rb") as mappings:
                for words in map(bytes.split, itertools.islice(mappings, self._lines)):
                    self._lines -= 1
                    if not words[0].endswith(b":"):
                        counts = words[3] == self._device and not b"".join(words[5:6]).startswith(b"/SYSV")
                        shares = shares or counts
                    elif counts and words[0] == b"Pss:":
                        part += int(words[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            return False, 0
        except OSError:
            return True, resident
        return (shares, part) if self._lines else (True, resident)


def _bytes_in(path: str, *names: bytes) -> list[int]:
    """The values of these names in a file of /proc, converted from kB to bytes; 0 if missing."""
    found = dict.fromkeys(names, 0)
    with contextlib.suppress(OSError, ValueError, IndexError), open(path, "rb") as stream:
        for name, _, value in (line.partition(b":") for line in stream):
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    return list(found.values())


def _sockets() -> int:
    """The number of all sockets in this network namespace, those on their way in a message too."""
    with contextlib.suppress(OSError), open("/proc/net/sockstat", "rb") as stream:
        if found := re.match(rb"sockets: used (\d+)", stream.read()):
            return int(found[1])
    return 0


def _system_v_bytes() -> int:
    """The bytes of all System V segments in this namespace, attached or not."""
    counts = (ctypes.c_ulong * 8)()
    if ctypes.CDLL(None).shmctl(0, _SHM_INFO, counts) < 0:
        return 0
    return int(counts[2] + counts[3]) * os.sysconf("SC_PAGE_SIZE")
