"""The allow-list of the sandbox: everything that code written by a model may see and use.

Not in the list, and so invisible: the network (except for its own loopback), the home directory, sockets and processes
of the host, our environment variables, and every directory outside the system, the interpreter and the workspace.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rheostat.files import read_text

__all__ = ["HOME", "Limits", "Show", "environment", "interpreter", "program", "shown"]

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""System directories, read-only; links stay links."""

SETTINGS = (
    "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd", "/etc/group",
    "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)  # fmt: skip
"""The visible part of /etc, read-only."""

HOME = "/home/sandbox"
"""The home directory inside: like /tmp, empty at the start and removed at the end."""

VARIABLES = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}
"""The environment variables beside HOME, TMPDIR and PATH.

Each arena of malloc reserves 64 MB of address space: with one for each thread, twenty threads would reach the limit.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run, including everything that it starts."""

    seconds: float = 60.0
    """Wall-clock time."""
    memory_bytes: int = 1_000_000_000
    """Memory of all processes together and of files in memory, such as /tmp; the address space of each process may be
    1 GB larger, for stacks."""
    processes: int = 128
    threads: int = 1_024
    """Threads of all processes together."""
    file_bytes: int = 200_000_000
    """The size of one file."""
    disk_bytes: int = 2_000_000_000
    """The decrease of the free disk space during the run."""
    files: int = 100_000
    """New files and folders in each place, if its file system counts them (btrfs doesn't)."""
    open_files: int = 1_024
    output_bytes: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Show:
    """A file or directory that is visible in the sandbox."""

    at: str
    """Its path inside."""
    how: Literal["read", "write", "empty", "link"]
    """`read`: read-only; `write`: writable; `empty`: an empty directory in memory; `link`: a symbolic link."""
    source: str = ""
    """The path on the host; the size in bytes of an empty directory; the target of a link."""


def environment(*, home: str = HOME, temporary: str = "/tmp") -> dict[str, str]:  # noqa: S108 - the sandbox's own
    """The complete environment of a run."""
    return {**VARIABLES, "PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": temporary}


def interpreter() -> list[Show]:
    """The directories of the running Python outside the system, without pip's settings, which may hold passwords."""
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    if site.ENABLE_USER_SITE:
        roots.add(site.getusersitepackages())
    home = Path.home().resolve()
    found = []
    for root in sorted(roots):
        real = Path(root).resolve()
        if real.is_dir() and real not in (home, *home.parents) and not _of_the_system(real):
            found.append(Show(root, "read", root))
            found += [Show(str(real), "read", str(real))] * (str(real) != root)
            found += [Show(f"{root}/pip.conf", "read", os.devnull)] * (real / "pip.conf").is_file()
    return found


def program(name: str) -> list[Show]:
    """A program outside the system: its file, or its whole virtual environment with the Python of that.

    Raises:
        BadInput: The settings of the virtual environment can't be read.
    """
    found = shutil.which(name)
    if name == "python" or found is None or _of_the_system(Path(found)):
        return []
    found, real = os.path.abspath(found), Path(found).resolve()
    root = Path(found).parent.parent
    settings = root / "pyvenv.cfg"
    if settings.is_file():
        lines = (line.partition("=") for line in read_text(settings, "settings").splitlines())
        home = next((value.strip() for key, _, value in lines if key.strip() == "home"), "/usr/bin")
        return [*_installation(home), Show(str(root), "read", str(root))]
    return [Show(path, "read", str(real)) for path in dict.fromkeys((found, str(real)))]


def _installation(home: str) -> list[Show]:
    """The Python installation with this folder of programs; whoever names another folder is shown nothing of it."""
    for name in ("python3", "python"):
        base = Path(home, name).resolve().parent.parent
        if any(base.glob("lib*/python3*/os.py")):
            hidden = base in (Path.home(), *Path.home().parents) or _of_the_system(base)
            return [] if hidden else [Show(str(base), "read", str(base))]
    return []


def shown(extra: Iterable[Show], *, temporary: str | None, memory_bytes: int) -> list[Show]:
    """Everything that is visible, in the order of mounting.

    Args:
        extra: The workspace, and the other needs of this run.
        temporary: A directory to show as /tmp; `None`: an empty one in memory.
        memory_bytes: The memory limit; /tmp and the home directory may each take half of it.
    """
    first: list[Show] = []
    for path in (*SYSTEM, *SETTINGS):
        if os.path.islink(path) and path in SYSTEM:
            first.append(Show(path, "link", os.readlink(path)))
        elif os.path.exists(path):
            first.append(Show(path, "read", path))
    first += _kernel()
    half = str(memory_bytes // 2)
    tmp = Show("/tmp", "empty", half) if temporary is None else Show("/tmp", "write", temporary)  # noqa: S108
    return [*first, tmp, Show(HOME, "empty", half), *interpreter(), *extra]


def _kernel() -> list[Show]:
    """Covers for the parts of a private /proc that are shared with the host.

    The kernel asks for no capability for files of root, and /proc/sys/kernel/core_pattern names a program that the host
    runs.
    """
    covers = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() or entry.is_symlink():
            continue
        if entry.is_dir():
            covers.append(Show(entry.path, "read", entry.path))
        elif entry.name in _SECRETIVE or entry.stat().st_mode & 0o222 or not entry.stat().st_mode & 0o004:
            covers.append(Show(entry.path, "read", os.devnull))
    return sorted(covers, key=lambda show: show.at)


_SECRETIVE = {"cmdline", "config.gz", "iomem", "ioports", "kallsyms", "key-users", "keys", "sched_debug"}


def _of_the_system(path: Path) -> bool:
    return any(path == Path(each) or Path(each) in path.parents for each in SYSTEM)
