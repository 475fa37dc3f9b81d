"""A server that bills at its worst: it shares no code with the dials, the gate or the simulator.

Every byte of every text in a request is a token; every answer is as long as its cap (or `UNCAPPED` tokens); `n` answers
are `n` answers; a server error is billed too. The prices are its own table. What it bills is the truth that a ledger
must reach and a cap must hold.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PRICES = {
    "gpt-5.1": (1.25, 10.0), "gpt-5.1-mini": (0.25, 2.0), "gpt-5-pro": (15.0, 120.0), "claude-haiku-4-5": (1.0, 5.0),
    "claude-opus-4-8": (5.0, 25.0), "gpt-6-luna": (0.1, 0.0), "gemini-2.5-flash": (0.3, 2.5),
    "text-embedding-3-large": (0.13, 0.0),
}  # fmt: skip
"""US dollars for a million tokens, in and out."""
UNCAPPED = 20_000
FAILED_TOKENS = 150
"""Written before a request failed."""
_NOT_READ = {
    "model", "role", "type", "stream", "stream_options", "service_tier", "reasoning", "reasoning_effort", "thinking",
    "output_config", "tool_choice", "store", "include", "truncation", "max_tokens", "max_completion_tokens", "n",
    "max_output_tokens", "temperature", "parallel_tool_calls", "metadata", "user",
}  # fmt: skip


def words(node: Any) -> int:
    """Bytes of every text that a model would read."""
    if isinstance(node, str):
        return len(node.encode())
    if isinstance(node, dict):
        return sum(len(name) + words(value) for name, value in node.items() if name not in _NOT_READ)
    if isinstance(node, list):
        return sum(map(words, node))
    return len(str(node))


@dataclass
class Fault:
    """What goes wrong with one request."""

    status: int = 0
    cut: bool = False
    trickle: str = ""
    """`headers` or `body`: a byte every 50 ms, for ten seconds."""
    seconds: float = 0.0
    rate: int = 0
    """Tokens a second that it writes in silence: billed when the seconds are over, whether anybody waits or not."""


@dataclass
class Biller:
    """The running server, and what it billed."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    usd_nanos: int = 0
    calls: int = 0
    faults: list[Fault | None] = field(default_factory=list)
    """Of the next requests, in turn; then none."""
    replies: list[Callable[[dict[str, Any]], str | tuple[str, dict[str, Any]]]] = field(default_factory=list)
    """What the next answers say: a text, or (tool, arguments); then "4"."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> Biller:
        """As it was before anything was sent."""
        self.bodies.clear()
        self.usd_nanos, self.calls, self.faults, self.replies = 0, 0, [], []
        return self

    def charge(self, model: str, tokens_in: int, tokens_out: int) -> None:
        into, out = PRICES[model]
        with self.lock:
            self.usd_nanos += round((into * tokens_in + out * tokens_out) * 1000)
            self.calls += 1


def usage_of(path: str, body: dict[str, Any]) -> tuple[int, int]:
    """Tokens in and out, at their most."""
    tokens_in = 64 + words(body)
    if path.endswith(("/embeddings", "/decisions")):
        return tokens_in, 0
    caps = [body.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
    most = max((cap for cap in caps if isinstance(cap, int)), default=UNCAPPED)
    return tokens_in, most * int(body.get("n") or 1)


def chat_reply(body: dict[str, Any], said: Any, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said if isinstance(said, str) else None}
    if not isinstance(said, str):
        call = {"id": "c1", "type": "function", "function": {"name": said[0], "arguments": json.dumps(said[1])}}
        message["tool_calls"] = [call]
    choices = [
        {"index": index, "finish_reason": "stop" if isinstance(said, str) else "tool_calls", "message": message}
        for index in range(int(body.get("n") or 1))
    ]
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {
        "id": "r",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    }


def responses_reply(body: dict[str, Any], said: Any, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    if isinstance(said, str):
        part = {"type": "output_text", "text": said, "annotations": []}
        item: dict[str, Any] = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
    else:
        item = {"id": "f", "type": "function_call", "call_id": "c1", "name": said[0], "arguments": json.dumps(said[1])}
    usage = {
        "input_tokens": tokens_in, "output_tokens": tokens_out, "total_tokens": tokens_in + tokens_out,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    return {
        "id": "r", "object": "response", "created_at": 0, "model": body["model"], "output": [item], "usage": usage,
        "status": "completed", "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1, "top_p": 1,
    }  # fmt: skip


def messages_reply(body: dict[str, Any], said: Any, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    block = {"type": "text", "text": said} if isinstance(said, str) else None
    block = block or {"type": "tool_use", "id": "c1", "name": said[0], "input": said[1]}
    return {
        "id": "r", "type": "message", "role": "assistant", "model": body["model"], "content": [block],
        "stop_sequence": None, "stop_reason": "end_turn" if isinstance(said, str) else "tool_use",
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
    }  # fmt: skip


def chat_events(reply: dict[str, Any], body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    base = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": reply["model"]}
    for choice in reply["choices"]:
        delta = dict(choice["message"])
        for number, call in enumerate(delta.get("tool_calls") or ()):
            call["index"] = number
        yield "", {**base, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None}]}
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        yield "", {**base, "choices": [end]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield "", {**base, "choices": [], "usage": reply["usage"]}
    yield "", "[DONE]"


def responses_events(reply: dict[str, Any], body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield (
        "",
        {
            "type": "response.created",
            "sequence_number": 0,
            "response": {**reply, "output": [], "usage": None, "status": "in_progress"},
        },
    )
    item = reply["output"][0]
    yield (
        "",
        {
            "type": "response.output_item.added",
            "sequence_number": 1,
            "output_index": 0,
            "item": {**item, "content": []} if "content" in item else {**item, "arguments": ""},
        },
    )
    if "content" in item:
        text = item["content"][0]["text"]
        yield (
            "",
            {
                "type": "response.content_part.added",
                "sequence_number": 2,
                "output_index": 0,
                "content_index": 0,
                "item_id": "m",
                "part": {"type": "output_text", "text": "", "annotations": []},
            },
        )
        yield (
            "",
            {
                "type": "response.output_text.delta",
                "sequence_number": 3,
                "output_index": 0,
                "content_index": 0,
                "item_id": "m",
                "delta": text,
                "logprobs": [],
            },
        )
    else:
        yield (
            "",
            {
                "type": "response.function_call_arguments.delta",
                "sequence_number": 3,
                "output_index": 0,
                "item_id": "f",
                "delta": item["arguments"],
            },
        )
    yield "", {"type": "response.output_item.done", "sequence_number": 4, "output_index": 0, "item": item}
    yield "", {"type": "response.completed", "sequence_number": 5, "response": reply}


def messages_events(reply: dict[str, Any], body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield (
        "message_start",
        {
            "type": "message_start",
            "message": {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}},
        },
    )
    block = reply["content"][0]
    empty = {"type": "text", "text": ""} if block["type"] == "text" else {**block, "input": {}}
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": empty}
    delta = (
        {"type": "text_delta", "text": block["text"]}
        if block["type"] == "text"
        else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    )
    yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    yield (
        "message_delta",
        {
            "type": "message_delta",
            "delta": {"stop_reason": reply["stop_reason"], "stop_sequence": None},
            "usage": {"output_tokens": reply["usage"]["output_tokens"]},
        },
    )
    yield "message_stop", {"type": "message_stop"}


APIS: dict[str, tuple[Any, Any]] = {
    "/v1/chat/completions": (chat_reply, chat_events), "/v1/responses": (responses_reply, responses_events),
    "/v1/messages": (messages_reply, messages_events),
}  # fmt: skip


@contextmanager
def billing() -> Iterator[Biller]:
    """Serve on a free port."""
    biller = Biller()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None: ...

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith(("/count_tokens", "/input_tokens")):  # free
                return self._json(200, {"input_tokens": 64 + words(body), "object": "response.input_tokens"})
            with biller.lock:
                biller.bodies.append(body)
                fault = biller.faults.pop(0) if biller.faults else None
                reply = biller.replies.pop(0) if biller.replies else None
            fault = fault or Fault()
            if found := re.search(r"/models/([^:/]+):(stream)?[gG]enerateContent", self.path):
                return self._gemini(found[1], body, fault, streams=bool(found[2]))
            tokens_in, tokens_out = usage_of(self.path, body)
            if fault.status in (400, 429):
                return self._json(fault.status, {"error": {"message": "planned", "type": "x"}})
            if fault.rate:
                time.sleep(fault.seconds)
                biller.charge(body["model"], tokens_in, int(fault.rate * fault.seconds) * int(body.get("n") or 1))
                return self._json(503, {"error": {"message": "planned", "type": "x"}})
            if fault.status or fault.cut or fault.trickle:
                biller.charge(body["model"], tokens_in, min(tokens_out, FAILED_TOKENS))
            else:
                biller.charge(body["model"], tokens_in, tokens_out)
            time.sleep(fault.seconds)
            if fault.status:
                return self._json(fault.status, {"error": {"message": "planned", "type": "x"}})
            if self.path.endswith("/embeddings"):
                data = [{"object": "embedding", "index": 0, "embedding": [0.0]}]
                return self._json(
                    200,
                    {
                        "object": "list",
                        "data": data,
                        "model": body["model"],
                        "usage": {"prompt_tokens": tokens_in, "total_tokens": tokens_in},
                    },
                )
            if self.path.endswith("/decisions"):
                return self._json(
                    200,
                    {
                        "id": "d",
                        "object": "decision",
                        "model": body["model"],
                        "decisions": [],
                        "answers": [],
                        "usage": {"input_tokens": tokens_in, "output_tokens": 0, "total_tokens": tokens_in},
                    },
                )
            make, events = APIS[self.path]
            whole = make(body, reply(body) if reply else "4", tokens_in, tokens_out)
            if body.get("stream"):
                return self._stream(events(whole, body), fault)
            return self._json(200, whole, fault)

        def _gemini(self, model: str, body: dict[str, Any], fault: Fault, *, streams: bool) -> None:
            tokens_in, tokens_out = 64 + words(body), int(body["generationConfig"]["maxOutputTokens"])
            biller.charge(model, tokens_in, tokens_out)
            usage = {
                "promptTokenCount": tokens_in,
                "candidatesTokenCount": tokens_out,
                "totalTokenCount": tokens_in + tokens_out,
            }
            content = {"role": "model", "parts": [{"text": "4"}]}
            whole = {
                "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": usage,
                "modelVersion": model,
                "responseId": "r",
            }
            if streams:
                first = {"candidates": [{"content": content, "index": 0}], "modelVersion": model}
                return self._stream(iter([("", first), ("", whole)]), fault)
            return self._json(200, whole, fault)

        def _json(self, status: int, data: Any, fault: Fault | None = None) -> None:
            content = json.dumps(data).encode()
            fault = fault or Fault()
            kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}"
            head = f"HTTP/1.1 {status} X\r\n{kind}\r\n\r\n".encode()
            if fault.cut:
                content, self.close_connection = content[: len(content) // 2], True
            self._write(head, slowly=fault.trickle == "headers")
            self._write(content, slowly=fault.trickle == "body")

        def _write(self, data: bytes, *, slowly: bool) -> None:
            if not slowly:
                self.wfile.write(data)
                return
            ends = time.monotonic() + 10
            for byte in data:
                if time.monotonic() > ends:
                    break
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)

        def _stream(self, events: Iterator[tuple[str, Any]], fault: Fault) -> None:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            self._write(head, slowly=fault.trickle == "headers")
            self.close_connection = True
            listed = list(events)
            for name, data in listed[: max(1, len(listed) // 3)] if fault.cut else listed:
                event = (
                    f"event: {name}\n" if name else ""
                ) + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
                self._write(event.encode(), slowly=fault.trickle == "body")

    class Quiet(ThreadingHTTPServer):
        request_queue_size = 512

        def handle_error(self, *args: Any) -> None: ...

    server = Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    biller.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield biller
    finally:
        server.shutdown()
        server.server_close()
