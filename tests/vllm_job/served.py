"""A model that vLLM serves on the CPU, on a free port of this machine, and stops serving."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 900


def made(python: str, script: str, folder: str, *args: str) -> str:
    """The folder, with the model that a script beside this file makes there."""
    subprocess.run([python, str(Path(__file__).with_name(script)), *args, folder], check=True)
    return folder


@contextlib.contextmanager
def serving(python: str, folder: str, *settings: str) -> Iterator[str]:
    """The address, ending in `/v1`, of a vLLM that serves the model in the folder as `tiny`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "2048"]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", "tiny"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    log = Path(folder) / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), *plain, *settings],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            started = time.monotonic()
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
                if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                    raise SystemExit(f"vLLM didn't start:\n{log.read_text()[-3000:]}")
                print(f"\rwaiting for vLLM ({time.monotonic() - started:.0f} s) ", end="", file=sys.stderr, flush=True)
                time.sleep(2)
            print(file=sys.stderr)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)
