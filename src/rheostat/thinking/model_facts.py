"""The facts about one model that planning needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from rheostat.evidence.asking import WayName
from rheostat.task import Effort, Kind

__all__ = ["ModelFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The facts about one model that a policy needs."""

    name: str
    levels: dict[Effort, int]
    """The effort levels of the model, each with its thinking tokens."""
    least_useful_thinking_tokens: int = 0
    """A thought cut shorter than this is no better than none (measured on small models), and costs more."""
    takes_temperature: bool = False
    """The model accepts a temperature."""
    takes_stop: bool = False
    """The model honours stop sequences."""
    strict: bool = False
    """A level that the model doesn't have is an error; else the nearest level is used."""
    loop_floor: Effort = Effort.none
    """The lowest level at which a tool loop should begin; one begun without thinking couldn't start to think later."""
    clamped: bool = False
    """A level is only a name, and its tokens are room in the length cap, which may be learned from use."""
    gives_logprobs: bool = False
    """It returns the log-probabilities of its tokens if asked (`logprobs=True`)."""
    takes_seed: bool = False
    """It samples the same for the same seed, as far as its batching allows."""
    several: bool = False
    """It gives several answers from one prefill (`n`), and their tokens are all counted."""
    cancels: bool = False
    """A reply in flight can be cancelled: it is streamed, and closing the stream ends it."""
    prolongs: str = ""
    """The beginning of a reply that goes on with `{thought}`, such as "<think>{thought} Wait,"; empty: it can't."""
    continues: bool = False
    """A reply can be continued from its beginning, so that it can be searched step by step."""
    thinks: bool = True
    """The model thinks by itself, so that it gets the question as it is; else it needs room to write its steps."""
    ways: dict[Kind, tuple[WayName, ...]] = field(default_factory=dict)
    """The best ways of asking by kind of task, as measured; the first sample uses the first way."""
    copies: bool = False
    """Shown a refused answer, it copies it: it is asked anew, with the refusal beside the question."""

    def above(self, effort: Effort, cap: Effort) -> Effort | None:
        """The next useful level above `effort`, within `cap`; `None` at the top."""
        higher = [
            level
            for level, tokens in self.levels.items()
            if effort < level <= cap and tokens >= self.least_useful_thinking_tokens
        ]
        return min(higher, key=lambda level: level.rank) if higher else None

    def nearest(self, effort: Effort) -> Effort:
        """The model's highest level at or below `effort`; else its lowest level."""
        below = [level for level in self.levels if level <= effort]
        return max(below, key=lambda level: level.rank) if below else min(self.levels, key=lambda level: level.rank)
