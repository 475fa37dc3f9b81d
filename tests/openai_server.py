"""A loopback server that speaks OpenAI's Chat Completions, enforces its rules and counts what it bills."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Plan:
    """What the server does with one request."""

    text: str = "The answer is 4."
    status: int = 200
    delay: float = 0.0
    cut: bool = False
    """Close the connection in the middle of the body: the work was done and billed."""
    usage: bool = True
    """False: leave the usage out."""
    retry_after: str = ""
    broken: bool = False
    """A billed reply that no client can read."""


@dataclass
class Bill:
    """The truth."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each request came, in monotonic seconds."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass
class Server:
    url: str
    bill: Bill
    plans: list[Plan]
    """Taken one by one; the last one repeats."""


@contextmanager
def openai_server(
    *plans: Plan,
    on_request: Callable[[int], None] = lambda number: None,
    planned: Callable[[int], Plan] | None = None,
) -> Iterator[Server]:
    """Serve on a free port. `plans` are taken one by one, the last one repeats; or `planned(number)` decides."""
    bill, lock = Bill(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def _send(self, status: int, body: Any, *, cut: bool = False, retry_after: str = "") -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
            if cut:
                self.close_connection = True

        def _stream(self, reply: dict[str, Any], words: list[str], *, usage: bool, cut: bool) -> None:
            """Server-sent events, one word each; the usage comes last. A cut one ends in the middle of a chunk."""
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

            def send(data: str) -> None:
                event = f"data: {data}\n\n".encode()
                self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                self.wfile.flush()

            base = {"id": reply["id"], "object": "chat.completion.chunk", "created": 0, "model": "tiny"}
            for number, word in enumerate(words):
                if cut and number >= len(words) // 2:
                    self.wfile.write(b"ffff\r\ndata: {")
                    self.close_connection = True
                    return
                delta = {"role": "assistant", "content": word if number == 0 else f" {word}"}
                send(json.dumps({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
            finish = reply["choices"][0]["finish_reason"]
            send(json.dumps({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
            if usage:
                send(json.dumps({**base, "choices": [], "usage": reply["usage"]}))
            send("[DONE]")
            self.wfile.write(b"0\r\n\r\n")

        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": "tiny", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = bill.requests
                bill.requests += 1
                bill.bodies.append(body)
                bill.times.append(time.monotonic())
                plan = planned(number) if planned else plans[min(number, len(plans) - 1)]
            on_request(number)
            time.sleep(plan.delay)
            most = body.get("max_completion_tokens") or body.get("max_tokens")
            if plan.status == 200 and (not isinstance(most, int) or most < 1):
                return self._send(400, {"error": {"message": "max_tokens must be at least 1"}})
            if plan.status != 200:
                return self._send(
                    plan.status, {"error": {"message": f"planned {plan.status}"}}, retry_after=plan.retry_after
                )
            words = plan.text.split(" ")
            text, used = " ".join(words[:most]), min(len(words), most)
            prompt = sum(len(str(m["content"]).split()) for m in body["messages"])
            with lock:
                bill.input_tokens += prompt
                bill.output_tokens += used
            reply: dict[str, Any] = {
                "id": f"r{number}",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "length" if used < len(words) else "stop",
                        "message": {"role": "assistant", "content": text},
                    }
                ],
            }
            if plan.broken:
                reply["choices"] = None
            if plan.usage:
                reply["usage"] = {"prompt_tokens": prompt, "completion_tokens": used, "total_tokens": prompt + used}
            if body.get("stream"):
                asked = bool((body.get("stream_options") or {}).get("include_usage"))
                return self._stream(reply, text.split(" "), usage=plan.usage and asked, cut=plan.cut)
            return self._send(200, reply, cut=plan.cut)

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:
            """A client that went away in the middle is what some tests want."""

    server = Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_address[1]}/v1", bill, list(plans))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
