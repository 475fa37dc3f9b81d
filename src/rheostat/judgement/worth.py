"""The one sum that decides: what a right answer is worth, times its probability, less the expected cost.

`worth · P − E[cost]` is computed for each arm that could be played next, and for stopping now. With a verifier, arms
are opened in Weitzman's order (Weitzman 1979, Econometrica 47:641): the smallest cost for each unit of probability
first, again after each refusal, until none is worth its price. Without one, a few draws are looked ahead: a further
answer is worth its price where its agreement would make the leading answer surer.

Costs are expected, never worst cases: those are held by the gate. A policy that may play one arm and stop does so
where nothing is better, so that by these rates it is never worse than the best fixed arm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rheostat.judgement.belief import Belief, Play
from rheostat.money.usage import usd

__all__ = ["TIMES", "Choice", "Option", "Unit", "Weigher", "amount", "reference"]

TIMES: Final = {"fast": 3.0, "balanced": 10.0, "thorough": 50.0}
"""The worth of a right answer for each preset, in multiples of the `reference` price."""
_MOST_OPTIONS: Final = 5
"""The arms that are looked at for each decision."""
_MOST_NODES: Final = 1200
_LONGEST: Final = 24

Unit = str
"""`usd`: nano-dollars; `tokens`: generated tokens, for models without a price."""


def amount(value: float, unit: Unit) -> str:
    """An amount as people read it."""
    return usd(round(value)) if unit == "usd" else f"{value:,.0f} tokens"


@dataclass(frozen=True, slots=True)
class Option:
    """An arm that can be played next."""

    arm: int
    """Its number in the belief's chances."""
    cost: float
    """Its expected cost: nano-dollars, or tokens."""
    again: bool = True
    """It can be played more than once: its samples differ."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is best to do, and its sum."""

    arm: int | None
    """The arm to play; `None`: stop."""
    chance: float
    """P(right): of this draw, or of the leading answer where it is best to stop."""
    cost: float
    """The expected cost of the draw."""
    value: float
    """The value of going on in the best way, less its expected costs."""
    now: float
    """The value of stopping now."""
    worth: float
    unit: Unit = "usd"

    @property
    def sum(self) -> str:
        """The sum as people read it: `P 0.62 · $0.05 − $0.004 = $0.027`."""
        worth, cost = amount(self.worth, self.unit), amount(self.cost, self.unit)
        return f"P {self.chance:.2f} · {worth} − {cost} = {amount(self.chance * self.worth - self.cost, self.unit)}"

    @property
    def gain(self) -> str:
        """What going on brings, compared with stopping."""
        return f"{amount(self.value, self.unit)} against {amount(self.now, self.unit)} for stopping"


def reference(rates: Sequence[float], costs: Sequence[float]) -> float:
    """The price of a right answer from the arm that gives the most of them for its price; 0 without a price."""
    return min((cost / max(rate, 1e-3) for rate, cost in zip(rates, costs, strict=True) if cost), default=0.0)


