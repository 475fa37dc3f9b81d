"""Estimate the difficulty of tasks, and set length caps.

In: a task, and the tokens that replies have used so far. Out: a difficulty, and the length cap of a reply. It never
spends, except for the probe that draws several answers.
"""
