"""The channels of the solver's state and their reducers. Everything in the state is plain data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from rheostat.evidence.candidate import merge_candidates
from rheostat.graph.state import RheostatState, merge

__all__ = ["SolverInput", "SolverOutput", "SolverState", "WindDown"]


WindDown: TypeAlias = Literal["", "less thought", "fewer samples", "last word", "end"]
"""How far the run has wound down because of its budget; empty: the plan is as the policy made it."""


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
    """1.0 if verified, 0.0 if refused, else its score, else the share of the votes; `None`: unknown."""
    candidates: list[dict[str, Any]]
    """Every sample with its parent, verdict, score and cost, as `Candidate.to_dict` gives it."""
    chosen: str | None
    """The id of the candidate whose answer this is."""
    baselines: list[dict[str, Any]]
    """What fixed arms would have cost on this task, and brought, by the profile: `name` (`best fixed`, `strong
    always`), `arm`, `chance`, `cost` and its `unit` (nano-dollars for `usd`)."""
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
    candidates: Annotated[list[dict[str, Any]], merge_candidates]
    """Every sample of every round, by id, as `Candidate.to_dict` gives it."""
    decision: dict[str, Any]
    """The next action (`accept`, `stop`, or what the draws are for), its reason, and the draws."""
    least: dict[str, dict[str, Any]]
    """The worst case of the smallest draw from each model that was planned so far, by its name."""
    round: int
    """The number of rounds planned so far."""
    model: int
    """The index of the model that is asked."""
    answer: str | None
    chosen: str | None
    status: str
    stopped: str
    confidence: float | None
    baselines: list[dict[str, Any]]
    rheostat: Annotated[RheostatState, merge]
    """`spend` and `run`: see `rheostat.read`."""
    spend: Any
    """Read in checkpoints that precede the key `rheostat`; so is `run`."""
    run: Any
    budget: dict[str, Any]
    """The limits of this run, as `Budget.to_dict` gives them."""
    wind_down: WindDown
    """How far the last plan was wound down."""
