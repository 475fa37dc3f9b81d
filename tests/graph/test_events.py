"""What is told of a run: the listeners."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool

from conftest import Runner
from rheostat import Budget, build_agent
from rheostat.graph.events import EVENT_TYPES, listen
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
