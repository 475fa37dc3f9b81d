"""The first draw: where a kind's own few counts aren't sure, the arm that is best on all kinds together is played."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rheostat.judgement.belief import Belief, Chances
from rheostat.judgement.profile import Arm, Profile
from rheostat.judgement.worth import Choice, Weigher

__all__ = ["Sure"]

_SURE: Final = 1.0
"""Another arm than the one that is best on all kinds must be ahead by so many standard errors."""


@dataclass(slots=True)
class Sure:
    """Chooses arms for one kind of task, and is never worse than the best fixed arm where it isn't sure."""

    profile: Profile
    kind: str
    arms: tuple[Arm, ...]
    chances: Chances
    """By this kind's own counts."""
    weigher: Weigher
    everywhere: Chances | None = None
    """By the counts of all kinds; `None`: there are no others."""
    errors: tuple[float, ...] = ()
    """The standard error of each arm's rate."""

    @classmethod
    def of(
        cls,
        profile: Profile,
        kind: str,
        arms: Sequence[Arm],
        weigher: Weigher,
        moved: Mapping[str, float] | None = None,
    ) -> Sure:
        """A chooser over these arms; `weigher` has an option for each.

        Args:
            moved: By model: how much better it does on this task than usual, in log-odds.
        """
        own = profile.chances(kind, arms)
        if moved:
            rates = [_moved(rate, moved.get(arm.model, 0.0)) for rate, arm in zip(own.rates, arms, strict=True)]
            own = replace(own, rates=tuple(rates))
        several = any(arm in each.arms for name, each in profile.kinds.items() if name != kind for arm in arms)
        everywhere = profile.chances(kind, arms, everywhere=True) if several else None
        errors = tuple(
            math.sqrt(rate * (1 - rate) / (profile.tried(kind, arm) + 2))
            for rate, arm in zip(own.rates, arms, strict=True)
        )
        return cls(profile, kind, tuple(arms), own, weigher, everywhere, errors)

    def choose(self, belief: Belief, *, can: Callable[[int], bool] = lambda arm: True) -> Choice:
        """The best arm to play next, or to stop.

        Args:
            can: Whether an arm can be played now.
        """
        choice = self.weigher.choose(belief, can=can)
        if belief.plays or self.everywhere is None or choice.arm is None:
            return choice
        safe = self.weigher.choose(Belief.of(self.everywhere), can=can).arm
        if safe is None or safe == choice.arm:
            return choice
        instead = self.weigher.value_of(belief, safe)
        error = self.weigher.worth * math.hypot(self.errors[choice.arm], self.errors[safe])
        return choice if choice.value - instead.value >= _SURE * error else instead


def _moved(rate: float, log_odds: float) -> float:
    return 1 / (1 + math.exp(-math.log(rate / (1 - rate)) - log_odds)) if log_odds else rate
