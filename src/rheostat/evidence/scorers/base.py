"""The protocol of scorers: pure functions that ask for requests, and read a verdict from the replies.

A scorer sends nothing itself. It yields requests; the caller sends them through the gate, so that the budget pays, and
passes the replies in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rheostat.evidence.candidate import Candidate
from rheostat.evidence.verifiers import Verdict
from rheostat.money.pricing import Price
from rheostat.task import Task

__all__ = [
    "ChatRequest", "DecisionRequest", "HttpRequest", "Ranker", "Request", "Scorer", "Scoring", "Work", "abstains",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request to a chat model; the reply is its text."""

    model: Any
    """A name, a chat model or an endpoint, as `rheostat.resolve` takes it."""
    messages: Sequence[dict[str, Any]]
    schema: dict[str, Any] | None = None
    """The JSON Schema of the reply."""
    answer_tokens: int = 256
    """The most tokens of the reply."""
    by: str = ""
    """The scorer's name, under which the spend is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRequest:
    """A yes-no question to a decision model; the reply is the probability of yes, or `None` if it refuses."""

    model: Any
    """A LangChain `BaseDecisionModel` or `OpenAIDecisions`."""
    question: str
    state: Mapping[str, str]
    """What the question is about, by name."""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A POST of JSON to a model server; the reply is the parsed JSON."""

    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    price: Price | None = None
    """The price of its tokens; `None`: the server is yours, and free."""
    seconds: float = 60.0
    """The time limit of the whole reply."""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Work in this process that may block; the reply is its result."""

    do: Callable[[], Any]
    by: str = ""


Request: TypeAlias = ChatRequest | DecisionRequest | HttpRequest | Work
Scoring: TypeAlias = Generator[Request, Any, Verdict]
"""Yields requests, receives their replies, returns the verdict. A request that failed is thrown in as its exception."""


class Scorer:
    """Scores one answer. Subclass it: override `request` and `read`, or `score` if several requests are needed."""

    name: str = "scorer"
    """The name in records, events and the spend."""
    needs_logprobs: bool = False
    """The candidates' log-probabilities must be asked for."""
    same_way: bool = False
    """Its scores compare only answers that were asked for in the same way, so that all samples are."""

    @property
    def models(self) -> tuple[Any, ...]:
        """The chat models that it asks, checked and priced before a run begins."""
        return ()

    @property
    def decision_models(self) -> tuple[Any, ...]:
        """The decision models that it asks."""
        return ()

    @property
    def free(self) -> bool:
        """It sends nothing, so that scoring costs nothing."""
        return False

    def request(self, task: Task, candidate: Candidate) -> Request | None:
        """The request that scores this answer; `None`: none is needed."""
        return None

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        """The verdict: a `score` from 0 to 1, with a reason; no score: it can't tell.

        An exception also counts as "can't tell".
        """
        raise NotImplementedError

    def score(self, task: Task, candidate: Candidate) -> Scoring:
        """Score one answer."""
        request = self.request(task, candidate)
        reply = None if request is None else (yield request)
        return self.read(task, candidate, reply)


class Ranker(Scorer):
    """Compares answers with one another; its scores order them and mean nothing else."""

    def rank(self, task: Task, candidates: Sequence[Candidate]) -> Generator[Request, Any, dict[str, Verdict]]:
        """Score all candidates, those with a score of this ranker's included, by comparisons.

        Returns:
            Verdicts by candidate id, for all whose score changed.
        """
        raise NotImplementedError


def abstains(reason: str) -> Verdict:
    """The verdict of a scorer that can't tell."""
    return Verdict(None, reason)
