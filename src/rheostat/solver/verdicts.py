"""The verifier's verdict on a candidate."""

from __future__ import annotations

import asyncio
import functools
from contextlib import nullcontext
from dataclasses import replace

from rheostat.calling.watch import doing, found
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.verifiers import Verdict, judged
from rheostat.flow import Effect, Flow
from rheostat.solver.shared import Solver

__all__ = ["check", "verdict_on"]


def check(solver: Solver, answer: str, round_: int = 0) -> Flow[Verdict]:
    """The verifier's verdict on an answer of this round. It may block, so that async graphs run it in a thread."""
    work = functools.partial(judged, solver.verifier, answer)
    named = doing("verify", type(solver.verifier).__name__, round_=round_) if solver.verifier else nullcontext()
    with named as seen:
        verdict: Verdict = yield Effect(work, lambda: asyncio.to_thread(work))
        found(seen, verdict=verdict)
    return verdict


def verdict_on(candidate: Candidate, verdict: Verdict) -> Candidate:
    """The candidate with its verdict."""
    return replace(
        candidate, judged=True, passed=verdict.passed, reason=verdict.reason, score=verdict.score, scores=verdict.parts
    )
