"""Reply bodies on their way back: read as they pass, and settled when no more will come."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import orjson

from rheostat.calling import gate
from rheostat.calling.deadline import Deadline, awithin, within
from rheostat.calling.payer import Attempt, Payer
from rheostat.calling.prefixes import learn, learn_response
from rheostat.calling.refusals import through
from rheostat.calling.seen import Seen, late
from rheostat.calling.usage import Body
from rheostat.calling.wire import WireRequest
from rheostat.flow import Flow, adrive, drive

__all__ = ["astream_of", "cut", "pending", "read", "stream_of"]

pending: dict[str, Attempt] = {}
"""Background responses that aren't done, by id."""
_MOST_PENDING = 1_000


def read(attempt: Attempt, body: Body, payer: Payer, error: BaseException | None) -> Flow[None]:
    """Close an attempt once no more of its body will come: settle it, or mark it as unknown."""
    body.finish()
    if body.pending and body.request.background:
        while len(pending) >= _MOST_PENDING:
            pending.pop(next(iter(pending)))
        pending[body.pending] = attempt
        return
    billed = body.billed()
    whole = error is None and (body.ended or not body.request.stream)
    if billed is None or not whole:  # a stream that was left may be billed for more than it reported
        yield from gate.fail(attempt, None, None if whole else body, why=error)
        return
    spend, _ = billed
    learn(payer.account, body.request, spend.input_tokens)
    if body.request.flavor == "responses":
        learn_response(body.request, body.request_id, spend.tokens)
    attempt.request_id, attempt.answered, attempt.read = body.request_id, body.model, billed
    if payer.call is None or not payer.call.refined:
        yield from gate.settle(attempt, *billed, attempt.request_id, model=body.model)


def _decoded(response: Any) -> Callable[[bytes], bytes]:
    """A function that undoes the compression of the body, chunk by chunk."""
    try:
        decoder = response._get_content_decoder()
        del response._decoder  # cached and stateful: the reader must make its own
    except Exception:
        return lambda data: data

    def decode(data: bytes) -> bytes:
        decoded = decoder.decode(data)  # httpx: bytes; httpx2: pieces of them
        return decoded if isinstance(decoded, bytes) else b"".join(decoded)

    return decode


class _Shown:
    """Filters out the usage event that the gate asked for and the reader didn't."""

    def __init__(self, response: Any, seen: Seen) -> None:
        self._filters = seen.usage_is_ours and not response.headers.get("content-encoding")
        self._rest = b""

    def of(self, data: bytes) -> bytes:
        """The whole events in these bytes that the reader may see now."""
        if not self._filters:
            return data
        *events, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        return b"".join(event + b"\n\n" for event in events if not self._unasked(event))

    def end(self) -> bytes:
        """The bytes that are left at the end."""
        rest, self._rest = self._rest, b""
        return rest

    @staticmethod
    def _unasked(event: bytes) -> bool:
        if b'"usage"' not in event or b'"choices"' not in event:
            return False
        try:
            return bool(orjson.loads(event.partition(b"data:")[2])["choices"] == [])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return False


def cut(kind: Any, request: WireRequest) -> Exception:
    """The client's own error for a stream that ended before its last event."""
    error: Exception = kind(
        f"the stream of {request.model} ended before its last event: it was cut, and the answer is incomplete"
    )
    return error


@functools.cache
def stream_of(module: Any) -> Any:
    class Metered(module.SyncByteStream):  # type: ignore[misc]
        """The body of a streamed reply, read as it passes."""

        def __init__(
            self, response: Any, attempt: Attempt, seen: Seen, body: Body, ends: float | None, request: Any
        ) -> None:
            self._inner, self._decode, self._shown = response.stream, _decoded(response), _Shown(response, seen)
            self._attempt, self._seen, self._body, self._ends, self._request = attempt, seen, body, ends, request
            self._done = False

        def __iter__(self) -> Iterator[bytes]:
            chunks = iter(self._inner)
            try:
                while True:
                    try:
                        chunk = within(lambda: next(chunks, None), self._ends)
                    except Deadline:
                        raise through(late(self._seen.payer), self._request) from None
                    if chunk is None:
                        break
                    self._body.feed(self._decode(chunk))
                    if shown := self._shown.of(chunk):
                        yield shown
                if rest := self._shown.end():
                    yield rest
                self._close(None)
                if self._seen.request.stream and not (self._body.ended or self._body.failed):
                    raise cut(module.RemoteProtocolError, self._seen.request)
            except BaseException as error:
                self._close(error)
                raise

        def _close(self, error: BaseException | None) -> None:
            if not self._done:
                self._done = True
                left = error is None or not self._body.ended
                drive(read(self._attempt, self._body, self._seen.payer, error if left else None))

        def close(self) -> None:
            self._close(GeneratorExit())
            if self._ends is None or time.monotonic() < self._ends:
                self._inner.close()
            else:  # an abandoned thread may still be reading from it
                threading.Thread(target=self._inner.close, daemon=True).start()

    return Metered


@functools.cache
def astream_of(module: Any) -> Any:
    class Metered(module.AsyncByteStream):  # type: ignore[misc]
        """The body of a streamed reply, read as it passes."""

        def __init__(
            self, response: Any, attempt: Attempt, seen: Seen, body: Body, ends: float | None, request: Any
        ) -> None:
            self._inner, self._decode, self._shown = response.stream, _decoded(response), _Shown(response, seen)
            self._attempt, self._seen, self._body, self._ends, self._request = attempt, seen, body, ends, request
            self._done = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            chunks = aiter(self._inner)
            try:
                while True:
                    try:
                        chunk = await awithin(anext(chunks, None), self._ends)
                    except Deadline:
                        raise through(late(self._seen.payer), self._request) from None
                    if chunk is None:
                        break
                    self._body.feed(self._decode(chunk))
                    if shown := self._shown.of(chunk):
                        yield shown
                if rest := self._shown.end():
                    yield rest
                await self._close(None)
                if self._seen.request.stream and not (self._body.ended or self._body.failed):
                    raise cut(module.RemoteProtocolError, self._seen.request)
            except BaseException as error:
                await self._close(error)
                raise

        async def _close(self, error: BaseException | None) -> None:
            if not self._done:
                self._done = True
                left = error is None or not self._body.ended
                await adrive(read(self._attempt, self._body, self._seen.payer, error if left else None))

        async def aclose(self) -> None:
            await self._close(GeneratorExit())
            await self._inner.aclose()

    return Metered
