"""How hard does a task look? Estimators return a `Difficulty` with its reasons.

`heuristic` reads the question and costs nothing. `Agreement` draws a few cheap answers and looks whether they agree;
that is paid for like every other call, so it must earn its price. `read_trajectory` reads where an agent is.
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
