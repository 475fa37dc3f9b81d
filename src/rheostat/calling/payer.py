"""Who pays for what happens now, and what was planned and held for it.

The truth about whose money it is stands in a context variable that our own code sets around model and tool calls. What
runs beside them (another middleware's hook) is found by whoever knows the framework: see `lookups`. Neither graph state
nor a message's metadata is ever asked.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from rheostat.flow import Effect
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger, Reservation
from rheostat.money.ledger.line import Owner
from rheostat.money.pricing import Price, Terms
from rheostat.money.usage import Spend

__all__ = ["PAYER", "Attempt", "Call", "Payer", "left", "lookups", "paid_by", "paying", "under"]


@dataclass(slots=True, eq=False)
class Attempt:
    """One request that left, and the holds under which it did."""

    holds: list[tuple[Ledger, Reservation]]
    """At the account that pays, and at that of each agent around it that keeps other books."""
    prices: Mapping[str, Price | None]
    """Of the models that may answer; `None`: it has none."""
    model: str
    """The one that is asked."""
    planned: bool = False
    """It is the model that a plan named."""
    started: float = field(default_factory=time.monotonic)
    spend: Spend | None = None
    """What it cost, when that is known."""
    read: tuple[Spend, Terms] | None = None
    """What its reply says that it used, while it waits to be settled."""
    request_id: str = ""
    answered: str = ""
    """The model that answered, as the reply has it."""
    effort: str = ""
    """As the body had it."""
    most_output_tokens: int | None = None
    """The length cap that the body had."""
    closed: bool = False
    owner: Owner | None = None
    """The thread and task that sent it."""

    @property
    def price(self) -> Price | None:
        """Of the model that is asked."""
        return self.prices[self.model]


@dataclass(slots=True, eq=False)
class Call:
    """A model call that was planned: what is held for it, what was counted for it, and what became of it."""

    note: dict[str, str]
    """What the ledger notes: `model`, `node`."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    held: Reservation | None = None
    """Held in advance; the first request takes it."""
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    """Of the models that were planned, by their names on the wire; `None`: it has none."""
    context_tokens: int | None = None
    reread: tuple[str, int] | None = None
    """A thought that is sent back, and how many tokens it has at the most."""
    most_thinking_tokens: int | None = None
    """The most of its output that can be thought."""
    beyond_tokens: int = 0
    """What a body had beyond what was held for it."""
    about: dict[str, Any] = field(default_factory=dict)
    """What was decided for it, for its record; empty: none is kept."""
    account: str = ""
    """The run that pays."""
    alone: bool = True
    """Nothing else is held for the step that it belongs to: it may wait for room."""
    refined: bool = False
    """A reply is settled by its reader, not by the gate: a dial may know more of it than its usage says."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def amount(self) -> Spend:
        """What was held for its last request."""
        holds = self.attempts[-1].holds if self.attempts else []
        return holds[0][1].amount if holds else Spend()

    @property
    def spend(self) -> Spend | None:
        """What its last request cost; `None`: that isn't known, or there was none."""
        return self.attempts[-1].spend if self.attempts else None


@dataclass(frozen=True, slots=True, eq=False)
class Payer:
    """An account that pays for what happens under it."""

    ledger: Ledger
    account: str
    budget: Budget | None = None
    """Its own limits; those of the accounts above it bind as well."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """Declared by the user, by the name on the wire."""
    outer: Payer | None = None
    """An agent around this one whose books these are not: it pays as well."""
    call: Call | None = None
    gated: bool = True
    """What leaves is looked at where it leaves; False: LangChain's objects are believed."""
    run: bool = False
    """An agent's run, at its own steps: what is found beside it is another agent, which pays for itself."""
    patient: bool = True
    """What finds its room held by requests under way waits for it."""

    def pays_for(self, other: Payer) -> bool:
        """What is held on the other's account is held on this one too, since it lies beneath."""
        return self.ledger is other.ledger and (
            other.account == self.account or other.account.startswith(f"{self.account}/")
        )

    def chain(self) -> Iterator[Payer]:
        """This one, and each around it that has to be asked too."""
        payer: Payer | None = self
        while payer is not None:
            yield payer
            payer = payer.outer


PAYER: ContextVar[Payer | None] = ContextVar("rheostat_payer", default=None)

lookups: list[Callable[[], Payer | None]] = []
"""Asked, in turn, where no payer is set in this context."""


left: list[Callable[[Payer], None]] = []
"""Told of each payer whose work was left by an exception: a cancelled task tells nothing else."""


def paying() -> Payer | None:
    """Who pays for a request that leaves here and now; `None`: it is nothing of ours."""
    payer = PAYER.get()
    if payer is not None or not lookups:
        return payer
    return next((found for lookup in lookups if (found := lookup()) is not None), None)


@contextlib.contextmanager
def paid_by(payer: Payer) -> Iterator[Payer]:
    """Let this account pay for what happens inside, and whoever paid so far as well, unless it lies above."""
    around = PAYER.get() if payer.run else paying()
    if around is not None and around.pays_for(payer):
        around = around.outer
    patient = payer.patient and (around is None or around.patient)
    payer = replace(payer, outer=around if around is not payer else payer.outer, patient=patient)
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
    """The same work, paid for by this account."""

    def do() -> Any:
        with paid_by(payer):
            return work.do()

    async def ado() -> Any:
        with paid_by(payer):
            return await work.ado()

    return Effect(do, ado)
