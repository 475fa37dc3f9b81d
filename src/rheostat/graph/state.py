"""The key that our agents and graphs add to a state: the spend, and the decisions of the last step.

It is meant for people and reports. The only thing trusted from it is the past spend of the same account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from rheostat.money.ledger import Reading, latest_reading

__all__ = ["KEY", "Known", "RheostatState", "legacy", "merge", "read"]

KEY = "rheostat"
_READINGS = ("spend", "run")


class RheostatState(TypedDict, total=False):
    """The value of the key `rheostat`."""

    spend: Reading
    """The reading of the thread: all its runs, subagents and tools so far."""
    run: Reading
    """The reading of this run alone, which the budget limits."""
    thinking: dict[str, Any]
    """The decisions of the last step: `effort`, `decided_by`, `reasons`, `boundary` …; at the cap also `stopped`;
    `last_word` if it was the last one that the budget allowed."""
    end: dict[str, Any]
    """How the run ended: see `rheostat.graph.ending.End`; empty while it goes on."""


class Known(TypedDict):
    """What `read` returns: every key is there, and empty where nothing is known yet."""

    spend: Reading
    run: Reading
    thinking: dict[str, Any]
    end: dict[str, Any]


def merge(left: RheostatState | None, right: RheostatState | None) -> RheostatState:
    """The reducer: for each account the reading with the highest version, and the latest step."""
    merged: dict[str, Any] = {**(left or {}), **(right or {})}
    for name in _READINGS:
        if name in merged:
            before, now = ((each or {}).get(name) for each in (left, right))
            merged[name] = latest_reading(before, now)  # type: ignore[arg-type] # by a name from a tuple
    return merged  # type: ignore[return-value] # as above


def legacy(state: Mapping[str, Any]) -> RheostatState:
    """The readings of a checkpoint that precedes the key; empty: there are none."""
    old = {name: state.get(name) for name in _READINGS}
    return {n: r for n, r in old.items() if isinstance(r, dict) and "account" in r and "version" in r}  # type: ignore[return-value] # as above


def read(state: Any) -> Known:
    """Read spend and thinking from a result, a state or a snapshot's values.

    Args:
        state: A mapping (the result of `invoke`, `get_state(config).values`), or an object with such attributes.
            Checkpoints that precede the key `rheostat` are read too.

    Returns:
        `spend`, `run`, `thinking` and `end`; each is empty if nothing is known yet.
    """
    values: Mapping[str, Any] = state if isinstance(state, Mapping) else vars(state)
    found = values.get(KEY) or {**legacy(values), "thinking": values.get("thinking")}
    return {
        "spend": found.get("spend") or {}, "run": found.get("run") or {}, "thinking": found.get("thinking") or {},
        "end": found.get("end") or {},
    }  # fmt: skip
