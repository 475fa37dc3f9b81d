"""The ledger: the only place that knows what is left.

Hold, then pay. A *reservation* holds the most that a call can cost before the request leaves; it is *settled* once
with what the call did cost, or *voided* if the request provably never left. One that is neither stays charged in
full: unknown is not zero.
"""

from rheostat.ledger.memory import MemoryLedger
from rheostat.ledger.protocol import Account, Ledger, Reading, Reservation, latest_reading

__all__ = ["Account", "Ledger", "MemoryLedger", "Reading", "Reservation", "latest_reading"]
