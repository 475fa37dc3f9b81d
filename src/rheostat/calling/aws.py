"""The hook in botocore, which sends the requests to Bedrock.

`Endpoint._send` of botocore (1.44) sends each attempt. Requests are signed before that, so a body can be read and
refused but not changed. Streams come in a binary format of their own.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from rheostat.calling import gate
from rheostat.calling.deadline import Deadline, within
from rheostat.calling.heed import hear
from rheostat.calling.payer import Attempt
from rheostat.calling.replies import read
from rheostat.calling.seen import Seen, late, look
from rheostat.calling.usage import Body
from rheostat.flow import drive

__all__ = ["install_botocore"]

_lock = threading.Lock()


def install_botocore() -> None:
    """Watch what botocore sends from now on. A second call does nothing."""
    from botocore.endpoint import Endpoint

    with _lock:
        if getattr(Endpoint._send, "rheostat", False):
            return
        original = Endpoint._send

        @functools.wraps(original)
        def send(self: Any, request: Any) -> Any:
            seen = _look(request)
            return original(self, request) if seen is None else _sent(functools.partial(original, self, request), seen)

        send.rheostat = True  # type: ignore[attr-defined]
        Endpoint._send = send


@dataclass(slots=True)
class _Request:
    content: bytes


def _look(request: Any) -> Seen | None:
    url = urlsplit(request.url)
    content = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
    seen = look(_Request(content), request.method, url.hostname or "", unquote(url.path))
    return seen if seen is not None and seen.request.kind == "billable" else None


def _sent(send: Any, seen: Seen) -> Any:
    attempt, seconds = drive(gate.admit(seen.request, seen.payer))
    body = Body(seen.request)
    ends = None if seconds is None else time.monotonic() + seconds
    try:
        response = within(send, ends)
    except Deadline as error:
        drive(gate.fail(attempt, None, body, why=error))
        raise late(seen.payer) from None
    except BaseException as error:
        drive(gate.fail(attempt, error, body))
        raise
    hear(attempt, response.status_code, response.headers)
    if response.status_code >= 400:
        drive(gate.refused_by(attempt, response.status_code))
    elif "eventstream" in response.headers.get("content-type", ""):
        response.raw = _Raw(response.raw, attempt, seen, body)
    else:
        body.feed(response.content)
        drive(read(attempt, body, seen.payer, None))
    return response


class _Raw:
    """The raw body of an event stream, read as it passes."""

    def __init__(self, raw: Any, attempt: Attempt, seen: Seen, body: Body) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._raw, self._attempt, self._seen, self._body = raw, attempt, seen, body
        self._buffer, self._done = EventStreamBuffer(), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        """Stream as urllib3 does."""
        try:
            for chunk in self._raw.stream(*args, **kwargs):
                self._buffer.add_data(chunk)
                for event in self._buffer:
                    kind = str(event.headers.get(":event-type") or event.headers.get(":exception-type") or "")
                    self._body.feed(orjson.dumps({**orjson.loads(event.payload or b"{}"), "type": kind}) + b"\n")
                yield chunk
        except BaseException as error:
            self._close(error)
            raise
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        if not self._done:
            self._done = True
            drive(read(self._attempt, self._body, self._seen.payer, None if self._body.ended else error))

    def close(self) -> None:
        """Settle what has come and close the stream."""
        self._close(GeneratorExit())
        self._raw.close()
