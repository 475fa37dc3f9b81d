"""The interface of every ledger: accounts, reservations, readings, and the operations on them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rheostat.errors import BadInput
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger.rate import Rate, RateSeen
from rheostat.money.ledger.steps import StepRecord
from rheostat.money.ledger.use import Use, UseKey
from rheostat.money.ledger.window import Window
from rheostat.money.usage import Spend

__all__ = ["Account", "FormerNames", "Ledger", "Note", "Reading", "Reservation", "latest_reading"]

Note = dict[str, str]
"""The `model` and the `node` that a reservation is for."""

Reading = dict[str, Any]
"""A reading of an account: plain data that is kept in graph state under the key `spend`.

========================  ============================================================================
`account`, `parent`       the account that was read, and its parent (or an empty text)
`version`                 rises with every change of the account; the highest version wins
`usd_nanos`               settled, in nano-dollars (`None`: a model without a price was used)
`input_tokens` …          settled, by kind, as in `Spend`; `calls`; `milliseconds` that the calls took
`held_usd_nanos` …        held by calls in flight
`unknown_usd_nanos` …     charged at the hold, or at an estimate within it: calls cut, cancelled, killed
`unknown_calls`           the number of such calls
`overrun_usd_nanos`       the amount that providers charged above holds (posted in full)
`by_model`, `by_node`     settled, by name: the 20 largest, the rest under `others`
`rate`                    if the account has one: what counts of it now (`limit`, `in_flight`, `used` in the
                          last minute, by `requests`, `tokens` …) and `stopped_seconds`
`opened_at`               seconds since the epoch
`elapsed_milliseconds`    time since then, at the last change of the account; the deadline counts it
========================  ============================================================================

Keeping the highest version is commutative, associative and idempotent: replays, forks, retries, subgraphs and
parallel branches can neither count a spend twice nor lose it, and the size doesn't grow with the number of steps.
"""


def latest_reading(left: Reading | None, right: Reading | None) -> Reading:
    """The reducer of the `spend` channel: the reading with the highest version.

    A reading of another account (from a cached node, say) never replaces the existing one, because their versions can't
    be compared.
    """
    if not left or not right:
        return right or left or {}
    if left["account"] != right["account"]:
        return left
    return right if right["version"] >= left["version"] else left


@dataclass(frozen=True, slots=True)
class Account:
    """An account with a budget, such as that of a tenant, a user, a thread, a run or a subagent."""

    id: str
    budget: Budget | None = None
    """Its hard limits; `None`: it only counts, and the limits of its parents bind."""
    parent: str | None = None
    """The account whose limits, and those of its parents, also bind. It must be open, and never changes."""
    window: Window | None = None
    """The limits start anew each day or month; `None`: they apply to the account's whole life."""
    rate: Rate | None = None
    """What may leave in a minute, from this account and all beneath it; `None`: the rates of its parents bind."""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id or len(self.id) > 500:
            raise BadInput(f"an account's id is a text of 1 to 500 characters, not {self.id!r}")
        if self.parent == self.id:
            raise BadInput(f"account {self.id!r} can't be its own parent")
        if self.window is not None and self.budget is not None and self.budget.seconds is not None:
            raise BadInput(
                f"account {self.id!r}: seconds={self.budget.seconds} is the deadline of one run; an account whose "
                "limits start anew each day or month can't have one. Put it on the run's budget."
            )
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise BadInput(f"account {self.id!r}: rate is a Rate, such as Rate(rpm=50, tpm=30_000), not {self.rate!r}")


@dataclass(frozen=True, slots=True)
class Reservation:
    """A part of an account's room that one request holds."""

    id: str
    account: str
    amount: Spend
    """The most that the request can cost."""


