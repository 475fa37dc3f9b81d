"""What a ledger says where an amount doesn't fit or costs more than its hold, or an account has other limits."""

from __future__ import annotations

import warnings
from typing import Any

from rheostat.errors import BadInput, BudgetExceeded, HoldExceeded, LimitWarning
from rheostat.money.budget import Budget
from rheostat.money.ledger.counts import LIMITS, Counts, amount_of
from rheostat.money.ledger.entry import Entry, Held
from rheostat.money.ledger.pace import Short
from rheostat.money.ledger.protocol import Account
from rheostat.money.ledger.rate import Rate
from rheostat.money.usage import usd

__all__ = ["no_text", "overrun", "refusal", "say_what_is_kept", "spelled", "too_fast", "too_large"]


def refusal(entry: Entry, asking: Entry, short: tuple[str, int, int, float], *, queued: bool = False) -> BudgetExceeded:
    """An amount doesn't fit a limit: (limit, asked, left, cap)."""
    limit, asked, left, cap = short
    held, standing = amount_of(limit, entry.held), amount_of(limit, entry.standing)
    return BudgetExceeded(
        account=entry.id,
        limit=limit,
        asked=asked,
        left=left,
        cap=cap or left,
        held=held,
        settled=amount_of(limit, entry.settled),
        unknown=amount_of(limit, entry.unknown),
        coming=held - standing,
        standing=standing,
        queued=queued,
        child=asking.id if entry is not asking else None,
        renews_at_ms=entry.window_end_ms if entry.window is not None else None,
    )


def too_large(entry: Entry, asking: Entry, short: Short, rate: Rate) -> BudgetExceeded:
    """A request is larger than the whole limit of a rate, so that it can never leave."""
    limit = rate.limit(short.name)
    return _by_rate(
        entry, asking, short, limit,
        hint=f"One request may need more than all {limit} that are allowed: set a smaller max_tokens, shorten the "
        "input, or raise the limit",
    )  # fmt: skip


def too_fast(
    entry: Entry, asking: Entry, short: Short, rate: Rate, wall_ms: int, *, queued: bool = False
) -> BudgetExceeded:
    """A rate has no room for a request now."""
    hint = "The provider asked for a pause" if short.stopped else ""
    ready = short.ready_in_ms
    return _by_rate(
        entry, asking, short, rate.limit(short.name), hint=hint, queued=queued,
        ready_in_seconds=None if ready is None else ready / 1000,
        ready_at_ms=None if ready is None else wall_ms + ready,
    )  # fmt: skip


def _by_rate(entry: Entry, asking: Entry, short: Short, limit: str, **more: Any) -> BudgetExceeded:
    return BudgetExceeded(
        account=entry.id,
        limit=limit,
        asked=short.asked,
        left=short.cap - short.flying - short.used,
        cap=short.cap,
        settled=short.used,
        held=short.flying,
        coming=short.flying,
        child=asking.id if entry is not asking else None,
        rate=True,
        **more,
    )


def say_what_is_kept(account: Account, kept: Budget | None, rate: Rate | None) -> None:
    """Warn if an account is opened again with other limits, because it keeps its own."""
    same = kept is account.budget or (kept is not None and kept.same(account.budget))
    if same and rate == account.rate:
        return
    had, given = (
        " and ".join(str(each) for each in pair if each) for pair in ((kept, rate), (account.budget, account.rate))
    )
    text = f"account {account.id!r} is open and keeps its limits ({had or 'none'}), not {given or 'none'}"
    warnings.warn(f"{text}: ledger.amend({account.id!r}, …) changes them", LimitWarning, stacklevel=4)


def no_text(error: UnicodeEncodeError) -> BadInput:
    """The error of a name that no database can store."""
    return BadInput(f"{ascii(error.object)[:100]} can't be stored: it has half of a surrogate pair, which is no text")


def spelled(limit: str, amount: int) -> str:
    """An amount as people write it."""
    return usd(amount) if limit == "usd_nanos" else f"{amount:,} {limit}"


def overrun(held: Held, actual: Counts) -> HoldExceeded | None:
    """The error if a call cost more than its hold, in any kind that a limit counts; else `None`."""
    for limit in LIMITS:
        hold, did = amount_of(limit, held.amount), amount_of(limit, actual)
        if did > hold:
            return HoldExceeded(
                account=held.account,
                limit=limit,
                asked=did,
                left=hold,
                cap=hold,
                hint=f"The provider reported {did:,} {limit} where at most {hold:,} was possible. "
                "It is posted in full.",
            )
    return None
