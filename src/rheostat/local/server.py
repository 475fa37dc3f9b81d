"""Run a local model in a separate process: on loopback, with a random port and key, ended with its owner."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rheostat.errors import BadInput, MissingExtra, ServerFailed
from rheostat.local.store import check_gguf, home
from rheostat.sandbox.processes import environment, python_module

__all__ = ["LocalServer", "shared_server", "start_server"]

_START_SECONDS = 120
_KEEP_LOGS = 8


class LocalServer:
    """A llama.cpp server that lives at most as long as this process.

    It waits on a pipe: when this process ends, by whatever signal, the pipe closes and the server ends.

    Args:
        model: The GGUF file.
        port: A port, or 0 for any free one.
        slots: The number of requests that run at the same time.
        context_tokens: The context length of each slot, in tokens.

    Raises:
        ModelFileCorrupt: The file isn't a GGUF file.
        ServerFailed: The port is taken, or the server didn't start; the message ends with the last lines of its log.
        MissingExtra: xllamacpp isn't installed.
        BadInput: The port is out of range.
    """

    def __init__(self, model: Path, *, port: int = 0, slots: int = 8, context_tokens: int = 8192) -> None:
        import importlib.util

        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra("a local model", "local")
        if not 0 <= port <= 65535:
            raise BadInput(f"a port is between 0 (any) and 65535, not {port}")
        self.model = check_gguf(Path(model)).resolve()
        self.slots, self.context_tokens = slots, context_tokens
        self.key = secrets.token_urlsafe(24)
        """The bearer token that requests must carry."""
        self.url = ""
        """The base URL: `http://127.0.0.1:PORT/v1`."""
        self.log = Path()
        """The server's log file."""
        self._lock = threading.Lock()
        self._restarts_left = 1
        self._process: subprocess.Popen[str] | None = None
        self._start(port)
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None  # noqa: S101 - set by __init__
        return self._process.pid

    def alive(self) -> bool:
        """Whether the server process is running."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            _close(process)

    def revive(self) -> bool:
        """Restart a server that died, once and on the same address; return whether it is running now."""
        with self._lock:
            if self.alive():
                return True
            if self._process is None or self._restarts_left == 0:
                return False
            self._restarts_left -= 1
            port = int(self.url.rsplit(":", 1)[1].split("/")[0])
            self._process.wait()
            _close(self._process)
            try:
                self._start(port)
            except ServerFailed:
                return False
            return True

    def _start(self, port: int) -> None:
        if port:
            _check_free(port)
        logs = home() / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for old in sorted(logs.glob("server-*.log"), key=lambda file: file.stat().st_mtime)[:-_KEEP_LOGS]:
            old.unlink(missing_ok=True)
        self.log = logs / f"server-{os.getpid()}-{secrets.token_hex(3)}.log"
        with tempfile.TemporaryDirectory() as folder:
            ready = Path(folder) / "ready.json"
            with self.log.open("w") as log:
                process = subprocess.Popen(  # noqa: S603 - ourselves
                    python_module("rheostat.local.serve"),
                    # threads that spin while they wait take the time from those that they wait for: beside other busy
                    # programs a reply took eight times as long
                    env={"OMP_WAIT_POLICY": "passive", **environment()},
                    cwd=logs,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # Ctrl-C is meant for the owner, which still needs the server
                )
            settings = {
                "model": str(self.model),
                "port": port,
                "key": self.key,
                "slots": self.slots,
                "context_tokens": self.context_tokens,
                "ready": str(ready),
            }
            assert process.stdin is not None  # noqa: S101 - a pipe
            try:
                process.stdin.write(json.dumps(settings) + "\n")
                process.stdin.flush()
                self._wait_ready(process, ready)
            except BaseException:
                process.kill()
                process.wait()
                _close(process)
                raise
            self._process = process

    def _wait_ready(self, process: subprocess.Popen[str], ready: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None:
                raise ServerFailed(
                    f"the model server ended with code {process.returncode} while it loaded {self.model.name}. "
                    f"If the file is cut short or damaged, fetch it again. The end of its log:\n{self._tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerFailed(f"the model server didn't start within {_START_SECONDS} s; log: {self.log}")
            time.sleep(0.02)
        self.url = json.loads(ready.read_text())["url"] + "/v1"
        while not healthy(self.url, self.key):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"the model server doesn't answer; log: {self.log}\n{self._tail()}")
            time.sleep(0.02)

    def _tail(self, lines: int = 6) -> str:
        said = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line[:200]}" for line in said[-lines:]) + f"\n  (the whole log: {self.log})"


def _close(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # the other end may be gone
            process.stdin.close()


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerFailed(
                f"port {port} can't be used: {error.strerror}. Choose another one, or 0 for any."
            ) from None


def healthy(url: str, key: str) -> bool:
    """Whether a server at this address answers to this key."""
    try:
        get(url, "/models", key)
    except (OSError, ValueError):
        return False
    return True


def get(url: str, path: str, key: str) -> Any:
    """Get a JSON document from a server on this machine (`url` ends in /v1); no proxy is told its key."""
    request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - ours
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as response:
        return json.load(response)


_running: dict[Path, LocalServer] = {}
_running_lock = threading.Lock()


def start_server(model: Path) -> LocalServer:
    """The server of a model file in this process, started once and shared by all callers."""
    with _running_lock:
        path = Path(model).resolve()
        server = _running.get(path)
        if server is None or not (server.alive() or server.revive()):
            server = _running[path] = LocalServer(path)
        return server


# --- shared between commands: `rheostat models serve` announces its server, other commands find it -------


def _announcement(model: Path) -> Path:
    return home() / "run" / f"{model.stem}.json"


def announce(server: LocalServer) -> Path:
    """Announce the server to other processes of this user; return the file to remove at the end."""
    path = _announcement(server.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({"url": server.url, "key": server.key, "model": str(server.model)}))
    fresh.replace(path)
    return path


def shared_server(model: Path) -> tuple[str, str] | None:
    """(url, key) of an announced server that runs this very file and answers; else `None`."""
    try:
        said = json.loads(_announcement(model).read_text())
    except (OSError, ValueError):
        return None
    if said.get("model") == str(Path(model).resolve()) and healthy(said["url"], said["key"]):
        return said["url"], said["key"]
    return None
