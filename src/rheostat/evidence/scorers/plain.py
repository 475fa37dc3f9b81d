"""Scorers that send nothing: the model's own confidence, and a verifier's verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers.base import Request, Scorer, Work, abstains
from rheostat.evidence.verifiers import Check, Verdict, Verifier, as_verifier, judged
from rheostat.task import Task

__all__ = ["Confidence", "Verified"]


@dataclass(frozen=True, kw_only=True)
class Confidence(Scorer):
    """The probability that the model itself gave its tokens: free where the provider returns log-probabilities.

    `lowest`: the least probable 32 tokens in a row, which tell best where reasoning went wrong (DeepConf,
    arXiv:2508.15260; on the 0.5B and MultiArith, AUC .82 for right against wrong). `mean`: all tokens. The score is
    `exp` of the mean log-probability; it orders the answers of one model to one way of asking (a short program looks
    surer than a long calculation), and isn't the probability of being right.
    """

    window: Literal["lowest", "mean"] = "lowest"
    name: str = "confidence"
    needs_logprobs = True
    same_way = True

    @property
    def free(self) -> bool:
        return True

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        logprob = candidate.low_logprob if self.window == "lowest" else candidate.logprob
        if logprob is None:
            return abstains("the provider gave no log-probabilities")
        return Verdict(None, f"{self.window} log-probability {logprob:.2f}", score=math.exp(min(logprob, 0.0)))


@dataclass(frozen=True, kw_only=True)
class Verified(Scorer):
    """A verifier's verdict as a score: its own, else 1 if the answer passes and 0 if it fails."""

    verifier: Verifier | Check
    name: str = "verified"

    @property
    def free(self) -> bool:
        return True

    def request(self, task: Task, candidate: Candidate) -> Request:
        verifier = as_verifier(self.verifier)
        return Work(do=lambda: judged(verifier, candidate.answer or ""), by=self.name)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        verdict: Verdict = reply
        if verdict.score is not None or verdict.passed is None:
            return verdict
        return Verdict(verdict.passed, verdict.reason, score=float(verdict.passed))
