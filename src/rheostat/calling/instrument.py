"""Where requests are seen: `send` of the HTTP clients that every SDK uses, wrapped once for the process.

httpx and httpx2, blocking and async. SDKs call `send` for each attempt, and redirects happen inside it, so each call of
it is one attempt that may be billed. Without a payer in this context (or `strict`) it costs one look and changes
nothing.
`install` is idempotent and comes back from `remove`; other instrumentation (OpenTelemetry's) may lie around or inside.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import Any, cast

import orjson

from rheostat.calling import gate
from rheostat.calling.payer import Attempt, Payer, paying
from rheostat.calling.usage import Body
from rheostat.calling.wire import Asked, read_request
from rheostat.errors import BadInput, BudgetExceeded, RheostatError
from rheostat.flow import Flow, adrive, drive

__all__ = ["Refused", "install", "installed", "on_admitted", "refusal_in", "remove", "strictly"]

_LIBRARIES = ("httpx", "httpx2")
_lock = threading.Lock()
_wrapped: dict[tuple[str, str], tuple[Any, Any]] = {}
_strict = False
_pending: dict[str, Attempt] = {}
"""Background responses that aren't done, by their id."""
_MOST_PENDING = 1_000
on_admitted: list[Callable[[Payer], None]] = []
"""Told of each account under which a request was let through."""


def install() -> None:
    """See every request of this process from now on. Again: nothing."""
    with _lock:
        for library in _LIBRARIES:
            if importlib.util.find_spec(library) is None:
                continue
            module = importlib.import_module(library)
            for kind, make in (("Client", _sync), ("AsyncClient", _async)):
                if (library, kind) not in _wrapped:
                    client = getattr(module, kind)
                    original = client.send
                    client.send = wrapper = make(original, module)
                    _wrapped[library, kind] = (original, wrapper)


def remove() -> None:
    """As it was. What others wrapped around ours stays, and passes through."""
    with _lock:
        for (library, kind), (original, wrapper) in list(_wrapped.items()):
            client = getattr(importlib.import_module(library), kind)
            if client.send is wrapper:
                client.send = original
                del _wrapped[library, kind]


def installed() -> bool:
    """Whether requests are seen."""
    return bool(_wrapped)


def strictly(on: bool) -> None:
    """Refuse every billable request of this process that no account pays for."""
    global _strict  # noqa: PLW0603 - one switch for the process
    _strict = on


# --- refusals --------------------------------------------------------------------------------------------


