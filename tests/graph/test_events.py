"""What is told of a run: the listeners, and OpenTelemetry's spans."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from conftest import Runner
from rheostat import Budget, build_agent
from rheostat.graph.events import EVENT_TYPES, listen
from rheostat.report.spans import instrument
from rheostat.testing import Said, scripted


@tool
def halve(x: int) -> int:
    """Halve an even number."""
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x // 2


SCRIPT = [Said(tool_calls=(("halve", {"x": 3}),)), Said(tool_calls=(("halve", {"x": 4}),)), "It is 2."]


def agent() -> Any:
    at, _ = scripted(*SCRIPT)
    return build_agent(at, [halve], budget=Budget(tokens=100_000)).compile()


def test_every_event_has_a_listed_type(run: Runner) -> None:
    heard: list[str] = []
    end = listen(lambda type_, data: heard.append(type_))
    run(agent(), {"messages": [("user", "Halve 3, or else 4.")]})
    end()
    run(agent(), {"messages": [("user", "Halve 3, or else 4.")]})
    assert heard.count("settle") == 3
    assert set(heard) <= set(EVENT_TYPES)
    assert {"estimate", "plan", "hold", "call", "settle", "tool", "correction", "spend"} <= set(heard)


def test_a_listener_that_fails_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    end = listen(lambda type_, data: 1 / 0)
    result = agent().invoke({"messages": [("user", "Halve 4.")]})
    end()
    assert result["messages"][-1].text == "It is 2."
    assert "a listener of events failed" in caplog.text


def test_spans(run: Runner) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    end = instrument(provider)
    result = run(agent(), {"messages": [("user", "Halve 3, or else 4.")]})
    end()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        "chat scripted",
        "execute_tool halve",
        "chat scripted",
        "execute_tool halve",
        "chat scripted",
    ]
    chats = [dict(span.attributes or {}) for span in spans if span.name.startswith("chat")]
    assert (
        sum(int(str(chat["gen_ai.usage.output_tokens"])) for chat in chats)
        == result["rheostat"]["run"]["output_tokens"]
    )
    assert chats[0]["rheostat.seam"] == "turn"
    assert chats[0]["rheostat.effort"]
    assert not spans[1].status.is_ok
    assert "3 is odd" in (spans[1].status.description or "")
