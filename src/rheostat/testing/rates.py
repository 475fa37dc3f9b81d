"""What rates should count, for the truth that a ledger is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

from rheostat.money.ledger import Rate
from rheostat.money.usage import Spend

__all__ = ["Post", "RateTruth", "amount_of"]

_SLACK_MS = 100
"""The time for which everything counts longer, because the clocks of processes differ."""


def amount_of(spend: Spend, *, cached: bool = False) -> dict[str, int]:
    """What counts, by limit; with `cached`, without the input that came from a cache."""
    fresh = spend.input_tokens - (spend.cached_input_tokens if cached else 0)
    return {"rpm": spend.calls, "tpm": spend.tokens, "input_tpm": max(0, fresh), "output_tpm": spend.output_tokens}


@dataclass(frozen=True, slots=True)
class Post:
    """What one request counts after its end."""

    account: str
    """The account that paid."""
    at: float
    """The end, in seconds since the epoch."""
    amount: dict[str, int]


@dataclass(slots=True)
class RateTruth:
    """The rates by account, and what has ended under them."""

    limits: dict[str, Rate] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)

    def caps(self, account: str) -> dict[str, int]:
        """The limits of an account's own rate."""
        rate = self.limits.get(account)
        named = {name: getattr(rate, name, None) for name in ("rpm", "tpm", "input_tpm", "output_tpm")}
        return {name: cap for name, cap in named.items() if cap is not None}

    def used(self, beneath: list[Post], opened_at: float, now: float) -> dict[str, int]:
        """What still counts of these: each for a minute, from the end of its second on the account's clock."""
        sums = amount_of(Spend())
        for post in beneath:
            second = int(post.at * 1000 - opened_at * 1000) // 1000
            if (second + 1 + 60) * 1000 + _SLACK_MS > now * 1000 - opened_at * 1000:
                sums = {name: value + post.amount[name] for name, value in sums.items()}
        return sums
