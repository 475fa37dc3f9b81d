"""Measure arms on your own tasks, under a hard cap, and fit a profile.

Arms are sampled by successive halving (Karnin et al. 2013; Jamieson and Talwalkar, arXiv:1502.07943): all of them on a
few tasks, then the better half on twice as many, until the tasks or the budget are used up. An arm is better if it has
the largest sum at some worth, so that cheap arms stay beside accurate ones.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from rheostat.calling.meter import Meter
from rheostat.errors import BadInput, BudgetExceeded
from rheostat.evidence.asking import WAYS, WayName, ways_for
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.evidence.equality import compatible
from rheostat.evidence.expected import Expected
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.scorers import Judge
from rheostat.evidence.verifiers import PythonTests
from rheostat.files import read_text
from rheostat.graph.state import read
from rheostat.judgement.fitting import Trial, fitted
from rheostat.judgement.policy import Caps, Policy
from rheostat.judgement.profile import Arm, Profile
from rheostat.judgement.worth import reference
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, MemoryLedger
from rheostat.providers import Endpoint
from rheostat.sandbox.embedded import embedded_python
from rheostat.solver.build import build_solver
from rheostat.strategies import Accept, Decision, Draw, Stop, View
from rheostat.strategies.base import WAIT, affordable, in_flight
from rheostat.task import Effort, Kind, Task
from rheostat.thinking.difficulty import heuristic

__all__ = ["CalibrationTask", "OneArm", "arms_of", "calibrate", "read_tasks"]

_FIRST_TASKS: Final = 8
_LADDER: Final = (2.0, 5.0, 20.0, 100.0, 1000.0)
EXPECTED: Final = '{"question": "…", "gold": "39"} or {"question": "…", "tests": "assert candidate(2) == 4"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTask:
    """A task whose right answer is known."""

    id: str
    question: str
    gold: Any = None
    """The right answer, or a list of right ones."""
    tests: str = ""
    """Python tests of the answer's code."""
    kind: str = ""
    """The kind of task in the profile; empty: as the solver sees it."""
    form: str | None = None

    def right(self, answer: str | None) -> bool:
        """Whether an answer is right."""
        if answer is None:
            return False
        if self.tests:
            return PythonTests(self.tests).check(answer).passed is True
        golds = self.gold if isinstance(self.gold, list) else [self.gold]
        return any(answer.strip() == str(each).strip() or compatible(answer, str(each)) is True for each in golds)


@dataclass(frozen=True, slots=True)
class OneArm:
    """One answer by one arm."""

    arm: Arm
    uses_scores: bool = False
    """A judge says whether it is right."""

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> Decision:
        """See `Strategy.decide`."""
        if not history:
            effort = Effort(self.arm.effort or "none")
            return affordable([Draw(why=str(self.arm), effort=effort, way=self.arm.way)], history, view)
        if in_flight(history):
            return WAIT
        answered = [each for each in in_order(history) if each.answer is not None]
        return Accept(answered[0].id, "one answer was asked for") if answered else Stop("it brought no answer")


def read_tasks(path: Path, *, judged: bool = False) -> list[CalibrationTask]:
    """Read tasks from JSON Lines.

    Args:
        judged: A judge says what is right, where a task has no known answer.

    Raises:
        BadInput: A line isn't a task with a known answer.
    """
    tasks: list[CalibrationTask] = []
    for number, line in enumerate(read_text(path, "tasks", most_bytes=64 << 20, may_be_packed=True).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where}: not JSON ({error}); expected {EXPECTED}") from None
        if not isinstance(data, dict) or not isinstance(data.get("question"), str) or not data["question"].strip():
            raise BadInput(f"{where}: it has no question; expected {EXPECTED}")
        if data.get("gold") is None and not data.get("tests") and not judged:
            raise BadInput(
                f'{where}: neither "gold" nor "tests", so that no answer can be judged; expected {EXPECTED}, or name a '
                "judge"
            )
        tasks.append(
            CalibrationTask(
                id=str(data.get("id", number)),
                question=data["question"],
                gold=data.get("gold"),
                tests=str(data.get("tests") or ""),
                kind=str(data.get("kind") or ""),
                form=data.get("form"),
            )
        )
    if len({each.id for each in tasks}) < len(tasks):
        raise BadInput(f"{path}: two tasks have the same id")
    return tasks


