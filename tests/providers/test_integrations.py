"""Other providers by their real LangChain integrations: what leaves, and what the ledger makes of what comes back.

The replies are shaped as each provider documents them; whether the real servers take what is sent was not tried.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from tenacity import wait_none

from rheostat import Account, Budget, Effort, MemoryLedger, Meter, MissingExtra, ModelUnknown, Price, resolve
from rheostat.flow import drive
from rheostat.judgement.policy import Caps, Policy
from rheostat.providers import Endpoint, endpoint_for
from rheostat.providers.integrations import INTEGRATIONS
from rheostat.task import ThinkingPlan

pytestmark = pytest.mark.filterwarnings("ignore")  # the integrations warn about names that they don't know
INPUT, THOUGHT, SAID = 11, 30, 5


def _openai_like(body: dict[str, Any], thought: int) -> dict[str, Any]:
    counted = SAID if body["model"].startswith("grok") else thought + SAID  # xAI counts the thought apart
    return {
        "id": "c1", "object": "chat.completion", "created": 0, "model": body["model"], "system_fingerprint": "f",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                     "message": {"role": "assistant", "content": "4", "reasoning_content": "hm"}}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": counted,
                  "total_tokens": INPUT + thought + SAID, "completion_tokens_details": {"reasoning_tokens": thought}},
    }  # fmt: skip


def _gemini(body: dict[str, Any], thought: int) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "4"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": INPUT, "candidatesTokenCount": SAID, "thoughtsTokenCount": thought,
            "totalTokenCount": INPUT + thought + SAID,
        },
        "modelVersion": "gemini", "responseId": "r1",
    }  # fmt: skip


def _converse(body: dict[str, Any], thought: int) -> dict[str, Any]:
    said = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
    return {
        "output": {"message": {"role": "assistant", "content": [said, {"text": "4"}]}},
        "stopReason": "end_turn", "metrics": {"latencyMs": 1},
        "usage": {"inputTokens": INPUT, "outputTokens": thought + SAID, "totalTokens": INPUT + thought + SAID},
    }  # fmt: skip


def _ollama(body: dict[str, Any], thought: int) -> dict[str, Any]:
    return {
        "model": body["model"], "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop",
        "message": {"role": "assistant", "content": "4", "thinking": "hm"},
        "prompt_eval_count": INPUT, "eval_count": thought + SAID,
    }  # fmt: skip


REPLIES: dict[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
    "generateContent": _gemini,
    "/converse": _converse,
    "/api/chat": _ollama,
    "/chat/completions": _openai_like,
}


@dataclass
class Recorder:
    """Answers in the provider's shape, and keeps what it was sent."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    thought: int = THOUGHT


