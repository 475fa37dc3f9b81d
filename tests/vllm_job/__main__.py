"""`make test-vllm`: does a real vLLM keep to the cap that our dial sends? Slow and heavy, so it is a job of its own.

`python tests/vllm_job PYTHON_WITH_VLLM [LOG]` makes a tiny model, serves it on the CPU, sends it requests through the
endpoint that `resolve(URL)` finds by itself, and writes what it saw.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rheostat import Account, Budget, Effort, MemoryLedger, Meter, ThinkingPlan, resolve
from rheostat.flow import drive
from rheostat.providers.servers import inspect_server

CAPS = (1, 2, 5, 8, 20, 50, 100, 200)
EACH = 25
START_SECONDS = 900


@contextlib.contextmanager
def serving(python: str, folder: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    subprocess.run([python, str(Path(__file__).with_name("tiny_model.py")), folder], check=True)
    settings = ["--dtype", "float32", "--enforce-eager", "--reasoning-parser", "qwen3", "--max-model-len", "2048"]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", "tiny"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    log = Path(folder) / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), *settings],
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


def main(python: str, log: str = "docs/vllm.md") -> int:
    with tempfile.TemporaryDirectory() as folder, serving(python, folder) as url:
        found = inspect_server(url)
        at = resolve(url)
        ledger = MemoryLedger()
        ledger.open(Account("a", Budget(tokens=10**7)))
        meter = Meter(ledger)
        rows, told, broken = [], 0, 0
        for cap in (0, *CAPS):
            thoughts = []
            for number in range(EACH):
                plan = ThinkingPlan(effort=Effort.low if cap else Effort.none, thinking_tokens=cap, answer_tokens=16)
                settings = at.dial.encode(plan, "whole", temperature=0.9, schema=None)
                messages = [{"role": "user", "content": f"What is {number} times {cap}?"}]

                def flow(messages: Any = messages, settings: Any = settings) -> Any:
                    tokens = yield from meter.input_bound(at, messages, settings)
                    [held] = yield from meter.hold("a", [meter.bound(at, tokens, settings)], {})
                    return (yield from meter.call(at, "a", held, messages, settings, "whole", {}))

                spend = drive(flow()).spend
                thoughts.append(spend.thinking_tokens)
                told += spend.output_tokens
            broken += sum(thought > cap for thought in thoughts)
            rows.append(f"| {cap} | {EACH} | {min(thoughts)} | {max(thoughts)} |")
        spent = ledger.reading("a")
        lines = [
            "# vLLM keeps to the cap", "",
            f"`make test-vllm` on {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores: "
            f"{found.kind} {found.version}, a tiny random Qwen3, `--reasoning-parser qwen3`; {found.thinking}.", "",
            "| cap sent | requests | fewest thinking tokens | most |", "|--:|--:|--:|--:|", *rows, "",
            f"{len(rows) * EACH} requests; above the cap: {broken}; ledger: {spent['output_tokens']:,} generated "
            f"tokens settled, vLLM told {told:,}; unknown calls: {spent['unknown_calls']}.",
        ]  # fmt: skip
        print("\n".join(lines))
        Path(log).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(bool(broken) or spent["output_tokens"] != told)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
