"""What may go wrong with money, acted out against a server that counts what it bills.

`python tests/scenarios.py` prints the table of docs/explanation/ledger.md. Each scenario: many solvers at once in one
LangGraph fan-out, the real openai SDK, one account above them all whose cap lies in the middle of what they want.
"""

from __future__ import annotations

import asyncio
import operator
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import SecretStr
from tenacity import wait_none

sys.path.insert(0, str(Path(__file__).parent))

from rheostat import Account, Budget, MemoryLedger, Meter, Reading, build_solver, latest_reading, open_ledger
from rheostat.money.ledger.durable import DurableLedger
from rheostat.providers import endpoint_for
from rheostat.testing.server import Fault, ProviderServer, Turn, provider_server

CAP = 95
"""Tokens of the account above all branches, for each of them: about half of what the first call of each may cost."""


LONG: Any = {"recursion_limit": 500}
"""A RunnableLambda between two graphs resets LangGraph's limit to LangChain's 25 steps."""


class Fan(TypedDict, total=False):
    question: str
    branches: int
    spend: Annotated[Reading, latest_reading]
    answers: Annotated[list[Any], operator.add]


def fan_graph(url: str, ledger: Any, *, durable_wait: bool = False) -> Any:
    """START → n × solver, all on one ledger beneath the account `cap`."""
    chat = ChatOpenAI(model="gpt-4-tiny", base_url=url, api_key=SecretStr("k"), timeout=20)
    solver = build_solver(
        endpoint_for(chat),
        budget=Budget(calls=30, seconds=60),
        effort="thorough",
        account="cap",
        meter=Meter(ledger, wait=wait_none()),
    ).compile()

    def branch(state: dict[str, Any]) -> Fan:
        return {"answers": [solver.invoke({"question": state["question"]}, LONG)["answer"]]}

    async def abranch(state: dict[str, Any]) -> Fan:
        return {"answers": [(await solver.ainvoke({"question": state["question"]}, LONG))["answer"]]}

    from langchain_core.runnables import RunnableLambda

    graph = StateGraph(Fan)
    graph.add_node("branch", RunnableLambda(branch, afunc=abranch, name="branch"))
    graph.add_conditional_edges(
        START,
        lambda state: [Send("branch", {"question": f"What is {n} + 2?"}) for n in range(state["branches"])],
        ["branch"],
    )
    graph.add_edge("branch", END)
    return graph


@dataclass
class Outcome:
    """One row of the table."""

    name: str
    ledger: str
    cap: int
    billed: int
    settled: int
    unknown: int
    requests: int
    settled_calls: int
    unknown_calls: int
    held_calls: int

    @property
    def right(self) -> bool:
        """Never above the cap; the ledger is the bill and what it says that it doesn't know."""
        calls = self.settled_calls + self.unknown_calls
        interrupted = "cancelled" in self.name or "kill" in self.name  # then some were begun and never arrived
        return (
            self.billed <= self.settled + self.unknown <= self.cap
            and self.settled <= self.billed
            and (self.requests <= calls if interrupted else self.requests == calls)
            and self.held_calls == 0
        )


def outcome(name: str, ledger: Any, server: ProviderServer, branches: int) -> Outcome:
    ledger.expire(0)  # whose holder was killed
    reading = ledger.reading("cap")
    kinds = ("input_tokens", "output_tokens")
    return Outcome(
        name, type(ledger).__name__.removesuffix("Ledger"), CAP * branches, server.bill.total(*kinds),
        sum(reading[kind] for kind in kinds), sum(reading[f"unknown_{kind}"] for kind in kinds),
        server.bill.requests, reading["calls"], reading["unknown_calls"], reading["held_calls"],
    )  # fmt: skip


