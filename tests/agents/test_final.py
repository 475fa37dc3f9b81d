"""`FinalAnswer`: an agent's answer is searched under the agent's own budget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from conftest import RUNNERS, Runner
from rheostat import (
    AdaptiveThinking,
    BadInput,
    Beam,
    BestOfN,
    Budget,
    Draw,
    Judge,
    MemoryLedger,
    NoPrice,
    Refine,
    Vote,
    endpoint_for,
)
from rheostat.agents.final import CANDIDATES, FinalAnswer
from rheostat.evidence.candidate import Candidate
from rheostat.testing import Said, ScriptedModel, free, timeless
from rheostat.testing.server import Turn
from wire import CHAT, simulated

ASK: Any = {"messages": [HumanMessage("What is 2 * 3, and that times 7?")]}


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


CALL = Said(tool_calls=(("multiply", {"a": 2, "b": 3}),))


def agent(final: FinalAnswer, *script: Any, budget: Budget | None = None) -> tuple[Any, ScriptedModel, MemoryLedger]:
    model, ledger = free(ScriptedModel(script=list(script))), MemoryLedger()
    thinking = AdaptiveThinking(budget=budget or Budget(tokens=500_000, calls=40), ledger=ledger, effort="none")
    return create_agent(model, [multiply], middleware=[final, thinking]), model, ledger


def drawn(result: Any) -> list[Candidate]:
    listed = result["messages"][-1].response_metadata.get(CANDIDATES, [])
    return [Candidate.from_dict(each) for each in listed]


def test_a_refused_answer_goes_back_and_the_corrected_one_is_the_answer(run: Runner) -> None:
    final = FinalAnswer(Refine(), verifier=lambda answer: "42" in answer or "wrong product")
    graph, model, ledger = agent(final, CALL, "It is 36.", "It is 42.")
    result = run(graph, ASK)
    assert result["messages"][-1].text == "It is 42."
    assert [type(each).__name__ for each in result["messages"]] == [
        "HumanMessage", "AIMessage", "ToolMessage", "AIMessage",
    ]  # fmt: skip
    assert [each.passed for each in drawn(result)] == [False, True]
    assert "wrong product" in str(model.calls[-1][0][-1].content)
    spend = result["rheostat"]["spend"]
    assert spend["input_tokens"] + spend["output_tokens"] == model.billed.tokens
    assert timeless(spend) == timeless(ledger.reading(spend["account"]))


def test_answers_vote_and_calls_of_tools_never_do(run: Runner) -> None:
    graph, model, _ = agent(FinalAnswer(Vote(lead=2)), "It is 36.", "It is 42.", CALL, "It is 42.", "It is 42.")
    result = run(graph, ASK)
    assert result["messages"][-1].text == "It is 42."
    assert [each.status for each in drawn(result)] == ["done", "done", "failed", "done", "done"]
    assert model.billed.calls == 5


def test_replies_without_an_answer_have_no_common_vote(run: Runner) -> None:
    refusals = ["I can't determine the answer."] * 3
    graph, _, _ = agent(FinalAnswer(Vote(lead=2)), *refusals, *["It is 42."] * 5)
    result = run(graph, ASK)
    assert result["messages"][-1].text == "It is 42."


def test_a_judge_in_an_agent_is_paid_from_the_agents_budget(run: Runner) -> None:
    def points(messages: Any, _: Any) -> str:
        return json.dumps({"reason": "", "points": 9 if "42" in messages[-1].content else 1})

    judge = free(ScriptedModel(script=points, model="judge"))
    graph, model, ledger = agent(FinalAnswer(BestOfN(samples=2), scorer=Judge(model=judge)), "It is 36.", "It is 42.")
    result = run(graph, ASK)
    assert result["messages"][-1].text == "It is 42."
    assert [each.score for each in drawn(result)] == [0.1, 0.9]
    reading = ledger.reading(result["rheostat"]["spend"]["account"])
    assert reading["input_tokens"] + reading["output_tokens"] == model.billed.tokens + judge.billed.tokens
    assert reading["by_node"]["judge"]["calls"] == 2


def test_the_four_ways_give_the_same_answer_and_ledger_on_a_real_api() -> None:
    seen = []
    for runner in RUNNERS:
        ledger = MemoryLedger()
        with simulated(Turn(text="It is 36."), Turn(text="It is 42.")) as server:
            final = FinalAnswer("refine", verifier=lambda answer: "42" in answer)
            thinking = AdaptiveThinking(
                budget=Budget(usd="5"), ledger=ledger, endpoint=lambda chat: endpoint_for(chat, provider=CHAT.provider)
            )
            graph = create_agent(CHAT.chat(server), [multiply], middleware=[final, thinking])
            result = runner(graph, ASK)
            spend = result["rheostat"]["spend"]
            assert spend["usd_nanos"] == server.bill.total("usd_nanos")
            assert sum(each.spend.usd_nanos or 0 for each in drawn(result)) == spend["usd_nanos"]
        seen.append((result["messages"][-1].text, timeless(spend)))
    assert seen[0][0] == "It is 42."
    assert all(one == seen[0] for one in seen)


def test_the_cap_ends_the_search_with_the_best_so_far(run: Runner) -> None:
    final = FinalAnswer(Vote(lead=9, most_samples=9))
    graph, model, _ = agent(final, "It is 36.", "It is 42.", budget=Budget(calls=4))
    result = run(graph, ASK)
    assert model.billed.calls <= 4
    assert result["messages"][-1].text in ("It is 36.", "It is 42.")
    assert not result["messages"][-1].text.startswith("I stopped")


def test_a_judge_without_a_price_is_refused_before_anything_is_sent(run: Runner) -> None:
    final = FinalAnswer("best-of-n", scorer=Judge(model=ScriptedModel(script=["7"], model="unpriced-judge")))
    graph, model, _ = agent(final, "It is 42.", budget=Budget(usd="0.10"))
    with pytest.raises(NoPrice, match="unpriced-judge"):
        run(graph, ASK)
    assert not model.calls


def test_it_says_what_it_needs() -> None:
    for bad in (
        lambda: FinalAnswer("auto"), lambda: FinalAnswer("best-of-n"), lambda: FinalAnswer(Beam(), verifier=bool),
        lambda: FinalAnswer("vote", most_draws=0),
        lambda: FinalAnswer("best-of-n", scorer=Judge(model=free(ScriptedModel(script=[""])), mode="pairs")),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            bad()
    alone = create_agent(free(ScriptedModel(script=["It is 42."])), [], middleware=[FinalAnswer("vote")])
    with pytest.raises(BadInput, match="AdaptiveThinking"):
        alone.invoke(ASK)


def test_a_later_draw_that_fails_loses_no_answer(run: Runner) -> None:
    def checked(answer: str) -> None:
        return None

    final = FinalAnswer(BestOfN(samples=3, at_once=1), verifier=checked)
    graph, _, _ = agent(final, "It is 42.", Said(error=ValueError("gone")), "It is 42.")
    result = run(graph, ASK)
    assert result["messages"][-1].text == "It is 42."
    assert [each.status for each in drawn(result)] == ["done", "failed", "done"]


def test_a_strategy_of_ones_own_is_held_to_the_most_draws(run: Runner) -> None:
    class Endless:
        def decide(self, task: Any, history: Any, view: Any) -> Any:
            return [Draw(why="more")] * 40

    graph, model, _ = agent(FinalAnswer(Endless(), most_draws=3), "It is 42.")
    run(graph, ASK)
    assert model.billed.calls == 3
