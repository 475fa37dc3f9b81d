"""Demand out of what was recorded (a ledger, a profile, a record of `rheostat.bench.arms`), or of a line of text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from rheostat.capacity.demand import Demand, assumed, mixed
from rheostat.errors import BadInput
from rheostat.judgement.profile import Profile
from rheostat.money.ledger import MemoryLedger
from rheostat.money.ledger.durable import DurableLedger
from rheostat.report.calls import steps_of
from rheostat.report.data import Run, Step
from rheostat.report.trees import runs_of

__all__ = ["RECORDED", "TAIL", "from_bench", "from_ledger", "from_profile", "from_text"]

RECORDED: Final = "as recorded"
TAIL: Final = 7.5
"""The 99th percentile of outputs against their mean, where only the mean is known: that of long thinking."""
_LEAST_TASKS: Final = 20
"""A level that fewer tasks were given isn't planned for."""
_MOST_PAUSE_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Call:
    """One request of a task, on the clock of its run."""

    begun_ms: int
    ended_ms: int
    input_tokens: int
    output_tokens: int
    clamp_tokens: int
    level: str


@dataclass(slots=True)
class _Task:
    calls: list[_Call] = field(default_factory=list)
    right: float = np.nan
    usd: float = 0.0


def from_text(text: str, *, input_tokens: float = 1000, seed: int = 0) -> Demand:
    """Assumed lengths: `high=8000:60000@0.8`, or a mix: `mine=0.6*300:1500+0.4*8000:60000@0.8`.

    Args:
        text: LABEL=MEAN:P99, output tokens; shares before `*`; P(right) of all after `@`.
        input_tokens: The mean input.

    Raises:
        BadInput: It can't be read, or no lognormal has these numbers.
    """
    found = _ASSUMED.fullmatch(text.strip())
    if found is None:
        raise BadInput(f"assumed lengths are LABEL=MEAN:P99[@RIGHT], such as high=8000:60000@0.8; not {text!r}")
    label, right = found["label"].strip(), float(found["right"]) if found["right"] else None
    parts = []
    for place, part in enumerate(found["parts"].split("+")):
        share, _, lengths = part.rpartition("*")
        mean, _, p99 = lengths.partition(":")
        demand = assumed(
            f"{mean}:{p99}", mean_tokens=float(mean), p99_tokens=float(p99), input_tokens=input_tokens, right=right,
            seed=seed + place,
        )  # fmt: skip
        parts.append((float(share or 1), demand))
    return replace(parts[0][1], label=label) if len(parts) == 1 else mixed(label, parts, seed=seed)


_REAL: Final = r"\d+(?:\.\d+)?"
_PART: Final = rf"(?:{_REAL}\*)?{_REAL}:{_REAL}"
_ASSUMED: Final = re.compile(rf"(?P<label>[^=]+)=(?P<parts>{_PART}(?:\+{_PART})*)(?:@(?P<right>{_REAL}))?")


