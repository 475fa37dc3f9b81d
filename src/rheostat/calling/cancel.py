"""Other ways to call a model than `invoke`: as a stream that can be cancelled, and for several answers at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, convert_to_messages
from langchain_core.outputs import ChatGeneration, LLMResult

from rheostat.calling.chunks import joined, piece
from rheostat.errors import BadInput
from rheostat.flow import Effect

_PAUSE_SECONDS, _DRAINING_SECONDS = 0.005, 0.25
"""What waits in a buffer was made, and is read before the stream is closed, so that it is counted: until a chunk has to
be waited for, and not for longer than this."""

__all__ = ["Cancel", "Cancelled", "several", "streamed"]


class Cancelled(BaseException):
    """The call was cancelled, because its answer no longer matters.

    It is no `Exception`: nothing may take it for a failure, and send the request again.
    """

    def __init__(self, came: AIMessage | None) -> None:
        super().__init__("cancelled: the answer no longer matters")
        self.came = came
        """The part of the reply that had come; `None`: nothing."""


class Cancel:
    """A switch that cancels calls, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    @property
    def is_set(self) -> bool:
        """Whether it was switched."""
        return self._set

    def goes_on(self) -> bool:
        """Whether it wasn't."""
        return not self._set

    def set(self) -> None:
        """Cancel the calls."""
        with self._lock:
            self._set = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits there any more
                loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        """Wait until it is switched."""
        event = asyncio.Event()
        with self._lock:
            if self._set:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


def streamed(chat: BaseChatModel, messages: Any, config: Any, kwargs: dict[str, Any], cancel: Cancel) -> Effect:
    """Call a model by its stream, and return the whole message.

    Raises:
        Cancelled: it was cancelled; the stream is closed.
    """
    return Effect(
        lambda: _streamed(chat.stream(messages, config, **kwargs), cancel),
        lambda: _astreamed(chat.astream(messages, config, **kwargs), cancel),
    )


def _streamed(chunks: Iterator[Any], cancel: Cancel) -> AIMessage:
    came: list[AIMessageChunk] = []
    ends: float | None = None
    try:
        while True:
            began = time.monotonic()
            chunk = next(chunks, None)
            now = time.monotonic()
            if chunk is None:
                return _whole(came)
            came.append(piece(chunk))
            if cancel.is_set:
                ends = ends or now + _DRAINING_SECONDS
                if now - began > _PAUSE_SECONDS or now > ends:
                    break
    finally:
        _close(chunks)
    raise Cancelled(joined(came))


async def _astreamed(chunks: AsyncIterator[Any], cancel: Cancel) -> AIMessage:
    came: list[AIMessageChunk] = []
    ends: float | None = None
    switched = asyncio.ensure_future(cancel.wait())
    try:
        while ends is None or time.monotonic() < ends:
            following = asyncio.ensure_future(anext(chunks, None))
            try:
                await asyncio.wait({following, switched}, return_when=asyncio.FIRST_COMPLETED)
                if cancel.is_set:
                    ends = ends or time.monotonic() + _DRAINING_SECONDS
                    await asyncio.wait({following}, timeout=_PAUSE_SECONDS)
            except BaseException:
                following.cancel()
                raise
            if not following.done():
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following
                break
            chunk = following.result()
            if chunk is None:
                return _whole(came)
            came.append(piece(chunk))
    finally:
        switched.cancel()
        closing = getattr(chunks, "aclose", None)
        if closing is not None:
            await closing()
    raise Cancelled(joined(came))


def several(chat: BaseChatModel, messages: Any, answers: int, *, quiet: bool, **kwargs: Any) -> Effect:
    """Call a model for several answers to the same messages, from one prefill; returns a list of messages."""
    given = [convert_to_messages(list(messages))]
    callbacks: Any = [] if quiet else None
    kwargs = {**kwargs, "n": answers, "stream": False}  # a listener to tokens would make it a stream of one answer

    def read(result: LLMResult) -> list[AIMessage]:
        said = [each.message for each in result.generations[0] if isinstance(each, ChatGeneration)]
        answered = [each for each in said if isinstance(each, AIMessage)]
        if not 0 < len(answered) <= answers:
            raise BadInput(f"{answers} answers were asked for, and {len(answered)} came")
        return answered

    async def ado() -> list[AIMessage]:
        return read(await chat.agenerate(given, callbacks=callbacks, **kwargs))

    return Effect(lambda: read(chat.generate(given, callbacks=callbacks, **kwargs)), ado)


def _close(chunks: Any) -> None:
    closing = getattr(chunks, "close", None)
    if closing is not None:
        closing()


def _whole(came: list[AIMessageChunk]) -> AIMessage:
    message = joined(came)
    if message is None:
        raise BadInput("the model streamed nothing")
    return message
