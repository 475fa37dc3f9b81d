"""The main job on the real embedded model: the server's own counts are the ledger's, and no cap is ever passed."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from conftest import Runner, by_astream, by_invoke, in_loop
from rheostat import Budget, BudgetExceeded, Caps, Endpoint, JsonSchema, PythonTests, build_solver, resolve
from rheostat.bench.truth import server_tokens
from rheostat.evidence.scorers import Confidence
from rheostat.local import CATALOGUE, DEFAULT_MODEL, LocalServer, require_model
from rheostat.models import served_endpoint
from rheostat.money.pricing import FREE
from rheostat.strategies import Beam, BestOfN, Direct, Refine
from rheostat.task import Effort, ThinkingPlan

pytestmark = pytest.mark.model
QUESTION = "A box holds 12 eggs. Mia buys 4 boxes and uses 9 eggs. How many eggs are left?"


def server_counts(at: Endpoint) -> tuple[int, int]:
    """(prompt tokens processed, tokens generated), as the server itself counts them."""
    counts = server_tokens(at)
    assert counts is not None
    return counts


def ledger_counts(spend: dict[str, Any]) -> tuple[int, int]:
    return spend["input_tokens"] - spend["cached_input_tokens"], spend["output_tokens"]


def test_the_ledger_is_the_servers_own_count_to_the_token(local: Endpoint, run: Runner) -> None:
    before = server_counts(local)
    graph = build_solver(local, budget=Budget(tokens=6000, seconds=120), effort="low").compile()
    result = run(graph, {"question": QUESTION})
    after = server_counts(local)
    assert result["answer"] is not None
    assert (after[0] - before[0], after[1] - before[1]) == ledger_counts(result["rheostat"]["spend"])
    assert result["rheostat"]["spend"]["thinking_tokens"] > 0
    assert result["rheostat"]["spend"]["unknown_calls"] == 0


def test_streamed_calls_are_counted_too(local: Endpoint) -> None:
    """`stream_mode="messages"` makes the model stream inside; usage and thinking must come all the same."""
    before = server_counts(local)
    graph = build_solver(local, budget=Budget(tokens=6000, seconds=120), effort="low").compile()
    last: dict[str, Any] = {}
    pieces = 0
    for mode, event in graph.stream({"question": QUESTION}, stream_mode=["messages", "values"]):
        if mode == "values":
            last = event
        else:
            pieces += 1
    after = server_counts(local)
    assert pieces > 5
    assert (after[0] - before[0], after[1] - before[1]) == ledger_counts(last["rheostat"]["spend"])
    assert 0 < last["rheostat"]["spend"]["thinking_tokens"] <= 128 * last["rheostat"]["spend"]["calls"]


@pytest.mark.parametrize("thinking", [0, 1, 5, 40])
def test_the_thinking_cap_is_kept_to_the_token(local: Endpoint, thinking: int) -> None:
    plan = ThinkingPlan(effort=Effort.low, thinking_tokens=thinking, answer_tokens=12)
    settings = local.dial.encode(plan, "whole", temperature=0.0, schema=None)
    message = local.chat.invoke([{"role": "user", "content": f"Explain step by step: {QUESTION}"}], **settings.kwargs)
    reply = local.dial.decode(message, settings, "whole")
    assert reply.spend is not None
    assert reply.spend.thinking_tokens == thinking  # the question makes it use all it has
    assert reply.spend.output_tokens <= settings.max_output_tokens
    assert "think>" not in reply.text


def test_a_cap_is_never_passed_on_the_servers_own_count(local: Endpoint) -> None:
    """Six budgets here, from too small for one call to ample; `make bench-caps` tries 200."""
    for number, cap in enumerate((60, 180, 400, 700, 1200, 2000)):
        before = sum(server_counts(local))
        graph = build_solver(local, budget=Budget(tokens=cap), caps=Caps(answer_tokens=60), effort="fast").compile()
        try:
            if number % 2:
                in_loop(graph.ainvoke({"question": QUESTION}))
            else:
                graph.invoke({"question": QUESTION})
        except BudgetExceeded:
            assert sum(server_counts(local)) == before
        assert sum(server_counts(local)) - before <= cap


def test_code_is_tested_and_corrected(local: Endpoint, run: Runner) -> None:
    tests = "assert evens([1, 2, 3, 4]) == [2, 4]\nassert evens([]) == []"
    graph = build_solver(local, budget=Budget(tokens=8000, seconds=120), verifier=PythonTests(tests)).compile()
    result = run(graph, {"question": "Write a Python function evens(numbers) that returns the even numbers."})
    assert result["status"] == "solved"
    assert PythonTests(tests).check(result["answer"]).passed


def test_json_of_a_schema(local: Endpoint) -> None:
    schema = {
        "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": False,
    }  # fmt: skip
    for effort in ("none", "low"):  # with thought: two requests, for the server fails at a budget with a schema
        graph = build_solver(local, budget=Budget(tokens=6000), verifier=JsonSchema(schema), effort=effort).compile()
        result = graph.invoke({"question": "Ann is 34 years old. Give her name and age."})
        assert result["status"] == "solved", result
        assert json.loads(result["answer"])["age"] == 34


def test_a_second_model_is_asked_when_the_first_fails_its_check(local: Endpoint) -> None:
    graph = build_solver(
        local,
        escalate_to=[local],
        budget=Budget(tokens=20_000, calls=12),
        verifier=lambda answer: "not right",
        strategy=Refine(),
    ).compile()
    events = list(graph.stream({"question": QUESTION}, stream_mode="custom"))
    actions = [event["action"] for event in events if event["type"] == "decision"]
    assert "correct" in actions
    assert "escalate" in actions
    assert actions[-1] == "stop"


def test_a_server_that_dies_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call stays charged in full, the server comes back once, the run goes on."""
    server = LocalServer(require_model(CATALOGUE[DEFAULT_MODEL]), slots=2, context_tokens=2048)
    try:
        at = served_endpoint(server.url, server.key, name=DEFAULT_MODEL, price=FREE, server=server)
        generate = type(at.chat)._generate
        killed = []

        def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not killed:
                killed.append(server.pid)
                import threading

                threading.Timer(0.4, os.kill, (server.pid, signal.SIGKILL)).start()
            return generate(self, *args, **kwargs)

        monkeypatch.setattr(type(at.chat), "_generate", dying)
        graph = build_solver(
            at, budget=Budget(tokens=20_000, seconds=120), effort="low", caps=Caps(answer_tokens=64)
        ).compile()
        result = graph.invoke({"question": "Write a long story about a sea captain. Explain every step."})
        assert killed
        assert killed[0] != server.pid
        assert result["answer"] is not None
        assert result["rheostat"]["spend"]["unknown_calls"] == 1
    finally:
        server.stop()


