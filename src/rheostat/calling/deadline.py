"""Run work up to a deadline, and abandon it there."""

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
    """The deadline has passed; the work was abandoned."""


def within(work: Callable[[], Any], ends: float | None) -> Any:
    """Run the work, and abandon it at the deadline.

    It runs in a thread: headers may trickle in for ever, and a blocking read can't be stopped.

    Args:
        ends: The deadline on the monotonic clock, in seconds; `None`: there is none.

    Raises:
        Deadline: the work isn't done in time.
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
    """`within` for an awaitable."""
    if ends is None:
        return await work
    try:
        return await asyncio.wait_for(work, max(0.001, ends - time.monotonic()))
    except TimeoutError:
        if time.monotonic() < ends:
            raise  # the client's own time-out
        raise Deadline from None
