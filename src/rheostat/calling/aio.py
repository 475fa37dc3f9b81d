"""The hook in aiohttp (3.14), which google-genai uses for async requests where it is installed.

`ClientSession._request` sends each attempt; the decompressed body is read from `response.content`.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from rheostat.calling import gate
from rheostat.calling.deadline import Deadline, awithin
from rheostat.calling.heed import hear, heed
from rheostat.calling.payer import Attempt
from rheostat.calling.replies import cut, read
from rheostat.calling.seen import Seen, late, look
from rheostat.calling.usage import Body
from rheostat.flow import adrive

__all__ = ["install_aiohttp"]

_lock = threading.Lock()


def install_aiohttp() -> None:
    """Watch what aiohttp sends from now on, if this process has imported it. A second call does nothing."""
    module: Any = sys.modules.get("aiohttp")
    session = getattr(module, "ClientSession", None)
    if session is None:
        return
    with _lock:
        if getattr(session._request, "rheostat", False):
            return
        original = session._request

        @functools.wraps(original)
        async def request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
            parts = urlsplit(str(url))
            seen = look(_Request(kwargs), method.upper(), parts.hostname or "", parts.path, parts.port)
            if seen is None or seen.request.kind != "billable":
                return await original(self, method, url, **kwargs)
            return await _sent(original(self, method, url, **kwargs), seen)

        request.rheostat = True  # type: ignore[attr-defined] # marks it as wrapped
        session._request = request


class _Request:
    """A request whose body is encoded only when it is read."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self._kwargs = kwargs

    @property
    def content(self) -> bytes:
        data = self._kwargs.get("data")
        if self._kwargs.get("json") is not None:
            return orjson.dumps(self._kwargs["json"], default=str)
        return data.encode() if isinstance(data, str) else bytes(data or b"")


async def _sent(sending: Any, seen: Seen) -> Any:
    try:
        attempt, seconds = await adrive(gate.admit(seen.request, seen.payer))
    except BaseException:
        sending.close()
        raise
    body = Body(seen.request)
    ends = None if seconds is None else time.monotonic() + seconds
    try:
        response = await awithin(sending, ends)
    except BaseException as error:
        await adrive(gate.fail(attempt, None if isinstance(error, Deadline) else error, body, why=error))
        if isinstance(error, Deadline):
            raise late(seen.payer) from None
        raise
    hear(attempt, response.status, response.headers)
    if response.status >= 400:
        await adrive(gate.refused_by(attempt, response.status))
        return response
    await adrive(heed(attempt))
    _Watched(response, attempt, seen, body, ends)
    return response


class _Watched:
    """The content of a response, read as it passes."""

    def __init__(self, response: Any, attempt: Attempt, seen: Seen, body: Body, ends: float | None) -> None:
        self._inner, self._attempt, self._seen, self._body, self._ends = response.content, attempt, seen, body, ends
        self._done = False
        response.content = self
        for name in ("close", "release"):
            setattr(response, name, functools.partial(self._leave, getattr(response, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _read(self, reading: Awaitable[Any]) -> Any:
        try:
            data = await awithin(reading, self._ends)
        except BaseException as error:
            await self._close(error)
            if isinstance(error, Deadline):
                raise late(self._seen.payer) from None
            raise
        self._body.feed(data[0] if isinstance(data, tuple) else data)
        if self._inner.at_eof():
            await self._close(None)
            request = self._seen.request
            if request.stream and not (self._body.ended or self._body.failed):
                raise cut(sys.modules["aiohttp"].ClientPayloadError, request)
        return data

    async def read(self, n: int = -1) -> bytes:
        """Read as aiohttp does; so do the methods below."""
        return bytes(await self._read(self._inner.read(n)))

    async def readany(self) -> bytes:
        return bytes(await self._read(self._inner.readany()))

    async def readline(self, **kwargs: Any) -> bytes:
        return bytes(await self._read(self._inner.readline(**kwargs)))

    async def readuntil(self, *args: Any, **kwargs: Any) -> bytes:
        return bytes(await self._read(self._inner.readuntil(*args, **kwargs)))

    async def readexactly(self, n: int) -> bytes:
        return bytes(await self._read(self._inner.readexactly(n)))

    async def readchunk(self) -> Any:
        return await self._read(self._inner.readchunk())

    async def _until(self, reading: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        while data := await reading():
            yield data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._until(self.readline)

    def iter_any(self) -> AsyncIterator[bytes]:
        return self._until(self.readany)

    def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        return self._until(lambda: self.read(n))

    async def iter_chunks(self) -> AsyncIterator[Any]:
        while (piece := await self.readchunk()) != (b"", False):
            yield piece

    async def _close(self, error: BaseException | None) -> None:
        if not self._done:
            self._done = True
            left = None if self._body.ended else error
            await adrive(read(self._attempt, self._body, self._seen.payer, left))

    def _leave(self, leave: Callable[[], Any]) -> Any:
        """Settle a response that is released, perhaps before its end."""
        if not self._done:
            self._done = True
            task = asyncio.ensure_future(
                adrive(read(self._attempt, self._body, self._seen.payer, None if self._body.ended else GeneratorExit()))
            )
            _leaving.add(task)
            task.add_done_callback(_leaving.discard)
        return leave()


_leaving: set[Any] = set()
