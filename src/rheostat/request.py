"""One request: sent, cut at its deadline, marked as metered; and how long to wait before it is sent again."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

from tenacity import RetryCallState
from tenacity.wait import wait_base

from rheostat.flow import Effect
from rheostat.pricing import Price
from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Messages
from rheostat.providers.failures import retry_after_seconds

__all__ = ["METERED", "RetryAfter", "longest", "pause", "request"]

METERED: ContextVar[tuple[Any, str] | None] = ContextVar("rheostat_metered", default=None)
"""While a call runs that is on a ledger: (ledger, account). Whoever watches for calls that aren't leaves it alone, if
it is on the right one."""


class RetryAfter(wait_base):
    """What the server asks for, up to a cap; else the fallback."""

    def __init__(self, fallback: wait_base, most_seconds: float) -> None:
        self._fallback, self._most_seconds = fallback, most_seconds

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = retry_after_seconds(error) if error is not None else None
        return self._fallback(retry_state) if asked is None else min(asked, self._most_seconds)


def longest(price: Price | None) -> float:
    """How long a call may take by its price; 0: the price doesn't care."""
    return (price and price.most_seconds) or 0.0


def pause(seconds: float) -> Effect:
    return Effect(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))


def request(
    endpoint: Endpoint,
    messages: Messages,
    settings: Settings,
    seconds: float | None,
    *,
    quiet: bool,
    payer: tuple[Any, str],
) -> Effect:
    """The request itself, cut at the deadline."""
    kwargs = dict(settings.kwargs)
    if seconds is not None and endpoint.takes_timeout:
        kwargs["timeout"] = max(seconds, 0.001)
    config: Any = {"callbacks": []} if quiet else None

    def do() -> Any:
        token = METERED.set(payer)
        try:
            return endpoint.chat.invoke(messages, config, **kwargs)
        finally:
            METERED.reset(token)

    async def ado() -> Any:
        token = METERED.set(payer)
        try:
            return await asyncio.wait_for(endpoint.chat.ainvoke(messages, config, **kwargs), seconds)
        finally:
            METERED.reset(token)

    return Effect(do, ado)
