"""Wait for what is to happen, not for a time that a busy machine can't keep."""

from __future__ import annotations

import time
from collections.abc import Callable

from rheostat.money.ledger import Ledger
from rheostat.money.ledger.line import line_of


def wait_for(what: Callable[..., object], *values: object, seconds: float = 60) -> None:
    """Until `what(*values)` is true."""
    until = time.monotonic() + seconds
    while not what(*values):
        assert time.monotonic() < until, "it didn't happen"
        time.sleep(0.02)


def waiting(ledger: Ledger) -> int:
    """How many calls of this process stand in the ledger's lines."""
    return sum(len(each) for each in list(line_of(ledger)._waiting.values()))
