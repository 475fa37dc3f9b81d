"""What this machine offers to keep a command apart."""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
from dataclasses import dataclass

__all__ = ["Isolation", "isolation"]

_USERS = (("--user", "--map-current-user", "--keep-caps"), ("--user", "--map-root-user"), ())
_SPACES = (
    ("--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    ("--net", "--pid", "--fork", "--kill-child"),
    ("--net",),
)


@dataclass(frozen=True)
class Isolation:
    """How a command is kept apart from the rest of the machine."""

    prefix: tuple[str, ...] = ()
    """What goes in front of the command."""

    @property
    def network(self) -> bool:
        """Whether the command can reach the network."""
        return "--net" not in self.prefix

    @property
    def processes(self) -> bool:
        """Whether the command can see, and leave behind, processes outside of its own."""
        return "--pid" not in self.prefix


@functools.cache
def isolation() -> Isolation:
    """The strongest that works here. Tried once per process: it needs Linux, `unshare` and the right to use it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return Isolation()
    for spaces, user in itertools.product(_SPACES, _USERS):
        prefix = (unshare, *user, *spaces, "--")
        try:
            tried = subprocess.run((*prefix, "true"), capture_output=True, timeout=5, check=False)  # noqa: S603 - our own words
        except (OSError, subprocess.TimeoutExpired):
            continue
        if tried.returncode == 0:
            return Isolation(prefix)
    return Isolation()
