"""The graph, through its public door: every behaviour in four ways, answer and ledger compared."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from tenacity import wait_none

from conftest import RUNNERS, Runner, in_loop
from rheostat import (
    Agreement,
    BadInput,
    Budget,
    BudgetExceeded,
    Caps,
    MemoryLedger,
    Meter,
    PythonTests,
    Vote,
    build_solver,
)
from rheostat.testing import Said, ScriptedModel, scripted, timeless

QUESTION = "A box holds 12 pens. Ann buys 3 boxes and then gives 7 pens away. How many pens does she have left?"
ROOMY = Budget(tokens=100_000)


def think(answer: str) -> list[Said]:
    """The two replies of one two-phase sample."""
    return [Said(text="three times twelve is thirty six"), Said(text=f"The answer is {answer}.")]


def quick_meter(ledger: MemoryLedger | None = None) -> Meter:
    return Meter(ledger or MemoryLedger(), wait=wait_none())


def tokens(reading: dict[str, Any]) -> int:
    return int(reading["input_tokens"] + reading["output_tokens"])


def test_the_four_ways_give_the_same_answer_and_the_same_ledger() -> None:
    seen = []
    for runner in RUNNERS:
        # a reply that depends on what is asked only: parallel branches may come in any order
        model = ScriptedModel(
            script=lambda messages, _: "The answer is 29" if "Now say" in messages[-1].content else "think"
        )
        result = runner(build_solver(model, budget=ROOMY).compile(), {"question": QUESTION})
        seen.append((result["answer"], result["status"], result["confidence"], timeless(result["rheostat"]["spend"])))
        assert tokens(result["rheostat"]["spend"]) == model.billed.tokens
    assert seen[0][0] == "29"
    assert all(one == seen[0] for one in seen)


def test_agreeing_samples_are_accepted_and_disagreeing_ones_bring_more(run: Runner) -> None:
    answers = iter(["29", "31", "29", "29", "29"])
    lock = threading.Lock()

    def script(messages: Any, _: Any) -> Said:
        if "Now say" not in messages[-1].content:
            return Said(text="hm")
        with lock:
            return Said(text=f"The answer is {next(answers)}")

    model = ScriptedModel(script=script)
    graph = build_solver(model, budget=ROOMY, effort="low", strategy=Vote(lead=2.0)).compile()
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "29"
    assert result["status"] == "answered"
    assert result["confidence"] == pytest.approx(0.75)  # 29, 31, 29, 29: a lead of two is enough
    assert tokens(result["rheostat"]["spend"]) == model.billed.tokens


def test_a_verifier_sends_its_reason_back_and_thought_rises(run: Runner) -> None:
    at, model = scripted(
        Said(text="```python\ndef triple(n): return n + 3\n```"),
        Said(text="times three"),
        Said(text="```python\ndef triple(n): return n * 3\n```"),
    )
    graph = build_solver(at, budget=ROOMY, verifier=PythonTests("assert triple(2) == 6")).compile()
    events: list[dict[str, Any]] = []
    result = run(graph, {"question": "Write a Python function triple(n)."})
    assert (result["status"], result["confidence"]) == ("solved", 1.0)
    assert result["answer"] == "def triple(n): return n * 3"
    assert len(model.calls) == 3
    assert "the sides are (5, 6)" in str(model.calls[1][0])  # the evidence
    for mode in ("custom",):
        events = list(graph.stream({"question": "Write a Python function triple(n)."}, stream_mode=mode))
    assert {"difficulty", "plan", "hold", "sample", "spend", "verdict", "decision", "end"} >= {
        e["type"] for e in events
    }


def test_the_next_model_is_asked_when_the_first_one_cannot(run: Runner) -> None:
    weak, _ = scripted(Said(text="```python\ndef f(): return 1\n```"), model="weak")
    strong, _ = scripted(Said(text="```python\ndef f(): return 2\n```"), model="strong")
    graph = build_solver(weak, escalate_to=[strong], budget=ROOMY, verifier=PythonTests("assert f() == 2")).compile()
    result = run(graph, {"question": "Write a Python function f()."})
    assert result["status"] == "solved"
    assert "return 2" in result["answer"]


def test_an_error_is_never_a_vote(run: Runner) -> None:
    at, model = scripted(Said(error=ValueError("broken pipe of thought")))
    result = run(build_solver(at, budget=ROOMY, meter=quick_meter()).compile(), {"question": QUESTION})
    assert result["answer"] is None
    assert result["status"] == "unsolved"
    assert "brought no answer" in result["stopped"]
    assert model.billed.tokens == 0


def test_a_broken_verifier_abstains(run: Runner) -> None:
    def broken(answer: str) -> bool:
        raise RuntimeError("no such host")

    at, _ = scripted("fine")
    result = run(build_solver(at, budget=ROOMY, verifier=broken).compile(), {"question": "Say fine."})
    assert (result["answer"], result["status"]) == ("fine", "answered")


def test_a_budget_below_one_call_says_what_would_be_needed_and_nothing_leaves(run: Runner) -> None:
    at, model = scripted("The answer is 29.")
    with pytest.raises(BudgetExceeded, match=r"may need [\d,]+ tokens and was not sent"):
        run(build_solver(at, budget=Budget(tokens=50)).compile(), {"question": QUESTION})
    assert model.calls == []


def test_the_last_word_is_paid_for_in_advance(run: Runner) -> None:
    """Room for one call only: it is made, and it is the last word."""
    at, model = scripted("The answer is 29.")
    graph = build_solver(at, budget=Budget(calls=1)).compile()
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "29"
    assert len(model.calls) == 1
    assert "last word" in result["stopped"]


def test_at_the_cap_the_best_answer_so_far_comes_with_the_reason(run: Runner) -> None:
    answers = iter(["29", "31", "29", "31", "29"])
    lock = threading.Lock()

    def script(*_: Any) -> str:
        with lock:
            return f"The answer is {next(answers)}"

    model = ScriptedModel(script=script)
    graph = build_solver(model, budget=Budget(calls=6), effort="none", strategy=Vote(lead=3.0)).compile()
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "29"  # three votes to two: not enough, but the budget is spent
    assert result["stopped"].startswith("budget: ")
    assert result["confidence"] == pytest.approx(0.6)
    assert result["rheostat"]["spend"]["calls"] == len(model.calls) == 5


@settings(max_examples=40)
@given(st.integers(1, 3000), st.integers(0, 30), st.sampled_from(["fast", "balanced", "thorough"]))
def test_no_budget_is_ever_passed(cap: int, words: int, asked: str) -> None:
    """Whatever the model says, and however much of it: the bill stays under the cap."""
    model = ScriptedModel(script=lambda *_: Said(text=" ".join(["7"] * words), input_tokens=12))
    ledger = MemoryLedger()
    try:
        result = (
            build_solver(model, budget=Budget(tokens=cap), effort=asked, ledger=ledger)
            .compile()
            .invoke({"question": QUESTION})
        )
    except BudgetExceeded:
        assert model.billed.tokens == 0
    else:
        assert model.billed.tokens <= cap
        assert tokens(result["rheostat"]["spend"]) == model.billed.tokens


@pytest.mark.parametrize("question", ["", "   ", "x" * 1_000_000, "a\x00b", 7, None])
def test_a_bad_question_is_refused_before_anything_is_spent(question: Any, run: Runner) -> None:
    at, model = scripted("hm")
    with pytest.raises(BadInput):
        run(build_solver(at, budget=ROOMY).compile(), {"question": question})
    assert model.calls == []


def test_bad_arguments_are_refused_at_construction() -> None:
    at, _ = scripted("hm")
    for build in (
        lambda: build_solver(at, budget=5),
        lambda: build_solver(at, budget=ROOMY, effort="enormous"),
        lambda: build_solver("no-such-model", budget=ROOMY),
        lambda: build_solver(at, budget=ROOMY, ledger=MemoryLedger(), meter=Meter(MemoryLedger())),
        lambda: Caps(max_rounds=0),
    ):
        with pytest.raises(BadInput):
            build()


def test_a_fixed_effort_is_one_plain_call_and_says_what_decided(run: Runner) -> None:
    at, model = scripted("The answer is 29.")
    graph = build_solver(at, budget=ROOMY, effort="none").compile()
    assert run(graph, {"question": QUESTION})["answer"] == "29"
    assert len(model.calls) == 1
    plan = next(e for e in graph.stream({"question": QUESTION}, stream_mode="custom") if e["type"] == "plan")
    assert (plan["decided_by"], plan["effort"]) == ("user", "none")


def test_the_effort_may_differ_from_run_to_run(run: Runner) -> None:
    at, model = scripted("The answer is 29.")
    graph = build_solver(at, budget=ROOMY).compile()
    run(graph, {"question": QUESTION}, context={"effort": "none"})
    assert len(model.calls) == 1


def test_a_probe_votes_and_is_in_the_spend(run: Runner) -> None:
    at, model = scripted("The answer is 29.")
    graph = build_solver(at, budget=ROOMY, probe=Agreement(samples=3)).compile()
    result = run(graph, {"question": QUESTION})
    assert result["answer"] == "29"
    assert result["rheostat"]["spend"]["calls"] == len(model.calls)
    assert tokens(result["rheostat"]["spend"]) == model.billed.tokens
    said = next(e for e in graph.stream({"question": QUESTION}, stream_mode="custom") if e["type"] == "difficulty")
    assert said["source"] == "agreement"
    assert "100% of 3 direct answers agree" in said["reasons"][-1]


def test_a_caller_cannot_bring_a_spend_of_its_own(run: Runner) -> None:
    at, model = scripted("The answer is 29.")
    graph = build_solver(at, budget=Budget(calls=1)).compile()
    result = run(
        graph, {"question": QUESTION, "rheostat": {"spend": {"account": "x", "version": 10**9, "calls": -100}}}
    )
    assert result["rheostat"]["spend"]["calls"] == len(model.calls) == 1


def test_a_second_question_in_a_thread_starts_fresh(run: Runner) -> None:
    at, _ = scripted("The answer is 29.")
    graph = build_solver(at, budget=Budget(calls=1)).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    first = run(graph, {"question": QUESTION}, config=config)
    second = run(graph, {"question": QUESTION + " Really?"}, config=config)
    assert first["rheostat"]["run"]["account"] != second["rheostat"]["run"]["account"]
    assert second["rheostat"]["run"]["calls"] == 1
    assert (
        first["rheostat"]["spend"]["account"]
        == second["rheostat"]["spend"]["account"]
        == second["rheostat"]["run"]["parent"]
    )
    assert second["rheostat"]["spend"]["calls"] == 2  # the thread's: both runs
    assert second["answer"] == "29"


def test_a_fork_and_a_replay_spend_from_the_same_account() -> None:
    at, model = scripted("The answer is 29.")
    ledger = MemoryLedger()
    graph = build_solver(at, budget=Budget(calls=3), effort="none", ledger=ledger).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"question": QUESTION}, config)
    before = next(s for s in graph.get_state_history(config) if s.next == ("plan",))
    again = graph.invoke(None, before.config)
    assert len(model.calls) == 2
    assert again["rheostat"]["spend"]["calls"] == 2
    assert ledger.reading(again["rheostat"]["spend"]["account"])["calls"] == 2


@pytest.mark.parametrize("stop_before", ["plan", "hold", "settle", "verify", "decide"])
def test_a_run_resumes_in_a_new_process_from_any_step(stop_before: str) -> None:
    """A new graph with an empty ledger stands for the new process: state and spend come from the checkpoint."""
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    at, model = scripted("The answer is 29.")

    def build() -> Any:
        return build_solver(at, budget=Budget(calls=3), effort="none").compile(
            checkpointer=saver, interrupt_before=[stop_before]
        )

    build().invoke({"question": QUESTION}, config)
    result = build().invoke(None, config)
    assert result["answer"] == "29"
    assert result["rheostat"]["spend"]["calls"] == len(model.calls) == 1
    assert result["rheostat"]["spend"]["unknown_calls"] == 0


def test_what_was_held_when_a_process_died_stays_charged() -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    at, model = scripted("The answer is 29.")

    def build(budget: Budget, **kwargs: Any) -> Any:
        return build_solver(at, budget=budget, effort="none").compile(checkpointer=saver, **kwargs)

    build(Budget(calls=2), interrupt_before=["call"]).invoke({"question": QUESTION}, config)
    assert model.calls == []
    result = build(Budget(calls=2)).invoke(None, config)  # an empty ledger: the hold might have been a call
    assert result["rheostat"]["spend"]["unknown_calls"] == 1
    assert result["rheostat"]["spend"]["calls"] == 1
    assert result["answer"] == "29"

    config = {"configurable": {"thread_id": "u"}}
    build(Budget(calls=1), interrupt_before=["call"]).invoke({"question": QUESTION}, config)
    result = build(Budget(calls=1)).invoke(None, config)  # no room for a second one: the cap holds
    assert result["answer"] is None
    assert result["stopped"].startswith("budget: ")
    assert len(model.calls) == 1


def test_state_holds_plain_data_and_survives_strict_serialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    at, _ = scripted(*think("29"))
    graph = build_solver(at, budget=ROOMY).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"question": QUESTION}, config)

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(item) for key, item in value.items())
        if isinstance(value, list):
            return all(plain(item) for item in value)
        return value is None or type(value) in (str, int, float, bool)

    for snapshot in graph.get_state_history(config):
        assert plain(dict(snapshot.values)), snapshot.values


def test_the_spend_does_not_grow_with_the_rounds() -> None:
    at, _ = scripted(Said(text="```python\ndef f(): return 1\n```"))
    few = build_solver(at, budget=ROOMY, verifier=PythonTests("assert f() == 2"), caps=Caps(max_rounds=1)).compile()
    many = build_solver(at, budget=ROOMY, verifier=PythonTests("assert f() == 2"), effort="thorough").compile()
    question = {"question": "Write a Python function f()."}
    assert few.invoke(question)["rheostat"]["spend"].keys() == many.invoke(question)["rheostat"]["spend"].keys()


def test_the_graph_can_be_drawn_and_its_nodes_are_the_verbs() -> None:
    at, _ = scripted("x")
    drawn = build_solver(at, budget=ROOMY).compile().get_graph().draw_mermaid()
    for verb in ("estimate", "plan", "hold", "call", "settle", "verify", "decide"):
        assert f"\t{verb}({verb})" in drawn


def test_many_runs_at_once_keep_their_accounts_apart() -> None:
    at, model = scripted("The answer is 29.")
    graph = build_solver(at, budget=Budget(calls=2), effort="none").compile()

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(graph.ainvoke({"question": QUESTION}) for _ in range(20))))

    results = in_loop(all_of_them())
    assert [r["rheostat"]["spend"]["calls"] for r in results] == [1] * 20
    assert len({r["rheostat"]["spend"]["account"] for r in results}) == 20
    assert len(model.calls) == 20
