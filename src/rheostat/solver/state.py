"""The channels of the solver's state and their reducers. Everything in the state is plain data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from rheostat.graph.state import RheostatState, merge

__all__ = ["SolverInput", "SolverOutput", "SolverState", "WindDown", "merge_samples"]


WindDown: TypeAlias = Literal["", "less thought", "fewer samples", "last word", "end"]
"""How far the run has wound down because of its budget; empty: the plan is as the policy made it."""


def merge_samples(left: list[dict[str, Any]] | None, right: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Merge by id: a replayed branch replaces its own sample and never adds a second one."""
    merged = {sample["id"]: sample for sample in left or []}
    for sample in right or []:
        merged[sample["id"]] = {**merged.get(sample["id"], {}), **sample}
    return list(merged.values())


class SolverInput(TypedDict):
    """The solver's input."""

    question: str


class SolverOutput(TypedDict, total=False):
    """The solver's output."""

    answer: str | None
    """The best answer; `None`: there is none."""
    status: str
    """`solved` (a verifier passed it), `answered` (nothing could verify it), `unsolved` (refused or no answer)."""
    stopped: str
    """Why the run ended."""
    confidence: float | None
    """1.0 if verified, 0.0 if refused, else the share of the votes; `None`: unknown."""
    rheostat: RheostatState
    """`spend` (the thread's reading, with all its runs so far) and `run` (this run's): see `rheostat.read`."""


class SolverState(TypedDict, total=False):
    """All channels of the solver's graph."""

    question: str
    difficulty: dict[str, Any]
    """As `Difficulty.to_dict` gives it."""
    plan: dict[str, Any]
    """The plan of the current round, as `ThinkingPlan.to_dict` gives it."""
    calls: list[dict[str, Any]]
    """The prepared samples of this round: messages, bounds and, after `hold`, reservations."""
    samples: Annotated[list[dict[str, Any]], merge_samples]
    """Every sample of every round, by id."""
    decision: dict[str, str]
    """The next action, as `Decision.to_dict` gives it."""
    round: int
    """The number of rounds planned so far."""
    model: int
    """The index of the model that is asked."""
    answer: str | None
    status: str
    stopped: str
    confidence: float | None
    rheostat: Annotated[RheostatState, merge]
    """`spend` and `run`: see `rheostat.read`."""
    spend: Any
    """Read in checkpoints that precede the key `rheostat`; so is `run`."""
    run: Any
    budget: dict[str, Any]
    """The limits of this run, as `Budget.to_dict` gives them."""
    wind_down: WindDown
    """How far the last plan was wound down."""