@pytest.fixture(scope="module")
def serving() -> Iterator[Recorder]:
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            recorder.bodies.append(body)
            reply = next(make for part, make in REPLIES.items() if part in self.path)(body, recorder.thought)
            data = json.dumps(reply if recorder.status == 200 else {"error": {"message": "planned"}}).encode()
            self.send_response(recorder.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    recorder.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield recorder
    http.shutdown()
    http.server_close()


@pytest.fixture
def recorder(serving: Recorder) -> Recorder:
    serving.bodies.clear()
    serving.status, serving.thought = 200, THOUGHT
    return serving


def build(spec: str, model: str, url: str) -> BaseChatModel:
    key: Any = "k"
    if spec == "google_genai":
        from langchain_google_genai import ChatGoogleGenerativeAI

        return ChatGoogleGenerativeAI(model=model, api_key=key, base_url=url)
    if spec == "deepseek":
        from langchain_deepseek import ChatDeepSeek

        return ChatDeepSeek(model=model, api_key=key, base_url=f"{url}/v1")
    if spec == "openrouter":
        from langchain_openrouter import ChatOpenRouter

        return ChatOpenRouter(model=model, api_key=key, base_url=f"{url}/api/v1")
    if spec == "bedrock_converse":
        from langchain_aws import ChatBedrockConverse

        return ChatBedrockConverse(
            model=model, region_name="eu-west-1", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=key
        )
    if spec == "xai":
        from langchain_xai import ChatXAI

        return ChatXAI(model=model, api_key=key, base_url=f"{url}/v1")
    if spec == "groq":
        from langchain_groq import ChatGroq

        return ChatGroq(model=model, api_key=key, base_url=url)
    from langchain_ollama import ChatOllama

    return ChatOllama(model=model, base_url=url)


class Caller:
    def __init__(self, at: Endpoint) -> None:
        self.at, self.ledger = at, MemoryLedger()
        self.ledger.open(Account("a", Budget(tokens=10**9)))
        self.meter = Meter(self.ledger, attempts=1, wait=wait_none())

    def call(self, effort: Effort, temperature: float | None = None) -> Any:
        at, meter = self.at, self.meter
        plan = ThinkingPlan(effort=effort, thinking_tokens=0, answer_tokens=100, decided_by="user")
        plan = Policy().set_effort(plan, effort, Caps(), at.dial.facts)
        self.settings = at.dial.encode(plan, "whole", temperature=temperature, schema=None)
        messages = [{"role": "user", "content": "What is 2 + 2?"}]

        def flow() -> Any:
            tokens = yield from meter.input_bound(at, messages, self.settings)
            [held] = yield from meter.hold("a", [meter.bound(at, tokens, self.settings)], {"node": "t"})
            return (yield from meter.call(at, "a", held, messages, self.settings, "whole", {}))

        return drive(flow())


CLAUDE_OFF = {"thinking": {"type": "disabled"}}
ROWS: list[tuple[str, str, Effort, dict[str, Any], str]] = [
    ("google_genai", "gemini-3.6-flash", Effort.low,
     {"generationConfig": {"thinkingConfig": {"thinking_level": "LOW"}, "maxOutputTokens": 2148}}, "gemini-3.6-flash"),
    ("google_genai", "gemini-2.5-flash", Effort.none,
     {"generationConfig": {"thinkingConfig": {"thinking_budget": 0}, "maxOutputTokens": 100}}, "2.5, off"),
    ("google_genai", "gemini-2.5-flash", Effort.low,
     {"generationConfig": {"thinkingConfig": {"thinking_budget": 2048}, "maxOutputTokens": 2148}}, "2.5, budget"),
    ("deepseek", "deepseek-v4-pro", Effort.high,
     {"thinking": {"type": "enabled"}, "reasoning_effort": "high", "max_tokens": 16484}, "deepseek on"),
    ("deepseek", "deepseek-v4-pro", Effort.none, {"thinking": {"type": "disabled"}, "max_tokens": 100}, "off"),
    ("openrouter", "openai/gpt-5", Effort.low, {"reasoning": {"effort": "low"}, "max_tokens": 2148}, "or"),
    ("bedrock_converse", "us.anthropic.claude-opus-4-8", Effort.medium,
     {"inferenceConfig": {"maxTokens": 8292}, "additionalModelRequestFields":
      {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}}, "bedrock claude"),
    ("bedrock_converse", "us.anthropic.claude-haiku-4-5-20251001-v1:0", Effort.low,
     {"inferenceConfig": {"maxTokens": 1124}, "additionalModelRequestFields":
      {"thinking": {"type": "enabled", "budget_tokens": 1024}}}, "bedrock budget"),
    ("bedrock_converse", "us.amazon.nova-2-lite-v1:0", Effort.low,
     {"inferenceConfig": {"maxTokens": 2148}, "additionalModelRequestFields":
      {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}}, "nova"),
    ("xai", "grok-4.3", Effort.low, {"reasoning_effort": "low", "max_tokens": 2148}, "xai"),
    ("groq", "openai/gpt-oss-20b", Effort.low, {"reasoning_effort": "low", "max_tokens": 2148}, "groq"),
    ("groq", "qwen/qwen3-32b", Effort.none, {"reasoning_effort": "none", "max_tokens": 100}, "groq off"),
    ("ollama", "qwen3:8b", Effort.medium, {"think": True, "options": {"num_predict": 8292}}, "ollama on"),
    ("ollama", "qwen3:8b", Effort.none, {"think": False, "options": {"num_predict": 100}}, "ollama off"),
]  # fmt: skip


def within(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(within(value, found.get(name)) for name, value in wanted.items())
    return bool(wanted == found)


@pytest.mark.parametrize(("spec", "model", "effort", "sent", "name"), ROWS, ids=[row[-1] for row in ROWS])
def test_what_leaves_and_what_is_settled(
    spec: str, model: str, effort: Effort, sent: dict[str, Any], name: str, recorder: Recorder
) -> None:
    recorder.thought = 0 if effort == Effort.none else THOUGHT
    caller = Caller(endpoint_for(build(spec, model, recorder.url)))
    reply = caller.call(effort)
    [body] = recorder.bodies
    assert within(sent, body), body
    assert reply.text == "4"
    spent = caller.ledger.reading("a")
    assert (spent["input_tokens"], spent["output_tokens"], spent["calls"]) == (INPUT, recorder.thought + SAID, 1)
    told = spec not in ("bedrock_converse", "ollama") or effort == Effort.none
    assert spent["thinking_tokens"] == (recorder.thought if told else recorder.thought + SAID)  # untold: all of it
    assert spent["held_output_tokens"] == spent["unknown_output_tokens"] == 0


@pytest.mark.parametrize(("spec", "model"), sorted({row[:2] for row in ROWS}))
def test_a_failure_is_seen_once_by_the_server(spec: str, model: str, recorder: Recorder) -> None:
    """Retries inside a client would be bills that no ledger sees."""
    recorder.status = 500
    caller = Caller(endpoint_for(build(spec, model, recorder.url)))
    with pytest.raises(Exception):  # noqa: B017, PT011 - each client has exceptions of its own
        caller.call(Effort.low)
    assert len(recorder.bodies) == 1
    assert caller.ledger.reading("a")["unknown_calls"] == 1


def test_levels_come_from_the_profile_or_the_row() -> None:
    levels = endpoint_for(build("google_genai", "gemini-3.1-pro-preview", "http://127.0.0.1:1")).dial.facts.levels
    assert list(levels) == [Effort.low, Effort.medium, Effort.high]
    levels = endpoint_for(build("xai", "grok-4.3", "http://127.0.0.1:1")).dial.facts.levels
    assert Effort.none in levels


def test_what_isnt_sent_is_said(recorder: Recorder) -> None:
    caller = Caller(endpoint_for(build("google_genai", "gemini-3.6-flash", recorder.url)))
    caller.call(Effort.none, temperature=0.7)
    notes = " ".join(caller.settings.notes)
    assert "temperature not sent" in notes
    assert recorder.bodies[0]["generationConfig"]["thinkingConfig"]["thinking_level"] == "MINIMAL"


def test_a_model_without_a_dial_thinks_in_two_phases() -> None:
    at = endpoint_for(build("xai", "grok-2-vision-1212", "http://127.0.0.1:1"))
    plan = ThinkingPlan(effort=Effort.low, thinking_tokens=128, answer_tokens=10)
    assert at.dial.phases(plan, schema=False) == ("think", "answer")


def test_prices_are_listed_where_the_provider_alone_bills() -> None:
    address = "http://127.0.0.1:1"
    assert endpoint_for(build("deepseek", "deepseek-chat", address)).price is not None
    assert endpoint_for(build("openrouter", "openai/gpt-5", address)).price is None
    own = Price(input_per_million=1, output_per_million=2)
    assert endpoint_for(build("openrouter", "openai/gpt-5", address), price=own).price is own


def test_names_find_their_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "k")
    assert resolve("deepseek:deepseek-v4-pro").name == "deepseek:deepseek-v4-pro"
    with pytest.raises(ModelUnknown, match="google_genai"):
        resolve("nobody:x")
    monkeypatch.setitem(__import__("sys").modules, "langchain_groq", None)
    with pytest.raises(MissingExtra, match="providers"):
        resolve("groq:openai/gpt-oss-20b")


def test_every_row_names_a_class_that_is_there() -> None:
    for row in INTEGRATIONS:
        assert hasattr(__import__(row.module), row.kind)
        assert row.source
