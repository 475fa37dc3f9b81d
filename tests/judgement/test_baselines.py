"""What a run is compared with: in its result, and summed up over a ledger."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from conftest import Runner
from profiles import two_models
from rheostat import Budget, MemoryLedger, Policy, Price, build_solver, resolve
from rheostat.judgement.baselines import BEST_FIXED, STRONG_ALWAYS, compared
from rheostat.testing import ScriptedModel

QUESTION = "How many apples are 3 and 4 apples? Calculate."


def solver(*says: str, **changes: Any) -> tuple[Any, MemoryLedger]:
    ledger = MemoryLedger()
    models = []
    for name, said in zip(("small", "large"), says, strict=False):
        at = resolve(
            ScriptedModel(script=[said] * 20, model=name),
            price=Price(input_per_million=Decimal(1), output_per_million=Decimal(10)),
        )
        at.dial.facts = replace(at.dial.facts, name=name, takes_temperature=True, thinks=False)
        models.append(at)
    graph = build_solver(
        models[0], escalate_to=models[1:], budget=Budget(tokens=100_000), ledger=ledger,
        policy=Policy(profile=two_models()), **changes,
    )  # fmt: skip
    return graph.compile(), ledger


def test_a_result_names_the_best_fixed_arm_and_the_strongest(run: Runner) -> None:
    graph, _ = solver("Answer: 7", "Answer: 7", verifier=lambda answer: answer == "7")
    result = run(graph, {"question": QUESTION})
    best, strong = result["baselines"]
    assert (best["name"], strong["name"]) == (BEST_FIXED, STRONG_ALWAYS)
    assert best["arm"].startswith("small")
    assert strong["arm"] == "large · low · steps"
    assert (best["unit"], strong["unit"]) == ("usd", "usd")
    assert 0 < best["cost"] < strong["cost"]
    assert best["chance"] < strong["chance"]


def test_a_level_that_was_fixed_is_compared_with_all(run: Runner) -> None:
    graph, _ = solver("Answer: 7", "Answer: 7", effort="none")
    assert run(graph, {"question": QUESTION})["baselines"][1]["arm"] == "large · low · steps"


def test_runs_are_summed_up_from_their_records() -> None:
    right, ledger = solver("Answer: 7", verifier=lambda answer: answer == "7")
    wrong, other = solver("Answer: 8", verifier=lambda answer: False)
    spent = 0
    for graph in (right, right, wrong):
        result = graph.invoke({"question": QUESTION})
        spent += sum(each["spend"]["usd_nanos"] for each in result["candidates"])
    [total] = compared([*ledger.steps(), *other.steps()]).values()
    assert (total.runs, total.judged, total.solved) == (3, 3, 2)
    assert total.usd_nanos == total.judged_usd_nanos == spent
    assert total.cost_per_right("usd") == spent / 2
    fixed = total.expected[BEST_FIXED, "usd"]
    assert fixed["runs"] == 3
    assert fixed["spent"] == spent
    assert 0 < fixed["right"] < 3
    by_kind = compared(ledger.steps(), "kind")
    assert {name: each.runs for name, each in by_kind.items()} == {"maths": 2}
    assert list(compared(ledger.steps(), "model")) == ["small"]


def test_runs_that_no_verifier_judged_have_no_price_of_a_right_answer() -> None:
    graph, ledger = solver("Answer: 7")
    graph.invoke({"question": QUESTION})
    [total] = compared(ledger.steps()).values()
    assert (total.runs, total.judged) == (1, 0)
    assert total.cost_per_right("usd") is None


@pytest.mark.parametrize("keep", [1, 3])
def test_a_run_that_hasnt_ended_isnt_counted(keep: int) -> None:
    graph, ledger = solver("Answer: 7")
    graph.invoke({"question": QUESTION})
    records = [each for each in ledger.steps() if not each.candidate.get("action")]
    assert compared(records[:keep]) == {}
