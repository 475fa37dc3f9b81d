"""Files that a user names: regular text files of limited size, because a pipe would block or never end; and locks."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import secrets
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rheostat.errors import BadInput

__all__ = ["check_regular", "locked", "opened", "read_text", "write_whole"]

_MOST_BYTES = 1 << 20


def read_text(path: Path, what: str, *, most_bytes: int = _MOST_BYTES, may_be_packed: bool = False) -> str:
    """Read a text file, and refuse anything else.

    Args:
        what: The file's role, for messages.
        most_bytes: The most bytes, of a packed file also once it is unpacked.
        may_be_packed: A gzip file, known by its content, is unpacked.

    Raises:
        BadInput: it is missing, not a regular file, too large, binary, not UTF-8, or empty.
    """
    data = _bytes_of(path, what, most_bytes)
    if may_be_packed and data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, path, what, most_bytes)
    if b"\x00" in data:
        raise BadInput(f"{what} file {path} is binary (it holds NUL bytes)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} file {path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
    if not text or text.isspace():
        raise BadInput(f"{what} file {path} is empty")
    return text


def _unpacked(data: bytes, path: Path, what: str, most_bytes: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            found = stream.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"can't unpack the {what} file {path}: {error}") from None
    if len(found) > most_bytes:
        raise BadInput(f"{what} file {path} unpacks to more than {most_bytes:,} bytes, which is the most")
    return found


def _bytes_of(path: Path, what: str, most_bytes: int) -> bytes:
    try:
        with opened(path, what) as stream:
            data = stream.read(most_bytes + 1)  # a file in /proc may report no size
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise BadInput(f"can't read the {what} file {path}: {error.strerror}") from None
    if data is None:  # such as /proc/kmsg
        raise BadInput(f"can't read the {what} file {path}: it waits for what is yet to come, so it is no regular file")
    if len(data) > most_bytes:
        raise BadInput(f"{what} file {path} has {max(size, len(data)):,} bytes; the most is {most_bytes:,}")
    return data


def opened(path: Path, what: str) -> BinaryIO:
    """Open a file to read bytes, and refuse what isn't regular; no read of it waits.

    Args:
        what: The file's role, for messages.

    Raises:
        BadInput: It is missing, can't be opened, or isn't a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        stream = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise BadInput(f"can't read the {what} file {path}: {error.strerror}") from None
    mode = os.fstat(stream.fileno()).st_mode
    if not stat.S_ISREG(mode):
        stream.close()
        raise BadInput(f"can't read the {what} file {path}: it is {_kind(mode)}, not a regular file")
    return stream


def check_regular(path: Path) -> None:
    """Check that a library may open an existing file; opened here, its locks would be lost.

    Raises:
        OSError: It isn't a regular file.
    """
    facts = path.stat()
    of_kernel = os.path.exists("/proc/self") and facts.st_dev == os.stat("/proc").st_dev  # they may wait, or never end
    if of_kernel or not stat.S_ISREG(facts.st_mode):
        what = "a file of the kernel" if of_kernel else _kind(facts.st_mode)
        raise OSError(errno.EINVAL, f"it is {what}, not a regular file", str(path))


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a file, so that one process at a time changes it; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            import fcntl
        except ImportError:  # Windows has no such lock: of two writers the later one wins
            pass
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def write_whole(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one.

    Raises:
        OSError: It can't be written; a folder, a pipe or a device isn't replaced.
    """
    if path.exists():
        check_regular(path)
    beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}")  # new, or it might be another's link
    try:
        with open(beside, "x", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
