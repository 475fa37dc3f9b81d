"""Over the wire: the real OTLP exporter into a collector that enforces the protocol, four ways, by the real SDKs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from collector import Collector, collecting, value_of
from conftest import Runner, by_invoke
from rheostat import AdaptiveThinking, Budget, Judge, build_agent, build_solver
from rheostat.providers import endpoint_for
from rheostat.report.attributes import SCHEMA_URL
from rheostat.report.spans import instrument
from rheostat.testing.server import Fault, ProviderServer, Turn
from wire import ADAPTIVE, CHAT, RESPONSE, Api, simulated

BUDGET = Budget(usd="20", seconds=60)
on_three = pytest.mark.parametrize("api", [CHAT, RESPONSE, ADAPTIVE], ids=["chat", "responses", "messages"])


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


@contextmanager
def exported(url: str, *, metered: bool = True) -> Iterator[TracerProvider]:
    """Instrumented inside; all is sent when it ends."""
    resource = Resource.create({"service.name": "rheostat-tests"})
    provider = TracerProvider(resource=resource)
    spans = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(spans))
    metrics = OTLPMetricExporter(f"{url}/v1/metrics", compression=Compression.Gzip)
    readers = [PeriodicExportingMetricReader(metrics, export_interval_millis=60_000)] if metered else []
    meters = MeterProvider(readers, resource)
    stop = instrument(provider, meters)
    try:
        yield provider
    finally:
        stop()
        provider.shutdown()
        meters.shutdown()


def said(span: Any) -> dict[str, Any]:
    return {each.key: value_of(each.value) for each in span.attributes}


def tree(collector: Collector) -> list[Any]:
    """Names, nested, in order of their beginning."""
    known = {span.span_id: span for span in collector.spans}
    assert len(known) == len(collector.spans)
    children: dict[bytes, list[Any]] = {}
    for span in sorted(collector.spans, key=lambda each: each.start_time_unix_nano):
        parent = span.parent_span_id
        assert not parent or parent in known, f"{span.name} is an orphan"
        assert not parent or known[parent].trace_id == span.trace_id
        children.setdefault(parent, []).append(span)

    def below(parent: bytes) -> list[Any]:
        found = [(span.name, below(span.span_id)) for span in children.get(parent, [])]
        return [(name, inner) if inner else name for name, inner in found]

    return below(b"")


def points(collector: Collector, name: str) -> list[Any]:
    metric = next(each for each in reversed(collector.metrics) if each.name == name)
    return list(getattr(metric, metric.WhichOneof("data")).data_points)


def agree(collector: Collector, run: dict[str, Any]) -> None:
    """What arrived is whole, and its sums are the ledger's reading."""
    assert collector.faults == []
    assert collector.schemas == {SCHEMA_URL}
    assert all(each["service.name"] == "rheostat-tests" for each in collector.resources)
    assert len({span.trace_id for span in collector.spans}) == 1
    requests = [said(span) for span in collector.spans if "rheostat.outcome" in said(span)]
    for key, name in (
        ("gen_ai.usage.input_tokens", "input_tokens"),
        ("gen_ai.usage.output_tokens", "output_tokens"),
        ("gen_ai.usage.reasoning.output_tokens", "thinking_tokens"),
        ("gen_ai.usage.cache_read.input_tokens", "cached_input_tokens"),
        ("rheostat.usd_nanos", "usd_nanos"),
        ("rheostat.unknown.usd_nanos", "unknown_usd_nanos"),
    ):
        assert sum(each.get(key, 0) for each in requests) == run[name], name
    money = points(collector, "rheostat.usd_nanos")
    assert sum(each.as_int for each in money) == run["usd_nanos"] > 0
    tokens = points(collector, "gen_ai.client.token.usage")
    assert sum(each.sum for each in tokens) == run["input_tokens"] + run["output_tokens"]
    assert list(tokens[0].explicit_bounds) == [4.0**power for power in range(14)]
    assert sum(each.as_int for each in points(collector, "rheostat.held.usd_nanos")) == 0
    durations = points(collector, "gen_ai.client.operation.duration")
    assert sum(each.count for each in durations) == len(requests)
    used = points(collector, "rheostat.hold.used")
    assert 0 < sum(each.sum for each in used) <= sum(each.count for each in used)


def thinking(api: Api) -> AdaptiveThinking:
    return AdaptiveThinking(budget=BUDGET, endpoint=lambda chat: endpoint_for(chat, provider=api.provider))


def agent(api: Api, server: ProviderServer, tools: Any, name: str) -> Any:
    return create_agent(api.chat(server), tools, middleware=[thinking(api)], name=name)


TWO = Turn(tool_calls=(("multiply", {"a": 2, "b": 3}), ("multiply", {"a": 4, "b": 5})), text="")
ASK: Any = {"messages": [HumanMessage("What is 2 * 3?")]}


