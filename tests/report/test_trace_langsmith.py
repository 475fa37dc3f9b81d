"""LangSmith's own tracer and client, against a server on loopback: each run of a model says what we know of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from conftest import Runner, in_loop
from rheostat import AdaptiveThinking, Budget, ThinkingChatModel, build_solver
from rheostat.providers import endpoint_for
from rheostat.report.langsmith import annotate
from rheostat.testing.server import Fault, Turn
from wire import ADAPTIVE, CHAT, RESPONSE, Api, simulated

BUDGET = Budget(usd="20", seconds=60)
on_three = pytest.mark.parametrize("api", [CHAT, RESPONSE, ADAPTIVE], ids=["chat", "responses", "messages"])


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


class LangSmith:
    """The part of LangSmith's API that a tracer uses: a run is posted, then patched."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        smith = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                run = smith.runs.setdefault(str(body.get("id") or self.path.rpartition("/")[2]), {})
                run.update({name: value for name, value in body.items() if value is not None})
                self.do_GET()

            def do_PATCH(self) -> None:
                self.do_POST()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.tracer = LangChainTracer(client=Client(api_url=url, api_key="k", auto_batch_tracing=False))

    def models(self) -> list[dict[str, Any]]:
        """The runs of models, as LangSmith has them, in order of their beginning."""
        self.tracer.wait_for_futures()
        found = [run for run in self.runs.values() if run.get("run_type") == "llm"]
        return sorted(found, key=lambda run: str(run["start_time"]))

    def metadata(self) -> list[dict[str, Any]]:
        return [run["extra"]["metadata"] for run in self.models()]


@pytest.fixture
def smith() -> Iterator[LangSmith]:
    smith = LangSmith()
    stop = annotate()
    try:
        yield smith
    finally:
        stop()
        smith.server.shutdown()
        smith.server.server_close()


def agent(api: Api, server: Any) -> Any:
    thinking = AdaptiveThinking(budget=BUDGET, endpoint=lambda chat: endpoint_for(chat, provider=api.provider))
    return create_agent(api.chat(server), [multiply], middleware=[thinking])


CALL = Turn(tool_calls=(("multiply", {"a": 2, "b": 3}),), text="")
ASK: Any = {"messages": [HumanMessage("What is 2 * 3?")]}


@on_three
def test_an_agent(api: Api, run: Runner, smith: LangSmith) -> None:
    with simulated(CALL, Turn(text="6")) as server:
        result = run(agent(api, server), ASK, config={"callbacks": [smith.tracer]})
    spent, said = result["rheostat"]["run"], smith.metadata()
    assert len(said) == 2
    assert sum(round(1e9 * each["rheostat_usd"]) for each in said) == spent["usd_nanos"] > 0
    assert sum(each["rheostat_thinking_tokens"] for each in said) == spent["thinking_tokens"]
    thought = result["rheostat"]["thinking"]
    last = said[-1]
    assert last["rheostat_account"] == spent["account"]
    assert (last["rheostat_effort"], last["rheostat_decided_by"]) == (thought["effort"], thought["decided_by"])
    assert last["rheostat_why"] == "; ".join(thought["reasons"])
    assert last["rheostat_id"] == thought["id"]
    assert last["rheostat_held_usd"] > last["rheostat_usd"]
    assert last["ls_provider"] == api.provider
    assert last["ls_model_name"] == api.model
    costs = [each["usage_metadata"]["total_cost"] for each in said]  # what LangSmith adds up
    assert costs == [each["rheostat_usd"] for each in said]
    assert all(
        f"effort:{each['rheostat_effort']}" in run["tags"] for each, run in zip(said, smith.models(), strict=True)
    )
    for message in result["messages"]:  # ours went to LangSmith alone
        assert "total_cost" not in (getattr(message, "usage_metadata", None) or {})


def test_a_solver(run: Runner, smith: LangSmith) -> None:
    with simulated(*[Turn(text="The answer is 4.")] * 9) as server:
        graph = build_solver(CHAT.at(server), budget=BUDGET, strategy="vote", effort="low").compile()
        result = run(graph, {"question": "What is 2 + 2?"}, config={"callbacks": [smith.tracer]})
    said, spent = smith.metadata(), result["rheostat"]["run"]
    assert sum(round(1e9 * each["rheostat_usd"]) for each in said) == spent["usd_nanos"] > 0
    assert {each["rheostat_effort"] for each in said} == {"low"}
    assert {each["rheostat_account"] for each in said} == {spent["account"]}


def test_a_chat_model_with_a_budget(smith: LangSmith) -> None:
    with simulated(Turn(text="42"), Turn(text="42")) as server:
        model = ThinkingChatModel(model=CHAT.at(server), budget=BUDGET)
        model.invoke("What is 6 * 7?", {"callbacks": [smith.tracer]})
        in_loop(model.ainvoke("What is 6 * 7?", {"callbacks": [smith.tracer]}))
    said = smith.metadata()
    assert len(said) == 2
    assert all(each["rheostat_effort"] and each["rheostat_why"] for each in said)
    assert all(each["rheostat_thinking_tokens"] is not None for each in said)


def test_a_failed_call(smith: LangSmith) -> None:
    with simulated(*[Turn(fault=Fault(status=400))] * 3) as server, pytest.raises(Exception, match="400"):
        agent(CHAT, server).invoke(ASK, {"callbacks": [smith.tracer]})
    [said], [run] = smith.metadata(), smith.models()
    assert run["error"]
    assert said["rheostat_effort"]
    assert said["rheostat_usd"] == 0


def test_nothing_after_it_stops() -> None:
    smith = LangSmith()
    stop, other = annotate(), annotate()
    stop()
    stop()
    for expected in (True, False):
        with simulated(Turn(text="42")) as server:
            agent(CHAT, server).invoke(ASK, {"callbacks": [smith.tracer]})
        assert ("rheostat_usd" in smith.metadata()[-1]) is expected
        other()
    smith.server.shutdown()
    smith.server.server_close()
