"""Samples drawn side by side: as soon as those that came decide, the others are cancelled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from rheostat.calling.cancel import Cancel
from rheostat.evidence.candidate import Candidate
from rheostat.strategies import Accept, Decision

__all__ = ["Race", "Races"]

_REMEMBERED = 1_000
Decide = Callable[[Sequence[Candidate]], Decision]


class Race:
    """The samples of one round.

    Args:
        history: The candidates of the rounds before.
        drafts: Those of this round, all in flight.
        decide: The strategy, with its task and view.
    """

    def __init__(self, history: Sequence[Candidate], drafts: Sequence[Candidate], decide: Decide) -> None:
        self.cancel = Cancel()
        self._lock = threading.Lock()
        self._history, self._decide = list(history), decide
        self._current = {each.id: replace(each, status="pending") for each in drafts}

    def came(self, *candidates: Candidate) -> None:
        """Take samples that came; cancel the others if the strategy accepts an answer now."""
        with self._lock:
            self._current.update({each.id: each for each in candidates})
            pending = any(each.status == "pending" for each in self._current.values())
            if pending and self._accepts([*self._history, *self._current.values()]):
                self.cancel.set()

    def can_end_early(self, *, verified: bool) -> bool:
        """Whether the strategy would accept before the last sample has come, if the others agree, or pass."""
        *others, last = self._current.values()
        came = [
            replace(each, status="done", answer="x", key="x", judged=True, passed=True if verified else None)
            for each in others
        ]
        return bool(came) and self._accepts([*self._history, *came, last])

    def _accepts(self, history: Sequence[Candidate]) -> bool:
        try:
            return isinstance(self._decide(history), Accept)
        except Exception:  # a strategy that fails fails at its next decision, not in the middle of a sample
            return False


class Races:
    """The races of a solver's runs in this process. A run that is resumed elsewhere has none: nothing is cancelled."""

    def __init__(self) -> None:
        self._races: OrderedDict[str, Race] = OrderedDict()

    def begin(self, account: str, race: Race) -> None:
        """Begin the race of an account's round."""
        self._races[account] = race
        while len(self._races) > _REMEMBERED:  # runs that were cut, or never resumed
            self._races.popitem(last=False)

    def of(self, account: str) -> Race | None:
        """The race of an account's round; `None`: there is none."""
        return self._races.get(account)

    def end(self, account: str) -> None:
        """End it."""
        self._races.pop(account, None)
