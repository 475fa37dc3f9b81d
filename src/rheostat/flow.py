"""Write a behaviour once, run it sync or async.

A *flow* is a generator that yields effects and receives their results. The flow holds the logic; the two
drivers below are the only place where "sync or async" is decided. (The same idea as httpx's auth flow and
tenacity's engine.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = ["Effect", "Flow", "adrive", "drive"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that touches the world: the same thing, blocking and awaitable."""

    do: Callable[[], Any]
    """Blocking form."""
    ado: Callable[[], Awaitable[Any]]
    """Awaitable form: must do exactly what `do` does."""


Flow: TypeAlias = Generator[Effect, Any, T]


def drive(flow: Flow[T]) -> T:
    """Run a flow, blocking."""
    try:
        effect = next(flow)
        while True:
            try:
                result = effect.do()
            except BaseException as error:  # the flow decides what an interrupt in the middle means
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def adrive(flow: Flow[T]) -> T:
    """Run a flow on the event loop. A cancellation is thrown into the flow at the effect that it hit."""
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
