"""The channels of the solver's state, and their reducers. Everything in it is plain data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from rheostat.graph.state import RheostatState, merge

__all__ = ["SolverInput", "SolverOutput", "SolverState", "WindDown", "merge_samples"]


WindDown: TypeAlias = Literal["", "less thought", "fewer samples", "last word", "end"]
"""How far the run has wound down because of its budget; empty: the plan is what the policy wanted."""


def merge_samples(left: list[dict[str, Any]] | None, right: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Merge by id: a replayed branch replaces its own sample and never adds a second one."""
    merged = {sample["id"]: sample for sample in left or []}
    for sample in right or []:
        merged[sample["id"]] = {**merged.get(sample["id"], {}), **sample}
    return list(merged.values())


class SolverInput(TypedDict):
    """What a caller gives."""

    question: str


class SolverOutput(TypedDict, total=False):
    """What a caller gets."""

    answer: str | None
    """The best answer, or None if there is none."""
    status: str
    """`solved` (a verifier passed it), `answered` (nothing could verify it), `unsolved` (refused or no answer)."""
    stopped: str
    """Why the run ended."""
    confidence: float | None
    """1.0 when verified; the share of the votes; None when nothing can say."""
    rheostat: RheostatState
    """`spend` (the thread's meter reading: all its runs so far) and `run` (this run's): see `rheostat.read`."""


class SolverState(TypedDict, total=False):
    """All channels."""

    question: str
    difficulty: dict[str, Any]
    """As `Difficulty.to_dict`."""
    plan: dict[str, Any]
    """As `ThinkingPlan.to_dict`: the plan of the current round."""
    calls: list[dict[str, Any]]
    """The samples of this round, prepared: messages, bounds, and (after `hold`) reservations."""
    samples: Annotated[list[dict[str, Any]], merge_samples]
    """Every sample of every round, by id."""
    decision: dict[str, str]
    """As `Decision.to_dict`: what comes next."""
    round: int
    """Rounds that were planned."""
    model: int
    """Which of the models is asked: 0 is the first."""
    answer: str | None
    status: str
    stopped: str
    confidence: float | None
    rheostat: Annotated[RheostatState, merge]
    """`spend` and `run`: see `rheostat.read`."""
    spend: Any
    """Read in checkpoints from before there was one key; so is `run`."""
    run: Any
    budget: dict[str, Any]
    """As `Budget.to_dict`: the limits of this run."""
    wind_down: WindDown
    """What the shrinking room took from the last plan."""
