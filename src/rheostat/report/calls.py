"""The timeline: step records joined with the journal, so that it holds each call and what it is charged at now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rheostat.judgement.baselines import counted
from rheostat.money.ledger import Line, StepRecord
from rheostat.money.ledger.steps import CANDIDATE
from rheostat.money.usage import Spend
from rheostat.report.data import Point, Request, State, Step
from rheostat.report.records import number, said, spend_of, verdict_of, words

__all__ = ["points_of", "steps_of"]

_STATES: Mapping[str, State] = {"settled": "settled", "unknown": "unknown", "void": "not sent"}
_GRAVE: Sequence[State] = ("not sent", "settled", "unknown", "in flight")
"""A call is in the last of these states that one of its requests is in."""


def steps_of(records: Iterable[StepRecord], journal: Iterable[Line]) -> tuple[Step, ...]:
    """All calls, the oldest first: those with a plan, and those that have only a line in the journal."""
    records, lines = list(records), {line.id: line for line in journal if line.status not in ("void", "standing")}
    verdicts = {
        (each.account, said(each.candidate.get("id"))): verdict_of(each.candidate)
        for each in records
        if each.node == CANDIDATE
    }
    made = [_planned(each, lines, verdicts) for each in records if each.of_call]
    told = {said(request.get("reservation")) for each in records if each.of_call for request in _requests(each)}
    made += [_unplanned(line) for line in lines.values() if line.id not in told]
    made.sort(key=lambda step: step.at_ms)
    return tuple(replace(step, number=place) for place, step in enumerate(made, 1))


def _planned(record: StepRecord, lines: Mapping[str, Line], verdicts: Mapping[tuple[str, str], str]) -> Step:
    requests = tuple(_request(each, lines.get(said(each.get("reservation")))) for each in _requests(record))
    sample = record.candidate
    return Step(
        number=0,
        at_ms=counted(record.at_ms),
        milliseconds=counted(record.milliseconds),
        account=record.account,
        node=said(record.node),
        model=said(record.model),
        planned=True,
        state=max((each.state for each in requests), key=_GRAVE.index, default="not sent"),
        charge=sum((each.charge for each in requests), Spend()),
        requests=requests,
        kind=said(record.kind),
        difficulty=number(record.difficulty),
        effort_asked=said(record.effort_asked),
        effort_planned=said(record.effort_planned),
        effort_seen=said(record.effort_seen),
        thinking_tokens=counted(record.thinking_tokens),
        most_output_tokens=None if record.most_output_tokens is None else counted(record.most_output_tokens),
        verdict=verdicts.get((record.account, said(sample.get("id"))), "") if sample else "",
        stop=said(record.stop),
        starved=bool(record.starved),
        last_word=bool(record.last_word),
        error=said(record.error),
        decided_by=said(record.decided_by),
        reasons=words(record.reasons),
        purpose=said(record.purpose),
        way=said(sample.get("way")),
        candidate=said(sample.get("id")),
    )


def _requests(record: StepRecord) -> list[dict[str, Any]]:
    return [each for each in record.requests if isinstance(each, dict)]


def _request(given: dict[str, Any], line: Line | None) -> Request:
    """A request as its line in the journal has it now, because a bill may have settled it since; else as recorded."""
    spend = given.get("spend")
    if line is not None:
        state, charge = _STATES.get(line.status, "in flight"), line.charge
    else:
        state, charge = ("not sent", Spend()) if spend is None else ("settled", spend_of(spend))
    name = said(given.get("request_id")) or said(given.get("reservation"))
    return Request(model=said(given.get("model")), request_id=name, state=state, charge=charge)


def _unplanned(line: Line) -> Step:
    state = _STATES.get(line.status, "in flight")
    request = Request(model=line.model, request_id=line.request_id or line.id, state=state, charge=line.charge)
    begun = line.held_at_ms if line.begun_at_ms is None else line.begun_at_ms
    return Step(
        number=0,
        at_ms=begun,
        milliseconds=line.charge.milliseconds,
        account=line.account,
        node=line.node,
        model=line.model,
        planned=False,
        state=state,
        charge=line.charge,
        requests=(request,),
    )


def points_of(steps: Iterable[Step], charged: Spend) -> tuple[Point, ...]:
    """All that was charged up to the end of each call; it ends at `charged`, so it begins with what no step tells of.

    Money is `None` throughout if some of it has no price.
    """
    ended = sorted(((step.at_ms + step.milliseconds, step.charge) for step in steps), key=lambda each: each[0])
    told = sum((charge for _, charge in ended), Spend())
    tokens = max(0, charged.tokens - told.tokens)
    priced = charged.usd_nanos is not None and told.usd_nanos is not None
    nanos = max(0, (charged.usd_nanos or 0) - (told.usd_nanos or 0))
    made = []
    for at_ms, charge in ended:
        tokens += charge.tokens
        nanos += charge.usd_nanos or 0
        made.append(Point(at_ms=at_ms, usd_nanos=nanos if priced else None, tokens=tokens))
    return tuple(made)