class Ledger(Protocol):
    """Two-phase spending. Every method is atomic, at the account and at all its parents.

    A reservation's life::

        hold ──► held ──begin──► sent ──settle──► settled     charged its actual cost
                 ▲ │               │ ▲
             draw │ │     mark_unknown │ settle                a late result
                 │ │               ▼ │
        resize ─► │ │            unknown ───────────────────    charged its hold, or an estimate within it
         standing │ └──void────► void ◄──void── (sent, unknown: as soon as it is known that it never left)

    A *standing* hold is kept back for a later call, such as the last word of a run. It is charged like any other hold,
    can be resized, and is never sent itself.

    A `Rate` counts what is sent: a hold counts from `begin` on, and for a minute after it was settled or marked as
    unknown (`rheostat.money.ledger.rate` has the law). What is held or standing counts only against budgets.

    The methods whose names begin with `a` are async variants. `rheostat.testing.ledger_machine` tests a ledger of your
    own against these rules.
    """

    def open(self, account: Account, reading: Reading | None = None) -> None:
        """Open an account; opening it again changes nothing.

        Args:
            reading: The last known reading (from a checkpoint; `{}` at first). A ledger that doesn't know the account
                starts from it; amounts that were held then become unknown, and stay charged in full. A ledger that
                knows the account ignores it. An account opened without one (`None`) can't be restored, so that no
                ledger may forget it.

        Raises:
            LedgerError: The parent isn't open, the account is open under another parent, or the reading is damaged.
        """

    def amend(self, account: str, budget: Budget | None = None, *, rate: Rate | None = None) -> None:
        """Give an open account other limits, higher or lower, which apply from the next hold on.

        Args:
            budget: `None`: it keeps its own.
            rate: `None`: it keeps its own. What left in the last minute counts against the new one.
        """

    @property
    def shared(self) -> bool:
        """Whether other processes may use the same accounts."""

    def chain(self, account: str) -> list[str]:
        """The account and all its parents, in this order."""

    def hold(
        self, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]:
        """Hold all amounts or none, at the account and at every parent.

        Args:
            ticket: The caller's place in the line (see `line_up`); an empty text: no place, but the line goes first;
                `None`: ignore the line.

        Raises:
            BudgetExceeded: They don't fit. The error has the account, the limit, and the amounts asked, held, settled
                and left; its `waits` says whether they may fit once requests in flight have given back their holds.
            NoPrice: An amount has no price, and there is a limit in money.
            LedgerError: There is no such account.
            LedgerUnavailable: The ledger can't be reached; nothing may be sent.
        """

    def admit(
        self, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]:
        """Hold and begin in one atomic step, for a request that leaves now.

        Raises:
            BudgetExceeded: As in `hold`, or a rate has no room for it now; the error's `rate`, `waits` and
                `ready_in_seconds` say so. Nothing is held, and the request must not leave.
            NoPrice, LedgerError, LedgerUnavailable: As in `hold`; the request must not leave.
        """

    def resize(self, account: str, standing: str, amount: Spend, note: Note | None = None) -> None:
        """Set the size of the standing hold of this name, of which there is one; an amount of nothing gives it back.

        Raises:
            BudgetExceeded: Its growth doesn't fit; it stays as it was.
            LedgerError: The name belongs to another account or to an ordinary reservation.
        """

    def draw(
        self, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]:
        """Hold amounts out of a standing hold, which shrinks by them; all or none.

        Raises:
            BudgetExceeded: Their excess over the standing hold doesn't fit; nothing has changed.
        """

    def line_up(self, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None:
        """Take or renew a place in the line for room at this account, which is served in order.

        The place is kept for this many seconds from now; zero gives it up.

        Args:
            rate: The line for the account's rate, which is another one than that for room in its budget.
        """

    def begin(self, reservation: str, *, ticket: str | None = None) -> Room | None:
        """Mark a reservation as sent, just before its request leaves; return the room (its seconds cut the request).

        `None`: the request must not be sent under this reservation, because it was begun before (by a process that
        died) or isn't known here. A reservation that was begun before stays charged in full, as unknown.

        Args:
            ticket: As in `hold`; only the lines for rates count here.

        Raises:
            BudgetExceeded: A rate has no room for it now: it stays held. After a deadline no rate is asked.
        """

    def heed(self, account: str, seen: RateSeen) -> None:
        """Believe what a provider's reply says of its limits, at the nearest account with a rate.

        If less is left than counts here, somebody else uses the provider's account: the difference counts for a minute.
        Where it asks for a pause, nothing is admitted before its end, or for ten minutes at most. Without a rate in the
        chain nothing happens.
        """

    def settle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        """Post the actual cost of a call; `False`: it was settled or voided before, and nothing changed.

        Raises:
            HoldExceeded: The call cost more than the hold; the cost is posted in full first.
        """

    def void(self, reservation: str) -> bool:
        """Give a hold back; only if the request provably never left. `False`: it was settled or voided before."""

    def mark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool:
        """Mark the cost of a call as unknown: it stays charged until it is settled.

        It is charged at its full hold, or at an `estimate`, limited to the hold kind by kind.
        """

    def expire(self, older_than_seconds: float, *, account: str | None = None) -> int:
        """Close reservations older than this, whose holder must be dead: sent → unknown, otherwise → void.

        Args:
            account: Only those of this account, and of accounts whose names begin with its name and a slash.

        Returns:
            The number of reservations closed.
        """

    def record(self, step: StepRecord) -> None:
        """Keep a step record, and count the tokens of its reply. A ledger may drop old records, but no counts.

        A record with the same id replaces the one before.
        """

    def uses(self, model: str | None = None) -> dict[UseKey, Use]:
        """The tokens that replies used, by (model, effort, purpose), over all steps ever recorded."""

    def steps(self, account: str | None = None) -> list[StepRecord]:
        """The step records of one account (a run), or of all, the oldest first."""

    def room(self, account: str, *, patient: bool = False) -> Room:
        """The room left now: the minimum over the account and all its parents, limit by limit.

        A rate isn't part of it, because a request only waits for it: it says how large one request may be.

        Args:
            patient: Return the most room that there can be when no call is in flight any more; standing holds stay.
        """

    def reading(self, account: str) -> Reading:
        """The totals now, for graph state."""

    async def aopen(self, account: Account, reading: Reading | None = None) -> None: ...
    async def aamend(self, account: str, budget: Budget | None = None, *, rate: Rate | None = None) -> None: ...
    async def ahold(
        self, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]: ...
    async def aadmit(
        self, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]: ...
    async def aresize(self, account: str, standing: str, amount: Spend, note: Note | None = None) -> None: ...
    async def adraw(
        self, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]: ...
    async def aline_up(self, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None: ...
    async def abegin(self, reservation: str, *, ticket: str | None = None) -> Room | None: ...
    async def aheed(self, account: str, seen: RateSeen) -> None: ...
    async def asettle(self, reservation: str, actual: Spend, request_id: str = "") -> bool: ...
    async def avoid(self, reservation: str) -> bool: ...
    async def amark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool: ...
    async def aexpire(self, older_than_seconds: float, *, account: str | None = None) -> int: ...
    async def arecord(self, step: StepRecord) -> None: ...
    async def auses(self, model: str | None = None) -> dict[UseKey, Use]: ...
    async def aroom(self, account: str, *, patient: bool = False) -> Room: ...
    async def areading(self, account: str) -> Reading: ...


class FormerNames:
    """Methods under their former names; deprecated."""

    def lose(self: Ledger, reservation: str, estimate: Spend | None = None) -> bool:
        """Deprecated: use `mark_unknown`."""
        warnings.warn("lose is mark_unknown now", DeprecationWarning, stacklevel=2)
        return self.mark_unknown(reservation, estimate)

    async def alose(self: Ledger, reservation: str, estimate: Spend | None = None) -> bool:
        """Deprecated: use `amark_unknown`."""
        warnings.warn("alose is amark_unknown now", DeprecationWarning, stacklevel=2)
        return await self.amark_unknown(reservation, estimate)
