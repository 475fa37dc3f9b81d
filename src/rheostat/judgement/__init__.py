"""Decide which plan is worth its price: the policy of the solver, and the schedule of an agent's steps.

In: a difficulty, caps, room. Out: a plan with its reasons, and a strategy with its numbers. Pure: it never calls a
model or reads a ledger.
"""
