"""The speed of the ledgers, and the size of `spend` in a checkpoint.

`python -m rheostat.bench.ledger [postgresql://…]` prints reserve + settle pairs a second (two transactions each) for 1
and 16 writers on one account: threads for memory, processes and threads for SQLite, processes for Postgres. Then it
prints the bytes of `spend` after 10, 1,000 and 10,000 steps of a LangGraph loop.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from rheostat.bench.together import together, wait_for_the_others
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, MemoryLedger, Reading, latest_reading, open_ledger
from rheostat.money.usage import Spend
from rheostat.sandbox.processes import python_module

__all__ = ["main"]

_SECONDS = 3.0
_AMOUNT = Spend(usd_nanos=100, input_tokens=10, output_tokens=10, calls=1)
_NOTE = {"model": "m", "node": "n"}
_ROOMY = Budget(usd=100_000)


def _spend(ledger: Ledger, account: str, seconds: float) -> int:
    """The number of reserve + settle pairs that one writer makes in `seconds`."""
    pairs, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        [held] = ledger.hold(account, [_AMOUNT], _NOTE)
        ledger.settle(held.id, _AMOUNT)
        pairs += 1
    return pairs


def _threads(ledger: Ledger, writers: int) -> float:
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(_spend(ledger, "a", _SECONDS))) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / _SECONDS


def _processes(address: str, writers: int) -> float:
    command = python_module("rheostat.bench.ledger", "--writer", address)
    return sum(map(int, together(command, writers))) / _SECONDS


def _writer(address: str) -> None:
    ledger = open_ledger(address)
    wait_for_the_others()
    sys.stdout.write(f"{_spend(ledger, 'a', _SECONDS)}\n")
    ledger.close()


def _selects(address: str) -> float:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        end, count = time.perf_counter() + 1, 0
        while time.perf_counter() < end:
            connection.execute("SELECT 1")
            count += 1
    return count


class _State(TypedDict, total=False):
    step: int
    spend: Annotated[Reading, latest_reading]


def _bytes_after(steps: int) -> int:
    ledger = MemoryLedger()
    ledger.open(Account("a", _ROOMY))

    def node(state: _State) -> _State:
        [held] = ledger.hold("a", [_AMOUNT], {"model": f"m{state.get('step', 0) % 3}", "node": "node"})
        ledger.settle(held.id, _AMOUNT)
        return {"step": state.get("step", 0) + 1, "spend": ledger.reading("a")}

    graph = StateGraph(_State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_conditional_edges("node", lambda state: END if state["step"] >= steps else "node", ["node", END])
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": steps + 5}
    result = graph.compile(checkpointer=saver).invoke({}, config, durability="exit")
    return len(saver.serde.dumps_typed(result["spend"])[1])


def main(postgres: str | None = None) -> None:
    """Measure the ledgers and the checkpoints, and print the results."""
    write = sys.stdout.write
    write("reserve + settle a second        1 writer   16 writers\n")
    memory = MemoryLedger()
    memory.open(Account("a", _ROOMY))
    write(f"memory (threads)              {_threads(memory, 1):11,.0f} {_threads(memory, 16):12,.0f}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "ledger.db")
        ledger = open_ledger(path)
        ledger.open(Account("a", _ROOMY))
        write(f"SQLite (processes)            {_processes(path, 1):11,.0f} {_processes(path, 16):12,.0f}\n")
        write(f"SQLite (threads)              {_threads(ledger, 1):11,.0f} {_threads(ledger, 16):12,.0f}\n")
        ledger.close()
    if postgres is None:
        write("Postgres: give its address as an argument\n")
    else:
        ledger = open_ledger(postgres)
        ledger.open(Account("a", _ROOMY))
        write(f"Postgres (processes)          {_processes(postgres, 1):11,.0f} {_processes(postgres, 16):12,.0f}\n")
        ledger.close()
        write(f"  (this server answers {_selects(postgres):,.0f} times `SELECT 1` a second)\n")
    sizes = ", ".join(f"{_bytes_after(steps):,} after {steps:,}" for steps in (10, 1_000, 10_000))
    write(f"bytes of `spend` in the checkpoint: {sizes} steps\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--writer"]:
        _writer(sys.argv[2])
    else:
        main(*sys.argv[1:])
