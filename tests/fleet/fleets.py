"""A server whose log says what was asked for, and fleets beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from rheostat.fleet import Fleet
from rheostat.money.usage import usd_nanos
from rheostat.testing.server import ProviderServer, Turn, provider_server

GRAPHS = Path(__file__).with_name("fleet_graphs.py")
PRICES = Path(__file__).parents[1] / "data" / "prices.toml"


class Plain(TypedDict, total=False):
    question: str
    answer: str


def plain(answer: Any) -> Any:
    """A graph of one node."""
    made = StateGraph(Plain)
    made.add_node("answer", answer)
    made.add_edge(START, "answer")
    made.add_edge("answer", END)
    return made


class Log:
    """What a server was asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.prompts: list[str] = []
        self.seconds = seconds

    def turn(self, number: int, body: dict[str, Any]) -> Turn:
        self.prompts.append(str(body["messages"][-1]["content"]))
        time.sleep(self.seconds)
        return Turn(text="The answer is 42.", thinking_tokens=10)

    def twice(self) -> int:
        """Requests that were made more than once."""
        return sum(count - 1 for count in Counter(self.prompts).values())


@contextmanager
def server_with(log: Log) -> Iterator[ProviderServer]:
    """A server, where worker processes and this one find it."""
    with provider_server(planned=log.turn) as server:
        before = {name: os.environ.get(name) for name in ("FLEET_SERVER", "RHEOSTAT_PRICES")}
        os.environ.update(FLEET_SERVER=server.openai_url, RHEOSTAT_PRICES=str(PRICES))
        try:
            yield server
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def questions(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"{number:04}", "question": f"question {number}", **more} for number in range(count)]


def starting(tasks: list[dict[str, Any]], db: str, folder: Path, *options: str, name: str = "f") -> Any:
    """`rheostat fleet run` as a process of its own."""
    file = folder / "tasks.jsonl"
    file.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    command = [sys.executable, "-m", "rheostat", "fleet", "run", str(file), "--graph", f"{GRAPHS}:steps", "--db", db]
    with (folder / "run.log").open("ab") as out:
        return subprocess.Popen([*command, "--name", name, *options], stdout=out, stderr=out)


def check_books(fleet: Fleet, server: ProviderServer, cap_usd: str) -> None:
    """Bill ≤ ledger ≤ cap."""
    reading = fleet.reading()
    ledger = (reading["usd_nanos"] or 0) + (reading["unknown_usd_nanos"] or 0)
    assert server.bill.total("usd_nanos") <= ledger <= usd_nanos(cap_usd)
    assert not reading["held_calls"]
