"""`auto` over several models: order, failures, levels that they lack, the operator's limits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tenacity import wait_none

from conftest import Runner
from rheostat import Agreement, Budget, Caps, Effort, MemoryLedger, Meter, Policy, Price, build_solver, resolve
from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile
from rheostat.testing import Said, ScriptedModel

QUESTION = "How many apples are 3 and 4 apples? Calculate."
LEVELS = {Effort.none: 0, Effort.low: 1000, Effort.high: 8000}
BROKEN = Said(error=ValueError("no such host"))


def endpoint(name: str, *says: Any, levels: Any = LEVELS, usd: int | None = None) -> Any:
    price = None if usd is None else Price(input_per_million=Decimal(usd), output_per_million=Decimal(5 * usd))
    made = resolve(ScriptedModel(script=[*says] * 60, model=name), price=price)
    made.dial.facts = replace(made.dial.facts, name=name, thinks=True, levels=levels)
    return made


def solve(run: Runner, *models: Any, **changes: Any) -> dict[str, Any]:
    graph = build_solver(
        models[0], escalate_to=models[1:],
        **{"budget": Budget(tokens=500_000), "meter": Meter(MemoryLedger(), wait=wait_none()), **changes},
    )  # fmt: skip
    return run(graph.compile(), {"question": QUESTION})


def asked(result: dict[str, Any]) -> list[str]:
    return [each["model"] for each in result["candidates"]]


def right(answer: str) -> bool:
    return answer == "7"


@pytest.mark.parametrize("prices", [(None, 15), (3, 15), (5, 5), (None, None)])
def test_the_first_model_is_asked_first_whatever_its_name(prices: tuple[Any, Any], run: Runner) -> None:
    result = solve(run, endpoint("zed", "7", usd=prices[0]), endpoint("abc", "7", usd=prices[1]), effort="fast")
    assert asked(result)[0] == "zed"


@pytest.mark.parametrize("verifier", [None, right])
def test_a_model_that_is_down_hands_over(verifier: Any, run: Runner) -> None:
    result = solve(run, endpoint("zed", BROKEN), endpoint("abc", "Answer: 7"), verifier=verifier)
    assert result["answer"] == "7"
    assert asked(result).count("zed") <= 2


def test_probes_that_fail_arent_the_last_word(run: Runner) -> None:
    result = solve(run, endpoint("zed", BROKEN), endpoint("abc", "Answer: 7"), probe=Agreement(samples=3))
    assert result["answer"] == "7"


def test_a_refused_model_hands_over_within_the_usual_rounds(run: Runner) -> None:
    result = solve(
        run, endpoint("zed", "Answer: 8", usd=1), endpoint("abc", "Answer: 7", usd=5), verifier=right,
        effort="thorough", budget=Budget(usd="50"),
    )  # fmt: skip
    assert (result["status"], asked(result)[-1]) == ("solved", "abc")


def test_a_level_that_one_model_lacks_is_the_nearest_one(run: Runner) -> None:
    plain = endpoint("zed", "Answer: 8", levels={Effort.none: 0})
    result = solve(run, plain, endpoint("abc", "Answer: 7"), verifier=right, effort="high")
    assert (result["status"], result["candidates"][-1]["effort"]) == ("solved", "high")


def test_a_second_endpoint_of_the_same_model_is_asked_too(run: Runner) -> None:
    result = solve(run, endpoint("same", BROKEN), endpoint("same", "Answer: 7"))
    assert (result["answer"], asked(result)[-1]) == ("7", "same#2")


@pytest.mark.parametrize("cap", [Effort.none, Effort.low])
def test_the_operators_level_binds_what_is_chosen(cap: Effort, run: Runner) -> None:
    result = solve(
        run, endpoint("one", "Answer: 8"), verifier=right, effort="thorough",
        caps=Caps(max_effort=cap, max_samples=40, max_rounds=40),
    )  # fmt: skip
    assert {each["effort"] for each in result["candidates"]} <= {"none", cap.value}


def test_arms_that_cant_be_sent_arent_played(run: Runner) -> None:
    arms = {
        Arm(model="one", effort="low", way="cot-v2"): Measured(right=99, tried=100, output_tokens=9),
        Arm(model="one", effort="low", clamp_tokens=50): Measured(right=99, tried=100, output_tokens=9),
        Arm(model="one", effort="none"): Measured(right=50, tried=100, output_tokens=9),
    }
    policy = Policy(profile=Profile(kinds={"maths": KindProfile(arms=arms)}))
    result = solve(run, endpoint("one", "Answer: 8"), verifier=right, policy=policy)
    assert {each["effort"] for each in result["candidates"]} == {"none"}
