"""The ledger: the only place that knows what is left.

Hold, then pay. A *reservation* holds the most that a call can cost before the request leaves; it is *settled* once
with what the call did cost, or *voided* if the request provably never left. One that is neither stays charged in
full: unknown is not zero.
"""

from rheostat.ledger.memory import MemoryLedger
from rheostat.ledger.protocol import Account, Ledger, Note, Reading, Reservation, latest_reading
from rheostat.ledger.sqlite import SQLiteLedger
from rheostat.ledger.window import Window

__all__ = [
    "Account",
    "Ledger",
    "MemoryLedger",
    "Note",
    "Reading",
    "Reservation",
    "SQLiteLedger",
    "Window",
    "latest_reading",
]
