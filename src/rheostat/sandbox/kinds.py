"""Choose the sandbox of this machine: bubblewrap, else bare user namespaces; without either, nothing is run."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput, SandboxMissing
from rheostat.sandbox.allowed import Limits, Show, environment, shown
from rheostat.sandbox.processes import handed, program_path
from rheostat.sandbox.scratch import temporary_directory

__all__ = ["Sandbox", "choose", "command_inside", "why_not"]

Sandbox: TypeAlias = Literal["auto", "bubblewrap", "namespaces", "none"]
"""`auto`: the first of bubblewrap and namespaces that works here. `none` isolates nothing and must be asked for."""

_CAGE = "import sys, types\n" + "".join(
    f"inside = sys.modules['rheostat.sandbox.{name}'] = types.ModuleType({name!r})\n"
    f"exec({Path(__file__).with_name(f'{name}.py').read_text(encoding='utf-8')!r}, vars(inside))\n"
    for name in ("_calls", "_memory", "_cage")
)
_CAGE += "sys.exit(inside.run())\n"
_USERS = (("--user", "--map-current-user", "--keep-caps"), ("--user", "--map-root-user"), ())
_SPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
_INSTALL = "Debian and Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap"


def choose(sandbox: Sandbox = "auto") -> Sandbox:
    """The kind of sandbox that will be used.

    Raises:
        BadInput: There is no such kind.
        SandboxMissing: It doesn't work on this machine; the message says why, and what to do.
    """
    if sandbox == "none":
        return sandbox
    if sandbox not in ("auto", "bubblewrap", "namespaces"):
        raise BadInput(f'sandbox is "auto", "bubblewrap", "namespaces" or "none"; not {sandbox!r}')
    kinds: tuple[Sandbox, ...] = ("bubblewrap", "namespaces") if sandbox == "auto" else (sandbox,)
    for kind in kinds:
        if why_not(kind) is None:
            return kind
    reasons = "; ".join(f"{kind}: {why_not(kind)}" for kind in kinds)
    raise SandboxMissing(
        f"code that a model wrote isn't run here without a sandbox, and none works. {reasons}. {_advice()} "
        '`rheostat doctor` shows the state; sandbox="none" runs the code with all your rights.'
    )


@functools.cache
def why_not(kind: Sandbox) -> str | None:
    """The reason why a kind doesn't work on this machine, tried once per process; `None`: it works."""
    if sys.platform != "linux":
        return "it needs Linux"
    program = {"bubblewrap": "bwrap", "namespaces": "unshare"}[kind]
    if program_path(program) is None:
        return f"{program} isn't installed" + (f" ({_INSTALL})" if kind == "bubblewrap" else "")
    limits = Limits(seconds=10)
    said = ""
    for way in range(_ways(kind)):
        try:
            shows = shown((), temporary=None, memory_bytes=1 << 24)
            with (
                temporary_directory("rheostat-try-") as root,
                command_inside(kind, ["true"], shows, "/", limits, way, root) as (words, fds),
            ):
                tried = subprocess.run(  # noqa: S603 - our own words
                    words, capture_output=True, timeout=10, check=False, env=environment(), cwd="/", pass_fds=fds
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = said or str(error)
            continue
        if tried.returncode == 0:
            _working[kind] = way
            return None
        lines = (tried.stderr or tried.stdout).decode(errors="replace").strip().splitlines()
        said = said or (lines[-1][-300:] if lines else "")
    return f"{program} doesn't work here: {said or 'it gives no reason'}"


_working: dict[Sandbox, int] = {}


@contextlib.contextmanager
def command_inside(
    kind: Sandbox,
    command: Sequence[str],
    shows: Sequence[Show],
    directory: str,
    limits: Limits,
    way: int | None = None,
    root: str = "",
) -> Iterator[tuple[list[str], list[int]]]:
    """The command to start so that `command` runs inside, and the file descriptors that it must inherit.

    Its order is in unnamed files, because it may be longer than an argument, and arguments are visible to all users.

    Args:
        way: The variant of the kind; by default the one that works here.
        root: A directory on which namespaces may mount the new root; it hides what is there.
    """
    way = _working.get(kind, 0) if way is None else way
    order: dict[str, Any] = {
        "command": list(command), "directory": directory, "limits": asdict(limits), "root": "", "shows": [],
        "writable": [each.source if kind == "none" else each.at for each in shows if each.how == "write"],
        "memory": ["/dev/shm", *(each.at for each in shows if each.how == "empty")],  # noqa: S108 - the sandbox's own
    }  # fmt: skip
    if kind == "none":
        order["memory"] = []
    elif kind == "namespaces":
        order |= {"root": root, "shows": [asdict(each) for each in shows]}
    with handed(order) as ordered:
        cage = [os.path.normpath(sys.executable), "-I", "-S", "-c", _CAGE, str(ordered)]
        if kind == "bubblewrap":
            with handed(b"".join(os.fsencode(word) + b"\0" for word in _bubblewrap(shows, directory, way))) as words:
                yield [program_path("bwrap") or "bwrap", "--args", str(words), "--", *cage], [ordered, words]
        elif kind == "namespaces":
            yield [program_path("unshare") or "unshare", *_USERS[way], *_SPACES, "--", *cage], [ordered]
        else:
            yield cage, [ordered]


def _ways(kind: Sandbox) -> int:
    return 3 if os.getuid() == 0 else 2


def _bubblewrap(shows: Sequence[Show], directory: str, way: int) -> list[str]:
    """The arguments of bubblewrap; ways: 0 full; 1 without --disable-userns (older); 2 root without user namespace."""
    users = (["--unshare-user", "--disable-userns"], ["--unshare-user"], [])[way]
    rights = ["--cap-add", "CAP_SYS_PTRACE"] * (way == 0)  # only for the cage, to count hidden memory
    words = [
        *users, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", *rights,
        "--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev",
    ]  # fmt: skip
    for show in (Show("/dev/shm", "empty", str(1 << 26)), *shows):  # noqa: S108 - the sandbox's own
        if show.how == "empty":
            words += ["--size", show.source, "--tmpfs", show.at]
        elif show.how == "link":
            words += ["--symlink", show.source, show.at]
        else:
            words += ["--ro-bind" if show.how == "read" else "--bind", show.source, show.at]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", directory]


def _advice() -> str:
    if sys.platform == "darwin":
        return "On macOS run it in a Linux container or virtual machine (docs/explanation/security.md)."
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return (
            "In a container: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined, and install bubblewrap in its image (docs/explanation/security.md)."
        )
    if platform.system() == "Linux":
        return f"Install bubblewrap ({_INSTALL}), and allow user namespaces (docs/explanation/security.md)."
    return "It needs Linux (docs/explanation/security.md)."
