"""Hosted models that nothing was measured of: a refused answer is corrected exactly where that is worth its price."""

from __future__ import annotations

import re
from typing import Any

import pytest

from conftest import Runner
from rheostat import Budget, Caps, Effort, MemoryLedger, build_solver
from rheostat.graph.state import read
from rheostat.testing.server import ProviderServer, Turn
from wire import ADAPTIVE, CHAT, Api, simulated

hosted = pytest.mark.parametrize("api", [CHAT, ADAPTIVE], ids=["openai", "anthropic"])
CAPS = Caps(max_samples=40, max_rounds=40)
QUESTION = "How many ways are there to tile a 3 by 8 board with dominoes? Calculate."


def level_of(body: dict[str, Any]) -> Effort:
    """The effort that a request asks for."""
    asked = body.get("reasoning_effort") or body.get("output_config", {}).get("effort") or "none"
    return Effort(asked)


def right_from(level: Effort) -> Any:
    """Right at this level and above, as LiveCodeBench's record has it for most questions."""
    return lambda number, body: Turn(text=f"Answer: {153 if level_of(body) >= level else 200 + number}")


def judge(answer: str) -> bool | str:
    return True if answer == "153" else "this isn't the number of tilings"


def graph_of(api: Api, server: ProviderServer, **changes: Any) -> Any:
    return build_solver(
        api.at(server), budget=Budget(usd="50"), verifier=judge, ledger=MemoryLedger(), caps=CAPS, **changes
    ).compile()


def solve(api: Api, server: ProviderServer, run: Runner, **changes: Any) -> dict[str, Any]:
    return run(graph_of(api, server, **changes), {"question": QUESTION})


@hosted
@pytest.mark.parametrize("preset", ["fast", "balanced", "thorough"])
def test_a_refused_answer_is_corrected_while_that_is_worth_its_price(api: Api, preset: str) -> None:
    with simulated(planned=right_from(Effort.max)) as server:  # never right at the levels that the prior knows
        events = list(graph_of(api, server, effort=preset).stream({"question": QUESTION}, stream_mode="custom"))
    reasons = [" ".join(each["reasons"]) for each in events if each["type"] == "plan"]
    found = [re.search(r"P ([\d.]+) · \$([\d.,]+) − \$([\d.,]+) =", reason) for reason in reasons]
    sums = [float(p[1]) * float(p[2].replace(",", "")) - float(p[3]) for p in found if p]
    assert len(sums) == len(reasons) > 1, "a first correction is worth its price at every preset"
    assert min(sums) > 0
    [end] = [each for each in events if each["type"] == "decision" and each["action"] == "stop"]
    assert "no further draw is worth its price" in end["why"]


@hosted
def test_more_worth_buys_more_corrections(api: Api, run: Runner) -> None:
    counts = []
    for preset in ("fast", "balanced", "thorough"):
        with simulated(planned=right_from(Effort.max)) as server:
            counts.append(len(solve(api, server, run, effort=preset)["candidates"]))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@hosted
@pytest.mark.parametrize("level", [Effort.low, Effort.medium, Effort.high])
def test_a_question_that_needs_more_thought_gets_it(api: Api, level: Effort, run: Runner) -> None:
    with simulated(planned=right_from(level)) as server:
        result = solve(api, server, run, effort="thorough")
        billed = server.bill.total("output_tokens")
    assert (result["status"], result["answer"]) == ("solved", "153")
    last = result["candidates"][-1]
    assert (last["passed"], last["purpose"]) == (True, "correct")
    assert Effort(last["effort"]) >= level
    assert read(result)["run"]["output_tokens"] == billed


@hosted
@pytest.mark.parametrize(("worth", "corrected"), [("0.0001", False), ("10", True)])
def test_the_users_worth_decides(api: Api, worth: str, corrected: bool, run: Runner) -> None:
    with simulated(planned=right_from(Effort.max)) as server:
        result = solve(api, server, run, worth=worth)
    assert (len(result["candidates"]) > 1) is corrected
