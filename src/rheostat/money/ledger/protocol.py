"""What every ledger is: accounts, reservations, readings, and the verbs that they obey."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rheostat.errors import BadInput
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger.steps import StepRecord
from rheostat.money.ledger.use import Use, UseKey
from rheostat.money.ledger.window import Window
from rheostat.money.usage import Spend

__all__ = ["Account", "FormerNames", "Ledger", "Note", "Reading", "Reservation", "latest_reading"]

Note = dict[str, str]
"""What a reservation is for: `model`, `node`."""

Reading = dict[str, Any]
"""A meter reading: plain data that lives in graph state under the key `spend`.

========================  ============================================================================
`account`, `parent`       the account that was read, and the one above it (or an empty text)
`version`                 rises with every change of the account; the highest one wins
`usd_nanos`               settled, in nano-dollars (`None`: a model without a price was used)
`input_tokens` …          settled, by kind, as in `Spend`; `calls`; `milliseconds` that the calls took
`held_usd_nanos` …        held: calls in flight
`unknown_usd_nanos` …     charged at their hold, or an estimate within it: cut, cancelled, killed
`unknown_calls`           how many those are
`overrun_usd_nanos`       what providers charged above a hold (posted in full)
`by_model`, `by_node`     settled, by name: the 20 largest, the rest under `others`
`opened_at`               seconds since the epoch
`elapsed_milliseconds`    since then, when the account last changed: the deadline counts it
========================  ============================================================================

