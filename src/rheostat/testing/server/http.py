"""The HTTP server: routes, faults, streams."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rheostat.testing.server.anthropic import Messages, model_info
from rheostat.testing.server.bill import Bill, Line
from rheostat.testing.server.limits import LIMITED, Limiter
from rheostat.testing.server.openai import Chat, Responses, openai_model
from rheostat.testing.server.rules import Cache, Refused
from rheostat.testing.server.turn import Fault, Turn

__all__ = ["ProviderServer", "provider_server"]

_ROUTES: dict[str, type[Messages] | type[Chat] | type[Responses]] = {
    "/v1/messages": Messages,
    "/v1/chat/completions": Chat,
    "/v1/responses": Responses,
}
_COUNTS: dict[str, type[Messages] | type[Responses]] = {
    "/v1/messages/count_tokens": Messages,
    "/v1/responses/input_tokens": Responses,
}
_OVERLOADED = 529
_TOKENS_PER_SECOND, _MOMENT_SECONDS = 1_000, 0.2
"""The speed of a fast model, and the time that a server goes on after its client has gone."""
MODELS = (
    "claude-haiku-4-5", "claude-opus-4-5", "claude-opus-4-8", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-5-5",
    "gpt-4o", "gpt-5", "gpt-5.1", "gpt-5.6-sol", "gpt-6-sol", "o3",
)  # fmt: skip
"""The listed models; others of the same generations are served too."""


class ProviderServer:
    """A simulator, which runs as a context manager."""

    def __init__(self, *turns: Turn, planned: Callable[[int, dict[str, Any]], Turn] | None = None) -> None:
        self.reset(*turns, planned=planned)
        self._http = _Quiet(("127.0.0.1", 0), type("Handler", (_Handler,), {"simulator": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def reset(self, *turns: Turn, planned: Callable[[int, dict[str, Any]], Turn] | None = None) -> None:
        """Start anew at the same address, with an empty bill, cold caches and other turns."""
        self.bill = Bill()
        self.turns = list(turns) or [Turn()]
        """The turns, one per request; the last one repeats."""
        self._planned = planned
        self._cache = Cache()
        self._number = itertools.count()
        self.limiter: Limiter | None = None
        """Its rate limits; `None`: it has none."""

    @property
    def url(self) -> str:
        """The base URL for Anthropic's SDK; OpenAI's SDK needs `openai_url`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def openai_url(self) -> str:
        """The base URL with `/v1`, for OpenAI's SDK."""
        return f"{self.url}/v1"

    def next_turn(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, Turn]:
        """Record a request, and return its number and the model's turn."""
        with self.bill.lock:
            number = next(self._number)
            self.bill.bodies.append(body)
            self.bill.headers.append(headers)
            self.bill.times.append(time.monotonic())
            if self._planned is not None:
                return number, self._planned(number, body)
            return number, self.turns[min(number, len(self.turns) - 1)]

    def check(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Messages | Chat | Responses:
        """The checked request.

        Raises:
            Refused: The request breaks a rule.
        """
        return _ROUTES[path](body, headers, self._cache)

    def count(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> int:
        """Count the input tokens, free of charge."""
        return _COUNTS[path](body, {**headers, "counting": "1"}, self._cache).input_tokens()

    def __enter__(self) -> ProviderServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def provider_server(
    *turns: Turn, planned: Callable[[int, dict[str, Any]], Turn] | None = None
) -> Iterator[ProviderServer]:
    """Serve on a free port of this machine.

    Args:
        turns: The model's turns, one per request; the last one repeats.
        planned: Instead of turns, a function that returns the turn for `(number, body)`. It is called when the request
            has come, before anything else happens.
    """
    with ProviderServer(*turns, planned=planned) as server:
        yield server


class _Quiet(ThreadingHTTPServer):
    request_queue_size = 512
    """Connections that wait to be accepted: with Python's 5, a batch of two hundred has some reset."""

    def handle_error(self, *args: Any) -> None:
        """Ignore errors, because some tests let a client go away in the middle."""


def _as_far_as_it_came(line: Line, fault: Fault) -> Line:
    """The bill of a request that fails in the middle: only the tokens that can have been written by then."""
    if not (fault.status or fault.cut):
        return line
    most = int(_TOKENS_PER_SECOND * (fault.seconds + _MOMENT_SECONDS))
    output = min(line.output_tokens, most)
    return replace(line, output_tokens=output, thinking_tokens=min(line.thinking_tokens, output))


class _Handler(BaseHTTPRequestHandler):
    simulator: ProviderServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a reply in two small packets is delayed by 40 ms

    def log_message(self, *args: Any) -> None:
        pass

    def _send(
        self, status: int, data: bytes, *, cut: bool = False, retry_after: str = "", limited: bool = False
    ) -> None:
        self.send_response(status)
        self._send_limits(limited=limited)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("request-id", "req_1")
        self.send_header("x-request-id", "req_1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def _send_limits(self, *, limited: bool = False) -> None:
        limiter = self.simulator.limiter
        for name, value in limiter.headers(refused=limited).items() if limiter is not None else ():
            self.send_header(name, value)

    def _json(self, status: int, body: Any, **how: Any) -> None:
        self._send(status, json.dumps(body).encode(), **how)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if not path.startswith("/v1/models"):
            return self._json(404, {"error": {"message": f"no such path {path}"}})
        name = path.removeprefix("/v1/models").strip("/")
        listed: Any = [info for model in MODELS if (info := model_info(model) or openai_model(model))]
        if not name:
            return self._json(200, {"data": listed, "object": "list", "has_more": False})
        info = model_info(name) or openai_model(name)
        missing = {"type": "error", "error": {"type": "not_found_error", "message": f"model: {name}"}}
        return self._json(200 if info else 404, info or missing)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.split("?")[0]
        limiter = self.simulator.limiter
        bill = self.simulator.bill  # kept now, because a slow reply belongs on the bill of its request
        try:
            if path in _COUNTS:
                body.pop("betas", None)
                return self._json(200, {"input_tokens": self.simulator.count(path, body, headers), "object": "count"})
            if path not in _ROUTES:
                return self._json(404, {"error": {"message": f"no such path {path}"}})
            number, turn = self.simulator.next_turn(body, headers)
            fault = turn.fault
            request = self.simulator.check(path, body, headers)
            if limiter is not None:
                limiter.arrives(request.input_tokens(), request.most)
            time.sleep(fault.seconds)
        except Refused as refused:
            with bill.lock:
                bill.refusals.append(str(refused))
            kind = {"error": {"message": str(refused), "type": refused.kind, "param": refused.param}}
            wrapped = {"type": "error", "request_id": "req_1"} if "messages" in path else {}
            return self._json(refused.status, {**wrapped, **kind}, limited=refused.kind == LIMITED)
        if 0 < fault.status < 500 or fault.status == _OVERLOADED:
            return self._fail(fault)
        with bill.lock:  # requests look up the cache in order
            done, line = request.do(turn)
            bill.lines.append(_as_far_as_it_came(line, fault))
        if limiter is not None:
            limiter.wrote(line.output_tokens, line.cached_input_tokens)
        if fault.status:
            return self._fail(fault)
        reply = request.reply(turn, done, line, str(number))
        if fault.garbage:
            return self._json(200, {**reply, "choices": None, "content": None, "output": None})
        if body.get("stream"):
            return self._stream(request, reply, fault)
        return self._json(200, reply, cut=fault.cut)

    def _fail(self, fault: Fault) -> None:
        error = {"type": "overloaded_error" if fault.status == _OVERLOADED else "api_error", "message": "planned"}
        self._json(fault.status, {"type": "error", "error": error}, retry_after=fault.retry_after)

    def _stream(self, request: Messages | Chat | Responses, reply: dict[str, Any], fault: Fault) -> None:
        """Send server-sent events. A cut stream ends in the middle."""
        self.send_response(200)
        self._send_limits()
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = list(request.events(reply, whole=not fault.ends_early))
        if fault.cut:
            events = events[: max(1, len(events) // 2)]
        for name, data in events:
            text = json.dumps(data) if data else "[DONE]"
            event = (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        if fault.cut:
            self.wfile.write(b"ffff\r\ndata: {")
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")
