"""Which model server answers, and what it is sent. llama.cpp and vLLM are tried for real elsewhere (test_llama_apis.py,
`make test-vllm`); here is what tells the kinds apart.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import SecretStr
from typer.testing import CliRunner

from rheostat import Effort, ModelUnknown, ThinkingPlan, resolve
from rheostat.cli.app import app
from rheostat.providers.server_chat import ChatServer
from rheostat.providers.servers import SERVERS, ServerDial, inspect_server


@contextmanager
def answering(pages: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            known = self.path in pages
            body = json.dumps(pages.get(self.path, {})).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def models(owner: str, **more: Any) -> dict[str, Any]:
    return {"/v1/models": {"data": [{"id": "m", "owned_by": owner, **more}]}}


@pytest.mark.parametrize(
    ("pages", "kind", "version", "context"),
    [
        ({**models("vllm", max_model_len=4096), "/version": {"version": "0.33.0"}}, "vllm", "0.33.0", 4096),
        ({**models("sglang", max_model_len=8192), "/server_info": {"version": "0.5.23"}}, "sglang", "0.5.23", 8192),
        ({**models("library"), "/api/version": {"version": "0.20.1"}}, "ollama", "0.20.1", None),
        (models("somebody"), "unknown", "", None),
        (
            {
                **models("llamacpp"),
                "/props": {
                    "build_info": "b1",
                    "chat_template": "<think>",
                    "default_generation_settings": {"n_ctx": 8192},
                },
            },
            "llama.cpp",
            "b1",
            8192,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_is_told_apart(pages: dict[str, Any], kind: str, version: str, context: int | None) -> None:
    with answering(pages) as url:
        found = inspect_server(url)
        assert (found.kind, found.version, found.context_tokens, found.models) == (kind, version, context, ("m",))
        assert found.thinking
        at = resolve(url)
        assert at.context_tokens == context or kind == "unknown"
        assert isinstance(at.dial, ServerDial) is (kind in SERVERS)
        said = CliRunner().invoke(app, ["models", "inspect", url, "--json"])
        assert json.loads(said.stdout)["kind"] == kind


@pytest.mark.parametrize("pages", [{}, {"/v1/models": {"data": []}}, {"/v1/models": {"nothing": 1}}], ids=str)
def test_what_is_no_server_is_refused(pages: dict[str, Any]) -> None:
    with answering(pages) as url, pytest.raises(ModelUnknown, match=r"no model|no OpenAI-compatible"):
        inspect_server(url)


@pytest.mark.parametrize(
    ("kind", "on", "off"),
    [
        (
            "vllm",
            {"thinking_token_budget": 128, "chat_template_kwargs": {"enable_thinking": True}},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        (
            "sglang",
            {"custom_params": {"thinking_budget": 128}, "chat_template_kwargs": {"enable_thinking": True}},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        ("nim", {"nvext": {"max_thinking_tokens": 128}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("ollama", {"reasoning_effort": "low"}, {"reasoning_effort": "none"}),
    ],
)
def test_what_a_server_is_sent(kind: str, on: dict[str, Any], off: dict[str, Any]) -> None:
    dial = ServerDial("m", SERVERS[kind])
    plan = ThinkingPlan(effort=Effort.low, thinking_tokens=128, answer_tokens=100)
    thinking = dial.encode(plan, "whole", temperature=0.5, schema=None)
    assert thinking.kwargs["extra_body"] == on
    assert thinking.kwargs["max_tokens"] == thinking.max_output_tokens >= 228
    assert thinking.notes  # what it takes for the number to hold, or that it doesn't
    direct = dial.encode(plan, "answer", temperature=None, schema=None)
    assert direct.kwargs == {"extra_body": off, "max_tokens": 100}


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_server_that_thinks_is_read_whole(name: str) -> None:
    """`ChatOpenAI` drops the thought of a local server; it is kept, and counted."""
    chat = ChatServer(model="m", base_url="http://127.0.0.1:1/v1", api_key=SecretStr("k"))
    reply: dict[str, Any] = {
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4", name: "hm"}}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12},
    }
    message = chat._create_chat_result(reply).generations[0].message
    assert isinstance(message, AIMessage)
    dial = ServerDial("m", SERVERS["vllm"])
    plan = ThinkingPlan(effort=Effort.low, thinking_tokens=50, answer_tokens=10)
    read = dial.decode(message, dial.encode(plan, "whole", temperature=None, schema=None), "whole")
    assert (read.text, read.thought) == ("4", "hm")
    assert read.spend is not None
    assert read.spend.thinking_tokens == 9  # not told apart: all of it
