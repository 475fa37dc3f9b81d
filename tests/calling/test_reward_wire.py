"""Reward models at the wire: their requests are held for and paid, by what vLLM, SGLang and llama.cpp report."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson
import pytest

from rheostat.calling.wire import read_request
from test_gate_kinds import Wire

CHAT = [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4"}]
USAGE = {"prompt_tokens": 9, "total_tokens": 9, "completion_tokens": 0, "prompt_tokens_details": None}
"""As vLLM 0.32 reports it; SGLang's `/v1/score` too, and llama.cpp without the last two."""
TOLD = {"id": "x", "prompt_tokens": 9, "e2e_latency": 0.1}
KINDS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "vLLM /classify, chat": (
        "/classify", {"messages": CHAT}, {"data": [{"index": 0, "probs": [0.4], "num_classes": 1}], "usage": USAGE}
    ),
    "vLLM /classify, text": ("/classify", {"input": "4"}, {"data": [{"index": 0, "probs": [0.4]}], "usage": USAGE}),
    "vLLM /pooling": ("/pooling", {"messages": CHAT}, {"data": [{"index": 0, "data": [[0.4, 0.6]]}], "usage": USAGE}),
    "vLLM /score": ("/score", {"text_1": "2 + 2?", "text_2": "4"}, {"data": [{"score": 0.4}], "usage": USAGE}),
    "vLLM /v1/score": ("/v1/score", {"queries": "2 + 2?", "documents": ["4"]}, {"data": [], "usage": USAGE}),
    "vLLM /v2/rerank": ("/v2/rerank", {"query": "2?", "documents": ["4"]}, {"results": [], "usage": USAGE}),
    "SGLang /classify": ("/classify", {"text": "2 + 2? 4"}, {"embedding": [0.4], "meta_info": TOLD}),
    "SGLang /classify, a list": ("/classify", {"text": ["2 + 2? 4"]}, [{"embedding": [0.4], "meta_info": TOLD}]),
    "SGLang /v1/score": ("/v1/score", {"query": "", "items": ["4"]}, {"scores": [[0.4]], "usage": USAGE}),
    "SGLang /v1/rerank": (
        "/v1/rerank", {"query": "2?", "documents": ["4"]}, [{"score": 0.4, "index": 0, "meta_info": TOLD}]
    ),
    "llama.cpp": (
        "/v1/reranking", {"query": "2 + 2?", "documents": ["4"]},
        {"results": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}},
    ),
    "llama.cpp /reranking": (
        "/reranking", {"query": "2 + 2?", "documents": ["4"]},
        {"results": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}},
    ),
}  # fmt: skip
kinds = pytest.mark.parametrize("kind", KINDS)


def post(kind: str, said: Any) -> tuple[Wire, httpx2.Response]:
    path, body, _ = KINDS[kind]
    wire = Wire(None, tokens=10**5)
    wire.reply = lambda request: httpx2.Response(200, json=said)
    return wire, wire.post(f"http://box:8000{path}", {"model": "sky", **body})


@kinds
def test_a_reward_is_held_for_and_paid_as_reported(kind: str) -> None:
    """No output is a known cost: the model writes nothing."""
    wire, reply = post(kind, KINDS[kind][2])
    assert reply.json() == KINDS[kind][2]
    [held] = wire.held
    assert held.output_tokens == 0
    assert 9 <= held.input_tokens < 1_000
    reading = wire.reading
    assert (reading["calls"], reading["held_calls"], reading["unknown_calls"]) == (1, 0, 0)
    assert (reading["input_tokens"], reading["output_tokens"], reading["thinking_tokens"]) == (9, 0, 0)


@kinds
@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "total_tokens": 0}, {"prompt_tokens": 10**9}])
def test_without_a_usage_that_can_be_it_is_paid_as_unknown(kind: str, usage: Any) -> None:
    wire, _ = post(kind, {"usage": usage, "data": []})
    reading = wire.reading
    assert (reading["calls"], reading["unknown_calls"], reading["held_calls"]) == (0, 1, 0)


def test_sglang_reports_apart_for_each_text() -> None:
    wire, _ = post("SGLang /v1/rerank", [{"score": 0.1, "index": n, "meta_info": TOLD} for n in range(3)])
    assert wire.reading["input_tokens"] == 27


def size(path: str, body: dict[str, Any]) -> int:
    request = read_request("POST", "box", path, orjson.dumps({"model": "sky", **body}))
    assert request is not None
    assert (request.kind, request.flavor, request.most_output_tokens) == ("billable", "vectors", 0)
    return request.input_bytes


@pytest.mark.parametrize(
    ("path", "asked", "others"),
    [
        ("/v1/rerank", "query", "documents"),
        ("/score", "text_1", "text_2"),
        ("/score", "queries", "documents"),
        ("/v1/score", "query", "items"),
        ("/score", "data_1", "data_2"),
        ("/rerank", "query", "texts"),
    ],
)
def test_a_query_is_counted_with_every_document(path: str, asked: str, others: str) -> None:
    query, documents = "q" * 500, ["a" * 10, "b" * 20, "c" * 30]
    assert size(path, {asked: query, others: documents}) >= 3 * 500 + 60
    assert size(path, {asked: query, others: documents[:1]}) < 600
    assert size(path, {asked: query, others: documents[0]}) < 600


@pytest.mark.parametrize("name", ["input", "text_1", "text_2", "data", "documents", "messages", "text"])
def test_all_that_is_read_is_counted(name: str) -> None:
    long = "x" * 1_000
    text: Any = [{"role": "user", "content": long}] if name == "messages" else long
    assert size("/pooling", {name: text}) >= 1_000


def test_another_api_with_such_a_path_isnt_one() -> None:
    assert read_request("POST", "box", "/score", b'{"team": "red", "points": 3}') is None
    assert read_request("POST", "box", "/classify", b'{"text": "no model is named"}') is None
