"""Short ways to write a history and a view."""

from __future__ import annotations

from typing import Any

from rheostat import Difficulty, Effort, Room, Spend
from rheostat.evidence.candidate import Candidate
from rheostat.strategies import Available, View
from rheostat.task import Task
from rheostat.thinking.model_facts import ModelFacts

LEVELS = {Effort.none: 0, Effort.low: 64, Effort.medium: 128}
TASK = Task(question="2 + 2?", difficulty=Difficulty(score=0.5, kind="maths", reasons=()), form="number")


def available(name: str = "small", **fields: Any) -> Available:
    least = Spend(calls=1, output_tokens=100)
    return Available(
        name=name, facts=ModelFacts(name=name, levels=LEVELS, prolongs="{thought} Wait,"), **{"least": least, **fields}
    )


def seen(**fields: Any) -> View:
    """A view of one model with room for everything."""
    return View(**{"models": (available(),), "room": Room(), **fields})


def came(*answers: str | None, **fields: Any) -> list[Candidate]:
    """One candidate per answer, each in a round of its own."""
    shared = {"model": "small", "effort": Effort.low, "way": "steps", "spend": Spend(calls=1, usd_nanos=100), **fields}
    return [
        Candidate(
            id=f"c{n}", number=n, round=n + 1, answer=each, key=each, judged=each is not None,
            status="done" if each is not None else "failed", **shared,
        )
        for n, each in enumerate(answers)
    ]  # fmt: skip
