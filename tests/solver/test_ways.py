"""In which way a sample is asked for: corrections, and answers that a scorer compares."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import Runner
from rheostat import Budget, build_solver, resolve
from rheostat.evidence.scorers import Confidence
from rheostat.strategies import BestOfN, Refine
from rheostat.testing import Said, ScriptedModel

ROOMY = Budget(tokens=200_000)


def test_a_refused_value_is_asked_for_in_the_next_way(run: Runner) -> None:
    model = ScriptedModel(script=["```python\nprint(5)\n```", "2 + 2 = 4.\nAnswer: 4"])
    endpoint = resolve(model)
    endpoint.dial.facts = replace(endpoint.dial.facts, ways={"maths": ("program", "steps")})
    result = run(
        build_solver(
            endpoint, budget=ROOMY, form="number", effort="none", strategy=Refine(),
            verifier=lambda answer: float(answer) == 4 or "too large",
        ).compile(),
        {"question": "What is 2 + 2?"},
    )  # fmt: skip
    assert [(each["way"], each["answer"]) for each in result["candidates"]] == [("program", "5"), ("steps", "4")]
    [asked] = model.calls[1][0]
    assert "The answer 5 was checked and is not right: too large" in asked.content
    assert "step by step" in asked.content


def test_a_model_with_one_way_sees_its_refused_reply(run: Runner) -> None:
    model = ScriptedModel(script=["2 + 2 is 5.\nAnswer: 5", "Answer: 4"])
    result = run(
        build_solver(
            model, budget=ROOMY, form="number", effort="none", strategy=Refine(),
            verifier=lambda answer: float(answer) == 4 or "too large",
        ).compile(),
        {"question": "What is 2 + 2?"},
    )  # fmt: skip
    assert result["answer"] == "4"
    _, shown, told = model.calls[1][0]
    assert shown.content == "2 + 2 is 5.\nAnswer: 5"
    assert "too large" in told.content


def test_answers_are_compared_by_confidence_in_one_way_only(run: Runner) -> None:
    model = ScriptedModel(script=[Said(text="Answer: 5"), Said(text="Answer: 4"), Said(text="Answer: 3")])
    endpoint = resolve(model)
    endpoint.dial.facts = replace(endpoint.dial.facts, ways={"maths": ("steps", "program")})
    graph = build_solver(
        endpoint, budget=ROOMY, form="number", effort="none", strategy=BestOfN(samples=3), scorer=Confidence()
    )
    result = run(graph.compile(), {"question": "What is 2 + 2?"})
    assert {each["way"] for each in result["candidates"]} == {"steps"}


def test_a_model_that_copies_never_sees_its_refused_code(run: Runner) -> None:
    model = ScriptedModel(
        script=["```python\ndef one():\n    return 2\n```", "```python\ndef one():\n    return 1\n```"]
    )
    endpoint = resolve(model)
    endpoint.dial.facts = replace(endpoint.dial.facts, copies=True)
    graph = build_solver(
        endpoint, budget=ROOMY, form="code", effort="none", strategy=Refine(),
        verifier=lambda answer: "return 1" in answer or "one() is 2",
    )  # fmt: skip
    result = run(graph.compile(), {"question": "Write a function `one` that returns 1."})
    assert result["status"] == "solved"
    [asked] = model.calls[1][0]
    assert "An earlier answer was checked and is not right: one() is 2" in asked.content
    assert "return 2" not in asked.content


def test_without_the_interpreter_no_program_is_asked_for(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile's best way for this model is a program; without the extra `verifiers` nothing could run it."""
    for module in ("rheostat.solver.choose", "rheostat.solver.samples"):
        monkeypatch.setattr(f"{module}.embedded_python", lambda: False)
    model = ScriptedModel(script=["2 + 2 = 4.\nAnswer: 4"] * 9)
    endpoint = resolve(model)
    facts = replace(endpoint.dial.facts, name="qwen2.5-coder-0.5b", ways={"maths": ("program", "steps")})
    endpoint.dial.facts = facts
    result = run(build_solver(endpoint, budget=ROOMY).compile(), {"question": "What is 2 + 2?"})
    assert result["answer"] == "4"
    assert not {each["way"] for each in result["candidates"]} & {"program", "function", "variables"}