def weather(kind: str, seed: int = 7) -> Callable[[int, Any], Turn]:
    """What the server does with the n-th request: answers differ, so that votes go on until the money is gone."""

    def turn(number: int, body: Any) -> Turn:
        dice = random.Random(seed * 1000 + number)
        answer = f"Let me see. The answer is {dice.randint(0, 3)}."
        bad = dice.random() < 0.3
        seconds = dice.random() * 0.05 if kind != "calm" else 0.0
        status = int(kind) if bad and kind in ("429", "500", "503") else 0
        cut, no_usage = bad and kind == "cut", bad and kind == "silent"
        return Turn(text=answer, fault=Fault(status=status, seconds=seconds, cut=cut, no_usage=no_usage))

    return turn


def fan_out(name: str, ledger: Any, branches: int, kind: str, *, streamed: bool = False, asynchronous: bool) -> Outcome:
    """So many branches at once, in some weather."""
    ledger.open(Account("cap", Budget(tokens=CAP * branches)))
    with provider_server(planned=weather(kind)) as server:
        graph = fan_graph(server.openai_url, ledger).compile()
        inputs: Any = {"question": "", "branches": branches}

        async def run() -> None:
            if streamed:
                async for _ in graph.astream(inputs, stream_mode="messages", subgraphs=True):
                    pass
            else:
                await graph.ainvoke(inputs)

        if asynchronous:
            asyncio.run(run())
        elif streamed:
            list(graph.stream(inputs, stream_mode="messages", subgraphs=True))
        else:
            graph.invoke(inputs)
        return outcome(name, ledger, server, branches)


