"""Exact input tokens for a conversation that only grew since it was settled; only what is new must be bounded.

Used for planning. Messages are compared as objects, since LangGraph passes the same ones from step to step. The gate
compares bytes instead: see `prefixes`.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rheostat.providers.bounds import Overhead, added_bound, thinks

__all__ = ["Conversations"]

_REMEMBERED = 64
_BESIDE = ("tools", "response_format", "text")


@dataclass(frozen=True, slots=True)
class _Settled:
    model: str
    beside: list[Any]
    messages: list[Any]
    tool_choice: Any
    tokens: int


class Conversations:
    """The last settled request of each of the most recent accounts."""

    def __init__(self) -> None:
        self._settled: OrderedDict[str, _Settled] = OrderedDict()

    def note(
        self, account: str, model: str, messages: Sequence[Any], kwargs: Mapping[str, Any], input_tokens: int
    ) -> None:
        """Remember a settled request and the input tokens that its provider reported."""
        self._settled[account] = _Settled(
            model, _beside(kwargs), list(messages), kwargs.get("tool_choice"), input_tokens
        )
        self._settled.move_to_end(account)
        while len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)

    def bound(
        self, account: str, model: str, messages: Sequence[Any], kwargs: Mapping[str, Any], overhead: Overhead
    ) -> int | None:
        """The most input tokens, if this conversation continues the last settled one; else `None`."""
        before = self._settled.get(account)
        if before is None or before.model != model or len(messages) < len(before.messages):
            return None
        if not all(map(operator.is_, before.messages, messages)) or before.beside != _beside(kwargs):
            return None
        more = added_bound(messages[len(before.messages) :], overhead)
        if more is None:
            return None
        other = kwargs.get("tool_choice") != before.tool_choice  # the provider's own prompt for tools depends on it
        return before.tokens + more + (overhead.request + overhead.tools if other else 0)

    def forget(self, account: str) -> None:
        """Forget the conversation of a run that has ended."""
        self._settled.pop(account, None)


def _beside(kwargs: Mapping[str, Any]) -> list[Any]:
    return [*(kwargs.get(name) for name in _BESIDE), thinks(kwargs), kwargs.get("extra_body")]
