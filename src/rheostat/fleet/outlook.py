"""How a fleet will end: when, and at what price, if the tasks that are left are like those that ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from rheostat.fleet.results import Counts, TaskResult

__all__ = ["Outlook", "outlook", "worst"]

_MILLI = 1000
_RECENT_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A forecast. `None` where too little is known."""

    tasks_per_second: float | None = None
    """Over the last five minutes."""
    seconds_left: float | None = None
    """Until the last task ends, or the cap is reached."""
    usd_nanos: int | None = None
    """The bill at the end, the cap at the most."""
    left_over: int = 0
    """Tasks that the cap won't pay for."""


def outlook(counts: Counts, spent_usd_nanos: int | None, cap_usd_nanos: int | None, now_ms: int) -> Outlook:
    """Forecast the end of a fleet from its counts and what it has spent so far."""
    left = counts.queued + counts.running
    if not counts.ended or counts.first_ms is None:
        return Outlook()
    since = max((now_ms - counts.first_ms) / _MILLI, 0.001)
    rate = counts.recent / min(since, _RECENT_SECONDS) or None
    bill, left_over = None, 0
    if spent_usd_nanos is not None:
        price = spent_usd_nanos / counts.ended
        bill = round(spent_usd_nanos + price * left)
        if cap_usd_nanos is not None and bill > cap_usd_nanos and price:
            payable = int((cap_usd_nanos - spent_usd_nanos) / price)
            left_over, bill, left = left - payable, cap_usd_nanos, payable
    return Outlook(
        tasks_per_second=rate,
        seconds_left=left / rate if rate else None,
        usd_nanos=bill,
        left_over=max(0, left_over),
    )


def worst(results: Iterable[TaskResult], most: int = 5) -> list[TaskResult]:
    """The tasks that failed, then those that cost most."""
    ended = [each for each in results if each.state in ("done", "failed")]
    return sorted(ended, key=lambda each: (each.state != "failed", -Decimal(each.usd or 0), -each.tokens))[:most]