def from_ledger(ledger: MemoryLedger | DurableLedger, *, model: str = "", account: str = "") -> dict[str, Demand]:
    """The tasks of a ledger: all of them, and those that were given one level throughout.

    A task is a run: its calls follow each other as they did, with their pauses; those that overlapped start together.
    Right is what a verifier said of the chosen answer.

    Args:
        ledger: It is only read. The calls of a memory ledger are those with a plan: it keeps no closed lines.
        model: Only calls of models that begin so.
        account: Only runs of accounts that begin so.

    Raises:
        BadInput: There is no finished call.
    """
    records = [each for each in ledger.steps() if each.account.startswith(account)]
    steps = steps_of(records, (line for line in ledger.journal() if line.account.startswith(account)))
    tasks: dict[str, _Task] = defaultdict(_Task)
    others = unknown = 0
    for step in steps:
        calls, lost = _calls(step)
        if not step.model.startswith(model):
            others += len(calls)
            continue
        unknown += lost
        if calls:
            tasks[step.account].calls += calls
            tasks[step.account].usd += np.nan if step.charge.usd_nanos is None else step.charge.usd_nanos / 1e9
    if not tasks:
        which = f" of a model {model}…" if model else ""
        raise BadInput(f"no finished call{which} is recorded here: run something with this ledger first")
    for run in runs_of(records):
        if run.account in tasks:
            tasks[run.account].right = _right(run)
    notes = [f"{len(tasks):,} tasks of the ledger, drawn with replacement"]
    if others:
        notes.append(f"{others:,} calls of other models are left out (--model)")
    if unknown:
        notes.append(f"{unknown:,} calls without a known usage are left out")
    found = {RECORDED: _demand(RECORDED, list(tasks.values()), notes)}
    by_level: dict[str, list[_Task]] = defaultdict(list)
    for task in tasks.values():
        levels = {each.level for each in task.calls}
        if len(levels) == 1 and "" not in levels:
            by_level[levels.pop()].append(task)
    for level, each in sorted(by_level.items()):
        if len(each) >= _LEAST_TASKS and len(each) < len(tasks):
            note = f"{len(each):,} tasks that were given {level}: not the same tasks as those of other levels"
            found[f"{level} alone"] = _demand(f"{level} alone", each, [note])
    return found


def _right(run: Run) -> float:
    """1 or 0 by the verdict on the chosen answer; 0 if all were refused, or none came; NaN if nothing tells."""
    verdicts = {each.verdict for each in run.candidates if each.verdict}
    chosen = next((each.verdict for each in run.candidates if each.chosen), "")
    if chosen or verdicts == {"refused"} or (run.ended and all(each.group is None for each in run.candidates)):
        return float(chosen == "passed")
    return np.nan


def _calls(step: Step) -> tuple[list[_Call], int]:
    """The requests of a step that have a known usage, one after the other; and the number of the others."""
    sent = [each for each in step.requests if each.state != "not sent"]
    known = [each for each in sent if each.state == "settled" and each.charge.output_tokens > 0]
    each_ms = step.milliseconds // max(len(sent), 1)
    calls = [
        _Call(
            begun_ms=step.at_ms + place * each_ms,
            ended_ms=step.at_ms + (place + 1) * each_ms,
            input_tokens=each.charge.input_tokens,
            output_tokens=each.charge.output_tokens,
            clamp_tokens=step.most_output_tokens or 0,
            level=step.effort_seen or step.effort_planned,
        )
        for place, each in enumerate(known)
    ]
    return calls, len(sent) - len(known)


def _demand(label: str, tasks: Sequence[_Task], notes: Iterable[str]) -> Demand:
    rows: list[tuple[int, int, float, _Call]] = []
    for number, task in enumerate(tasks):
        stage, ended = -1, None
        for call in sorted(task.calls, key=lambda each: (each.begun_ms, each.ended_ms)):
            if ended is None or call.begun_ms >= ended:
                pause = 0.0 if ended is None else min((call.begun_ms - ended) / 1000, _MOST_PAUSE_SECONDS)
                stage, ended = stage + 1, call.ended_ms
            ended = max(ended, call.ended_ms)
            rows.append((number, stage, pause, call))
    return Demand(
        label=label,
        task=np.array([row[0] for row in rows]),
        stage=np.array([row[1] for row in rows]),
        gap_seconds=np.array([row[2] for row in rows]),
        input_tokens=np.array([row[3].input_tokens for row in rows]),
        output_tokens=np.array([row[3].output_tokens for row in rows]),
        clamp_tokens=np.array([row[3].clamp_tokens for row in rows]),
        right=np.array([each.right for each in tasks]),
        usd=np.array([each.usd for each in tasks]),
        notes=tuple(notes),
    )


