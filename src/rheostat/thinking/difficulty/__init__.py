"""Estimators of difficulty, which return a `Difficulty` with its reasons.

`heuristic` reads the question and costs nothing. `Agreement` draws a few cheap answers and checks whether they agree;
these calls are paid for like all others, so they must be worth their price. `read_trajectory` reads the state of an
agent.
"""

from rheostat.thinking.difficulty.agreement import Agreement
from rheostat.thinking.difficulty.heuristic import MAX_QUESTION_CHARS, check_question, heuristic
from rheostat.thinking.difficulty.trajectory import THOUGHT_WITH, Trajectory, read_trajectory

__all__ = [
    "MAX_QUESTION_CHARS",
    "THOUGHT_WITH",
    "Agreement",
    "Trajectory",
    "check_question",
    "heuristic",
    "read_trajectory",
]
