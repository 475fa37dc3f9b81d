"""The overhead of a model call: the solver against a bare LangGraph node, with the same scripted model in one run.

`python -m rheostat.bench.overhead` prints medians and ratios. The model answers at once, so the times are Rheostat's
and LangGraph's alone. The solver has seven nodes and the bare graph one; 10 and 40 rounds show how the time grows.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from rheostat.calling.meter import Meter
from rheostat.evidence.verifiers import Verdict
from rheostat.flow import drive
from rheostat.judgement.policy import Caps
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, MemoryLedger
from rheostat.solver.build import build_solver
from rheostat.strategies import Refine
from rheostat.task import Effort, ThinkingPlan
from rheostat.testing import scripted

__all__ = ["main"]


class _State(TypedDict, total=False):
    question: str
    answer: str


def _bare() -> Callable[[], Any]:
    at, _ = scripted("The answer is 4.")

    def node(state: _State) -> _State:
        return {"answer": at.chat.invoke([{"role": "user", "content": state["question"]}], max_tokens=48).text}

    graph = StateGraph(_State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    compiled = graph.compile()
    return lambda: compiled.invoke({"question": "What is 2 + 2?"})


def _chain(steps: int) -> Callable[[], Any]:
    """A chain with as many nodes as the solver has supersteps, which shows LangGraph's own share."""
    at, _ = scripted("The answer is 4.")
    graph = StateGraph(_State)

    def think(state: _State) -> _State:
        return {"answer": at.chat.invoke([{"role": "user", "content": state["question"]}], max_tokens=48).text}

    def idle(state: _State) -> _State:
        return {"answer": state.get("answer", "")}

    for number in range(steps):
        graph.add_node(f"n{number}", think if number == 0 else idle)
        graph.add_edge(START if number == 0 else f"n{number - 1}", f"n{number}")
    graph.add_edge(f"n{steps - 1}", END)
    compiled = graph.compile()
    return lambda: compiled.invoke({"question": "What is 2 + 2?"})


def _solver(rounds: int) -> Callable[[], Any]:
    at, _ = scripted("The answer is 4.")
    seen = 0

    def check(answer: str) -> Verdict:
        nonlocal seen
        seen += 1
        return Verdict(seen % rounds == 0, "again")

    # a strategy that never gives up, so that each run has exactly `rounds` rounds
    stubborn = Refine(worth_calls=1e12)
    graph = build_solver(
        at,
        budget=Budget(tokens=10**9),
        verifier=check,
        effort="none",
        strategy=stubborn,
        caps=Caps(max_rounds=rounds, max_samples=rounds),
    ).compile()
    return lambda: graph.invoke({"question": "What is 2 + 2?"}, {"recursion_limit": 10 * rounds + 20})


def _meter() -> Callable[[], Any]:
    at, _ = scripted("The answer is 4.")
    meter = Meter(MemoryLedger())
    meter.ledger.open(Account("a", Budget(tokens=10**12)))
    plan = ThinkingPlan(effort=Effort.none, thinking_tokens=0, answer_tokens=48)
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    settings = at.dial.encode(plan, "whole", temperature=None, schema=None)

    def flow() -> Any:
        tokens = yield from meter.input_bound(at, messages, settings)
        [held] = yield from meter.hold("a", [meter.bound(at, tokens, settings)], {})
        return (yield from meter.call(at, "a", held, messages, settings, "whole", {}))

    return lambda: drive(flow())


def _model() -> Callable[[], Any]:
    at, _ = scripted("The answer is 4.")
    return lambda: at.chat.invoke([{"role": "user", "content": "What is 2 + 2?"}], max_tokens=48)


def _medians(cases: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The median milliseconds of each case; runs are interleaved, so that noise falls on all cases alike."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(repeats):
        for name, case in cases.items():
            gc.collect(0)
            started = time.perf_counter()
            case()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def main(repeats: int = 60) -> None:
    """Measure all cases and print the table."""
    cases = {
        "the model alone": _model(),
        "model under the meter": _meter(),
        "bare LangGraph node": _bare(),
        "7 idle LangGraph nodes": _chain(7),
        "solver, 1 round": _solver(1),
        "solver, 10 rounds": _solver(10),
        "solver, 40 rounds": _solver(40),
    }
    found = _medians(cases, repeats)
    base = found["bare LangGraph node"]
    for name, value in found.items():
        sys.stdout.write(f"{name:26} {value:9.3f} ms   {value / base:7.2f} × the bare node\n")
    added = found["model under the meter"] - found["the model alone"]
    sys.stdout.write(f"the meter adds {added:.3f} ms a call\n")
    first, last = found["solver, 10 rounds"] - found["solver, 1 round"], found["solver, 40 rounds"]
    sys.stdout.write(
        f"a further round costs {first / 9:.3f} ms (rounds 2-10), "
        f"{(last - found['solver, 10 rounds']) / 30:.3f} ms (rounds 11-40)\n"
    )


if __name__ == "__main__":
    main()
