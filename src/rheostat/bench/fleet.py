"""`make bench-fleet`: how many tasks a second a fleet ends, beside plain asyncio with the same checkpoints.

The tasks are the solver's, one call each, on a simulated provider that takes 60 ms a call, in a process of its own. All
settings take turns in one run, and each is measured several times; the table has medians.

    python -m rheostat.bench.fleet --db fleet.db --tasks 200 --workers 1,2,4
    python -m rheostat.bench.fleet --db postgresql://me@host/bench --tasks 200,2000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rheostat.fleet import Fleet
from rheostat.fleet.checkpoints import close_saver, open_saver, prepare
from rheostat.fleet.database import Database
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger, MemoryLedger

__all__ = ["graph", "main", "serve"]

_CALL_SECONDS: Final = 0.06
_AT_ONCE: Final = 8
_SERVER: Final = "RHEOSTAT_BENCH_SERVER"
_GRAPH: Final = "rheostat.bench.fleet:graph"


def graph(ledger: Ledger | None = None) -> Any:
    """A solver on the simulated provider."""
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    from rheostat.providers import endpoint_for
    from rheostat.solver.build import build_solver

    chat = ChatOpenAI(model="gpt-5.1", base_url=os.environ[_SERVER], api_key=SecretStr("any"))
    return build_solver(
        endpoint_for(chat, provider="openai"), budget=Budget(tokens=100_000), effort="low", ledger=ledger
    )


def serve() -> None:
    """Run the simulated provider until standard input is closed."""
    from rheostat.testing.server import Fault, Turn, provider_server

    turn = Turn(text="The answer is 42.", fault=Fault(seconds=_CALL_SECONDS))
    with provider_server(planned=lambda number, body: turn) as server:
        sys.stdout.write(server.openai_url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


@contextmanager
def _server() -> Iterator[None]:
    command = [sys.executable, "-P", "-c", "from rheostat.bench.fleet import serve; serve()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ourselves
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("no pipes")
        os.environ[_SERVER] = process.stdout.readline().strip()
        yield
        process.stdin.close()


def _questions(count: int) -> list[dict[str, Any]]:
    return [{"id": str(number), "question": f"What is {number} + 1?"} for number in range(count)]


def plain(address: str, count: int, *, durable: bool) -> float:
    """Tasks a second of asyncio with a semaphore, on the same checkpointer.

    Args:
        durable: With the same ledger too; else with one in memory.
    """
    database = Database(address)
    prepare(database)

    async def run() -> float:
        saver = await open_saver(database, _AT_ONCE)
        compiled = graph(database.ledger if durable else MemoryLedger()).compile(checkpointer=saver)
        slots, thread = asyncio.Semaphore(_AT_ONCE), uuid.uuid4().hex

        async def one(task: dict[str, Any]) -> None:
            async with slots:
                config: Any = {"configurable": {"thread_id": f"{thread}/{task['id']}"}}
                result = await compiled.ainvoke({"question": task["question"]}, config, durability="sync")
                if result["answer"] != "42":
                    raise RuntimeError(result["stopped"])

        began = time.monotonic()
        await asyncio.gather(*(one(task) for task in _questions(count)))
        took = time.monotonic() - began
        await close_saver(saver)
        return took

    try:
        return count / asyncio.run(run())
    finally:
        database.close()


def fleet(address: str, count: int, workers: int, queued: int) -> float:
    """Tasks a second of a fleet, from its first call to the end of its last: without the start of its processes.

    Args:
        queued: Queue this many; the cap pays for `count` of them.
    """
    name = uuid.uuid4().hex[:12]
    with Fleet(name, _GRAPH, budget=Budget(calls=count), db=address, workers=workers) as one:
        one.submit(_questions(max(queued, count)))
        one.work()
        counts = one.counts()
        if counts.done < count - workers * _AT_ONCE:
            raise RuntimeError(f"{counts}, {one.results()[0]}")
        text = "SELECT min(held_at_ms), max(closed_at_ms) FROM rheostat_reservations WHERE account LIKE :beneath"
        rows = one._database.query(text, beneath=f"{one.account}/%")  # DBOS keeps only seconds on SQLite
        first, last_ms = rows[0]
        return float(1000 * count / (last_ms - first))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="", help="an SQLite file (a fresh one by default), or postgresql://…")
    parser.add_argument("--tasks", default="200", help="comma-separated numbers of tasks")
    parser.add_argument("--workers", default="1,2,4", help="comma-separated numbers of worker processes")
    parser.add_argument("--queued", type=int, default=0, help="queue this many tasks, and pay only for --tasks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, _server():
        for number in range(asked.rounds):
            address = asked.db or str(Path(folder) / f"{number}.db")
            for count in map(int, asked.tasks.split(",")):
                found[count, "asyncio, same checkpoints, ledger in memory"].append(plain(address, count, durable=False))
                found[count, "asyncio, same checkpoints, same ledger"].append(plain(address, count, durable=True))
                for workers in map(int, asked.workers.split(",")):
                    name = f"fleet, {workers} × {_AT_ONCE}" + (f", of {asked.queued:,}" if asked.queued else "")
                    found[count, name].append(fleet(address, count, workers, asked.queued))
    rows: list[dict[str, Any]] = [
        {"tasks": count, "setting": name, "tasks_per_second": statistics.median(rates)}
        for (count, name), rates in found.items()
    ]
    if asked.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    sys.stdout.write("| tasks | setting | tasks/s | × |\n|---|---|---|---|\n")
    for row in rows:
        base = rows[[each["tasks"] for each in rows].index(row["tasks"])]["tasks_per_second"]
        rate = row["tasks_per_second"]
        sys.stdout.write(f"| {row['tasks']:,} | {row['setting']} | {rate:.1f} | {rate / base:.2f} |\n")


if __name__ == "__main__":
    main()