def from_profile(
    profile: Profile, kind: str, *, model: str = "", tail: float = TAIL, seed: int = 0
) -> dict[str, Demand]:
    """One answer a task by each fresh arm of a profile; lengths are lognormal around the arm's mean.

    Args:
        kind: The kind of task.
        model: Only arms of models that begin so.
        tail: The 99th percentile of outputs against their mean.

    Raises:
        BadInput: The profile has no such kind, or no arm of it has tokens.
    """
    if kind not in profile.kinds:
        raise BadInput(f"no kind {kind!r} in this profile; there are {', '.join(sorted(profile.kinds)) or 'none'}")
    found = {}
    for arm in profile.arms(kind):
        measured = profile.kinds[kind].arms[arm]
        if arm.strategy or not arm.model.startswith(model) or measured.output_tokens < 1:
            continue
        name = str(arm)
        made = assumed(
            name, mean_tokens=measured.output_tokens, p99_tokens=tail * measured.output_tokens,
            input_tokens=max(measured.input_tokens, 1.0), right=profile.rate(kind, arm), seed=seed,
        )  # fmt: skip
        source = "a weak prior" if measured.prior else f"{measured.tried:g} tasks"
        found[name] = replace(made, notes=(f"profile, {kind}: {source}; one answer a task", *made.notes))
    if not found:
        raise BadInput(f"no fresh arm of {kind!r} in this profile has output tokens (--model {model or 'ANY'})")
    return found


def from_bench(rows: Sequence[Mapping[str, Any]], *, of: str = "", model: str = "") -> dict[str, Demand]:
    """The settings of a record of `rheostat.bench.arms`, on the tasks that all of them answered.

    The record has the sum over the draws of a task: each draw is taken as an equal part, one after the other.

    Args:
        of: The set of tasks; without it, the first one.
        model: The models that the policy had, with commas, as in the record; without it, the first ones of that set.

    Raises:
        BadInput: The record has no such set, or a row isn't one of that record.
    """
    there = dict.fromkeys((str(row.get("set", "")), str(row.get("models", ""))) for row in rows)
    found = next((pair for pair in there if of in ("", pair[0]) and model in ("", pair[1])), None)
    if found is None:
        known = ", ".join(f"{name!r} of {models!r}" for name, models in there) or "none"
        raise BadInput(f"no set {of or 'of any name'!r} of {model or 'any model'!r} in this record; there are {known}")
    of = found[0]
    by: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in rows:
        if (str(row.get("set", "")), str(row.get("models", ""))) == found:
            by[str(row["setting"])][str(row["task"])] = row
    shared = sorted(set.intersection(*(set(each) for each in by.values())))
    if not shared:
        raise BadInput(f"the settings of {of!r} share no task: run the benchmark to its end")
    note = f"{of}, {found[1]}: {len(shared)} tasks that every setting answered; draws are equal parts, in sequence"
    return {name: _of_rows(name, [each[task] for task in shared], note) for name, each in sorted(by.items())}


def _of_rows(label: str, rows: Sequence[Mapping[str, Any]], note: str) -> Demand:
    try:
        draws = np.array([max(len(row["ways"]), 1) for row in rows])
        given, made = (
            np.repeat([row[name] for row in rows] // draws, draws) for name in ("input_tokens", "output_tokens")
        )
        right = np.array([float(row["right"]) for row in rows])
        usd = np.array([row["usd_nanos"] / 1e9 for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{label}: a row isn't one of rheostat.bench.arms ({error!r})") from None
    first = np.cumsum(draws) - draws
    return Demand(
        label=label,
        task=np.repeat(np.arange(len(rows)), draws),
        stage=np.arange(draws.sum()) - np.repeat(first, draws),
        input_tokens=given.astype(np.int64),
        output_tokens=np.maximum(made.astype(np.int64), 1),
        gap_seconds=np.zeros(draws.sum()),
        clamp_tokens=np.zeros(draws.sum(), dtype=np.int64),
        right=right,
        usd=usd,
        notes=(note,),
    )
