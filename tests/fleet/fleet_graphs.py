"""Graphs for tests of fleets, which worker processes load by the path of this file."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import SecretStr

from rheostat import Budget, build_solver, endpoint_for

STEPS = ("first", "second", "third")


def chat() -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5.1", base_url=os.environ["FLEET_SERVER"], api_key=SecretStr("any"), max_retries=0)


def solver() -> Any:
    return build_solver(endpoint_for(chat(), provider="openai"), budget=Budget(usd="0.05"), effort="low")


class Steps(TypedDict, total=False):
    question: str
    said: Annotated[list[str], add]
    answer: str


def steps() -> Any:
    """Three calls in sequence by a graph that knows nothing of us."""
    model = chat()
    graph = StateGraph(Steps)

    def step(name: str) -> Any:
        def ask(state: Steps) -> Steps:
            question = state["question"]
            if question == "kill the worker":
                os.kill(os.getpid(), signal.SIGKILL)
            if question == "raise":
                raise ValueError("a defect of the graph")
            reply = model.invoke(f"{name}: {question}", max_tokens=50)
            return {"said": [reply.text], "answer": f"{question}: {reply.text}"}

        return ask

    for name in STEPS:
        graph.add_node(name, step(name))
    for before, after in zip((START, *STEPS), (*STEPS, END), strict=True):
        graph.add_edge(before, after)
    return graph


def agent() -> Any:
    """A graph that takes messages."""
    model = chat()
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"], max_tokens=50)]})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile()


def threads() -> Any:
    """A node that asks in threads of its own, which know nothing of the task."""
    model = chat()

    def ask(state: Steps) -> Steps:
        with ThreadPoolExecutor(1) as pool:
            return {"answer": pool.submit(model.invoke, state["question"], max_tokens=50).result().text}

    graph = StateGraph(Steps)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph
