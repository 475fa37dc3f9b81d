"""The ledger: the only place that knows how much of a budget is left.

Hold, then pay. A *reservation* holds the most that a call can cost before the request leaves. It is *settled* once
with the actual cost, or *voided* if the request provably never left. A reservation that is neither stays charged in
full: unknown is not zero.

`law` has the rules for accounts and reservations; `memory`, `sqlite` and `postgres` store them.
"""

from rheostat.money.ledger.address import open_ledger
from rheostat.money.ledger.journal import Line
from rheostat.money.ledger.memory import MemoryLedger
from rheostat.money.ledger.postgres import PostgresLedger
from rheostat.money.ledger.protocol import Account, Ledger, Note, Reading, Reservation, latest_reading
from rheostat.money.ledger.rate import Rate, RateSeen
from rheostat.money.ledger.sqlite import SQLiteLedger
from rheostat.money.ledger.steps import StepRecord
from rheostat.money.ledger.use import Use, UseKey
from rheostat.money.ledger.window import Window

__all__ = [
    "Account",
    "Ledger",
    "Line",
    "MemoryLedger",
    "Note",
    "PostgresLedger",
    "Rate",
    "RateSeen",
    "Reading",
    "Reservation",
    "SQLiteLedger",
    "StepRecord",
    "Use",
    "UseKey",
    "Window",
    "latest_reading",
    "open_ledger",
]
