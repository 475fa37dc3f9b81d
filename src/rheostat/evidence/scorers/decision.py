"""`Decision`: a decision model's calibrated probability that an answer is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers.base import DecisionRequest, Request, Scorer, abstains
from rheostat.evidence.verifiers import Verdict
from rheostat.task import Task

__all__ = ["Decision"]

QUESTION = "Is this answer to the question right?"


@dataclass(frozen=True, kw_only=True)
class Decision(Scorer):
    """The probability that an answer is right, from a decision model: a LangChain `BaseDecisionModel`, or
    `OpenAIDecisions` (langchain-core 1.8, langchain-openai 1.7). About $0.05 per 1,000 decisions, and no output tokens.

    A model that refuses to answer abstains.
    """

    model: Any
    question: str = QUESTION
    """The yes-no question about the answer."""
    name: str = "decision"

    def __post_init__(self) -> None:
        if not isinstance(self.model, Runnable):
            raise BadInput(f"a decision model is a BaseDecisionModel or OpenAIDecisions, not {self.model!r}")

    @property
    def decision_models(self) -> tuple[Any, ...]:
        return (self.model,)

    def request(self, task: Task, candidate: Candidate) -> Request:
        state = {"question": task.question, "answer": candidate.text or candidate.answer or ""}
        return DecisionRequest(model=self.model, question=self.question, state=state, by=self.name)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        if reply is None:
            return abstains("the decision model refused to answer")
        return Verdict(None, f"probability {float(reply):.2f}", score=float(reply))
