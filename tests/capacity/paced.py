"""A server that speaks OpenAI's streaming chat, with steps of a known length: for tests of what measures servers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Paced", "paced"]


class Paced:
    """A token comes after `step` + `each` × (streams under way) seconds; a prompt takes `read` seconds a token."""

    def __init__(self, *, step: float = 0.006, each: float = 0.003, read: float = 1e-4, slots: int = 64) -> None:
        self.step, self.each, self.read = step, each, read
        self.slots = threading.Semaphore(slots)
        self.running = 0
        self.refuse_extras = self.usage = self.silent = False
        self.bodies: list[dict[str, Any]] = []
        self.url = ""
        self._lock = threading.Lock()

    def count(self, change: int) -> None:
        with self._lock:
            self.running += change


@contextmanager
def paced(**how: Any) -> Iterator[Paced]:
    """Serve on a free port of loopback."""
    server = Paced(**how)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def _json(self, status: int, data: Any) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._json(200, {"object": "list", "data": [{"id": "small\x1b[31m", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.bodies.append(body)
            if server.refuse_extras and "ignore_eos" in body:
                self._json(400, {"error": {"message": "unknown argument ignore_eos", "type": "invalid_request_error"}})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            with server.slots:
                self._stream(len(body["messages"][-1]["content"].split()), body["max_tokens"])

        def _event(self, data: Any) -> None:
            self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
            self.wfile.flush()

        def _stream(self, given: int, tokens: int) -> None:
            time.sleep(server.read * given)
            server.count(1)
            about = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "small"}
            for number in range(0 if server.silent else tokens):
                time.sleep(server.step + server.each * server.running)
                delta = {"reasoning_content": "hm "} if number < tokens // 2 else {"content": "word "}
                self._event({**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            server.count(-1)
            usage = {"prompt_tokens": given, "completion_tokens": tokens, "total_tokens": given + tokens}
            self._event({**about, "choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