def arms_of(
    endpoint: Endpoint, kind: Kind, form: AnswerForm, efforts: Sequence[str] = (), ways: Sequence[str] = ()
) -> list[Arm]:
    """The arms of a model that can be tried on tasks of a kind.

    Args:
        efforts: Only these levels; empty: all that it has up to high, of a model that thinks by itself, else none.
        ways: Only these ways of asking; empty: those that fit.
    """
    facts = endpoint.dial.facts
    usual = [level for level in facts.levels if level <= Effort.high] if facts.thinks else [facts.nearest(Effort.none)]
    levels = [level for level in facts.levels if level.value in efforts] if efforts else usual
    if not levels:
        has = ", ".join(level.value for level in facts.levels)
        raise BadInput(f"{facts.name} has no level {', '.join(efforts)}; it has {has}")
    made = []
    for level in levels:
        fitting = ways_for(kind, form, thinks=facts.thinks, thinking=facts.levels[level] > 0, runs=embedded_python())
        names: list[WayName | str] = [way.name for way in fitting]
        if not facts.thinks and form in ("number", "quantity"):
            names += [name for name in ("steps", "program", "function", "variables") if name not in names]
        chosen = [name for name in (ways or names) if name in WAYS]
        made += [Arm(model=facts.name, effort=level.value, way=str(name)) for name in dict.fromkeys(chosen)]
    return made


def calibrate(
    tasks: Sequence[CalibrationTask],
    models: Sequence[str | Endpoint],
    budget: Budget,
    *,
    efforts: Sequence[str] = (),
    ways: Sequence[str] = (),
    recorded: Sequence[Mapping[str, Any]] = (),
    on_trial: Callable[[dict[str, Any], int, int], None] | None = None,
    ledger: Ledger | None = None,
    judge: str | Endpoint | None = None,
    seed: int = 0,
    date: str = "",
) -> tuple[Profile, list[dict[str, Any]], str]:
    """Try arms on tasks until all are tried or the budget is used up.

    Args:
        budget: The hard cap of everything together.
        recorded: Rows of an earlier run, which aren't paid for again.
        judge: The model that judges answers to tasks without a known answer; paid from the same budget.
        on_trial: Called with each new row, and the trials done and planned in this rung.

    Returns:
        The profile, all rows, and why it ended.
    """
    endpoints = {(made := resolve(each)).name: made for each in models}
    judging = None if judge is None else Judge(model=resolve(judge))
    ledger = ledger or MemoryLedger()
    account = f"calibrate-{uuid.uuid4().hex[:12]}"
    ledger.open(Account(account, budget))
    order = list(tasks)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, repeatable
    rows = [dict(each) for each in recorded]
    known = {(row["task"], _name(row)) for row in rows}
    alive: set[str] | None = None
    count, why = min(_FIRST_TASKS, len(order)), "every arm that was left was tried on every task"
    while True:
        todo = [
            (task, arm)
            for task in order[:count]
            for arm in _arms(task, endpoints, efforts, ways)
            if (task.id, str(arm)) not in known and (alive is None or str(arm) in alive)
        ]
        for number, (task, arm) in enumerate(todo, 1):
            try:
                row = _try(task, arm, endpoints[arm.model], ledger, account, judging)
            except BudgetExceeded as refused:
                return _fit(rows, date), rows, f"the budget is used up: {refused}"
            if row is None:
                continue
            rows.append(row)
            known.add((task.id, str(arm)))
            if on_trial is not None:
                on_trial(row, number, len(todo))
        if count >= len(order):
            return _fit(rows, date), rows, why
        alive = _better_half(rows, alive)
        count = min(2 * count, len(order))


def _arms(
    task: CalibrationTask, endpoints: Mapping[str, Endpoint], efforts: Sequence[str], ways: Sequence[str]
) -> Iterator[Arm]:
    difficulty = heuristic(task.question)
    form: Any = task.form or ("code" if task.tests else Expected.of(task.question, difficulty.kind, None).asked)
    for endpoint in endpoints.values():
        yield from arms_of(endpoint, difficulty.kind, form, efforts, ways)


