"""Whether a request may leave now, by the rates above it; and the lines in which requests wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rheostat.errors import LedgerError
from rheostat.money.ledger.counts import Counts, minus
from rheostat.money.ledger.entry import Entry
from rheostat.money.ledger.pace import Pace
from rheostat.money.ledger.rate import Rate
from rheostat.money.ledger.refusals import too_fast, too_large

__all__ = ["check_rates", "check_sizes", "first_pace", "in_line", "placed"]


def check_sizes(chain: Sequence[Entry], amounts: Sequence[Counts]) -> None:
    """Check that no request is larger than the whole limit of a rate.

    Raises:
        BudgetExceeded: One is, so that waiting wouldn't help it.
    """
    for entry in chain:
        if entry.pace is not None:
            for amount in amounts:
                short = entry.pace.beyond(amount)
                if short is not None:
                    raise too_large(entry, chain[0], short, entry.pace.rate)


def check_rates(chain: Sequence[Entry], asked: Counts, ticket: str | None, wall_ms: int) -> None:
    """Check that every rate has room for a request now, and that it is its turn.

    Args:
        ticket: Its place in one of the lines for these rates; an empty text: it has none, so that those in line go
            first; `None`: ignore the lines.

    Raises:
        BudgetExceeded: It may not leave: yet, or ever.
    """
    check_sizes(chain, [asked])
    own: Pace | None = None
    for entry in chain:
        pace = entry.pace
        if pace is None:
            continue
        first = next((name for name, _ in in_line(pace.line, wall_ms)), None)
        queued = ticket is not None and first not in (None, ticket)
        short = pace.shortage(asked, entry.elapsed_ms)
        if short is not None or queued:
            raise too_fast(entry, chain[0], short or pace.turn(asked), pace.rate, wall_ms, queued=queued)
        if first is not None and first == ticket:
            own = pace
    if own is not None:
        own.line = [each for each in own.line if each[0] != ticket]


def first_pace(entry: Entry, rate: Rate) -> Pace:
    """The first rate of an account that is open.

    Raises:
        LedgerError: Something is in flight there.
    """
    if any(minus(entry.held, entry.standing)):
        raise LedgerError(
            f"account {entry.id!r} has requests in flight that its first rate couldn't count: amend it when they have "
            "ended, or open the accounts of new runs under another account with this rate"
        )
    return Pace(rate)


def in_line(line: Sequence[list[Any]], wall_ms: int) -> list[list[Any]]:
    """The places in a line that are still valid."""
    return [each for each in line if each[1] > wall_ms]


def placed(line: Sequence[list[Any]], ticket: str, wall_ms: int, until_ms: int) -> list[list[Any]]:
    """A line in which a ticket has a place until then, its own or the last one; none, if that isn't later than now."""
    valid = in_line(line, wall_ms)
    if until_ms <= wall_ms:
        return [each for each in valid if each[0] != ticket]
    if any(each[0] == ticket for each in valid):
        return [[name, until_ms if name == ticket else until] for name, until in valid]
    return [*valid, [ticket, until_ms]]
