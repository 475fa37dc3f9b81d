"""AB-MCTS through the library treequest: wider or deeper, by Thompson sampling (Inoue et al., arXiv:2503.04412)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from rheostat.errors import MissingExtra
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.strategies.nodes import value_of

__all__ = ["check_installed", "choose"]

_ACTION = "draw"
_global_random = threading.Lock()
"""treequest draws from numpy's global generator, which is seeded for each decision and put back."""


def check_installed() -> None:
    """Check that treequest can be imported.

    Raises:
        MissingExtra: it can't; says how to install it.
    """
    try:
        import treequest  # noqa: F401
    except ImportError as error:
        raise MissingExtra('TreeSearch(algorithm="ab-mcts")', "search") from error


def choose(history: Sequence[Candidate], count: int, seed: int, depth: int) -> list[Candidate | None]:
    """The next candidates to correct; `None`: draw a fresh answer.

    treequest's state is rebuilt from the history, in the order of the draws, and the same history and seed give the
    same choice. A choice counts as a node of value 0 for those after it.

    Args:
        count: The number of choices.
        depth: The most corrections in a row; a node at this depth is not corrected, a fresh answer is drawn instead.
    """
    import numpy as np
    from treequest import ABMCTSA

    with _global_random:
        before = np.random.get_state()
        try:
            np.random.seed((seed * 1_000_003 + len(history)) % 2**32)
            algorithm: Any = ABMCTSA(dist_type="gaussian")
            state = algorithm.init_tree()
            told: dict[str, int] = {}
            by_index: dict[int, Candidate] = {}
            for each in in_order(history):
                if each.parent is None or each.parent in told:
                    index = _tell(algorithm, state, told.get(each.parent or "", -1), value_of(each))
                    told[each.id], by_index[index] = index, each
            chosen: list[Candidate | None] = []
            for _ in range(count):
                state, trial = algorithm.ask(state, [_ACTION])
                parent = by_index.get(trial.node_to_expand)
                usable = parent is not None and parent.answer is not None
                if not usable or state.tree.get_node(trial.node_to_expand).depth >= depth:
                    parent = None
                chosen.append(parent)
                algorithm.tell(state, trial.trial_id, ("pending", 0.0))
            return chosen
        finally:
            np.random.set_state(before)


def _tell(algorithm: Any, state: Any, parent: int, value: float) -> int:
    """Add a node below another (-1: the root), and return its index."""
    node = state.tree.get_node(parent)
    state.all_rewards_store.setdefault(_ACTION, [])
    state.thompson_states.get_or_create(node, [_ACTION])
    trial = state.trial_store.create_trial(node, _ACTION)
    algorithm.tell(state, trial.trial_id, ("drawn", value))
    return int(state.tree.size) - 2
