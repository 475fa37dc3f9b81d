"""What to draw next, and when to stop.

In: the task, the candidates so far, and a view of models, room and caps. Out: draws, an acceptance or a stop. Every
strategy is a pure function of these: it sends nothing, keeps nothing, and can be replayed over recorded samples.
"""

from rheostat.strategies.auto import Auto
from rheostat.strategies.base import Accept, Available, Decision, Draw, Stop, Strategy, View, best
from rheostat.strategies.best_of_n import BestOfN
from rheostat.strategies.direct import Direct
from rheostat.strategies.refine import Refine
from rheostat.strategies.tree import TreeSearch
from rheostat.strategies.vote import Vote

__all__ = [
    "Accept", "Auto", "Available", "BestOfN", "Decision", "Direct", "Draw", "Refine", "Stop", "Strategy", "TreeSearch",
    "View", "Vote", "best",
]  # fmt: skip
