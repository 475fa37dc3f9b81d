"""`TreeSearch`: Monte Carlo tree search over answers and their refinements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.money.budget import Budget
from rheostat.strategies.base import (
    WAIT,
    Accept,
    Decision,
    Draw,
    Stop,
    View,
    acceptable,
    affordable,
    draw_again,
    fitting,
    in_flight,
    opening,
)
from rheostat.strategies.nodes import Node, tree_of
from rheostat.task import Task

__all__ = ["TreeSearch"]

Algorithm = Literal["uct", "ab-mcts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch:
    """Search a tree whose nodes are answers and whose edges are corrections: draw a fresh answer (wider), or correct a
    promising one (deeper).

    `uct` (Kocsis & Szepesvári 2006, with progressive widening): from the root, go to the child with the largest mean
    score + `exploration` · √(ln visits of the parent / visits), until a node may take one more child. `ab-mcts`
    (Inoue et al., arXiv:2503.04412) chooses between wider and deeper by Thompson sampling, through the library
    treequest (extra `search`). The tree is rebuilt from `parent` at each decision; an answer in flight counts as a
    visit without a score (virtual loss), so that answers drawn side by side spread out.

    Stops at the first answer that passes or scores `good_enough`, or at `samples`.
    """

    samples: int = 16
    """The most answers and corrections."""
    at_once: int = 4
    """Drawn side by side. Where a verifier can tell, the first answer comes alone."""
    algorithm: Algorithm = "uct"
    width: float = 2.0
    """`uct`: a node may have `width` · √visits children."""
    exploration: float = 1.0
    """`uct`: the weight of rarely visited nodes; √2 suits scores from 0 to 1 in theory, less in practice."""
    depth: int = 5
    """The most corrections in a row."""
    good_enough: float = 0.95
    """The score, from 0 to 1, that ends the search."""
    cap: Budget | None = None
    """Its own limits; no draw is sent whose worst case is beyond them. `None`: the run's budget alone limits it."""
    needs_evidence: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.algorithm not in get_args(Algorithm):
            raise BadInput(f"algorithm is one of {', '.join(get_args(Algorithm))}; not {self.algorithm!r}")
        for name in ("samples", "at_once", "depth", "width"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.algorithm == "ab-mcts":
            from rheostat.strategies import ab_mcts

            ab_mcts.check_installed()

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            count = 1 if view.verified else min(self.at_once, self.samples)
            draws = draw_again(count, "the first answers of the tree")
            return affordable(draws, history, view, self.cap)
        said = opening(history, view)
        if said is None:
            said = self._after(history, view)
        return fitting(said, history, view, self.cap)

    def _after(self, history: Sequence[Candidate], view: View) -> Decision:
        leading = acceptable(history)
        if leading is not None and leading.score is not None and leading.score >= self.good_enough:
            return Accept(leading.id, f"score {leading.score:.2f}: good enough")
        left = self.samples - len(history)
        if left <= 0:
            if leading is None:
                return Stop(f"{len(history)} nodes; every answer was refused")
            return Accept(leading.id, f"the best of {len(history)} nodes")
        if in_flight(history):
            return WAIT
        return self._expand(history, min(self.at_once, left), view.seed)

    def _expand(self, history: Sequence[Candidate], count: int, seed: int) -> tuple[Draw, ...]:
        """The next nodes; each that was chosen is pending for those after it."""
        if self.algorithm == "ab-mcts":
            from rheostat.strategies import ab_mcts

            return tuple(_draw(parent) for parent in ab_mcts.choose(history, count, seed, self.depth))
        tree, draws = in_order(history), []
        for _ in range(count):
            parent = self._select(tree)
            draws.append(_draw(parent))
            number = tree[-1].number + 1
            above = None if parent is None else parent.id
            tree.append(replace(tree[-1], id=f"next {number}", number=number, parent=above, status="pending"))
        return tuple(draws)

    def _select(self, tree: Sequence[Candidate]) -> Candidate | None:
        """The candidate to correct; `None`: draw a fresh answer."""
        node = tree_of(tree)
        while True:
            children = [child for child in node.children if child.usable and child.depth <= self.depth]
            full = len(node.children) >= self.width * math.sqrt(max(node.visits, 1))
            if node.depth < self.depth and not full:
                return node.candidate
            if not children:
                return node.candidate if node.depth < self.depth else None
            node = max(children, key=lambda child: self._value(child, node))

    def _value(self, child: Node, parent: Node) -> float:
        rare = math.sqrt(math.log(max(parent.visits, 1)) / child.visits)
        return child.mean + self.exploration * rare


def _draw(parent: Candidate | None) -> Draw:
    if parent is None:
        return Draw(why="wider: a fresh answer")
    known = "refused" if parent.passed is False else f"score {parent.score:.2f}" if parent.score is not None else "open"
    return Draw(why=f"deeper: correct {parent.id} ({known})", parent=parent.id, purpose="correct")
