"""A real Postgres server of our own on loopback, from whatever installation there is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg


def installation() -> Path | None:
    """The folder of `initdb`, `pg_ctl` and `postgres`: where Debian puts them, or on the path."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    if onpath := shutil.which("initdb"):
        found.append(Path(onpath).resolve())
    return found[0].parent if found else None


class PostgresServer:
    """Start, stop, and start again on the same data."""

    def __init__(self) -> None:
        binaries = installation()
        assert binaries is not None
        self._binaries = binaries
        # Postgres refuses to run as root: then it runs as the user that its package made
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="rheostat-pg-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._data = self._folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", "rheostat", "-A", "trust", "-E", "UTF8", "--no-locale")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"postgresql://rheostat@127.0.0.1:{self._port}/postgres"

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / name, *arguments], check=True, user=self._user, capture_output=True, cwd=self._folder
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._binaries / "postgres", "-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1",
                "-k", str(self._folder), "-c", "max_connections=200",
            ],
            user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.address, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise RuntimeError("Postgres didn't start")

    def kill(self) -> None:
        """As a crash: no shutdown checkpoint, no goodbye to the clients."""
        assert self._process is not None
        subprocess.run(
            [self._binaries / "pg_ctl", "stop", "-D", str(self._data), "-m", "immediate", "-w"],
            check=False,
            user=self._user,
            capture_output=True,
            cwd=self._folder,
        )
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