def _try(
    task: CalibrationTask, arm: Arm, endpoint: Endpoint, ledger: Ledger, account: str, judge: Judge | None
) -> dict[str, Any] | None:
    """A row; `None`: the request failed or the judge abstained, which says nothing about the arm."""
    judged = task.gold is None and not task.tests
    form: Any = task.form or ("code" if task.tests else None)
    graph = build_solver(
        endpoint,
        budget=Budget(calls=8 if judged else 4),
        form=form,
        strategy=OneArm(arm, uses_scores=judged),
        scorer=judge if judged else None,
        caps=Caps(max_samples=1 + judged, max_rounds=1 + judged),  # a score is asked for where more could be drawn
        policy=Policy(profile=Profile()),
        meter=Meter(ledger),
        account=account,
        on_limit="raise",
    ).compile()
    result = graph.invoke({"question": task.question})
    spend = read(result)["run"]
    drawn = [Candidate.from_dict(each) for each in result["candidates"]]
    difficulty = heuristic(task.question)
    if not drawn or drawn[0].error or (judged and drawn[0].answer is not None and drawn[0].score is None):
        return None
    answer, right = drawn[0].answer, (drawn[0].score or 0.0) >= 0.5 if judged else task.right(drawn[0].answer)
    judging = spend["by_node"].get("judge", {})
    dollars = spend["usd_nanos"] + spend["unknown_usd_nanos"] - judging.get("usd_nanos", 0)
    return {
        "task": task.id,
        "kind": task.kind or difficulty.kind,
        "difficulty": difficulty.score,
        "model": arm.model,
        "effort": arm.effort,
        "way": arm.way,
        "correct": right,
        "judged": judged,
        "answer": drawn[0].key if answer is not None else None,
        "usd": float(Decimal(dollars) / 10**9) if endpoint.price is not None and not endpoint.price.free else None,
        "input_tokens": spend["input_tokens"] + spend["unknown_input_tokens"] - judging.get("input_tokens", 0),
        "output_tokens": spend["output_tokens"] + spend["unknown_output_tokens"] - judging.get("output_tokens", 0),
        "seconds": round(spend["milliseconds"] / 1000, 3),
        "score": drawn[0].low_logprob,
    }


def _name(row: Mapping[str, Any]) -> str:
    return str(_arm(row))


def _arm(row: Mapping[str, Any]) -> Arm:
    return Arm(model=str(row["model"]), effort=str(row.get("effort") or ""), way=str(row.get("way") or ""))


def _fit(rows: Iterable[Mapping[str, Any]], date: str) -> Profile:
    trials = [
        Trial(
            task=f"{row['kind']}/{row['task']}",
            arm=_arm(row),
            right=bool(row["correct"]),
            kind=str(row["kind"]),
            answer=row.get("answer"),
            usd=row.get("usd"),
            input_tokens=row.get("input_tokens"),
            output_tokens=row.get("output_tokens"),
            seconds=row.get("seconds"),
            score=row.get("score"),
            difficulty=row.get("difficulty"),
        )
        for row in rows
    ]
    return fitted(trials, date=date, source="rheostat calibrate")


def _better_half(rows: Sequence[Mapping[str, Any]], alive: set[str] | None) -> set[str]:
    """Half of the arms, but at least three: those that have the largest sum at some worth, in turn."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        total = sums.setdefault(_name(row), [0.0, 0.0, 0.0])
        cost = row["usd"] * 1e9 if row.get("usd") is not None else row["output_tokens"]
        total[0] += bool(row["correct"])
        total[1] += cost
        total[2] += 1
    rates = {
        name: ((right + 0.5) / (tried + 1), cost / tried)
        for name, (right, cost, tried) in sums.items()
        if alive is None or name in alive
    }
    base = reference([rate for rate, _ in rates.values()], [cost for _, cost in rates.values()]) or 1.0
    ranked = [
        sorted(rates, key=lambda name: (rates[name][1] - times * base * rates[name][0], name)) for times in _LADDER
    ]
    kept: dict[str, None] = {}
    for place in range(len(rates)):
        for order in ranked:
            if len(kept) < max((len(rates) + 1) // 2, 3):
                kept.setdefault(order[place])
    return set(kept)
