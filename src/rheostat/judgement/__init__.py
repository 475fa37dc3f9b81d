"""Which plan is worth its price: the policy of the solver, and the schedule of an agent's steps.

In: a difficulty, caps, room, what happened so far. Out: a plan, and the reasons for it. Pure: it never calls a model or
reads a ledger.
"""
