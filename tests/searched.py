"""Searches with scripted models, for tests of what is recorded and shown of them."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from rich.console import Console

from rheostat import (
    Budget,
    Endpoint,
    Price,
    build_solver,
    resolve,
)
from rheostat.evidence.scorers import Judge
from rheostat.strategies import TreeSearch
from rheostat.testing import ScriptedModel

QUESTION = "Write a short line about the sea."
ROOMY = Budget(tokens=200_000)
CANARY = "kanarienvogel"


def numbered() -> ScriptedModel:
    """Replies are numbered; a correction counts one on."""

    def script(messages: Any, _: Any) -> str:
        before = [each.content for each in messages if str(each.content).startswith("line")]
        return f"line {int(before[-1].split()[1]) + 1 if before else 0} {CANARY}"

    return ScriptedModel(script=script)


def judging() -> ScriptedModel:
    """The first digit of an answer is its points."""

    def script(messages: Any, _: Any) -> str:
        points = int(messages[-1].content.split("<answer>\nline ")[1][0])
        return json.dumps({"reason": f"worth {points}, says the {CANARY}", "points": points})

    return ScriptedModel(script=script, model="judge")


def searching(ledger: Any, **changes: Any) -> Any:
    given = {"strategy": TreeSearch(samples=5, at_once=2), "scorer": Judge(model=judging()), **changes}
    price = Price(input_per_million=Decimal(1), output_per_million=Decimal(10))
    return build_solver(resolve(numbered(), price=price), budget=ROOMY, ledger=ledger, effort="none", **given)


def racing() -> tuple[Endpoint, Any]:
    """A model whose calls can be cancelled, asked one by one: what comes first decides."""
    endpoint = resolve(ScriptedModel(script=["The answer is 4."]))
    endpoint.dial.facts = replace(endpoint.dial.facts, cancels=True)
    return endpoint, {"max_concurrency": 1}


def shown(view: Any, width: int = 140) -> str:
    console = Console(record=True, width=width, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(view)
    console.file.close()
    return console.export_text()
