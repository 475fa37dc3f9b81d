"""The graph that every worker of the fleet runs: the solver, with the task's own tests where it has any.

`FLEET_MODEL` names the model (`openai:gpt-6-sol`, `qwen2.5-coder-0.5b` …); `FLEET_SERVER` is the address of the
simulated one.
"""

from __future__ import annotations

import os
from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr

from rheostat import Budget, Endpoint, PythonTests, build_solver, endpoint_for, resolve


class Problem(TypedDict, total=False):
    question: str
    tests: str
    answer: str | None
    status: str
    stopped: str


def model() -> Endpoint:
    if name := os.environ.get("FLEET_MODEL"):
        return resolve(name)
    chat = ChatOpenAI(model="gpt-5.1", base_url=os.environ["FLEET_SERVER"], api_key=SecretStr("any"))
    return endpoint_for(chat, provider="openai")


def graph() -> StateGraph[Problem, None, Problem, Problem]:
    endpoint = model()

    async def solve(state: Problem, config: RunnableConfig) -> Problem:
        tests = state.get("tests")
        solver = build_solver(
            endpoint, budget=Budget(tokens=20_000, seconds=300), verifier=PythonTests(tests) if tests else None
        ).compile()
        result = await solver.ainvoke({"question": state["question"]}, config)
        return {name: result.get(name) for name in ("answer", "status", "stopped")}  # type: ignore[return-value]

    made = StateGraph(Problem)
    made.add_node("solve", solve)
    made.add_edge(START, "solve")
    made.add_edge("solve", END)
    return made
