"""One sampled answer and everything that is known about it, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

from rheostat.money.usage import Spend
from rheostat.task import Effort, Purpose

__all__ = ["Candidate", "Status", "in_order", "merge_candidates", "shared_scores"]

Status: TypeAlias = Literal["pending", "done", "failed", "cancelled"]
"""`pending`: in flight; `failed`: the request failed; `cancelled`: cut, because its answer no longer mattered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One sample: where it came from, what it says, how it was judged, and what it cost."""

    id: str
    number: int = 0
    """The place in the order of draws."""
    parent: str | None = None
    """The id of the candidate that this one corrects, prolongs or continues; `None`: a fresh answer."""
    round: int = 0
    model: str = ""
    effort: Effort = Effort.none
    way: str = ""
    """The way of asking."""
    purpose: Purpose = "solve"
    status: Status = "done"
    answer: str | None = None
    """The answer as read from the reply; `None`: there is none."""
    key: str | None = None
    """Equal answers have equal keys."""
    text: str = ""
    """The reply."""
    thought: str = ""
    """The visible part of the thought."""
    judged: bool = False
    """The verifier has seen it, if there is one."""
    passed: bool | None = None
    """The verifier's verdict; `None`: it can't tell, or there is none."""
    scored: bool = False
    """The scorer has been asked about it."""
    score: float | None = None
    """The scorers' joint score, from 0 to 1; `None`: not scored, or they can't tell."""
    scores: dict[str, float] = field(default_factory=dict)
    """The score of each scorer, by its name."""
    reason: str = ""
    """The reason of the verdict or the score."""
    logprob: float | None = None
    """The mean log-probability of the generated tokens; `None`: unknown."""
    low_logprob: float | None = None
    """The mean log-probability of the least probable 32 tokens in a row; `None`: unknown."""
    partial: bool = False
    """The beginning of a reply, cut at the end of a step, which can be continued."""
    cut: bool = False
    """The reply or its thought reached its length cap."""
    error: str | None = None
    """Why the request failed, or was refused by the budget (`budget: …`)."""
    unavailable: bool = False
    """Its model can't be asked at all, until the user changes the key, the name or the account."""
    notes: tuple[str, ...] = ()
    """What was changed on the way, such as a setting that the model doesn't have."""
    spend: Spend = field(default_factory=Spend)
    """The cost of its requests."""
    scoring: Spend = field(default_factory=Spend)
    """The cost of its scorers' requests."""

    @property
    def failed(self) -> bool:
        """Whether it brought no answer, for whatever reason."""
        return self.status != "pending" and self.answer is None

    @property
    def scorable(self) -> bool:
        """Whether a scorer can say something about it: an answer that no verifier could judge, or a beginning."""
        return self.unjudged or self.partial

    @property
    def unjudged(self) -> bool:
        """Whether it has an answer that no verifier could judge: such answers vote."""
        return self.answer is not None and self.passed is None

    def to_dict(self) -> dict[str, Any]:
        """The candidate as plain data for graph state."""
        plain = {name: getattr(self, name) for name in _NAMES}
        return {
            **plain,
            "effort": self.effort.value,
            "scores": dict(self.scores),
            "notes": list(self.notes),
            "spend": self.spend.to_dict(),
            "scoring": self.scoring.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Candidate:
        """The inverse of `to_dict`; unknown keys are ignored."""
        known = {name: data[name] for name in _NAMES if name in data}
        for name in ("spend", "scoring"):
            known[name] = Spend.from_dict(known.get(name) or {})
        known["effort"] = Effort(known.get("effort", Effort.none))
        known["notes"] = tuple(known.get("notes") or ())
        return cls(**known)


_NAMES = tuple(each.name for each in fields(Candidate))


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates in the order of their draws, whatever order they are given in."""
    return sorted(candidates, key=lambda each: (each.number, each.id))


def merge_candidates(left: list[dict[str, Any]] | None, right: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Merge by id, as a reducer: a replayed branch replaces its own candidate and never adds a second one."""
    merged = {each["id"]: each for each in left or []}
    for each in right or []:
        merged[each["id"]] = {**merged.get(each["id"], {}), **each}
    return list(merged.values())


def shared_scores(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that no scorer was asked about, with the score of an equal answer."""
    candidates = list(candidates)
    by_key = {each.key: each for each in candidates if each.score is not None and each.scored and each.key is not None}
    return [
        replace(each, score=by_key[each.key].score, reason=by_key[each.key].reason, scored=True)
        for each in candidates
        if each.unjudged and not each.scored and each.score is None and each.key in by_key
    ]