@dataclass(slots=True)
class Weigher:
    """Chooses among the arms of one kind of task; remembers what it computed."""

    options: tuple[Option, ...]
    worth: float
    """The value of a right answer, in the unit of the costs."""
    verified: bool = False
    """A verifier tells right from wrong."""
    comparable: bool = True
    """Without a verifier: answers can be compared, so that agreement is evidence."""
    unit: Unit = "usd"
    _known: dict[Any, float] = field(default_factory=dict)
    _chosen: dict[Any, Choice] = field(default_factory=dict)

    def choose(self, belief: Belief, *, can: Callable[[int], bool] = lambda arm: True) -> Choice:
        """The best arm to play next, or to stop.

        The first draw is always made, even where no arm is worth its price: a question deserves an answer.

        Args:
            can: Whether an arm can be played now.
        """
        options = [option for option in self._open(belief) if can(option.arm)]
        key = (belief.key, tuple(option.arm for option in options))
        if key not in self._chosen:
            self._chosen[key] = self._choose(belief, options)
        return self._chosen[key]

    def value_of(self, belief: Belief, arm: int) -> Choice:
        """Playing this arm next, and going on in the best way."""
        option = next(each for each in self.options if each.arm == arm)
        [(value, _)] = self._valued(belief, [option]) or [(0.0, option)]
        now = self.worth * belief.leader[0]
        return Choice(arm, belief.chance(arm), option.cost, value, now, self.worth, self.unit)

    def _choose(self, belief: Belief, options: Sequence[Option]) -> Choice:
        now = self.worth * belief.leader[0]
        valued = self._valued(belief, self._kept(belief, options))
        best = max(valued, key=lambda each: (round(each[0] / self.worth, 9), -each[1].cost, -each[1].arm), default=None)
        if best is None or (best[0] <= now + 1e-9 * self.worth and belief.plays):
            return Choice(None, belief.leader[0], 0.0, now, now, self.worth, self.unit)
        value, option = best
        return Choice(option.arm, belief.chance(option.arm), option.cost, value, now, self.worth, self.unit)

    def _valued(self, belief: Belief, options: Sequence[Option]) -> list[tuple[float, Option]]:
        if self.verified:
            return [(self._ladder(belief, option), option) for option in options]
        if not self.comparable and belief.leader[1] >= 0:
            return []  # a second answer tells nothing about the first
        depth = _depth(len(options), len(belief.right)) if self.comparable else 1
        return [(self._ahead(belief, option, depth), option) for option in options]

    def _open(self, belief: Belief) -> list[Option]:
        """The arms that can be played: corrections where their arm was refused, and others unless they only repeat."""
        played = {each.arm for each in belief.plays}
        refused = {each.arm for each in belief.plays if each.passed is False}
        return [
            option
            for option in self.options
            if (option.again or option.arm not in played)
            and ((before := belief.chances.corrects(option.arm)) < 0 or before in refused)
        ]

    # --- with a verifier --------------------------------------------------------------------------

    def _ladder(self, belief: Belief, first: Option) -> float:
        """The value of this arm now, and of Weitzman's order after each refusal."""
        value, reached = 0.0, 1.0
        following: Option | None = first
        for _ in range(_LONGEST):
            if following is None:
                break
            chance = belief.chance(following.arm)
            value += reached * (chance * self.worth - following.cost)
            reached *= 1 - chance
            belief = belief.after(Play(following.arm, belief.new_group, passed=False))
            following = self._cheapest(belief)
        return value

    def _cheapest(self, belief: Belief) -> Option | None:
        """The arm with the smallest price for each unit of probability, if that is below the worth."""
        rated = [(option.cost / max(belief.chance(option.arm), 1e-9), option) for option in self._open(belief)]
        price, option = min(rated, key=lambda each: (each[0], each[1].arm), default=(math.inf, None))
        return option if price < self.worth else None

    # --- without one ------------------------------------------------------------------------------

    def _kept(self, belief: Belief, options: Sequence[Option]) -> list[Option]:
        """The few arms worth a look: those of the largest single sum, and the cheapest for their probability."""
        if len(options) <= _MOST_OPTIONS:
            return list(options)
        chance = {option.arm: belief.chance(option.arm) for option in options}
        by_sum = sorted(options, key=lambda each: each.cost - self.worth * chance[each.arm])
        by_price = sorted(options, key=lambda each: each.cost / max(chance[each.arm], 1e-9))
        order = [each for pair in zip(by_sum, by_price, strict=True) for each in pair]
        return list(dict.fromkeys(order))[:_MOST_OPTIONS]

    def _ahead(self, belief: Belief, option: Option, depth: int) -> float:
        after = belief.outcomes(option.arm)
        return sum(weight * self._value(each, depth - 1) for weight, each in after) - option.cost

    def _value(self, belief: Belief, depth: int) -> float:
        key = (belief.key, depth)
        if key not in self._known:
            leading, _ = belief.leader
            best = self.worth * leading
            for option in self._kept(belief, self._open(belief)) if depth > 0 else ():
                if option.cost < self.worth * (1 - leading):  # else it couldn't pay even if it told everything
                    best = max(best, self._ahead(belief, option, depth))
            self._known[key] = best
        return self._known[key]


def _depth(options: int, groups: int) -> int:
    """How many draws to look ahead: as far as the number of cases allows."""
    depth, nodes = 1, options * (groups + 1)
    while depth < 3 and nodes * options * (groups + depth + 1) <= _MOST_NODES:
        nodes *= options * (groups + depth + 1)
        depth += 1
    return depth
