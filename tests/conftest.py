"""Shared: no network but loopback, four ways to run a graph, the real model."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

import rheostat.sandbox
from postgres_server import PostgresServer, installation
from rheostat import Endpoint, resolve
from rheostat.local import DEFAULT_MODEL
from rheostat.money import pricing
from rheostat.sandbox import kinds

if os.environ.get(
    "RHEOSTAT_SECOND_BEST"
):  # as on a machine without bubblewrap; before a test module asks what there is
    _why_not = kinds.why_not
    kinds.why_not = rheostat.sandbox.why_not = lambda kind: (  # type: ignore[assignment]
        "left out of this run" if kind == "bubblewrap" else _why_not(kind)
    )

os.environ.setdefault("RHEOSTAT_PRICES_MAX_AGE_DAYS", "36500")  # the pinned list grows older than the tests
settings.register_profile("tests", deadline=None)  # tests run side by side: how long an example takes says nothing
settings.load_profile("tests")

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> Any:
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a test tried to reach {address}")
    return _connect(self, address)


_noted: dict[str, list[float]] = {}


def note(name: str, value: float) -> None:
    """A figure that is printed, as a median, when all tests have run."""
    _noted.setdefault(name, []).append(value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, values in _noted.items():
        terminalreporter.write_line(f"{name}: median {statistics.median(values):.2f} ({len(values)})")


_REAL_MODEL = (
    "test_cli",
    "test_llama_apis",
    "test_local",
    "test_main_job",
    "test_public",
    "test_serve",
    "test_transformers",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side, those of real models take turns: they need all cores."""
    from xdist.scheduler import LoadScopeScheduling

    class Turns(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].rpartition("/")[2].removesuffix(".py")
            return "real models" if file in _REAL_MODEL else nodeid

    return Turns(config, log)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _own_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices that a test declares are gone after it."""
    monkeypatch.setattr(pricing, "_declared", dict(pricing._declared))


@pytest.fixture(scope="session")
def local() -> Endpoint:
    """The real embedded model (`rheostat models pull` fetched it)."""
    return resolve(DEFAULT_MODEL)


def _postgres() -> Iterator[PostgresServer]:
    if installation() is None:
        pytest.skip("Postgres isn't installed: the tests of PostgresLedger don't run")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres server on loopback."""
    yield from _postgres()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """One that a test may crash."""
    yield from _postgres()


_loop = asyncio.Runner()
"""One event loop for all asynchronous runs, as an application has: a client's connections belong to their loop."""

Runner = Callable[..., dict[str, Any]]


def in_loop(coroutine: Any) -> Any:
    return _loop.run(coroutine)


def by_invoke(graph: Any, inputs: Any, **kwargs: Any) -> dict[str, Any]:
    return dict(graph.invoke(inputs, **kwargs))


def by_ainvoke(graph: Any, inputs: Any, **kwargs: Any) -> dict[str, Any]:
    return dict(in_loop(graph.ainvoke(inputs, **kwargs)))


def by_stream(graph: Any, inputs: Any, **kwargs: Any) -> dict[str, Any]:
    return dict(list(graph.stream(inputs, stream_mode="values", **kwargs))[-1])


def by_astream(graph: Any, inputs: Any, **kwargs: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        return dict([state async for state in graph.astream(inputs, stream_mode="values", **kwargs)][-1])

    return dict(in_loop(run()))


RUNNERS = [by_invoke, by_ainvoke, by_stream, by_astream]


@pytest.fixture(params=RUNNERS, ids=lambda runner: runner.__name__.removeprefix("by_"))
def run(request: pytest.FixtureRequest) -> Runner:
    """A graph run in each of the four ways; what a test asserts on answer and ledger then holds in all of them."""
    return request.param


@pytest.fixture(scope="module")
def serving() -> Iterator[Any]:
    """A server that bills at its worst."""
    from billing import billing

    with billing() as biller:
        yield biller


@pytest.fixture(params=["sync", "async", "stream", "astream"])
def way(request: pytest.FixtureRequest) -> Any:
    """How a request is sent: blocking or not, whole or as a stream."""
    from wire import Way

    return Way(request.param.startswith("a"), "stream" in request.param)


@pytest.fixture
def server() -> Iterator[Any]:
    """A provider simulator with an empty bill."""
    from wire import simulated

    with simulated() as running:
        yield running
