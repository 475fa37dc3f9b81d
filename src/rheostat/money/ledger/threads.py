"""The async variants of a ledger whose methods block: each runs in a thread."""

from __future__ import annotations

from collections.abc import Sequence

from rheostat.money.budget import Budget, Room
from rheostat.money.ledger.notes import in_thread
from rheostat.money.ledger.protocol import Account, Ledger, Note, Reading, Reservation
from rheostat.money.ledger.rate import Rate, RateSeen
from rheostat.money.usage import Spend

__all__ = ["InThreads"]


class InThreads:
    """The methods of `Ledger` that begin with `a`. A cancelled caller takes back what its thread held."""

    async def aopen(self: Ledger, account: Account, reading: Reading | None = None) -> None:
        await in_thread(lambda: self.open(account, reading))

    async def aamend(self: Ledger, account: str, budget: Budget | None = None, *, rate: Rate | None = None) -> None:
        await in_thread(lambda: self.amend(account, budget, rate=rate))

    async def ahold(
        self: Ledger, account: str, amounts: Sequence[Spend], note: Note | None = None, *, ticket: str | None = None
    ) -> list[Reservation]:
        def give_back(held: list[Reservation]) -> None:
            for reservation in held:
                self.void(reservation.id)

        return await in_thread(lambda: self.hold(account, amounts, note, ticket=ticket), give_back)

    async def aadmit(
        self: Ledger, account: str, amount: Spend, note: Note | None = None, *, ticket: str | None = None
    ) -> tuple[Reservation, Room]:
        def give_back(admitted: tuple[Reservation, Room]) -> None:
            self.void(admitted[0].id)

        return await in_thread(lambda: self.admit(account, amount, note, ticket=ticket), give_back)

    async def aresize(self: Ledger, account: str, standing: str, amount: Spend, note: Note | None = None) -> None:
        await in_thread(lambda: self.resize(account, standing, amount, note))

    async def adraw(
        self: Ledger, account: str, standing: str, amounts: Sequence[Spend], note: Note | None = None
    ) -> list[Reservation]:
        def give_back(held: list[Reservation]) -> None:
            for reservation in held:
                self.void(reservation.id)

        return await in_thread(lambda: self.draw(account, standing, amounts, note), give_back)

    async def aline_up(self: Ledger, account: str, ticket: str, seconds: float, *, rate: bool = False) -> None:
        await in_thread(lambda: self.line_up(account, ticket, seconds, rate=rate))

    async def abegin(self: Ledger, reservation: str, *, ticket: str | None = None) -> Room | None:
        return await in_thread(lambda: self.begin(reservation, ticket=ticket))

    async def aheed(self: Ledger, account: str, seen: RateSeen) -> None:
        await in_thread(lambda: self.heed(account, seen))

    async def asettle(self: Ledger, reservation: str, actual: Spend, request_id: str = "") -> bool:
        return await in_thread(lambda: self.settle(reservation, actual, request_id))

    async def avoid(self: Ledger, reservation: str) -> bool:
        return await in_thread(lambda: self.void(reservation))

    async def amark_unknown(self: Ledger, reservation: str, estimate: Spend | None = None) -> bool:
        return await in_thread(lambda: self.mark_unknown(reservation, estimate))

    async def aexpire(self: Ledger, older_than_seconds: float, *, account: str | None = None) -> int:
        return await in_thread(lambda: self.expire(older_than_seconds, account=account))

    async def aroom(self: Ledger, account: str, *, patient: bool = False) -> Room:
        return await in_thread(lambda: self.room(account, patient=patient))

    async def areading(self: Ledger, account: str) -> Reading:
        return await in_thread(lambda: self.reading(account))
