"""The ledger's verbs as flows, taking turns with others that want the same room."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from rheostat.calling.payer import PAYER, under
from rheostat.calling.watch import begin, end
from rheostat.errors import BadInput
from rheostat.flow import Effect, Flow
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger import Account, Ledger, Reading, Reservation, Use, UseKey
from rheostat.money.ledger.line import chain_of, last_word_of, line_of
from rheostat.money.ledger.patience import patiently
from rheostat.money.usage import Spend

__all__ = ["Holds", "OnContention"]

T = TypeVar("T")
OnContention: TypeAlias = Literal["wait", "refuse"]
"""Where room is only held by requests in flight: wait for it, or refuse at once."""

_SWEEP_SECONDS = 600.0
_REMEMBERED = 10_000
_USES_SECONDS = 10.0


def _enough(kept: Spend, amount: Spend) -> bool:
    return kept.covers(amount) and (amount + amount).covers(kept)


class Holds:
    """A ledger's verbs as flows: run them with `rheostat.flow.drive` or `adrive`.

    Args:
        on_contention: See `OnContention`.
        stale_after_seconds: See `Meter`.
    """

    def __init__(self, ledger: Ledger, *, on_contention: OnContention, stale_after_seconds: float | None) -> None:
        if on_contention not in get_args(OnContention):
            raise BadInput(f"on_contention must be wait or refuse, not {on_contention!r}")
        self.ledger = ledger
        self.on_contention: OnContention = on_contention
        self._stale_after_seconds = stale_after_seconds
        self._swept_at = float("-inf")
        self._kept: dict[str, Spend] = {}
        self._uses: dict[str, tuple[float, Mapping[UseKey, Use]]] = {}

    def open(self, account: Account, reading: Reading | None) -> Flow[None]:
        """Open an account, restored from its last reading if the ledger has forgotten it."""
        yield Effect(lambda: self.ledger.open(account, reading), lambda: self.ledger.aopen(account, reading))
        stale = line_of(self.ledger).stale_after_seconds = self._stale_after_seconds
        if stale is not None and time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            yield Effect(lambda: self.ledger.expire(stale), lambda: self.ledger.aexpire(stale))

    def amend(self, account: str, budget: Budget) -> Flow[None]:
        """Give an open account new limits."""
        yield Effect(lambda: self.ledger.amend(account, budget), lambda: self.ledger.aamend(account, budget))
        line_of(self.ledger).stir()

    def reading(self, account: str) -> Flow[Reading]:
        """The account's current totals."""
        reading: Reading = yield Effect(lambda: self.ledger.reading(account), lambda: self.ledger.areading(account))
        return reading

    @property
    def patient(self) -> bool:
        """Whether to wait for room that is only held by requests in flight."""
        payer = PAYER.get()  # nothing waits inside work that itself holds room
        return self.on_contention == "wait" and (payer is None or payer.patient)

    @property
    def paced(self) -> bool:
        """Whether to wait for a rate. Work that itself holds room does too: it has nothing in flight."""
        payer = PAYER.get()
        return self.on_contention == "wait" and (payer is None or payer.paced)

    def room(self, account: str) -> Flow[Room]:
        """The room that is left; if this meter waits, also what requests in flight may give back."""
        patient = {"patient": True} if self.patient else {}
        room: Room = yield Effect(
            lambda: self.ledger.room(account, **patient), lambda: self.ledger.aroom(account, **patient)
        )
        return room

    def uses(self, model: str) -> Flow[Mapping[UseKey, Use]]:
        """The tokens that this model's replies used, as of a few seconds ago."""
        at, known = self._uses.get(model, (float("-inf"), {}))
        if time.monotonic() - at > _USES_SECONDS:
            known = yield Effect(lambda: self.ledger.uses(model), lambda: self.ledger.auses(model))
            self._uses[model] = time.monotonic(), known
        return known

    def hold(
        self, account: str, amounts: Sequence[Spend], note: dict[str, str], *, alone: bool = True
    ) -> Flow[list[Reservation]]:
        """Hold all or none, in turn; see `Ledger.hold`.

        Args:
            alone: The caller holds nothing but its standing hold; otherwise it doesn't wait.
        """

        def work(ticket: str | None) -> Flow[list[Reservation]]:
            place = {} if ticket is None else {"ticket": ticket}
            held: list[Reservation] = yield Effect(
                lambda: self.ledger.hold(account, amounts, note, **place),
                lambda: self.ledger.ahold(account, amounts, note, **place),
            )
            return held

        return (yield from self._patiently(account, work, alone=alone))

    def _patiently(self, account: str, work: Callable[[str | None], Flow[T]], *, alone: bool = True) -> Flow[T]:
        wait = alone and self.patient
        return (yield from patiently(self.ledger, account, work, wait=wait, standing=last_word_of(account)))

    # --- the last word ----------------------------------------------------------------------------

    def begins(self, account: str) -> None:
        """Begin a new run: nothing is kept back for it yet."""
        self._kept[account] = Spend()
        while len(self._kept) > _REMEMBERED:
            self._kept.pop(next(iter(self._kept)), None)

    def keep(self, account: str, amount: Spend, note: dict[str, str]) -> Flow[None]:
        """Keep this amount back for the last word of this run; an empty one gives it back.

        The hold changes only if it is too small, or more than twice as large as needed.

        Raises:
            BudgetExceeded: it doesn't fit.
        """
        kept = self._kept.get(account)  # None: another process may have kept something for it
        if kept is not None and (kept == amount or (amount != Spend() and _enough(kept, amount))):
            return
        standing = last_word_of(account)

        def work(ticket: str | None) -> Flow[None]:
            yield Effect(
                lambda: self.ledger.resize(account, standing, amount, note),
                lambda: self.ledger.aresize(account, standing, amount, note),
            )

        grows = not (kept or Spend()).covers(amount)  # giving room back mustn't wait in line
        yield from self._patiently(account, work, alone=grows)
        self._kept[account] = amount
        line = line_of(self.ledger)
        if amount == Spend():
            line.keeps(standing, None)
        elif kept is None or kept == Spend():
            line.keeps(standing, frozenset((yield from chain_of(self.ledger, account))))
        line.stir()

    def kept(self, account: str) -> Flow[Spend]:
        """The reserve for the last word of this run. One that a dead process left is given back first."""
        if account not in self._kept:
            yield from self.keep(account, Spend(), {})
        return self._kept[account]

    def keeps_for(self, account: str) -> bool:
        """Whether this process keeps a reserve for a run."""
        return self._kept.get(account, Spend()) != Spend()

    def ends(self, account: str) -> Flow[None]:
        """End a run: give its reserve back and forget it."""
        yield from self.keep(account, Spend(), {})
        self._kept.pop(account, None)
        line_of(self.ledger).keeps(last_word_of(account), None)

    def draw(self, account: str, amounts: Sequence[Spend], note: dict[str, str]) -> Flow[list[Reservation]]:
        """Hold all or none out of the reserve; see `Ledger.draw`."""
        standing, kept = last_word_of(account), self._kept.get(account, Spend())

        def work(ticket: str | None) -> Flow[list[Reservation]]:
            held: list[Reservation] = yield Effect(
                lambda: self.ledger.draw(account, standing, amounts, note),
                lambda: self.ledger.adraw(account, standing, amounts, note),
            )
            return held

        total = sum(amounts, Spend())
        held = yield from self._patiently(account, work, alone=not kept.covers(total))
        if kept != Spend():
            self._kept[account] = kept.beyond(total)
            if self._kept[account] == Spend():
                line_of(self.ledger).keeps(standing, None)
        return held

    def void(self, reservation: str) -> Flow[None]:
        """Void a hold whose request never left."""
        yield Effect(lambda: self.ledger.void(reservation), lambda: self.ledger.avoid(reservation))
        line_of(self.ledger).stir()

    def _settle(self, reservation: str, actual: Spend) -> Flow[None]:
        yield Effect(
            lambda: self.ledger.settle(reservation, actual),
            lambda: self.ledger.asettle(reservation, actual),
        )
        line_of(self.ledger).stir()

    def _mark_unknown(self, reservation: str) -> Flow[None]:
        yield Effect(lambda: self.ledger.mark_unknown(reservation), lambda: self.ledger.amark_unknown(reservation))
        line_of(self.ledger).stir()

    # --- what isn't a model ---------------------------------------------------------------------------

    def pay(
        self,
        account: str,
        price: Spend,
        note: dict[str, str],
        work: Effect,
        *,
        unfinished: tuple[type[BaseException], ...] = (),
    ) -> Flow[Any]:
        """Do work with a declared price, such as a tool on a paid API: hold, do, settle.

        The price is charged whether the work succeeds or raises, since failures aren't declared free. Only an
        `unfinished` one (an interrupt: it will be done again from the beginning) is given back.

        Raises:
            BudgetExceeded: the price doesn't fit; `work` wasn't begun.
            Exception: raised by `work`.
        """

        def admit(ticket: str | None) -> Flow[Reservation]:
            place = {} if ticket is None else {"ticket": ticket}
            held, _ = yield Effect(
                lambda: self.ledger.admit(account, price, note, **place),
                lambda: self.ledger.aadmit(account, price, note, **place),
            )
            reservation: Reservation = held
            return reservation

        reservation = yield from self._patiently(account, admit)
        payment = begin("payment", note.get("node", ""), account=account, price=price)
        payer = PAYER.get()
        try:
            result = yield work if payer is None else under(replace(payer, patient=False), work)
        except unfinished:
            yield from self.void(reservation.id)
            end(payment, outcome="void")
            raise
        except Exception as error:
            yield from self._settle(reservation.id, price)
            end(payment, error, outcome="settled")
            raise
        except BaseException as error:  # cancelled: the work may have been done
            yield from self._mark_unknown(reservation.id)
            end(payment, error, outcome="unknown")
            raise
        yield from self._settle(reservation.id, price)
        end(payment, outcome="settled")
        return result
