"""Flows: write a behaviour once, run it sync or async.

A *flow* is a generator that yields effects and receives their results. The flow holds the logic; only the two drivers
below decide between sync and async. httpx's auth flow and tenacity's engine use the same idea.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = ["Effect", "Flow", "adrive", "drive"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effect:
    """An action on the outside world, in a blocking and an awaitable form."""

    do: Callable[[], Any]
    """The blocking form."""
    ado: Callable[[], Awaitable[Any]]
    """The awaitable form, which must do exactly what `do` does."""


Flow: TypeAlias = Generator[Effect, Any, T]


def drive(flow: Flow[T]) -> T:
    """Run a flow, blocking."""
    try:
        effect = next(flow)
        while True:
            try:
                result = effect.do()
            except BaseException as error:  # the flow decides how to handle an interrupt
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def adrive(flow: Flow[T]) -> T:
    """Run a flow on the event loop. A cancellation is thrown into the flow at the effect in progress."""
    try:
        effect = next(flow)
        while True:
            try:
                result = await effect.ado()
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