@on_three
def test_an_agent(api: Api, run: Runner) -> None:
    busy = Turn(fault=Fault(status=429))
    with collecting(busy=1) as collector, simulated(TWO, busy, Turn(text="42")) as server:
        with exported(collector.url):
            result = run(agent(api, server, [multiply], "sums"), ASK)
        agree(collector, result["rheostat"]["run"])
        chat = f"chat {api.model}"
        tools = ["execute_tool multiply"] * 2
        assert tree(collector) == [("invoke_agent sums", [("step", [chat]), *tools, ("step", [chat, chat])])]


@on_three
def test_build_agent_and_a_subagent(api: Api, run: Runner) -> None:
    def planned(number: int, body: dict[str, Any]) -> Turn:
        if "Innerwords" in str(body) and "Outerwords" not in str(body):
            return Turn(text="42") if number > 1 else TWO
        return Turn(tool_calls=(("ask", {"about": "Innerwords"}),), text="") if number == 0 else Turn(text="It is 42.")

    with collecting() as collector, simulated(planned=planned) as server:
        inner = agent(api, server, [multiply], "inner")

        @tool
        def ask(about: str) -> str:
            """Ask another agent."""
            return str(inner.invoke({"messages": [("user", about)]})["messages"][-1].text)

        with exported(collector.url):
            graph = build_agent(api.at(server), [ask], budget=BUDGET, verifier=lambda _: True).compile(name="outer")
            result = run(graph, {"messages": [("user", "Outerwords")]})
        agree(collector, result["rheostat"]["run"])
        step = ("step", [f"chat {api.model}"])
        below = [step, "execute_tool multiply", "execute_tool multiply", step]
        assert tree(collector) == [
            (
                "invoke_agent outer",
                [step, ("execute_tool ask", [("invoke_agent inner", below)]), step, "verify Function"],
            )
        ]


@on_three
def test_a_solver(api: Api, run: Runner) -> None:
    def planned(number: int, body: dict[str, Any]) -> Turn:
        if "points" in str(body):
            return Turn(text='{"reason": "fine", "points": 9}')
        return Turn(text=f"The answer is {number % 2}.")

    with collecting() as collector, simulated(planned=planned) as server:
        at = api.at(server)
        with exported(collector.url):
            graph = build_solver(at, budget=BUDGET, strategy="best-of-n", scorer=Judge(model=at), effort="low")
            result = run(graph.compile(), {"question": "What is 2 + 2?"})
        agree(collector, result["rheostat"]["run"])
        [(root, rounds)] = tree(collector)
        assert root == "invoke_workflow solver"
        assert [name for name, _ in rounds] == [f"round {number + 1}" for number in range(len(rounds))]
        kinds = {name.split()[0] for _, work in rounds for name, _ in work}
        assert kinds == {"sample", "score"}
        values = [
            said(span).get("gen_ai.evaluation.score.value") for span in collector.spans if span.name[:5] == "score"
        ]
        assert all(value == pytest.approx(0.9) for value in values)


# --- a product that reads traces: Arize Phoenix, where it is installed --------------------------------------------

PHOENIX = os.environ.get("RHEOSTAT_PHOENIX") or shutil.which("phoenix")
"""`pip install arize-phoenix` in an environment of its own, since it is large."""


def _free() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return json.load(reply) if "json" in reply.headers["content-type"] else reply.status
    except OSError:
        return None


def _wait_for(what: Callable[[], Any], seconds: float) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it didn't come in time"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if PHOENIX is None:
        pytest.skip("Phoenix isn't installed: no trace is read by a product")
    port = _free()
    own = {
        "PHOENIX_WORKING_DIR": str(tmp_path_factory.mktemp("phoenix")), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(_free()), "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([PHOENIX, "serve"], env={**os.environ, **own}, stdout=quiet, stderr=quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(lambda: _get(f"{url}/healthz"), 180)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def test_a_product_reads_it(phoenix: str) -> None:
    """It finds agents, models and tools by the conventions' names, and adds up the ledger's tokens."""
    with (
        simulated(TWO, Turn(text="42")) as server,
        exported(phoenix, metered=False) as provider,
        provider.get_tracer("theirs").start_as_current_span("theirs") as theirs,
    ):
        result = by_invoke(agent(CHAT, server, [multiply], "sums"), ASK)
    id_ = f"{theirs.get_span_context().trace_id:032x}"

    def whole() -> Any:
        found = (_get(f"{phoenix}/v1/projects/default/spans?limit=100&trace_id={id_}") or {}).get("data", [])
        return found if len(found) == 8 else None

    spans = _wait_for(whole, 60)
    kinds = Counter(each["span_kind"] for each in spans)
    assert (kinds["AGENT"], kinds["LLM"], kinds["TOOL"]) == (1, 2, 2)
    models = [each["attributes"] for each in spans if each["span_kind"] == "LLM"]
    spent = result["rheostat"]["run"]
    assert sum(each["llm.token_count.prompt"] for each in models) == spent["input_tokens"]
    assert sum(each["llm.token_count.completion"] for each in models) == spent["output_tokens"]
    assert {(each["llm.provider"], each["llm.model_name"]) for each in models} == {("openai", CHAT.model)}
