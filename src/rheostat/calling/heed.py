"""What a provider's reply says of its rate limits, told to the rates above whoever paid for the request."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from rheostat.calling.payer import Attempt
from rheostat.errors import LedgerError
from rheostat.flow import Effect, Flow
from rheostat.money.ledger import Ledger, RateSeen
from rheostat.providers.rate_limits import rate_seen

__all__ = ["hear", "heed"]


def hear(attempt: Attempt, status: int, headers: Mapping[str, str]) -> None:
    """Note what a reply says; where no rate is above the payer, nothing is read."""
    if attempt.paced:
        attempt.said = rate_seen(status, headers, time.time())


def heed(attempt: Attempt) -> Flow[None]:
    """Tell the rates what was heard, once.

    A reply that is whole is heeded after it was settled, when what it used is counted and not what was held: what
    others use then shows. A stream is heeded when it begins, because later its headers are old.
    """
    said, attempt.said = attempt.said, None
    if said is None:
        return
    for ledger, account in attempt.paced:
        with contextlib.suppress(LedgerError):  # advice, which mustn't cost the reply
            yield _heeding(ledger, account, said)


def _heeding(ledger: Ledger, account: str, said: RateSeen) -> Effect:
    return Effect(lambda: ledger.heed(account, said), lambda: ledger.aheed(account, said))
