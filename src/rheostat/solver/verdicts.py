"""The verifier's verdict on a candidate."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace

from rheostat.evidence.candidate import Candidate
from rheostat.evidence.verifiers import Verdict, judged
from rheostat.flow import Effect, Flow
from rheostat.solver.shared import Solver

__all__ = ["check", "verdict_on"]


def check(solver: Solver, answer: str) -> Flow[Verdict]:
    """The verifier's verdict on an answer. It may block, so that async graphs run it in a thread."""
    work = functools.partial(judged, solver.verifier, answer)
    verdict: Verdict = yield Effect(work, lambda: asyncio.to_thread(work))
    return verdict


def verdict_on(candidate: Candidate, verdict: Verdict) -> Candidate:
    """The candidate with its verdict."""
    return replace(
        candidate, judged=True, passed=verdict.passed, reason=verdict.reason, score=verdict.score, scores=verdict.parts
    )
