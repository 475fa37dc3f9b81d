"""Several scorers together: all, any, the first that can tell, or weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers.base import Ranker, Scorer, Scoring, abstains
from rheostat.evidence.verifiers import Verdict
from rheostat.task import Task

__all__ = ["AllOf", "AnyOf", "FirstOf", "Weighted"]


@dataclass(frozen=True)
class _Together(Scorer):
    scorers: tuple[Scorer, ...]

    def __init__(self, *scorers: Scorer, name: str = "") -> None:
        if not scorers or not all(isinstance(each, Scorer) and not _ranks(each) for each in scorers):
            raise BadInput(f"{type(self).__name__} takes scorers that score one answer at a time, not {scorers!r}")
        names = [each.name for each in scorers]
        if len(set(names)) < len(names):
            raise BadInput(f"scorers must have different names, not {', '.join(names)}: name=…")
        object.__setattr__(self, "scorers", scorers)
        object.__setattr__(self, "name", name or f"{type(self).__name__}({', '.join(names)})")
        for flag in ("needs_logprobs", "same_way"):
            object.__setattr__(self, flag, any(getattr(each, flag) for each in scorers))

    @property
    def models(self) -> tuple[Any, ...]:
        return tuple(model for each in self.scorers for model in each.models)

    @property
    def decision_models(self) -> tuple[Any, ...]:
        return tuple(model for each in self.scorers for model in each.decision_models)

    @property
    def free(self) -> bool:
        return all(each.free for each in self.scorers)

    def _cheapest_first(self) -> list[Scorer]:
        return sorted(self.scorers, key=lambda each: not each.free)


def _ranks(scorer: Scorer) -> bool:
    return isinstance(scorer, Ranker) and getattr(scorer, "mode", "pairs") == "pairs"


class AllOf(_Together):
    """The lowest score of all. Free scorers come first, and a score of 0 ends it, since nothing can raise it.

    One that can't tell doesn't count; if none can, neither can this.
    """

    def score(self, task: Task, candidate: Candidate) -> Scoring:
        return (yield from _extreme(self._cheapest_first(), task, candidate, lowest=True))


class AnyOf(_Together):
    """The highest score of all. Free scorers come first, and a score of 1 ends it."""

    def score(self, task: Task, candidate: Candidate) -> Scoring:
        return (yield from _extreme(self._cheapest_first(), task, candidate, lowest=False))


class FirstOf(_Together):
    """The score of the first that can tell, in the given order."""

    def score(self, task: Task, candidate: Candidate) -> Scoring:
        reasons = []
        for each in self.scorers:
            verdict = yield from _tried(each, task, candidate)
            if verdict.score is not None:
                return _with(verdict, {each.name: verdict.score})
            reasons.append(f"{each.name}: {verdict.reason}")
        return abstains("; ".join(reasons))


class Weighted(_Together):
    """The weighted mean of the scores of those that can tell."""

    weights: tuple[float, ...]

    def __init__(self, *scorers: Scorer, weights: tuple[float, ...], name: str = "") -> None:
        super().__init__(*scorers, name=name)
        if len(weights) != len(scorers) or any(not weight > 0 for weight in weights):
            raise BadInput(f"give one weight above 0 for each of the {len(scorers)} scorers, not {weights!r}")
        object.__setattr__(self, "weights", tuple(weights))

    def score(self, task: Task, candidate: Candidate) -> Scoring:
        parts: dict[str, float] = {}
        total, sum_ = 0.0, 0.0
        reasons = []
        for each, weight in zip(self.scorers, self.weights, strict=True):
            verdict = yield from _tried(each, task, candidate)
            if verdict.score is not None:
                parts[each.name] = verdict.score
                total, sum_ = total + weight, sum_ + weight * verdict.score
            reasons.append(f"{each.name}: {verdict.reason}")
        return Verdict(None, "; ".join(reasons), score=sum_ / total if total else None, parts=parts)


def _extreme(scorers: list[Scorer], task: Task, candidate: Candidate, *, lowest: bool) -> Scoring:
    parts: dict[str, float] = {}
    found: Verdict | None = None
    reasons = []
    for each in scorers:
        verdict = yield from _tried(each, task, candidate)
        if verdict.score is None:
            reasons.append(f"{each.name}: {verdict.reason}")
            continue
        parts[each.name] = verdict.score
        better = found is None or (verdict.score < (found.score or 0) if lowest else verdict.score > (found.score or 0))
        found = verdict if better else found
        if verdict.score == (0.0 if lowest else 1.0):
            break
    return abstains("; ".join(reasons)) if found is None else _with(found, parts)


def _with(verdict: Verdict, parts: dict[str, float]) -> Verdict:
    return Verdict(verdict.passed, verdict.reason, score=verdict.score, parts={**verdict.parts, **parts})


def _tried(scorer: Scorer, task: Task, candidate: Candidate) -> Scoring:
    """The scorer's verdict; if it fails, it abstains."""
    try:
        return (yield from scorer.score(task, candidate))
    except Exception as error:  # one that fails can't tell; the others may
        return abstains(f"{scorer.name} failed: {type(error).__name__}: {error}")
