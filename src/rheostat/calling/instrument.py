"""Hooks in the HTTP clients that SDKs use: `send` of httpx and httpx2, blocking and async, wrapped once per process.

SDKs call `send` for each attempt, and redirects happen inside it, so each call is one attempt that may be billed. With
neither a payer in this context nor `strict`, the hook does one lookup and changes nothing. `install_gate` is idempotent
and may follow `remove_gate`. Other instrumentation, such as OpenTelemetry's, may wrap it or be wrapped by it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from rheostat.calling import gate
from rheostat.calling.aio import install_aiohttp
from rheostat.calling.deadline import Deadline, awithin, within
from rheostat.calling.heed import hear, heed
from rheostat.calling.payer import Attempt, Payer
from rheostat.calling.prefixes import learn
from rheostat.calling.refusals import refusal_in, through
from rheostat.calling.replies import astream_of, pending, read, stream_of
from rheostat.calling.seen import GATE, Seen, late, look
from rheostat.calling.usage import Body
from rheostat.calling.watch import inside
from rheostat.calling.wire import WireRequest
from rheostat.errors import RheostatError
from rheostat.flow import Flow, adrive, drive
from rheostat.providers.hosted import with_margin

__all__ = ["install_gate", "installed", "on_admitted", "refusal_in", "remove_gate"]

_LIBRARIES = ("httpx", "httpx2")
_lock = threading.Lock()
_wrapped: dict[tuple[str, str], tuple[Any, Any]] = {}
on_admitted: list[Callable[[Payer], None]] = []
"""Called with the payer of each request before it is admitted."""


def install_gate(*, strict: bool | None = None) -> None:
    """Watch every request of this process from now on. A second call changes only `strict`.

    Args:
        strict: Refuse every billable request of this process that no account pays for; `None`: leave it as it is.
    """
    with _lock:
        GATE.installed, GATE.strict = True, GATE.strict if strict is None else strict
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
        install_aiohttp()


def remove_gate() -> None:
    """Remove the hooks, until the next meter installs them. A hook that others have wrapped stays, and does nothing."""
    with _lock:
        GATE.installed = GATE.strict = False
        for (library, kind), (original, wrapper) in list(_wrapped.items()):
            client = getattr(importlib.import_module(library), kind)
            if client.send is wrapper:
                client.send = original
                del _wrapped[library, kind]


def installed() -> bool:
    """Whether requests are being watched."""
    return GATE.installed


# --- one attempt -----------------------------------------------------------------------------------------


def _look(request: Any) -> Seen | None:
    return look(request, request.method, request.url.host, request.url.path, request.url.port)


def _ask_for_usage(request: Any, seen: Seen, module: Any) -> None:
    """Ask a stream of Chat Completions for its usage, which it reports only on request."""
    wire = seen.request
    if wire.flavor != "chat" or not wire.stream or b'"stream_options"' in request.content:
        return
    seen.usage_is_ours = True
    content = request.content.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'
    request.headers["content-length"] = str(len(content))
    request.stream = module.ByteStream(content)
    request._content = content


def _in_time(request: Any, seconds: float | None) -> float | None:
    """Cap each of the client's time-outs at the deadline, and return the deadline on the monotonic clock."""
    if seconds is None:
        return None
    seconds = max(seconds, 0.001)
    timeouts = dict(request.extensions.get("timeout") or {})
    for name in ("connect", "read", "write", "pool"):
        own = timeouts.get(name)
        timeouts[name] = seconds if own is None else min(own, seconds)
    request.extensions = {**request.extensions, "timeout": timeouts}
    return time.monotonic() + seconds


def _is_here(response: Any) -> bool:
    """Whether the body is complete: a caching transport returns whole replies even where a stream was asked for."""
    return hasattr(response, "_content")


def _answered(attempt: Attempt, response: Any, body: Body, payer: Payer) -> Flow[None]:
    """Close an attempt with its whole response."""
    if response.status_code >= 400:
        yield from gate.refused_by(attempt, response.status_code)
        return
    with contextlib.suppress(Exception):  # a body that can't be decoded reports no usage
        body.feed(response.content)
    yield from read(attempt, body, payer, None)


