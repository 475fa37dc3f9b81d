"""Run problems under settings, record each outcome, and resume an earlier run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rheostat.bench.problems import Problem
from rheostat.evidence.verifiers import PythonTests
from rheostat.files import read_text
from rheostat.graph.state import read as readings
from rheostat.judgement.policy import Caps
from rheostat.money.budget import Budget
from rheostat.providers import Endpoint
from rheostat.solver.build import build_solver
from rheostat.task import Effort

_MOST_BYTES = 256 << 20
__all__ = ["BUDGETS", "Outcome", "Setting", "fixed_settings", "read", "run"]

BUDGETS = (0, 16, 32, 64, 128, 256)
"""The fixed budgets, in thinking tokens."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to think: a fixed budget, or adaptive with a preset."""

    name: str
    thinking_tokens: int | None = None
    effort: str = ""

    @property
    def adaptive(self) -> bool:
        """Whether the policy decides the thinking tokens."""
        return self.thinking_tokens is None


def fixed_settings() -> list[Setting]:
    """One setting for each fixed budget."""
    return [Setting(f"fixed {tokens}", tokens) for tokens in BUDGETS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one setting on one problem."""

    setting: str
    problem: str
    level: str
    correct: bool
    answer: str | None
    status: str
    calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    thinking_tokens: int
    unknown_calls: int
    usd_nanos: int
    seconds: float
    untold: bool = False
    """The tests can't tell whether the answer is right; it then counts as not correct."""


def _fixed(endpoint: Endpoint, thinking_tokens: int) -> Endpoint:
    """The same model with a dial that has one level: exactly that many thinking tokens."""

    class OneLevel:
        def __init__(self, dial: Any) -> None:
            self._dial = dial
            self.facts = replace(dial.facts, levels={Effort.medium: thinking_tokens}, least_useful_thinking_tokens=0)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._dial, name)

    return replace(endpoint, dial=OneLevel(endpoint.dial))


def solve_one(endpoint: Endpoint, setting: Setting, problem: Problem, budget: Budget, answer_tokens: int) -> Outcome:
    """Solve one problem under one setting with the public solver, and score the answer."""
    model = endpoint if setting.adaptive else _fixed(endpoint, setting.thinking_tokens or 0)
    # a fixed setting is one call, as in common use; running the user's own tests is part of what adaptive means
    verifier = PythonTests(problem.tests) if setting.adaptive and problem.tests else None
    effort = setting.effort if setting.adaptive else Effort.medium
    graph = build_solver(
        model, budget=budget, verifier=verifier, effort=effort, caps=Caps(answer_tokens=answer_tokens)
    ).compile()
    started = time.monotonic()
    result = graph.invoke({"question": problem.question})
    spend = readings(result)["spend"]
    correct = problem.correct(result["answer"])
    return Outcome(
        setting=setting.name,
        problem=problem.id,
        level=problem.level,
        correct=correct is True,
        untold=correct is None,
        answer=result["answer"][:2000] if result["answer"] else None,
        status=result["status"],
        calls=spend["calls"],
        input_tokens=spend["input_tokens"],
        cached_input_tokens=spend["cached_input_tokens"],
        output_tokens=spend["output_tokens"],
        thinking_tokens=spend["thinking_tokens"] or 0,
        unknown_calls=spend["unknown_calls"],
        usd_nanos=spend["usd_nanos"] or 0,
        seconds=round(time.monotonic() - started, 2),
    )


def read(path: Path) -> list[Outcome]:
    """The outcomes recorded so far; lines that can't be read, such as a last one cut short, are left out."""
    outcomes = []
    if path.exists():
        for line in read_text(path, "record", most_bytes=_MOST_BYTES).splitlines():
            try:
                outcomes.append(Outcome(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return outcomes


def run(
    endpoint: Endpoint,
    settings: Sequence[Setting],
    problems: Sequence[Problem],
    *,
    budget: Budget,
    answer_tokens: int,
    record: Path | None = None,
    workers: int = 4,
    seconds: float | None = None,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run all settings on each problem, one problem after the other, and return all outcomes.

    Args:
        record: A file of JSON lines; outcomes recorded in it aren't run again.
        seconds: Start no further problem after this many seconds.
        done: Called with each outcome, the recorded ones first.
    """
    outcomes = read(record) if record else []
    known = {(outcome.setting, outcome.problem) for outcome in outcomes}
    for outcome in outcomes:
        done(outcome)
    todo = (
        (problem, setting) for problem in problems for setting in settings if (setting.name, problem.id) not in known
    )
    deadline = None if seconds is None else time.monotonic() + seconds
    file = record.open("a", encoding="utf-8") if record else None
    try:
        for outcome in _pool(endpoint, todo, budget, answer_tokens, workers, deadline):
            outcomes.append(outcome)
            if file:
                file.write(json.dumps(asdict(outcome), separators=(",", ":")) + "\n")
                file.flush()
            done(outcome)
    finally:
        if file:
            file.close()
    return outcomes


def _pool(
    endpoint: Endpoint,
    todo: Iterator[tuple[Problem, Setting]],
    budget: Budget,
    answer_tokens: int,
    workers: int,
    deadline: float | None,
) -> Iterator[Outcome]:
    current = ""
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Outcome]] = set()
        more = True
        while more or running:
            while more and len(running) < workers:
                item = next(todo, None)
                late = deadline is not None and time.monotonic() > deadline
                # a problem once begun is finished under every setting, so that the comparison stays paired
                if item is None or (late and item[0].id != current):
                    more = False
                    break
                current = item[0].id
                running.add(pool.submit(solve_one, endpoint, item[1], item[0], budget, answer_tokens))
            if running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
