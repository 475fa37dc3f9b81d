"""Scorers' servers that drip or flood: the time limit holds for the whole reply, and its size is limited."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from conftest import Runner
from rheostat import Budget, build_solver
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers import HttpRequest, Scorer
from rheostat.evidence.verifiers import Verdict
from rheostat.strategies import BestOfN
from rheostat.task import Task
from rheostat.testing import ScriptedModel


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            try:
                if self.path == "/drip":
                    for _ in range(100):  # each read is in time, the whole never ends
                        self.wfile.write(b" ")
                        self.wfile.flush()
                        time.sleep(0.1)
                else:
                    for _ in range(20):
                        self.wfile.write(b" " * 1_000_000)
                self.wfile.write(b'{"score": 1.0}')
            except OSError:  # the client hung up
                pass

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Remote(Scorer):
    def __init__(self, url: str, seconds: float) -> None:
        self.name, self._url, self._seconds = "remote", url, seconds

    def request(self, task: Task, candidate: Candidate) -> HttpRequest:
        return HttpRequest(url=self._url, body={"text": candidate.text}, seconds=self._seconds, by=self.name)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        return Verdict(None, "", score=reply["score"])


@pytest.mark.parametrize(
    ("path", "seconds", "said"), [("drip", 0.5, "no whole reply within 0.5 s"), ("flood", 30, "more than")]
)
def test_a_reply_that_never_ends_or_is_too_large_scores_nothing(
    url: str, path: str, seconds: float, said: str, run: Runner
) -> None:
    graph = build_solver(
        ScriptedModel(script=["A line."]), budget=Budget(tokens=200_000), effort="none",
        strategy=BestOfN(samples=1), scorer=Remote(f"{url}/{path}", seconds),
    ).compile()  # fmt: skip
    result = run(graph, {"question": "Write a line about the sea."})
    [each] = result["candidates"]
    assert (each["score"], each["answer"] is not None) == (None, True)
    assert said in each["reason"]
    assert result["rheostat"]["run"]["held_calls"] == 0