class Refused(BaseException):
    """Carries a refusal through an SDK that retries whatever is an `Exception` (groq)."""

    def __init__(self, refusal: RheostatError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def refusal_in(error: BaseException | None) -> RheostatError | None:
    """The refusal of ours that this error is, or was made from by an SDK."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, Refused):
            return error.refusal
        if isinstance(error, RheostatError):
            return error
        error = error.__cause__
    return None


_passing: dict[type[RheostatError], type[RheostatError]] = {}
"""Our errors as errors of Anthropic's SDK too: it wraps and retries all others."""


def _for_anthropic(kind: type[RheostatError]) -> type[RheostatError]:
    if kind not in _passing:
        base = sys.modules["anthropic"].AnthropicError
        _passing[kind] = cast("type[RheostatError]", type(kind.__name__, (kind, base), {"__module__": kind.__module__}))
    return _passing[kind]


def _through(error: RheostatError, request: Any) -> BaseException:
    """The refusal in a shape that this request's SDK passes on at once."""
    agent = str(request.headers.get("user-agent", ""))
    if "Groq" in agent:
        return Refused(error)
    if "Anthropic" in agent and "anthropic" in sys.modules:
        passing = _for_anthropic(type(error))
        copy = passing.__new__(passing)
        copy.args, copy.__dict__ = error.args, dict(error.__dict__)
        copy.__cause__ = error.__cause__
        return copy
    return error


# --- one attempt -----------------------------------------------------------------------------------------


class _Seen:
    """What a request is, and who pays for it."""

    __slots__ = ("asked", "payer")

    def __init__(self, asked: Asked, payer: Payer) -> None:
        self.asked, self.payer = asked, payer


def _look(request: Any) -> _Seen | None:
    """Is this a request that must be held for?

    Raises:
        BadInput: it is billable, and nothing pays for it (strict); or nobody knows what it costs.
    """
    payer = paying()
    if payer is None and not _strict:
        return None
    url = request.url
    try:
        content = request.content
    except Exception:  # a body that is streamed up: a file, never a question
        content = None
    asked = read_request(request.method, url.host, url.path, content)
    if asked is None or asked.kind == "free":
        return None
    if payer is None:
        raise BadInput(
            f"{url.host}{url.path} would be billed, and no account pays for it here (strict=True): call it inside an "
            "agent, or take it out of this process"
        )
    if asked.kind == "unknown":
        gate.refuse_unknown(asked, payer, url.path)
        return None
    return _Seen(asked, payer)


def _ask_for_usage(request: Any, asked: Asked, module: Any) -> None:
    """A stream of Chat Completions tells its usage only if it is asked for it."""
    if asked.flavor != "chat" or not asked.stream or b'"stream_options"' in request.content:
        return
    body = orjson.loads(request.content)
    body["stream_options"] = {"include_usage": True}
    content = orjson.dumps(body)
    request.headers["content-length"] = str(len(content))
    request.stream = module.ByteStream(content)
    request._content = content


def _in_time(request: Any, seconds: float | None) -> float | None:
    """Let no single wait be longer than the deadline; returns the moment of it."""
    if seconds is None:
        return None
    seconds = max(seconds, 0.001)
    timeouts = dict(request.extensions.get("timeout") or {})
    for name in ("connect", "read", "write", "pool"):
        own = timeouts.get(name)
        timeouts[name] = seconds if own is None else min(own, seconds)
    request.extensions = {**request.extensions, "timeout": timeouts}
    return time.monotonic() + seconds


def _late(payer: Payer) -> BudgetExceeded:
    limit = payer.budget.seconds if payer.budget is not None and payer.budget.seconds else 0
    return BudgetExceeded(
        account=payer.account, limit="seconds", asked=0, left=0, cap=limit or 0,
        hint="The request was in flight at the deadline and was cut",
    )  # fmt: skip


def _read(attempt: Attempt, body: Body, payer: Payer, error: BaseException | None) -> Flow[None]:
    """A body has come, or as much of it as will: settle it, or note what it may have cost."""
    body.finish()
    if body.pending and error is None:
        while len(_pending) >= _MOST_PENDING:
            _pending.pop(next(iter(_pending)))
        _pending[body.pending] = attempt
        return
    spend = body.spend()
    whole = error is None and (body.ended or not body.asked.stream)
    if spend is None or not whole:  # a stream that was left may be billed for more than it had told so far
        yield from gate.fail(attempt, None, None if whole else body)
        return
    attempt.request_id, attempt.read = body.request_id, (spend, body.terms())
    if payer.call is None or not payer.call.refined:
        yield from gate.settle(attempt, *attempt.read, attempt.request_id)


def _answered(attempt: Attempt, response: Any, body: Body, payer: Payer) -> Flow[None]:
    """A response without a stream is here, whole."""
    if response.status_code >= 400:
        yield from gate.fail(attempt, _Status(response.status_code))
        return
    with contextlib.suppress(Exception):  # a body that can't be decoded says nothing
        body.feed(response.content)
    yield from _read(attempt, body, payer, None)


def _told_later(response: Any) -> Flow[None]:
    """A background response that is asked for again, and is done."""
    if not _pending or response.status_code >= 400:
        return
    try:
        told = orjson.loads(response.content)
    except (orjson.JSONDecodeError, RuntimeError):
        return
    if not isinstance(told, dict) or told.get("status") in ("queued", "in_progress", None):
        return
    attempt = _pending.pop(str(told.get("id")), None)
    if attempt is not None and not attempt.closed:
        body = Body(Asked(provider="openai", flavor="responses", kind="billable"))
        body.feed(response.content)
        body.finish()
        spend = body.spend()
        if spend is None:
            yield from gate.fail(attempt, None, body)
        else:
            yield from gate.settle(attempt, spend, body.terms(), body.request_id)


class _Status(Exception):
    """An HTTP status, for those that sort failures."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


def _decoded(response: Any) -> Callable[[bytes], bytes]:
    """The bytes of the body as they were before compression."""
    try:
        decoder = response._get_content_decoder()
    except Exception:
        return lambda data: data

    def decode(data: bytes) -> bytes:
        decoded = decoder.decode(data)  # httpx: bytes; httpx2: pieces of them
        return decoded if isinstance(decoded, bytes) else b"".join(decoded)

    return decode


def _cut(module: Any, asked: Asked) -> Exception:
    error: Exception = module.RemoteProtocolError(
        f"the stream of {asked.model} ended before its last event: it was cut, and what came is no whole answer"
    )
    return error


# --- blocking ----------------------------------------------------------------------------------------------


def _sync(original: Any, module: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            seen = _look(request)
            if seen is None:
                response = original(self, request, **kwargs)
                if _pending and request.method == "GET" and not kwargs.get("stream"):
                    drive(_told_later(response))
                return response
            for tell in on_admitted:
                tell(seen.payer)
            attempt, seconds = drive(gate.admit(seen.asked, seen.payer))
        except RheostatError as error:
            raise _through(error, request) from None
        body, ends = Body(seen.asked), None
        try:
            _ask_for_usage(request, seen.asked, module)
            ends = _in_time(request, seconds)
            response = _within(functools.partial(original, self, request, **kwargs), ends)
        except _Deadline:
            drive(gate.fail(attempt, None, body))
            raise _through(_late(seen.payer), request) from None
        except BaseException as error:
            late = ends is not None and time.monotonic() >= ends
            drive(gate.fail(attempt, error, body))
            if late and isinstance(error, Exception):
                raise _through(_late(seen.payer), request) from error
            raise
        if kwargs.get("stream") and response.status_code < 400:
            response.stream = _stream_of(module)(response, attempt, seen, body, ends, request)
            return response
        try:
            drive(_answered(attempt, response, body, seen.payer))
        except RheostatError as error:
            raise _through(error, request) from None
        return response

    return send


class _Deadline(Exception):
    pass


def _within(work: Callable[[], Any], ends: float | None) -> Any:
    """Do it, and leave it to itself at the deadline: headers may trickle for ever, and no blocking read can be stopped.

    Raises:
        _Deadline: it isn't done.
    """
    if ends is None:
        return work()
    done: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    context = copy_context()

    def run() -> None:
        try:
            done.put((True, context.run(work)))
        except BaseException as error:
            done.put((False, error))

    threading.Thread(target=run, daemon=True, name="rheostat-send").start()
    try:
        good, result = done.get(timeout=max(0.001, ends - time.monotonic()))
    except queue.Empty:
        raise _Deadline from None
    if good:
        return result
    raise result


@functools.cache
def _stream_of(module: Any) -> Any:
    class Metered(module.SyncByteStream):  # type: ignore[misc]
        """The body of a streamed reply, read on its way."""

        def __init__(
            self, response: Any, attempt: Attempt, seen: _Seen, body: Body, ends: float | None, request: Any
        ) -> None:
            self._inner, self._decode = response.stream, _decoded(response)
            self._attempt, self._seen, self._body, self._ends, self._request = attempt, seen, body, ends, request
            self._done = False

        def __iter__(self) -> Iterator[bytes]:
            chunks = iter(self._inner)
            try:
                while True:
                    try:
                        chunk = _within(lambda: next(chunks, None), self._ends)
                    except _Deadline:
                        raise _through(_late(self._seen.payer), self._request) from None
                    if chunk is None:
                        break
                    self._body.feed(self._decode(chunk))
                    yield chunk
                self._close(None)
                if self._seen.asked.stream and not (self._body.ended or self._body.failed):
                    raise _cut(module, self._seen.asked)
            except BaseException as error:
                self._close(error)
                raise

        def _close(self, error: BaseException | None) -> None:
            if not self._done:
                self._done = True
                left = error is None or not self._body.ended
                drive(_read(self._attempt, self._body, self._seen.payer, error if left else None))

        def close(self) -> None:
            self._close(GeneratorExit())
            if self._ends is None or time.monotonic() < self._ends:
                self._inner.close()
            else:  # a reader of ours may still wait in it
                threading.Thread(target=self._inner.close, daemon=True).start()

    return Metered


# --- async ---------------------------------------------------------------------------------------------------


def _async(original: Any, module: Any) -> Any:
    @functools.wraps(original)
    async def send(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            seen = _look(request)
            if seen is None:
                response = await original(self, request, **kwargs)
                if _pending and request.method == "GET" and not kwargs.get("stream"):
                    await adrive(_told_later(response))
                return response
            for tell in on_admitted:
                tell(seen.payer)
            attempt, seconds = await adrive(gate.admit(seen.asked, seen.payer))
        except RheostatError as error:
            raise _through(error, request) from None
        body, ends = Body(seen.asked), None
        try:
            _ask_for_usage(request, seen.asked, module)
            ends = _in_time(request, seconds)
            response = await _awithin(original(self, request, **kwargs), ends)
        except BaseException as error:
            late = ends is not None and time.monotonic() >= ends
            await adrive(gate.fail(attempt, None if isinstance(error, _Deadline) else error, body))
            if isinstance(error, _Deadline) or (late and isinstance(error, Exception)):
                raise _through(_late(seen.payer), request) from None
            raise
        if kwargs.get("stream") and response.status_code < 400:
            response.stream = _astream_of(module)(response, attempt, seen, body, ends, request)
            return response
        try:
            await adrive(_answered(attempt, response, body, seen.payer))
        except RheostatError as error:
            raise _through(error, request) from None
        return response

    return send


async def _awithin(work: Any, ends: float | None) -> Any:
    import asyncio

    if ends is None:
        return await work
    try:
        return await asyncio.wait_for(work, max(0.001, ends - time.monotonic()))
    except TimeoutError:
        if time.monotonic() < ends:
            raise  # the client's own
        raise _Deadline from None


@functools.cache
def _astream_of(module: Any) -> Any:
    class Metered(module.AsyncByteStream):  # type: ignore[misc]
        """The body of a streamed reply, read on its way."""

        def __init__(
            self, response: Any, attempt: Attempt, seen: _Seen, body: Body, ends: float | None, request: Any
        ) -> None:
            self._inner, self._decode = response.stream, _decoded(response)
            self._attempt, self._seen, self._body, self._ends, self._request = attempt, seen, body, ends, request
            self._done = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            chunks = aiter(self._inner)
            try:
                while True:
                    try:
                        chunk = await _awithin(anext(chunks, None), self._ends)
                    except _Deadline:
                        raise _through(_late(self._seen.payer), self._request) from None
                    if chunk is None:
                        break
                    self._body.feed(self._decode(chunk))
                    yield chunk
                await self._close(None)
                if self._seen.asked.stream and not (self._body.ended or self._body.failed):
                    raise _cut(module, self._seen.asked)
            except BaseException as error:
                await self._close(error)
                raise

        async def _close(self, error: BaseException | None) -> None:
            if not self._done:
                self._done = True
                left = error is None or not self._body.ended
                await adrive(_read(self._attempt, self._body, self._seen.payer, error if left else None))

        async def aclose(self) -> None:
            await self._close(GeneratorExit())
            await self._inner.aclose()

    return Metered
