"""The example programs as users run them: processes of their own, against a simulator whose bill the test reads."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from rheostat.testing.server import ProviderServer

EXAMPLES = Path(__file__).parents[1] / "examples"
PRICES = Path(__file__).with_name("data") / "prices.toml"
STRICT = ("-W", "error::UserWarning")


def module(path: str) -> Any:
    """A module of an example, by its path beneath `examples/`."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def at(server: ProviderServer, **more: str) -> dict[str, str]:
    """An environment in which `openai:…` is the simulator."""
    prices = str(PRICES)  # behind another address than OpenAI's, its list prices don't hold
    env = {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "any", "RHEOSTAT_PRICES": prices}
    return {**os.environ, **env, **more}


def command(path: str, *arguments: str) -> list[str]:
    """Run an example with this Python, a warning of ours being an error."""
    return [sys.executable, *STRICT, str(EXAMPLES / path), *arguments]


@contextmanager
def worker(folder: str, env: dict[str, str], log: Path) -> Iterator[str]:
    """A uvicorn process that serves `app:app` of an example; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ["-m", "uvicorn", "--app-dir", str(EXAMPLES / folder), "app:app", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, *STRICT, *serve], env=env, stdout=out, stderr=out)
        try:
            _wait_for(process, f"http://127.0.0.1:{port}/openapi.json", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            httpx.get(url, timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