def cancelled(name: str, ledger: Any, branches: int) -> Outcome:
    """The whole run is cancelled while its requests are in flight."""
    ledger.open(Account("cap", Budget(tokens=CAP * branches)))
    arrived = threading.Event()

    def turn(number: int, body: Any) -> Turn:
        if number >= 4:
            arrived.set()
        return Turn(text="The answer is 4.", fault=Fault(seconds=0.3))

    with provider_server(planned=turn) as server:
        graph = fan_graph(server.openai_url, ledger).compile()

        async def run() -> None:
            task = asyncio.create_task(graph.ainvoke({"question": "", "branches": branches}))
            await asyncio.to_thread(arrived.wait, 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(run())
        time.sleep(0.5)  # the server finishes what it began: that is billed
        return outcome(name, ledger, server, branches)


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from scenarios import fan_graph, saver_at
from rheostat import open_ledger
url, ledger, saver = sys.argv[1:]
with saver_at(saver) as checkpointer:
    fan_graph(url, open_ledger(ledger)).compile(checkpointer=checkpointer).invoke(
        {{"question": "", "branches": 16}}, {{"configurable": {{"thread_id": "t"}}}}, durability="sync"
    )
"""


def saver_at(address: str) -> Any:
    """A checkpointer of LangGraph's own, in SQLite or Postgres."""
    if address.startswith("postgresql://"):
        from langgraph.checkpoint.postgres import PostgresSaver

        return PostgresSaver.from_conn_string(address)
    from langgraph.checkpoint.sqlite import SqliteSaver

    return SqliteSaver.from_conn_string(address)


def killed(name: str, ledger: DurableLedger, address: str, saver: str) -> Outcome:
    """kill -9 in the middle of sixteen branches; a new process resumes from the checkpoint and finishes."""
    branches = 16
    ledger.open(Account("cap", Budget(tokens=CAP * branches)))
    arrived = threading.Event()

    def turn(number: int, body: Any) -> Turn:
        if number >= 3:
            arrived.set()
        return Turn(text="The answer is 4.", fault=Fault(seconds=0.5 if number < branches else 0.0))

    with provider_server(planned=turn) as server:
        program = KILLED.format(tests=str(Path(__file__).parent))
        child = subprocess.Popen([sys.executable, "-c", program, server.openai_url, address, saver])
        if not arrived.wait(60):
            raise RuntimeError("the child sent nothing")
        time.sleep(0.1)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(0.6)
        with saver_at(saver) as checkpointer:
            graph = fan_graph(server.openai_url, ledger).compile(checkpointer=checkpointer)
            graph.invoke(None, {"configurable": {"thread_id": "t"}}, durability="sync")
        return outcome(name, ledger, server, branches)


def scenarios(folder: Path, postgres: str | None) -> dict[str, Callable[[], Outcome]]:
    """Every scenario by name; those on Postgres if there is one."""
    found: dict[str, Callable[[], Outcome]] = {}

    def fresh(kind: str) -> Any:
        if kind == "memory":
            return MemoryLedger()
        return open_ledger(str(folder / f"{uuid.uuid4().hex}.db"))

    for ledger in ("memory", "sqlite"):
        for branches in (16, 64):
            for kind, label in (
                ("calm", "calm"),
                ("delays", "random delays"),
                ("429", "30 % refused (429)"),
                ("500", "30 % server errors (500)"),
                ("503", "30 % overloaded (503)"),
                ("cut", "30 % cut in the middle"),
                ("silent", "30 % without usage"),
            ):
                asynchronous = (branches == 64) != (ledger == "memory")
                name = f"{branches}-way, {label}, {'async' if asynchronous else 'sync'}"
                found[f"{name}, {ledger}"] = lambda n=name, k=ledger, b=branches, w=kind, a=asynchronous: fan_out(
                    n, fresh(k), b, w, asynchronous=a
                )
        for asynchronous in (False, True):
            name = f"16-way, 30 % of the streams cut, {'async' if asynchronous else 'sync'}"
            found[f"{name}, {ledger}"] = lambda n=name, k=ledger, a=asynchronous: fan_out(
                n, fresh(k), 16, "cut", streamed=True, asynchronous=a
            )
        found[f"16-way, cancelled, {ledger}"] = lambda k=ledger: cancelled("16-way, cancelled in flight", fresh(k), 16)

    def killed_sqlite() -> Outcome:
        path = folder / f"{uuid.uuid4().hex}.db"
        return killed("16-way, kill -9, resumed from SqliteSaver", open_ledger(str(path)), str(path), f"{path}.saver")

    found["16-way, kill -9, sqlite"] = killed_sqlite
    if postgres:

        def on_postgres(run: Callable[[DurableLedger], Outcome]) -> Outcome:
            import psycopg

            ledger = open_ledger(postgres)
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute("TRUNCATE rheostat_accounts, rheostat_reservations")
                connection.execute(
                    "DROP TABLE IF EXISTS checkpoints, checkpoint_blobs, checkpoint_writes, checkpoint_migrations"
                )
            try:
                return run(ledger)
            finally:
                ledger.close()

        def killed_postgres(ledger: DurableLedger) -> Outcome:
            with saver_at(postgres) as saver:
                saver.setup()
            return killed("16-way, kill -9, resumed from PostgresSaver", ledger, postgres, postgres)

        found["16-way, kill -9, postgres"] = lambda: on_postgres(killed_postgres)
        for branches, kind in ((16, "delays"), (64, "503"), (64, "cut")):
            name = f"{branches}-way, {kind}, async"
            found[f"{name}, postgres"] = lambda n=name, b=branches, w=kind: on_postgres(
                lambda ledger: fan_out(n, ledger, b, w, asynchronous=True)
            )
    return found


def main() -> int:
    """Print the table; the number of rows that are wrong is the exit code."""
    from postgres_server import PostgresServer, installation

    server = PostgresServer() if installation() else None
    wrong = 0
    print("| scenario | ledger | cap | billed | settled | unknown | requests | right |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory() as folder:
        for act in scenarios(Path(folder), server.address if server else None).values():
            row = act()
            wrong += not row.right
            print(
                f"| {row.name} | {row.ledger} | {row.cap:,} | {row.billed:,} | {row.settled:,} | {row.unknown:,} "
                f"| {row.requests} | {'yes' if row.right else '**NO**'} |",
                flush=True,
            )
    if server:
        server.close()
    return wrong


if __name__ == "__main__":
    sys.exit(main())
