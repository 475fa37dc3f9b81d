"""Files that a user names: regular text files of limited size, because a pipe would block or never end; and locks."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from rheostat.errors import BadInput

__all__ = ["locked", "read_text", "write_whole"]

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
    try:
        data = _bytes_of(path, what, most_bytes)
    except OSError as error:
        raise BadInput(f"can't read the {what} file {path}: {error.strerror}") from None
    if may_be_packed and data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, path, what, most_bytes)
    if b"\x00" in data:
        raise BadInput(f"{what} file {path} is binary (it holds NUL bytes)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} file {path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
    if not text.strip():
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
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(file, "rb") as stream:
        facts = os.fstat(stream.fileno())
        if stat.S_ISDIR(facts.st_mode):
            raise BadInput(f"can't read the {what} file {path}: it is a folder")
        if not stat.S_ISREG(facts.st_mode):
            raise BadInput(f"can't read the {what} file {path}: it is a pipe, a socket or a device, not a regular file")
        data = stream.read(most_bytes + 1)  # a file in /proc may report no size
    if len(data) > most_bytes:
        size = max(facts.st_size, len(data))
        raise BadInput(f"{what} file {path} has {size:,} bytes; the most is {most_bytes:,}")
    return data


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
    """Replace a file as a whole: a reader sees the old text or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
