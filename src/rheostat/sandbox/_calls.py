"""The system calls that code in a sandbox doesn't have. Standard library only."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import TypeAlias

__all__ = ["refuse_calls"]

_Line: TypeAlias = tuple[int, int, int, int]
"""An instruction of a filter: operation, lines to skip if true and if false, operand."""

_SECCOMP, _FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _HAS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_UNKNOWN = _REFUSE | errno.ENOSYS
_OTHER_CALLS = 0x40000000

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS = {
    "add_key": (248, 217), "bpf": (321, 280), "clone": (56, 220), "clone3": (435, 435), "fcntl": (72, 25),
    "io_setup": (206, 0), "io_uring_setup": (425, 425), "keyctl": (250, 219), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "msgget": (68, 186), "perf_event_open": (298, 241), "request_key": (249, 218),
    "semget": (64, 190), "setns": (308, 268), "setsockopt": (54, 208), "socket": (41, 198), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vmsplice": (278, 75),
}  # fmt: skip
"""The numbers of calls on x86-64 and ARM64."""

_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Others, such as AF_VSOCK, know no network namespace and reach the host."""
_SET_LEASE = 1024
"""F_SETLEASE: whoever opens the file, on the host too, waits for up to 45 seconds."""
_SOCKET_LEVEL, _SEND_BUFFER, _RECEIVE_BUFFER = 1, 7, 8
_NEW_USER_NAMESPACE = 0x10000000

_REFUSED = (
    "memfd_create", "memfd_secret", "msgget", "semget", "vmsplice",  # memory that shows nowhere, or in no process
    "io_setup", "io_uring_setup", "bpf", "perf_event_open", "add_key", "request_key", "keyctl",  # memory of the kernel
    "userfaultfd",  # to stop the kernel within a call
    "unshare", "setns", "clone3",  # new namespaces; without clone3, whose flags can't be read here, clone is used
)  # fmt: skip


def refuse_calls(system: ctypes.CDLL) -> bool:
    """Take these calls away, and those of foreign interfaces, as if the kernel didn't have them.

    Returns:
        Whether that succeeded; on other machines the numbers aren't known.
    """
    machine = os.uname().machine
    if machine not in _MACHINES or sys.maxsize < 1 << 32:
        return False
    lines = _filter(_MACHINES[machine], {name: each[machine == "aarch64"] for name, each in _NUMBERS.items()})
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    return not system.prctl(_SECCOMP, _FILTER, struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(program)), 0, 0)


def _filter(machine: int, numbers: dict[str, int]) -> list[_Line]:
    return [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _UNKNOWN),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _OTHER_CALLS),
        (_RETURN, 0, 0, _UNKNOWN),
        *_where(numbers["socket"], {0: _FAMILIES}, _ALLOW, _REFUSE | errno.EAFNOSUPPORT),
        *_where(numbers["fcntl"], {1: (_SET_LEASE,)}, _REFUSE | errno.EINVAL, _ALLOW),
        # as if done: programs ask for larger buffers to be faster, and where the system's limit is low don't get them
        *_where(numbers["setsockopt"], {1: (_SOCKET_LEVEL,), 2: (_SEND_BUFFER, _RECEIVE_BUFFER)}, _REFUSE, _ALLOW),
        *_where(numbers["clone"], {0: (_NEW_USER_NAMESPACE,)}, _REFUSE | errno.EPERM, _ALLOW, test=_HAS),
        *(line for name in _REFUSED for line in _where(numbers[name], {}, _UNKNOWN, _ALLOW)),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _where(
    call: int, arguments: dict[int, tuple[int, ...]], then: int, otherwise: int, test: int = _EQUAL
) -> list[_Line]:
    """If it is this call: `then` where each argument has one of its values, else `otherwise`."""
    inner: list[_Line] = []
    for number, values in arguments.items():
        inner.append((_LOAD, 0, 0, 16 + 8 * number))
        inner += [(test, len(values) - at, 0, value) for at, value in enumerate(values)]
        inner.append((_RETURN, 0, 0, otherwise))
    inner.append((_RETURN, 0, 0, then))
    return [(_EQUAL, 0, len(inner), call), *inner]
