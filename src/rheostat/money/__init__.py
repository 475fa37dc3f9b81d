"""What a step may cost, what it did cost, and the books that say so.

In: budgets, tokens, prices. Out: reservations that are held and settled, and readings of what was spent. It never knows
what a request looks like or which provider answers it.
"""