def _may_tell(request: Any, seen: Seen | None, kwargs: dict[str, Any]) -> bool:
    return not kwargs.get("stream") and (seen is not None or (bool(pending) and "/responses/" in request.url.path))


def _told(seen: Seen | None, response: Any) -> Flow[None]:
    """Learn from a free request: the token count of another one, or the usage of a finished background response."""
    if response.status_code >= 400:
        return
    try:
        told = orjson.loads(response.content)
    except (orjson.JSONDecodeError, RuntimeError):
        return
    if not isinstance(told, dict):
        return
    if seen is not None:
        tokens = told.get("input_tokens") or told.get("totalTokens")
        if isinstance(tokens, int):
            learn("", seen.request, with_margin(tokens))
        return
    if told.get("status") in ("queued", "in_progress", None):
        return
    attempt = pending.pop(str(told.get("id")), None)
    if attempt is not None:
        body = Body(WireRequest(provider="openai", flavor="responses", kind="billable"))
        body.feed(response.content)
        body.finish()
        billed = body.billed()
        if billed is None:
            yield from gate.fail(attempt, None, body)
        else:
            attempt.closed = False  # its call may have closed it before the usage was known
            yield from gate.settle(attempt, *billed, body.request_id)


# --- blocking ----------------------------------------------------------------------------------------------


def _sync(original: Any, module: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            seen = _look(request)
            if seen is None or seen.request.kind == "count":
                response = original(self, request, **kwargs)
                if _may_tell(request, seen, kwargs):
                    drive(_told(seen, response))
                return response
            for tell in on_admitted:
                tell(seen.payer)
            attempt, seconds = drive(gate.admit(seen.request, seen.payer))
        except RheostatError as error:
            raise through(error, request) from None
        body, ends = Body(seen.request), None
        try:
            _ask_for_usage(request, seen, module)
            ends = _in_time(request, seconds)
            with inside(attempt.work):
                response = within(functools.partial(original, self, request, **kwargs), ends)
        except Deadline as error:
            drive(gate.fail(attempt, None, body, why=error))
            raise through(late(seen.payer), request) from None
        except BaseException as error:
            over = ends is not None and time.monotonic() >= ends
            drive(gate.fail(attempt, error, body))
            if over and isinstance(error, Exception):
                raise through(late(seen.payer), request) from error
            raise
        hear(attempt, response.status_code, response.headers)
        if kwargs.get("stream") and response.status_code < 400 and not _is_here(response):
            drive(heed(attempt))
            response.stream = stream_of(module)(response, attempt, seen, body, ends, request)
            return response
        try:
            drive(_answered(attempt, response, body, seen.payer))
        except RheostatError as error:
            raise through(error, request) from None
        return response

    return send


# --- async ---------------------------------------------------------------------------------------------------


def _async(original: Any, module: Any) -> Any:
    @functools.wraps(original)
    async def send(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            seen = _look(request)
            if seen is None or seen.request.kind == "count":
                response = await original(self, request, **kwargs)
                if _may_tell(request, seen, kwargs):
                    await adrive(_told(seen, response))
                return response
            for tell in on_admitted:
                tell(seen.payer)
            attempt, seconds = await adrive(gate.admit(seen.request, seen.payer))
        except RheostatError as error:
            raise through(error, request) from None
        body, ends = Body(seen.request), None
        try:
            _ask_for_usage(request, seen, module)
            ends = _in_time(request, seconds)
            with inside(attempt.work):
                response = await awithin(original(self, request, **kwargs), ends)
        except BaseException as error:
            over = ends is not None and time.monotonic() >= ends
            await adrive(gate.fail(attempt, None if isinstance(error, Deadline) else error, body, why=error))
            if isinstance(error, Deadline) or (over and isinstance(error, Exception)):
                raise through(late(seen.payer), request) from None
            raise
        hear(attempt, response.status_code, response.headers)
        if kwargs.get("stream") and response.status_code < 400 and not _is_here(response):
            await adrive(heed(attempt))
            response.stream = astream_of(module)(response, attempt, seen, body, ends, request)
            return response
        try:
            await adrive(_answered(attempt, response, body, seen.payer))
        except RheostatError as error:
            raise through(error, request) from None
        return response

    return send
