"""Decide which plan is worth its price: the policy of the solver, and the schedule of an agent's steps.

In: a difficulty, caps, room, the progress so far. Out: a plan with its reasons. Pure: it never calls a model or reads
a ledger.
"""
