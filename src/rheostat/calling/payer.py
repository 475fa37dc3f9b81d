"""The account that pays for what happens now, and the call that was planned and held for it.

The payer stands in a context variable that our own code sets around model and tool calls. For what runs beside them
(another middleware's hook), modules that know the framework add a function to `lookups`. Graph state and message
metadata are never asked.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from rheostat.calling.watch import Work
from rheostat.flow import Effect
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger, RateSeen, Reservation
from rheostat.money.ledger.line import Owner
from rheostat.money.pricing import Price, Terms
from rheostat.money.usage import Spend

__all__ = ["PAYER", "Attempt", "Call", "Payer", "left", "lookups", "paid_by", "paying", "under"]


@dataclass(slots=True, eq=False)
class Attempt:
    """One request that left, and the holds it left under."""

    holds: list[tuple[Ledger, Reservation]]
    """At the account that pays, and at each agent around it whose account doesn't contain that one."""
    prices: Mapping[str, Price | None]
    """By model that may answer; `None`: the model has no price."""
    model: str
    """The model that the request names."""
    planned: bool = False
    """Whether it asks for the model that was planned."""
    started: float = field(default_factory=time.monotonic)
    spend: Spend | None = None
    """Its cost, once known."""
    charged: Spend | None = None
    """What it is charged at while its cost is unknown."""
    read: tuple[Spend, Terms] | None = None
    """The usage that its reply reports, while it waits to be settled."""
    request_id: str = ""
    answered: str = ""
    """The model that answered, as the reply names it."""
    effort: str = ""
    """As the body asks for it."""
    most_output_tokens: int | None = None
    """The length cap in the body."""
    paced: list[tuple[Ledger, str]] = field(default_factory=list)
    """The accounts with a rate at or above them, which want to know what the provider says of its limits."""
    said: RateSeen | None = None
    """What it said, until it is heeded."""
    closed: bool = False
    owner: Owner | None = None
    """The thread and task that sent it."""
    work: Work | None = None
    """It, as told to those who watch."""

    @property
    def price(self) -> Price | None:
        """The price of the requested model."""
        return self.prices[self.model]


@dataclass(slots=True, eq=False)
class Call:
    """A planned model call: its hold, what was decided and counted for it, and its attempts."""

    note: dict[str, str]
    """What the ledger notes with it: `model`, `node`."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    held: Reservation | None = None
    """The hold taken in advance; the first request uses it."""
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    """By planned model, as named on the wire; `None`: the model has no price."""
    context_tokens: int | None = None
    reread: tuple[str, int] | None = None
    """A thought that is sent back, and the most tokens that it can have."""
    most_thinking_tokens: int | None = None
    """The most thinking tokens in its output."""
    beyond_tokens: int = 0
    """Input tokens of a body beyond those held for it."""
    about: dict[str, Any] = field(default_factory=dict)
    """What was decided for it: fields of its step record; empty: no record is kept."""
    account: str = ""
    """The account of the run that pays."""
    alone: bool = True
    """Nothing else is held for its step, so it may wait for room."""
    wanted: Callable[[], bool] = lambda: True
    """Whether it may still leave, when it has waited for its turn."""
    refined: bool = False
    """The reply is settled by its reader, not by the gate: a dial may know more than the usage says."""
    attempts: list[Attempt] = field(default_factory=list)
    asked: Sequence[Any] = ()
    """The messages that are sent, and the replies as they came, for those who watch."""
    said: Sequence[Any] = ()
    stop: str = ""
    """Why the reply ended."""

    @property
    def amount(self) -> Spend:
        """The amount held for its last request."""
        holds = self.attempts[-1].holds if self.attempts else []
        return holds[0][1].amount if holds else Spend()

    @property
    def spend(self) -> Spend | None:
        """The cost of its last request; `None`: unknown, or nothing was sent."""
        return self.attempts[-1].spend if self.attempts else None


@dataclass(frozen=True, slots=True, eq=False)
class Payer:
    """An account that pays for what happens under it, and how."""

    ledger: Ledger
    account: str
    budget: Budget | None = None
    """Its own limits; those of the accounts above it bind as well."""
    limits: frozenset[str] | None = None
    """The names of the limits that bind, where there is no budget of its own; `None`: any may."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """Prices that the user declared, by the model's name on the wire."""
    outer: Payer | None = None
    """An agent around this one whose account doesn't contain this one: it pays as well."""
    call: Call | None = None
    gated: bool = True
    """Requests are read where they leave; False: LangChain's objects are trusted instead."""
    run: bool = False
    """An agent's run at its own steps: only a payer set in this context is around it, not one that `lookups` find."""
    patient: bool = True
    """Wait for room that is only held by requests in flight."""
    paced: bool = True
    """Wait for a rate, which time gives back."""

    def pays_for(self, other: Payer) -> bool:
        """Whether a hold on the other's account also holds here: it is this account, or lies beneath it."""
        return self.ledger is other.ledger and (
            other.account == self.account or other.account.startswith(f"{self.account}/")
        )

    def chain(self) -> Iterator[Payer]:
        """This payer, and each payer around it that must hold as well."""
        payer: Payer | None = self
        while payer is not None:
            yield payer
            payer = payer.outer


PAYER: ContextVar[Payer | None] = ContextVar("rheostat_payer", default=None)

lookups: list[Callable[[], Payer | None]] = []
"""Called in turn where no payer is set in this context."""


left: list[Callable[[Payer], None]] = []
"""Called with each payer whose work ended in an exception: a cancelled task gives no other sign."""


def paying() -> Payer | None:
    """The payer of a request that leaves here and now; `None`: no account of ours pays."""
    payer = PAYER.get()
    if payer is not None or not lookups:
        return payer
    return next((found for lookup in lookups if (found := lookup()) is not None), None)


@contextlib.contextmanager
def paid_by(payer: Payer) -> Iterator[Payer]:
    """Let this account pay for what happens inside. The payer around it pays too, unless its account lies above."""
    around = PAYER.get() if payer.run else paying()
    if around is not None and around.pays_for(payer):
        around = around.outer
    patient = payer.patient and (around is None or around.patient)
    paced = payer.paced and (around is None or around.paced)
    payer = replace(payer, outer=around if around is not payer else payer.outer, patient=patient, paced=paced)
    token = PAYER.set(payer)
    try:
        yield payer
    except BaseException:
        for tell in left:
            tell(payer)
        raise
    finally:
        PAYER.reset(token)


def under(payer: Payer, work: Effect) -> Effect:
    """The same work, paid for by this payer."""

    def do() -> Any:
        with paid_by(payer):
            return work.do()

    async def ado() -> Any:
        with paid_by(payer):
            return await work.ado()

    return Effect(do, ado)
