"""Values out of records, which another version or a stranger may have written: each is taken for what it should be."""

from __future__ import annotations

import math
from typing import Any

from rheostat.judgement.baselines import counted
from rheostat.money.usage import Spend

__all__ = ["number", "said", "spend_of", "verdict_of", "words"]


def said(value: Any) -> str:
    """A text; empty for `None`."""
    return "" if value is None else str(value)


def words(value: Any) -> tuple[str, ...]:
    """Texts."""
    return tuple(map(said, value)) if isinstance(value, list | tuple) else ()


def number(value: Any) -> float | None:
    """A finite number; `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def spend_of(value: Any) -> Spend:
    """A spend; `None` where a price or a count of thinking tokens isn't known."""
    given = value if isinstance(value, dict) else {}
    known: dict[str, Any] = {name: counted(given.get(name)) for name in Spend().to_dict()}
    unknown = {name: None for name in ("usd_nanos", "thinking_tokens") if name in given and given[name] is None}
    return Spend(**{**known, **unknown})


def verdict_of(candidate: dict[str, Any]) -> str:
    """`passed`, `refused`, or nothing where no verifier can tell."""
    passed = candidate.get("passed")
    return {True: "passed", False: "refused"}[passed] if isinstance(passed, bool) else ""
