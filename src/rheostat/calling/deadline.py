"""Work that is left to itself at its deadline."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

__all__ = ["Deadline", "awithin", "within"]


class Deadline(Exception):
    """The time is over; what was begun is left to itself."""


def within(work: Callable[[], Any], ends: float | None) -> Any:
    """Do it, and leave it to itself at the deadline: headers may trickle for ever, and no blocking read can be stopped.

    Raises:
        Deadline: it isn't done.
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
        raise Deadline from None
    if good:
        return result
    raise result


async def awithin(work: Any, ends: float | None) -> Any:
    if ends is None:
        return await work
    try:
        return await asyncio.wait_for(work, max(0.001, ends - time.monotonic()))
    except TimeoutError:
        if time.monotonic() < ends:
            raise  # the client's own
        raise Deadline from None
