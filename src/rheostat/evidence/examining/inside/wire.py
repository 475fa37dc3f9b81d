"""Pass values and objects between two processes that don't trust each other.

Plain data is sent as data. Other objects stay where they are, and the other side gets a mirror, whose operations are
sent to the owner. Lists, dicts and sets that both sides have seen are kept alike: each message brings their changes.
All messages are JSON, so that reading one never runs code.

Runs inside the sandbox, on both sides: standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.mirrors import Unsupported
    from rheostat.evidence.examining.inside.raised import Raised
    from rheostat.evidence.examining.inside.specials import FORWARDED
else:
    from mirrors import Unsupported
    from raised import Raised
    from specials import FORWARDED

MOST_MESSAGE_BYTES = 200_000_000


class Peer(Raised):
    """One side of the connection. Only one of the two sides runs at a time.

    Args:
        fd: The file descriptor of a connected socket.
        side: The first letter of this side's names of containers.
        trusted: Whether functions of the other side may become methods here.
    """

    def __init__(self, fd: int, side: str, *, trusted: bool) -> None:
        super().__init__(side, trusted=trusted)
        self._socket = socket.socket(fileno=fd)
        self._lock = threading.RLock()
        self._variables: dict[Any, Any] = {}
        self.ended = False
        """The other side has closed the connection."""
        self.lost = ""
        """Why something couldn't be passed on; the results then say nothing about the code."""

    # --- the connection -----------------------------------------------------------------------------------------

    def ask(self, verb: str, *values: Any) -> Any:
        """Ask the other side to do something, and return the result or raise its exception."""
        with self._lock:
            self._send({"ask": verb}, list(values))
            while True:
                message = self._receive()
                if "ask" in message:
                    self._serve(message)
                elif "raised" in message:
                    with self._passing():
                        error = self.exception(message["raised"])
                    raise error
                else:
                    return self._decoded(message["value"])

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an object of the other side."""
        return self.ask("call", target, args, tuple(kwargs.items()))

    def special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        """Call a special method of an object of the other side."""
        return self.ask("special", target, name, args)

    def serve(self) -> None:
        """Answer requests until the other side closes the connection."""
        while True:
            try:
                message = self._receive()
            except ConnectionError:
                return
            self._serve(message)

    def _serve(self, message: dict[str, Any]) -> None:
        try:
            values = [self._decoded(each) for each in message["values"]]
            value = getattr(self, f"do_{message['ask']}")(*values)
            self._send({}, value)
        except ConnectionError:
            raise
        except BaseException as error:
            try:
                self._send({"raised": self.described(error)}, None)
            except Unsupported as unsupported:
                self._send({"raised": self.described(unsupported)}, None)

    def _send(self, message: dict[str, Any], value: Any) -> None:
        self._sending = set()
        with self._passing():
            if "ask" in message:
                message["values"] = [self.encode(each) for each in value]
            elif "raised" not in message:
                message["value"] = self.encode(value)
            message["changed"] = self._changes()
            raw = json.dumps(message | {"aside": self.aside(), "lost": self.lost}).encode()
            if len(raw) > MOST_MESSAGE_BYTES:
                raise Unsupported(f"a value of {len(raw):,} bytes")
        try:
            self._socket.sendall(struct.pack(">Q", len(raw)) + raw)
        except OSError as error:
            self.ended = True
            raise ConnectionError("the other side is gone") from error

    def _receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">Q", self._bytes(8))
        if length > MOST_MESSAGE_BYTES:
            self.ended = True
            raise ConnectionError(f"a message of {length:,} bytes")
        raw = self._bytes(length)
        with self._passing():
            message = json.loads(raw)
            self.lost = self.lost or str(message.get("lost") or "")
            self.take_aside(message.get("aside") or {})
            for name, node in message.get("changed") or ():
                if name in self._alike:
                    self._fill(name, self._alike[name], node)
        return message  # type: ignore[no-any-return]

    def unsupported(self, why: str) -> Exception:
        self.lost = self.lost or why
        return Unsupported(why)

    def _decoded(self, node: Any) -> Any:
        with self._passing():
            return self.decode(node)

    @contextlib.contextmanager
    def _passing(self) -> Iterator[None]:
        """Turn errors in passing a value into `Unsupported`: they aren't the fault of the code."""
        try:
            yield
        except (ConnectionError, Unsupported) as error:
            self.take_back()
            self.lost = self.lost or (str(error) if isinstance(error, Unsupported) else "")
            raise
        except Exception as error:
            self.take_back()
            self.lost = self.lost or f"{type(error).__name__}: {error}"[:300]
            raise Unsupported(self.lost) from error

    def _bytes(self, length: int) -> bytes:
        parts, left = [], length
        while left:
            try:
                part = self._socket.recv(min(left, 1 << 20))
            except OSError:
                part = b""
            if not part:
                self.ended = True
                raise ConnectionError("the other side is gone")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def environment(self) -> dict[str, str] | None:
        """All environment variables if one has changed since the last call; else `None`."""
        raw = getattr(os.environ, "_data", os.environ)
        if raw == self._variables:
            return None
        self._variables = dict(raw)
        return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}

    def aside(self) -> dict[str, Any]:
        """The additional data to send with a message."""
        return {}

    def take_aside(self, aside: dict[str, Any]) -> None:
        """Apply the additional data of a message."""

    # --- requests to either side --------------------------------------------------------------------------------

    def do_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def do_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def do_delete(self, target: Any, name: str) -> None:
        delattr(target, name)

    def do_call(self, target: Any, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]) -> Any:
        return target(*args, **dict(kwargs))

    def do_special(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        if name not in FORWARDED:
            raise AttributeError(name)
        return getattr(type(target), name)(target, *args)

    def do_items_of(self, target: Any) -> list[Any]:
        return list(target)

    def do_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def do_repr(self, target: Any) -> str:
        return repr(target)

    def do_dir(self, target: Any) -> list[str]:
        return dir(target)
