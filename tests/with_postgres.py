"""Run a command with the address of a fresh Postgres server as its last argument, if Postgres is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from postgres_server import PostgresServer, installation


def main(command: list[str]) -> int:
    if installation() is None:
        print("Postgres isn't installed: without it", file=sys.stderr)
        return subprocess.run(command, check=False).returncode
    server = PostgresServer()
    try:
        return subprocess.run([*command, server.address], check=False).returncode
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
