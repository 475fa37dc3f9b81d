"""`make test-vllm`: does a real vLLM keep to the cap that our dial sends, and score as its model does? Slow and heavy,
so it is a job of its own.

`python tests/vllm_job PYTHON_WITH_VLLM [LOG]` makes a tiny model, serves it on the CPU, sends it requests through the
endpoint that `resolve(URL)` finds by itself, and writes what it saw. Then the same with tiny reward models (`rewards`).
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from rewards import compared
from rheostat import Account, Budget, Effort, MemoryLedger, Meter, ThinkingPlan, resolve
from rheostat.flow import drive
from rheostat.providers.servers import inspect_server
from served import made, serving

CAPS = (1, 2, 5, 8, 20, 50, 100, 200)
EACH = 25
SETTINGS = ("--reasoning-parser", "qwen3")


def main(python: str, log: str = "docs/benchmarks/vllm.md") -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(python, made(python, "tiny_model.py", folder), *SETTINGS) as url,
    ):
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
    rewards, wrong = compared(python)
    lines += ["", *rewards]
    print("\n".join(lines))
    Path(log).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(bool(broken or wrong) or spent["output_tokens"] != told)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
