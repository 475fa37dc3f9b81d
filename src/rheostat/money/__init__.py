"""Budgets, prices, and the ledgers that keep the spend.

In: budgets, tokens, prices. Out: reservations that are held and settled, and readings of the spend. This package never
sees a request, and doesn't know which provider answers it.
"""