def test_a_gguf_path_and_a_url_are_models_too(local: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    path: Path = require_model(CATALOGUE[DEFAULT_MODEL])
    by_path = resolve(str(path))
    assert by_path.name == path.stem
    chat: Any = local.chat
    monkeypatch.setenv("OPENAI_API_KEY", chat.openai_api_key.get_secret_value())
    by_url = resolve(chat.openai_api_base)
    result = build_solver(by_url, budget=Budget(tokens=3000), effort="none").compile().invoke({"question": QUESTION})
    assert result["answer"] is not None


# --- search -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [by_invoke, by_astream], ids=["invoke", "astream"])
def test_samples_that_no_longer_matter_are_cancelled_and_charged_for_what_they_wrote(
    local: Endpoint, run: Runner
) -> None:
    before = server_counts(local)
    seen: list[str] = []  # the first answer, which comes alone, is refused
    graph = build_solver(
        local, budget=Budget(tokens=20_000, seconds=180), strategy=BestOfN(samples=5, at_once=4), seed=1,
        verifier=lambda answer: bool(seen) or bool(seen.append(answer)), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    states = [each["status"] for each in result["candidates"]]
    assert result["status"] == "solved"
    assert "cancelled" in states
    deadline = time.monotonic() + 10
    while slots_busy(local) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not slots_busy(local), "a cancelled sample keeps its slot"
    after, spend = server_counts(local), result["rheostat"]["run"]
    written = spend["output_tokens"] + spend["unknown_output_tokens"]
    assert after[1] - before[1] <= written
    whole = [each for each in result["candidates"] if each["status"] == "done"]
    assert spend["output_tokens"] == sum(each["spend"]["output_tokens"] for each in whole)
    assert written == sum(each["spend"]["output_tokens"] for each in result["candidates"])


def slots_busy(at: Endpoint) -> int:
    base, key = str(at.chat.openai_api_base).removesuffix("/v1"), at.chat.openai_api_key.get_secret_value()
    request = urllib.request.Request(f"{base}/slots", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return sum(slot["is_processing"] for slot in json.load(response))


@pytest.mark.parametrize("mode", ["values", "messages"])
def test_several_samples_share_one_prefill_and_the_ledger_is_the_servers_count(local: Endpoint, mode: Any) -> None:
    def once() -> dict[str, Any]:
        graph = build_solver(
            local, budget=Budget(tokens=20_000, seconds=180), strategy=BestOfN(samples=4, at_once=4),
            scorer=Confidence(), effort="none", seed=5,
        ).compile()  # fmt: skip
        last: dict[str, Any] = {}
        for kind, event in graph.stream(
            {"question": "Write one sentence about the sea."}, stream_mode=[mode, "values"]
        ):
            last = event if kind == "values" else last
        return last

    before = server_counts(local)
    result = once()
    after = server_counts(local)
    assert (after[0] - before[0], after[1] - before[1]) == ledger_counts(result["rheostat"]["spend"])
    assert result["rheostat"]["spend"]["calls"] == 2  # the greedy sample, and three from one prefill
    drawn = result["candidates"]
    assert len(drawn) == 4
    assert len({each["answer"] for each in drawn}) > 1
    assert all(0 < each["score"] < 1 for each in drawn)
    assert result["answer"] == max(drawn, key=lambda each: each["score"])["answer"]
    assert sum(each["spend"]["output_tokens"] for each in drawn) == result["rheostat"]["spend"]["output_tokens"]


def test_a_beam_goes_on_from_the_best_beginnings(local: Endpoint) -> None:
    graph = build_solver(
        local, budget=Budget(tokens=20_000, seconds=180), strategy=Beam(width=1, branches=2, steps=2),
        scorer=Confidence(), effort="none", seed=1,
    ).compile()  # fmt: skip
    result = graph.invoke({"question": QUESTION})
    by_id = {each["id"]: each for each in result["candidates"]}
    continued = [each for each in by_id.values() if each["purpose"] == "continue"]
    assert continued
    for each in continued:
        assert each["text"].startswith(by_id[each["parent"]]["text"].rstrip())


def test_a_thought_that_ended_early_goes_on(local: Endpoint) -> None:
    graph = build_solver(
        local, budget=Budget(tokens=20_000, seconds=180), strategy=Direct(extensions=1), effort="high", seed=1
    ).compile()
    first, second = graph.invoke({"question": "What is 2 + 3?"})["candidates"]
    assert second["parent"] == first["id"]
    assert second["purpose"] == "prolong"
    assert "Wait," in second["text"]
