"""How difficult a task is, and what a model can be set to.

In: a task, what replies used so far. Out: a difficulty, and how long a reply may be. It never spends, except for the
probe that asks several times.
"""
