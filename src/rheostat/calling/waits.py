"""Pauses before a request is sent again."""

from __future__ import annotations

import asyncio
import time

from tenacity import RetryCallState
from tenacity.wait import wait_base

from rheostat.flow import Effect
from rheostat.money.pricing import Price
from rheostat.providers.failures import retry_after_seconds

__all__ = ["RetryAfter", "longest", "pause"]


class RetryAfter(wait_base):
    """Waits as long as the server asks, up to a cap; else as the fallback says."""

    def __init__(self, fallback: wait_base, most_seconds: float) -> None:
        self._fallback, self._most_seconds = fallback, most_seconds

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = retry_after_seconds(error) if error is not None else None
        return self._fallback(retry_state) if asked is None else min(asked, self._most_seconds)


def longest(price: Price | None) -> float:
    """The longest that a call may take under its price, in seconds; 0: the price sets no limit."""
    return (price and price.most_seconds) or 0.0


def pause(seconds: float) -> Effect:
    return Effect(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))
