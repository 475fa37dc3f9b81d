"""A tree of candidates, rebuilt from `parent`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rheostat.evidence.candidate import Candidate, in_order

__all__ = ["Node", "tree_of", "value_of"]


@dataclass(slots=True)
class Node:
    """A node with the totals of the tree below it."""

    candidate: Candidate | None
    """`None`: the root, which stands for the question."""
    depth: int = 0
    children: list[Node] = field(default_factory=list)
    visits: int = 0
    """The candidates at and below it, those in flight included."""
    total: float = 0.0
    """The sum of their values."""

    @property
    def mean(self) -> float:
        """The mean value at and below it; what is in flight counts as 0."""
        return self.total / self.visits if self.visits else 0.0

    @property
    def usable(self) -> bool:
        """Whether it can be corrected: it has an answer."""
        return self.candidate is not None and self.candidate.answer is not None and self.candidate.status == "done"


def value_of(candidate: Candidate) -> float:
    """The value of a candidate, from 0 to 1: its score, else its verdict; ½ if neither tells, 0 without an answer."""
    if candidate.answer is None or candidate.status != "done":
        return 0.0
    if candidate.passed:
        return 1.0
    if candidate.score is not None:
        return candidate.score
    return 0.5 if candidate.passed is None else 0.0


def tree_of(history: Sequence[Candidate]) -> Node:
    """The tree of a history. A candidate whose parent is missing is a child of the root."""
    root = Node(None)
    nodes: dict[str, Node] = {}
    for each in in_order(history):
        above = nodes.get(each.parent or "", root)
        node = Node(each, above.depth + 1)
        above.children.append(node)
        nodes[each.id] = node
    for node in reversed(nodes.values()):
        assert node.candidate is not None  # noqa: S101 - only the root has none
        node.visits += 1
        node.total += value_of(node.candidate)
        above = nodes.get(node.candidate.parent or "", root)
        above.visits += node.visits
        above.total += node.total
    return root
