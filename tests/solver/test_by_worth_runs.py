"""The policy by worth in the solver: the same answer, the same draws and the same ledger in all four modes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from conftest import Runner
from profiles import two_models
from rheostat import Budget, MemoryLedger, Policy, Price, build_solver, resolve
from rheostat.graph.state import read
from rheostat.testing import ScriptedModel

QUESTION = "How many apples are 3 and 4 apples? Calculate."


def endpoint(script: Any, model: str = "small") -> Any:
    made = resolve(
        ScriptedModel(script=script, model=model),
        price=Price(input_per_million=Decimal(1), output_per_million=Decimal(10)),
    )
    made.dial.facts = replace(made.dial.facts, name=model, takes_temperature=True, thinks=False)
    return made


def solver(*scripts: Any, **changes: Any) -> tuple[Any, list[Any], MemoryLedger]:
    ledger = MemoryLedger()
    models = [endpoint(script, name) for script, name in zip(scripts, ("small", "large"), strict=False)]
    graph = build_solver(
        models[0], escalate_to=models[1:], budget=Budget(usd="1"), ledger=ledger, policy=Policy(profile=two_models()),
        **{"effort": "thorough", **changes},
    )  # fmt: skip
    return graph.compile(), models, ledger


def test_two_ways_that_agree_end_the_run(run: Runner) -> None:
    graph, models, _ = solver(["Answer: 7"])
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "7"
    ways = [each["way"] for each in result["candidates"]]
    assert len(ways) == len(set(ways)) >= 2
    assert "no further draw is worth its price" in result["stopped"]
    assert read(result)["run"]["output_tokens"] == models[0].chat.billed.output_tokens


def test_refused_answers_go_on_to_the_dearer_model(run: Runner) -> None:
    graph, models, _ = solver(["Answer: 8"], ["Answer: 7"], verifier=lambda answer: True if answer == "7" else "no")
    result = run(graph, {"question": QUESTION})
    assert (result["answer"], result["status"]) == ("7", "solved")
    assert [each["model"] for each in result["candidates"]][-1] == "large"
    assert read(result)["run"]["output_tokens"] == sum(each.chat.billed.output_tokens for each in models)


@pytest.mark.parametrize(("worth", "more"), [("0.0001", False), ("5", True)])
def test_the_users_worth_decides_how_much_is_drawn(worth: str, more: bool) -> None:
    graph, _, _ = solver(["Answer: 7", "Answer: 8", "Answer: 9", "Answer: 10"], worth=worth)
    result = graph.invoke({"question": QUESTION})
    assert (len(result["candidates"]) > 1) is more


def test_each_decision_prints_its_sum() -> None:
    graph, _, _ = solver(["Answer: 7"])
    events = list(graph.stream({"question": QUESTION}, stream_mode="custom"))
    plans = [event["reasons"] for event in events if event["type"] == "plan"]
    assert plans
    assert all(any(" · $" in reason and " − $" in reason for reason in reasons) for reasons in plans)
