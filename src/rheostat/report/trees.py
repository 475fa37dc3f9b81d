"""The runs of the solver: their candidates as trees, and their decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rheostat.judgement.baselines import counted
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.report.data import Candidate, Decision, Run
from rheostat.report.records import number, said, spend_of, verdict_of, words

__all__ = ["runs_of"]


def runs_of(records: Iterable[StepRecord]) -> tuple[Run, ...]:
    """The runs that recorded candidates or decisions, the oldest first."""
    found: dict[str, list[StepRecord]] = {}
    for record in records:
        if not record.of_call:
            found.setdefault(record.account, []).append(record)
    runs = [_run(account, each) for account, each in found.items()]
    return tuple(sorted(runs, key=lambda run: (run.at_ms, run.account)))


def _run(account: str, records: Sequence[StepRecord]) -> Run:
    samples = [each for each in records if each.node == CANDIDATE]
    decided = sorted(
        (each for each in records if each.node == DECISION),
        key=lambda each: (counted(each.candidate.get("round")), each.at_ms),
    )
    last = decided[-1].candidate if decided else {}
    looked = next((each for each in samples if each.kind), None)
    return Run(
        account=account,
        at_ms=min(counted(each.at_ms) for each in records),
        strategy=said(last.get("strategy")),
        scorer=said(last.get("scorer")),
        kind=said(looked.kind) if looked else "",
        difficulty=number(looked.difficulty) if looked else None,
        question=next((said(each.candidate["question"]) for each in decided if each.candidate.get("question")), ""),
        ended=any(each.candidate.get("action") in ("accept", "stop") for each in decided),
        candidates=tuple(_candidate(each, depth) for depth, each in _walk(samples)),
        decisions=tuple(
            Decision(
                round=counted(each.candidate.get("round")),
                action=said(each.candidate.get("action")),
                chosen=said(each.candidate.get("chosen")),
                reasons=words(each.reasons),
                at_ms=counted(each.at_ms),
            )
            for each in decided
        ),
    )


def _walk(samples: Sequence[StepRecord]) -> Iterator[tuple[int, StepRecord]]:
    """Depth first, in the order of draws; what points at nothing, or in a circle, counts as fresh."""
    ordered = sorted(samples, key=lambda each: (counted(each.candidate.get("number")), each.id))
    by_id = {said(each.candidate.get("id")): each for each in ordered}
    beneath: dict[str, list[StepRecord]] = {}
    tops = []
    for each in ordered:
        parent = said(each.candidate.get("parent"))
        if parent in by_id and not _circular(each, by_id):
            beneath.setdefault(parent, []).append(each)
        else:
            tops.append(each)
    stack = [(0, each) for each in reversed(tops)]
    seen: set[str] = set()
    while stack:
        depth, each = stack.pop()
        name = said(each.candidate.get("id"))
        yield depth, each
        if name not in seen:  # two records may claim one id
            seen.add(name)
            stack += [(depth + 1, child) for child in reversed(beneath.get(name, []))]


def _circular(record: StepRecord, by_id: dict[str, StepRecord]) -> bool:
    """Whether the chain of its parents comes back to itself."""
    seen: set[str] = set()
    name = said(record.candidate.get("id"))
    while name in by_id and name not in seen:
        seen.add(name)
        name = said(by_id[name].candidate.get("parent"))
    return name in seen


def _candidate(record: StepRecord, depth: int) -> Candidate:
    sample = record.candidate
    scores = sample.get("scores")
    listed = scores.items() if isinstance(scores, dict) else ()
    group = sample.get("group")
    return Candidate(
        candidate=said(sample.get("id")),
        parent=said(sample.get("parent")),
        depth=depth,
        round=counted(sample.get("round")),
        model=said(record.model),
        effort=said(record.effort_planned),
        way=said(sample.get("way")),
        purpose=said(sample.get("purpose")),
        status=said(sample.get("status")),
        verdict=verdict_of(sample),
        error=said(record.error),
        score=number(sample.get("score")),
        scores=tuple((said(name), value) for name, each in listed if (value := number(each)) is not None),
        chosen=sample.get("chosen") is True,
        group=None if group is None else counted(group),
        cost=spend_of(sample.get("cost")),
        scoring=spend_of(sample.get("scoring")),
    )
