"""What every ledger is: accounts, reservations, readings and the law that they obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rheostat.budget import Budget, Room
from rheostat.usage import Spend

__all__ = ["Account", "Ledger", "Reading", "Reservation", "latest_reading"]

Reading = dict[str, Any]
"""A meter reading: plain ints and strings that live in graph state under the key `spend`.

========================  ============================================================================
`account`                 the account that was read
`version`                 rises with every change of the account; the highest one wins
`usd_nanos`               settled, in nano-dollars (`None`: a model without a price was used)
`input_tokens` …          settled tokens by kind, as in `Spend`; `calls`
`held_usd_nanos` …        held: calls that are in the air
`unknown_usd_nanos` …     charged in full because nobody knows what they cost: cut, cancelled, killed
`unknown_calls`           how many those are
`overrun_usd_nanos`       what providers charged above a hold (posted in full)
`opened_at`               wall-clock seconds since the epoch: the deadline counts from here
========================  ============================================================================

Keeping the highest version is commutative, associative and idempotent: replays, forks, retries, subgraphs and
parallel branches can neither count it twice nor lose it, and its size doesn't grow with the number of steps.
"""


def latest_reading(left: Reading | None, right: Reading | None) -> Reading:
    """The reducer of the `spend` channel: the reading with the highest version."""
    if not left or not right:
        return right or left or {}
    return right if right["version"] >= left["version"] else left


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's budget."""

    id: str
    budget: Budget
    parent: str | None = None
    """The account whose limits bind as well. (Nesting: reserved for the durable ledgers.)"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A part of an account's room that one request holds."""

    id: str
    account: str
    amount: Spend
    """The most that the request can cost."""
    note: dict[str, str] = field(default_factory=dict)
    """What it is for: model, node."""


class Ledger(Protocol):
    """Two-phase spending. Every method is atomic; the forms that begin with `a` do the same on an event loop."""

    def open(self, account: Account, reading: Reading | None = None) -> None:
        """Open an account; opening it again changes nothing.

        `reading` is the last known reading (from a checkpoint). A ledger that doesn't know the account starts from
        it: what was held then is unknown now, and stays charged in full.
        """

    def hold(self, account: str, amounts: Sequence[Spend], note: dict[str, str] | None = None) -> list[Reservation]:
        """Hold all amounts or none.

        Raises:
            BudgetExceeded: they don't fit; says which limit, asked, left.
            LedgerError: no such account.
        """

    def settle(self, reservation: str, actual: Spend) -> None:
        """Post what the call did cost; the second settling of the same reservation changes nothing.

        Raises:
            HoldExceeded: it cost more than the hold. It is posted in full first.
        """

    def void(self, reservation: str) -> None:
        """Give the hold back: only when the request provably never left."""

    def lose(self, reservation: str) -> None:
        """Nobody knows what the call cost: it stays charged in full, as unknown, until somebody settles it."""

    def knows(self, reservation: str) -> bool:
        """Is this reservation open here? After a restart from a reading it isn't."""

    def room(self, account: str) -> Room:
        """What is left now."""

    def reading(self, account: str) -> Reading:
        """The totals now, for graph state."""

    async def aopen(self, account: Account, reading: Reading | None = None) -> None: ...
    async def ahold(
        self, account: str, amounts: Sequence[Spend], note: dict[str, str] | None = None
    ) -> list[Reservation]: ...
    async def asettle(self, reservation: str, actual: Spend) -> None: ...
    async def avoid(self, reservation: str) -> None: ...
    async def alose(self, reservation: str) -> None: ...
    async def aknows(self, reservation: str) -> bool: ...
    async def aroom(self, account: str) -> Room: ...
    async def areading(self, account: str) -> Reading: ...
