"""The one key that agents and graphs of ours add to a state: what was spent, and how the last step was thought with.

It is a reading for people and for reports. Nothing in it is believed about money but what the same account has spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from rheostat.money.ledger import Reading, latest_reading

__all__ = ["KEY", "RheostatState", "legacy", "merge", "read"]

KEY = "rheostat"
_READINGS = ("spend", "run")


class RheostatState(TypedDict, total=False):
    """What stands beneath the key `rheostat`."""

    spend: Reading
    """The meter reading of the thread: all its runs, subagents and tools so far."""
    run: Reading
    """The same of this run alone: what the budget is compared with."""
    thinking: dict[str, Any]
    """What the last step was thought with: `effort`, `decided_by`, `reasons`, `boundary` …; `stopped`, at the cap;
    `last_word`, where it had to be the last."""


def merge(left: RheostatState | None, right: RheostatState | None) -> RheostatState:
    """The reducer: of each account the reading with the highest version, and the latest step."""
    merged: dict[str, Any] = {**(left or {}), **(right or {})}
    for name in _READINGS:
        if name in merged:
            before, now = ((each or {}).get(name) for each in (left, right))
            merged[name] = latest_reading(before, now)  # type: ignore[arg-type] # by a name from a tuple
    return merged  # type: ignore[return-value] # as above


def legacy(state: Mapping[str, Any]) -> RheostatState:
    """The readings of a checkpoint from before there was one key; empty: there are none."""
    old = {name: state.get(name) for name in _READINGS}
    return {n: r for n, r in old.items() if isinstance(r, dict) and "account" in r and "version" in r}  # type: ignore[return-value] # as above


def read(state: Any) -> RheostatState:
    """What a result, a state or a snapshot's values say of spend and thinking.

    Args:
        state: A mapping (the result of `invoke`, `get_state(config).values`), or an object with such attributes; from
            before there was one key, too.

    Returns:
        `spend`, `run` and `thinking`; each is empty where nothing is known yet.
    """
    values: Mapping[str, Any] = state if isinstance(state, Mapping) else vars(state)
    found = values.get(KEY) or {**legacy(values), "thinking": values.get("thinking")}
    return {"spend": found.get("spend") or {}, "run": found.get("run") or {}, "thinking": found.get("thinking") or {}}
