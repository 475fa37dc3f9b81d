"""The rules that every ledger follows, wherever it stores its accounts: pure bookkeeping, no clock, no store, no lock.

A `Book` is a set of accounts and reservations in memory. The memory ledger has one for its whole life; the durable
ledgers load the rows that an operation touches into one, apply it inside a transaction, and write the rows back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rheostat.errors import BudgetExceeded, HoldExceeded, LedgerError, LimitWarning
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger.admission import check_rates, check_sizes, first_pace, in_line, placed
from rheostat.money.ledger.counts import (
    OUTPUT,
    THINKING,
    UNPRICED,
    USD,
    Counts,
    amount_of,
    counts_of,
    minus,
    plus,
    tally,
    zeros,
)
from rheostat.money.ledger.entry import OPEN, Entry, Held, Status
from rheostat.money.ledger.pace import Pace
from rheostat.money.ledger.protocol import Account, Note, Reading
from rheostat.money.ledger.rate import Rate, RateSeen
from rheostat.money.ledger.refusals import overrun, refusal, say_what_is_kept, spelled
from rheostat.money.usage import Spend

__all__ = ["Book"]


@dataclass(slots=True)
class Book:
    """Accounts and reservations, and the operations on them. The caller makes each call atomic."""

    entries: dict[str, Entry] = field(default_factory=dict)
    reservations: dict[str, Held] = field(default_factory=dict)
    mono_ms: int = 0
    """The ledger's clock in milliseconds, for deadlines."""
    wall_ms: int = 0
    """Milliseconds since the epoch, for windows and journals."""

    def entry(self, account: str) -> Entry:
        """An account, with its time brought up to date.

        Raises:
            LedgerError: The account isn't open.
        """
        try:
            entry = self.entries[account]
        except KeyError:
            raise LedgerError(f"no account {account!r}: open it first") from None
        entry.tick(self.mono_ms, self.wall_ms)
        return entry

    def chain(self, account: str) -> Iterator[Entry]:
        """The account and all its parents, in this order."""
        name: str | None = account
        while name is not None:
            entry = self.entry(name)
            yield entry
            name = entry.parent

    def open(self, account: Account, reading: Reading | None) -> bool:
        """Open an account; `False` if it was open. The version never falls behind that of a reading in graph state."""
        known = self.entries.get(account.id)
        pinned = reading is None
        if reading is not None and reading.get("account") != account.id:
            reading = None
        if known is not None:
            if known.parent != account.parent:
                raise LedgerError(
                    f"account {account.id!r} is open under {known.parent!r}, not under {account.parent!r}"
                )
            if pinned:
                say_what_is_kept(account, known.budget, known.rate)
            if reading is not None and isinstance(reading.get("version"), int):
                known.version = max(known.version, reading["version"])
            return False
        if account.parent is not None:
            if account.parent not in self.entries:
                raise LedgerError(
                    f"account {account.id!r}: its parent {account.parent!r} is not open in this ledger: "
                    f"ledger.open(Account({account.parent!r}, Budget(…))) first, and give the same ledger here"
                )
            self._say_what_is_looser(account)
        entry = Entry(account.id, account.budget, account.parent, account.window, self.wall_ms, self.mono_ms)
        if reading is not None:
            entry.restore(reading, self.wall_ms)
        if account.window is not None:
            entry.window_start_ms, entry.window_end_ms = account.window.around(self.wall_ms)
        if account.rate is not None:
            entry.pace = Pace(account.rate)
        entry.version += 1
        entry.pinned = pinned or account.rate is not None  # a reading says nothing of the last minute
        self.entries[account.id] = entry
        return True

    def _say_what_is_looser(self, account: Account) -> None:
        """Warn of a limit that is looser than a parent's: it is allowed, but the parent's limit still binds.

        The text doesn't name the child, because Python keeps every warning text for good, and there are many children.
        """
        for above in self.chain(account.parent or ""):
            theirs = above.budget.limits if above.budget else {}
            for limit, cap in (account.budget.limits if account.budget else {}).items():
                if cap > theirs.get(limit, cap):
                    ours, bound = (spelled(limit, amount) for amount in (cap, theirs[limit]))
                    text = f"a limit of {ours} is looser than that of {above.id!r} above it ({bound})"
                    warnings.warn(f"{text}: the account above binds", LimitWarning, stacklevel=4)

    def amend(self, account: str, budget: Budget | None, rate: Rate | None) -> None:
        """Change an account's limits from now on."""
        entry = self.entry(account)
        Account(account, budget or entry.budget, entry.parent, entry.window, rate)  # raises if they don't go together
        if budget is not None:
            entry.bind(budget)
        if rate is not None:
            entry.pace = first_pace(entry, rate) if entry.pace is None else entry.pace.amended(rate, entry.elapsed_ms)
        entry.version += 1

    def hold(
        self, ids: Sequence[str], account: str, amounts: Sequence[Counts], note: Note, ticket: str | None = None
    ) -> None:
        """Hold all amounts or none, at the account and all its parents."""
        chain = list(self.chain(account))
        self._check_hold(chain, amounts, ticket)
        for name, amount in zip(ids, amounts, strict=True):
            self._take(chain, Held(name, account, amount, note.get("model", ""), note.get("node", ""), 0))

    def admit(self, name: str, account: str, amount: Counts, note: Note, ticket: str | None = None) -> None:
        """Hold and begin in one step."""
        chain = list(self.chain(account))
        self._check_hold(chain, [amount], ticket)
        check_rates(chain, amount, ticket, self.wall_ms)
        held = Held(name, account, amount, note.get("model", ""), note.get("node", ""), 0)
        self._take(chain, held)
        self._leave(chain, held)

    def _check_hold(self, chain: Sequence[Entry], amounts: Sequence[Counts], ticket: str | None) -> None:
        check_sizes(chain, amounts)
        total = amounts[0] if len(amounts) == 1 else [sum(kind) for kind in zip(*amounts, strict=True)] or zeros()
        _check_room(chain, total)
        if ticket is not None:
            self._check_line(chain, ticket, total)

    def _take(self, chain: Sequence[Entry], held: Held) -> None:
        """Add an open reservation to the totals."""
        # a clock that jumped back must not put a new hold into a window that has ended
        held.held_at_ms = max(self.wall_ms, *(entry.window_start_ms for entry in chain))
        self.reservations[held.id] = held
        for entry in chain:
            entry.held = plus(entry.held, held.amount)
            if held.status == "standing":
                entry.standing = plus(entry.standing, held.amount)
            entry.charged = plus(entry.charged, held.amount)
            entry.version += 1

    # --- the line -------------------------------------------------------------------------------

    def _check_line(self, chain: Sequence[Entry], ticket: str, asked: Counts) -> None:
        """Check that it is this ticket's turn: it must be the first in its line; without a place, all must be empty.

        Raises:
            BudgetExceeded: Others are ahead in the line.
        """
        lines = {entry.id: [name for name, _ in in_line(entry.line, self.wall_ms)] for entry in chain}
        own = next((entry for entry in chain if ticket in lines[entry.id]), None)
        for entry in chain if own is None else [own]:
            if lines[entry.id] and lines[entry.id][0] != ticket:
                [(limit, left), *_] = [*entry.room().items(), ("calls", 0)]
                raise refusal(entry, chain[0], (limit, amount_of(limit, asked), int(left), 0), queued=True)
        if own is not None:
            own.line = [each for each in own.line if each[0] != ticket]

    def line_up(self, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None:
        """Take or renew a place in one of an account's lines; it lapses after `seconds`, and zero gives it up."""
        entry = self.entry(account)
        place: Entry | Pace | None = entry.pace if rate else entry
        if place is None:
            return  # its rate is gone
        line = placed(place.line, ticket, self.wall_ms, self.wall_ms + int(1000 * seconds))
        if line != place.line:
            place.line = line
            entry.version += 1

    def heed(self, account: str, seen: RateSeen) -> None:
        """Believe a provider that says that less is left than counts here, at the nearest account with a rate."""
        entry = next((each for each in self.chain(account) if each.pace is not None), None)
        if entry is not None and entry.pace is not None and entry.pace.heed(seen, entry.elapsed_ms):
            entry.version += 1

    # --- standing holds -------------------------------------------------------------------------

    def resize(self, name: str, account: str, amount: Counts, note: Note) -> None:
        """Set the size of the standing hold of this name; an amount of nothing gives it back."""
        before = self.reservations.get(name)
        if before is not None and before.status == "void":
            before = None
        if before is not None and (before.status != "standing" or before.account != account):
            raise LedgerError(
                f"{name!r} is {before.status} at account {before.account!r}, not a standing hold of this account"
            )
        if before is None and not any(amount):
            return
        chain = list(self.chain(account))
        old = before.amount if before is not None else zeros()
        more = [max(0, new - was) for new, was in zip(amount, old, strict=True)]
        if any(more):
            _check_room(chain, more)
        if before is not None:
            self._release(name)
        held = Held(name, account, list(amount), note.get("model", ""), note.get("node", ""), 0, status="standing")
        if any(amount):
            self._take(chain, held)
        elif before is not None:
            before.status = "void"

    def draw(self, standing: str, ids: Sequence[str], account: str, amounts: Sequence[Counts], note: Note) -> None:
        """Hold amounts out of a standing hold; any excess over it must fit, as in `hold`."""
        kept = self.reservations.get(standing)
        if kept is None or kept.status != "standing" or kept.account != account:
            self.hold(ids, account, amounts, note)
            return
        chain = list(self.chain(account))
        total = [sum(kind) for kind in zip(*amounts, strict=True)] or zeros()
        more = [max(0, asked - had) for asked, had in zip(total, kept.amount, strict=True)]
        if any(more):
            _check_room(chain, more)
        check_sizes(chain, amounts)
        rest = [max(0, had - asked) for asked, had in zip(total, kept.amount, strict=True)]
        self.resize(
            standing, account, rest if any(rest[:UNPRICED]) else zeros(), {"model": kept.model, "node": kept.node}
        )
        for name, amount in zip(ids, amounts, strict=True):
            self._take(chain, Held(name, account, amount, note.get("model", ""), note.get("node", ""), 0))

    # --- send, and pay --------------------------------------------------------------------------

    def begin(self, reservation: str, ticket: str | None = None) -> bool:
        """Mark a held reservation as sent, once; one that was sent before becomes unknown."""
        held = self.reservations.get(reservation)
        if held is None or held.status != "held":
            if held is None or held.status != "standing":
                self.mark_unknown(reservation)
            return False
        chain = self._paced(held.account)
        if chain and not any(entry.late for entry in chain):
            check_rates(chain, held.amount, ticket, self.wall_ms)
        self._leave(chain, held)
        return True

    def _paced(self, account: str) -> list[Entry]:
        """The chain, if there is a rate in it."""
        entry: Entry | None = self.entries[account]
        while entry is not None:
            if entry.pace is not None:
                return list(self.chain(account))
            entry = self.entries[entry.parent] if entry.parent is not None else None
        return []

    def _leave(self, chain: Sequence[Entry], held: Held) -> None:
        held.status, held.begun_at_ms = "sent", self.wall_ms
        self.entries[held.account].version += 1  # every change needs a new version, because stores rely on it
        for entry in chain:
            if entry.pace is not None:
                entry.pace.leaves(held.amount, entry.elapsed_ms)
                entry.version += 1

    def settle(self, reservation: str, spend: Spend, request_id: str) -> tuple[bool, HoldExceeded | None]:
        """Post the actual cost, once. Returns whether it was posted, and the error to raise if it exceeds the hold."""
        actual = counts_of(spend)
        before = self.reservations.get(reservation)
        status = before.status if before is not None else ""
        assumed = before.charge if before is not None and status == "unknown" else None
        held = self._release(reservation)
        if held is None:
            return False, None
        if spend.thinking_tokens is None:  # unknown: assume the most possible
            actual[THINKING] = min(actual[OUTPUT], held.amount[THINKING])
        over = overrun(held, actual)
        for entry in self.chain(held.account):
            entry.settled = plus(entry.settled, actual)
            if entry.counts_in_window(held):
                entry.charged = plus(entry.charged, actual)
            entry.overrun_usd_nanos += max(0, actual[USD] - held.amount[USD])
            if entry.pace is not None:
                entry.pace.ended(held.amount, actual, entry.elapsed_ms, had_left=status == "sent", assumed=assumed)
            if held.model:
                tally(entry.by_model, held.model, actual)
            if held.node:
                tally(entry.by_node, held.node, actual)
        held.status, held.actual, held.request_id = "settled", actual, request_id
        return True, over

    def void(self, reservation: str) -> bool:
        """Give a hold back; `False` if the reservation is closed or not in this ledger."""
        before = self.reservations.get(reservation)
        left = before is not None and before.status == "sent"
        held = self._release(reservation)
        if held is None:
            return False
        for entry in self._paced(held.account) if left else ():
            if entry.pace is not None:
                entry.pace.never_left(held.amount, self.wall_ms - (held.begun_at_ms or 0))
        held.status = "void"
        return True

    def mark_unknown(self, reservation: str, estimate: Counts | None = None) -> bool:
        """Mark an open reservation as unknown: it stays charged, in full or at an estimate within the hold."""
        held = self.reservations.get(reservation)
        if held is None or held.status not in ("standing", "held", "sent"):
            return False
        if estimate is not None:
            held.actual = [min(kind) for kind in zip(estimate, held.amount, strict=True)]
            held.actual[UNPRICED] = held.amount[UNPRICED]
        for entry in self.chain(held.account):
            entry.held = minus(entry.held, held.amount)
            if held.status == "standing":
                entry.standing = minus(entry.standing, held.amount)
            entry.unknown = plus(entry.unknown, held.charge)
            if entry.counts_in_window(held):
                entry.charged = plus(minus(entry.charged, held.amount), held.charge)
            if entry.pace is not None:
                entry.pace.ended(held.amount, held.charge, entry.elapsed_ms, had_left=held.status == "sent")
            entry.version += 1
        held.status = "unknown"
        return True

    def stale(self, older_than_seconds: float) -> list[str]:
        """The ids of standing, held and sent reservations that are at least this old."""
        before = self.wall_ms - int(older_than_seconds * 1000)
        return [
            held.id
            for held in self.reservations.values()
            if held.status in ("standing", "held", "sent") and (held.begun_at_ms or held.held_at_ms) <= before
        ]

    def expire(self, reservation: str) -> Status:
        """Close a reservation of a dead holder: sent → unknown, otherwise → void. Returns the new status."""
        if self.reservations[reservation].status == "sent":
            self.mark_unknown(reservation)
        else:
            self.void(reservation)
        return self.reservations[reservation].status

    def _release(self, reservation: str) -> Held | None:
        held = self.reservations.get(reservation)
        if held is None or held.status not in OPEN:
            return None
        for entry in self.chain(held.account):
            if held.status == "unknown":
                entry.unknown = minus(entry.unknown, held.charge)
            else:
                entry.held = minus(entry.held, held.amount)
                if held.status == "standing":
                    entry.standing = minus(entry.standing, held.amount)
            if entry.counts_in_window(held):
                entry.charged = minus(entry.charged, held.charge)
            entry.version += 1
        held.closed_at_ms, held.actual = self.wall_ms, None
        return held

    def room(self, account: str, *, patient: bool = False) -> Room:
        """The room that is left: the minimum over the account and its parents."""
        left: dict[str, Any] = {}
        for entry in self.chain(account):
            for name, amount in entry.room(patient=patient).items():
                left[name] = min(amount, left.get(name, amount))
            if entry.pace is not None:
                for name, most in entry.pace.rate.one_request.items():
                    left[name] = min(most, left.get(name, most))
        return Room(**left)


def _check_room(chain: Sequence[Entry], asked: Counts) -> None:
    """Check that an amount fits at all accounts.

    Raises:
        BudgetExceeded: It doesn't; of several refusals, the one for which waiting helps least.
    """
    waits: BudgetExceeded | None = None
    for entry in chain:
        short = entry.shortage(asked)
        if short is not None:
            refused = refusal(entry, chain[0], short)
            if not refused.waits_for_runs:
                raise refused
            if waits is None or (waits.waits and not refused.waits):
                waits = refused
    if waits is not None:
        raise waits