Keeping the highest version is commutative, associative and idempotent: replays, forks, retries, subgraphs and
parallel branches can neither count it twice nor lose it, and its size doesn't grow with the number of steps.
"""


def latest_reading(left: Reading | None, right: Reading | None) -> Reading:
    """The reducer of the `spend` channel: the reading with the highest version.

    A reading of another account (from a cached node, say) never replaces one's own: its version counts other things.
    """
    if not left or not right:
        return right or left or {}
    if left["account"] != right["account"]:
        return left
    return right if right["version"] >= left["version"] else left


@dataclass(frozen=True, slots=True)
class Account:
    """The budget of a tenant's, a user's, a thread's, a run's, a subagent's."""

    id: str
    budget: Budget | None = None
    """Its hard limits; `None`: it only counts, and its parents bind."""
    parent: str | None = None
    """The account whose limits bind as well, and its parents' in turn. It must be open, and never changes."""
    window: Window | None = None
    """The limits start anew each day or month; `None`: they hold for the account's whole life."""

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

        hold ──► held ──begin──► sent ──settle──► settled     charged what it cost
                 ▲ │               │ ▲
             draw │ │     mark_unknown │ settle                late news
                 │ │               ▼ │
        resize ─► │ │            unknown ───────────────────    charged its hold, or an estimate within it
         standing │ └──void────► void ◄──void── (sent, unknown: as soon as it is known that it never left)

    A *standing* hold is kept back for something that will come, such as the last word of a run: it is charged like any
    other, changes its size as it is told to, and is never sent itself.

    The forms that begin with `a` do the same on an event loop. `rheostat.testing.ledger_machine` tests a ledger of
    your own against this law.
    """

    def open(self, account: Account, reading: Reading | None = None) -> None:
        """Open an account; opening it again changes nothing.

        `reading` is the last known reading (from a checkpoint; `{}` at first). A ledger that doesn't know the account
        starts from it: what was held then is unknown now, and stays charged in full. One that knows it better ignores
        it. Without one (`None`) nothing could bring the account back, so that no ledger may forget it.

        Raises:
            LedgerError: the parent isn't open, or the account is open under another parent; a damaged reading.
        """

    def amend(self, account: str, budget: Budget) -> None:
        """Give an open account other limits, higher or lower: the next hold feels them."""

    @property
    def shared(self) -> bool:
        """Other processes may have the same accounts."""

    def chain(self, account: str) -> list[str]:
        """The account and all its parents."""

    def hold(
        self, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]:
        """Hold all amounts or none, here and at every parent.

        Args:
            ticket: One's place in the line (see `line_up`); an empty text: none, but those in the line go first;
                `None`: the line isn't looked at.

        Raises:
            BudgetExceeded: they don't fit; says which account, which limit, asked, held, settled, left. Its `waits`
                says that they may when requests that are under way have come back.
            NoPrice: an amount without a price under a limit in money.
            LedgerError: no such account.
            LedgerUnavailable: the ledger can't be reached: nothing may be sent.
        """

    def admit(
        self, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]:
        """Hold and begin in one atomic step: for a request that leaves now.

        Raises:
            BudgetExceeded, NoPrice, LedgerError, LedgerUnavailable: as `hold`; it must not leave.
        """

    def resize(self, account: str, standing: str, amount: Spend, note: Note | None = None) -> None:
        """Let a standing hold of this name be so large from now on; there is one for a name. Of nothing: none.

        Raises:
            BudgetExceeded: what it grows by doesn't fit; it stays as it was.
            LedgerError: that name is another account's, or an ordinary reservation's.
        """

    def draw(
        self, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]:
        """Hold amounts out of a standing hold, which becomes smaller by them; all or none.

        Raises:
            BudgetExceeded: what they are larger than the standing hold doesn't fit; nothing has changed.
        """

    def line_up(self, account: str, ticket: str, seconds: float) -> None:
        """Wait for room at this account: those that came before go first. The place is kept for this many seconds, and
        for as many more each time that this is called again; zero gives it up."""

    def begin(self, reservation: str) -> Room | None:
        """The request is about to leave: returns the room (its seconds cut the request).

        `None`: it must not be sent under this reservation, because it was begun before (a process that died)
        or it isn't known here. What was begun before stays charged in full, as unknown.
        """

    def settle(self, reservation: str, actual: Spend, request_id: str = "") -> bool:
        """Post what the call did cost; False: it was settled or given back before, and nothing changed.

        Raises:
            HoldExceeded: it cost more than the hold. It is posted in full first.
        """

    def void(self, reservation: str) -> bool:
        """Give the hold back: only when the request provably never left."""

    def mark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool:
        """The cost of the call is unknown: it stays charged, as unknown, until it is settled.

        It is charged its full hold; or an `estimate`, as far as that lies within the hold, kind by kind.
        """

    def expire(self, older_than_seconds: float) -> int:
        """Reservations whose holder must be dead: begun ones become unknown, others are given back. How many."""

    def record(self, step: StepRecord) -> None:
        """Note what was decided for a call, and count what its reply used. A ledger may drop the oldest notes, but not
        the counts."""

    def uses(self, model: str | None = None) -> dict[UseKey, Use]:
        """How many tokens replies used, by (model, effort, purpose), of all steps that were ever noted."""

    def steps(self, account: str | None = None) -> list[StepRecord]:
        """What was noted, the oldest first; of one account (a run), or of all."""

    def room(self, account: str, *, patient: bool = False) -> Room:
        """What is left now: the least of the account and all its parents, limit by limit.

        Args:
            patient: As it will be at the most when all that is under way has come back; standing holds stay.
        """

    def reading(self, account: str) -> Reading:
        """The totals now, for graph state."""

    async def aopen(self, account: Account, reading: Reading | None = None) -> None: ...
    async def aamend(self, account: str, budget: Budget) -> None: ...
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
    async def aline_up(self, account: str, ticket: str, seconds: float) -> None: ...
    async def abegin(self, reservation: str) -> Room | None: ...
    async def asettle(self, reservation: str, actual: Spend, request_id: str = "") -> bool: ...
    async def avoid(self, reservation: str) -> bool: ...
    async def amark_unknown(self, reservation: str, estimate: Spend | None = None) -> bool: ...
    async def aexpire(self, older_than_seconds: float) -> int: ...
    async def arecord(self, step: StepRecord) -> None: ...
    async def auses(self, model: str | None = None) -> dict[UseKey, Use]: ...
    async def aroom(self, account: str, *, patient: bool = False) -> Room: ...
    async def areading(self, account: str) -> Reading: ...


class FormerNames:
    """Verbs under the names that they had before; deprecated."""

    def lose(self: Ledger, reservation: str, estimate: Spend | None = None) -> bool:
        """As `mark_unknown`."""
        warnings.warn("lose is mark_unknown now", DeprecationWarning, stacklevel=2)
        return self.mark_unknown(reservation, estimate)

    async def alose(self: Ledger, reservation: str, estimate: Spend | None = None) -> bool:
        """As `amark_unknown`."""
        warnings.warn("alose is amark_unknown now", DeprecationWarning, stacklevel=2)
        return await self.amark_unknown(reservation, estimate)
