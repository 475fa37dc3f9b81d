"""The provider simulator by itself: what its faults look like on the wire, and what it notes."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from rheostat.testing.server import Fault, ProviderServer, Turn
from wire import simulated

QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "claude-opus-4-8", "max_tokens": 50, "messages": QUESTION},
    "/v1/chat/completions": {"model": "gpt-5.1", "max_completion_tokens": 50, "messages": QUESTION},
    "/v1/responses": {"model": "gpt-6-sol", "max_output_tokens": 50, "reasoning": {"effort": "none"}, "input": "2+2?"},
}
LAST_EVENTS = {
    "/v1/messages": "message_stop",
    "/v1/chat/completions": "[DONE]",
    "/v1/responses": "response.completed",
}
on_every_path = pytest.mark.parametrize("path", BODIES)


def post(server: ProviderServer, path: str, **more: Any) -> httpx.Response:
    headers = {"x-api-key": "k", "authorization": "Bearer k"}
    return httpx.post(server.url + path, json={**BODIES[path], **more}, headers=headers)


@on_every_path
def test_garbage_has_only_its_usage(path: str) -> None:
    with simulated(Turn(fault=Fault(garbage=True)), Turn(fault=Fault(garbage=True, no_usage=True))) as server:
        usage = post(server, path).json()["usage"]
        bare = post(server, path).json()
        assert usage.get("output_tokens", usage.get("completion_tokens")) == server.bill.lines[0].output_tokens
        assert "usage" not in bare
        assert bare["choices"] is bare["content"] is bare["output"] is None
        assert len(server.bill.lines) == 2


def says_usage(text: str) -> bool:
    """Does any event tell output tokens?"""
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    told = [event.get("usage") or (event.get("response") or {}).get("usage") or {} for event in events]
    return any(usage.get("output_tokens") or usage.get("completion_tokens") for usage in told)


@on_every_path
@pytest.mark.parametrize(
    ("fault", "ends", "usage"),
    [(Fault(), True, True), (Fault(no_usage=True), True, False), (Fault(ends_early=True), False, False)],
    ids=["whole", "no usage", "ends early"],
)
def test_how_a_stream_ends(path: str, fault: Fault, ends: bool, usage: bool) -> None:
    asked = {"stream_options": {"include_usage": True}} if "chat" in path else {}
    with simulated(Turn(fault=fault)) as server:
        text = post(server, path, stream=True, **asked).text  # all of them end cleanly
        assert (LAST_EVENTS[path] in text, says_usage(text)) == (ends, usage)
        assert len(server.bill.lines) == 1


def test_a_plan_hears_of_each_request_when_it_comes() -> None:
    heard: list[tuple[int, str, int]] = []

    def planned(number: int, body: dict[str, Any]) -> Turn:
        heard.append((number, body["model"], len(server.bill.lines)))
        return Turn(fault=Fault(seconds=0.1))

    with simulated(planned=planned) as server:
        before = time.monotonic()
        for path in BODIES:
            post(server, path)
        assert heard == [(n, body["model"], n) for n, body in enumerate(BODIES.values())]
        first, second, third = server.bill.times
        assert before <= first <= second - 0.1 <= third - 0.2
