"""What to draw next, and when to stop.

In: the task, the candidates so far, and a view of models, room and caps. Out: draws, an acceptance or a stop. Every
strategy is a pure function of these: it sends nothing, keeps nothing, and can be replayed over recorded samples.
"""

from rheostat.errors import BadInput
from rheostat.strategies.base import Accept, Available, Decision, Draw, Stop, Strategy, View, best
from rheostat.strategies.beam import Beam
from rheostat.strategies.best_of_n import BestOfN
from rheostat.strategies.direct import Direct
from rheostat.strategies.refine import Refine
from rheostat.strategies.tree import TreeSearch
from rheostat.strategies.vote import Vote

__all__ = [
    "STRATEGIES", "Accept", "Available", "Beam", "BestOfN", "Decision", "Direct", "Draw", "Refine", "Stop",
    "Strategy", "TreeSearch", "View", "Vote", "as_strategy", "best", "name_of",
]  # fmt: skip

STRATEGIES: dict[str, type[Strategy]] = {
    "direct": Direct, "vote": Vote, "refine": Refine, "best-of-n": BestOfN, "beam": Beam, "tree": TreeSearch,
}  # fmt: skip
"""The strategies by the names that the command line takes."""


def as_strategy(given: Strategy | str) -> Strategy | None:
    """A strategy by its name, or the object itself; `None` for `auto`.

    Raises:
        BadInput: there is no such strategy, or the object has no `decide`.
    """
    if given == "auto":
        return None
    if isinstance(given, str):
        if given not in STRATEGIES:
            raise BadInput(f"no strategy named {given!r}; choose auto, {', '.join(STRATEGIES)}")
        return STRATEGIES[given]()
    if isinstance(given, type) or not isinstance(given, Strategy):
        raise BadInput(f"a strategy is a name or an object with decide(task, history, view), not {given!r}")
    return given


def name_of(strategy: Strategy | None) -> str:
    """The name of a strategy as the command line takes it, `auto` for `None`; that of its class for one of your own."""
    if strategy is None:
        return "auto"
    return next((name for name, each in STRATEGIES.items() if type(strategy) is each), type(strategy).__name__)
