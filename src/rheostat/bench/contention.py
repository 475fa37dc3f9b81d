"""How many concurrent branches a shared budget serves: `python -m rheostat.bench.contention [postgresql://…]`.

All branches ask at once under one budget that pays for only some of them; each holds far more than it uses. The table
compares the number served when a branch is refused because others hold the room, and when it waits for that room.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AIMessage

from rheostat.bench.together import together, wait_for_the_others
from rheostat.calling.holds import OnContention
from rheostat.chat_model import ThinkingChatModel
from rheostat.errors import BudgetExceeded
from rheostat.judgement.policy import Caps
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, MemoryLedger, open_ledger
from rheostat.sandbox.processes import python_module
from rheostat.testing import Said, scripted

__all__ = ["Crowd", "How", "main"]

How = Literal["threads", "asyncio", "processes"]
_SECONDS = 0.02
_PROCESSES = 4
_USED_TOKENS = 40
_ANSWER_TOKENS = 256
_QUESTION = "Is it so? Say yes or no."


class Crowd:
    """Branches that share one budget.

    Args:
        address: The ledger's address; `None`: this process's memory.
        branches: How many ask at once.
        paid_for: How many the budget pays for if they ask one after the other.
        shared: The account of an existing crowd to join; empty: open a new account.
    """

    def __init__(
        self, address: str | None, branches: int, paid_for: int, *, on_contention: OnContention, shared: str = ""
    ) -> None:
        self.address, self.branches, self.on_contention = address, branches, on_contention
        self.shared = shared or f"crowd {uuid.uuid4().hex}"
        self.ledger: Ledger = MemoryLedger() if address is None else open_ledger(address)
        self.limit = (paid_for - 1) * _USED_TOKENS + self._hold()
        self.paid_for = paid_for
        if not shared:
            self.ledger.open(Account(self.shared, Budget(tokens=self.limit)))
        self.served = self.refused = self.billed = self.ledger_tokens = 0
        self.seconds = 0.0

    def _model(self) -> tuple[ThinkingChatModel, Any]:
        reply = Said(text="yes", input_tokens=_USED_TOKENS - 1, wait=lambda: time.sleep(_SECONDS))
        endpoint, said = scripted(reply)
        model = ThinkingChatModel(
            model=endpoint,
            budget=Budget(calls=1_000),
            ledger=self.ledger,
            account=self.shared,
            effort="none",
            caps=Caps(answer_tokens=_ANSWER_TOKENS),
            on_contention=self.on_contention,
        )
        return model, said

    @staticmethod
    def _hold() -> int:
        """The tokens that one branch holds, read from the refusal of a budget with no room."""
        endpoint, _ = scripted("")
        model = ThinkingChatModel(
            model=endpoint, budget=Budget(tokens=1), effort="none", caps=Caps(answer_tokens=_ANSWER_TOKENS)
        )
        try:
            model.invoke(_QUESTION)
        except BudgetExceeded as refused:
            return refused.asked
        raise AssertionError("one token was enough")

    def run(self, how: How) -> Crowd:
        """Let all branches ask, and count the served and the refused ones."""
        started = time.perf_counter()
        if how == "processes":
            replies = self._in_processes()
        else:
            model, said = self._model()
            replies = self._in_threads(model) if how == "threads" else asyncio.run(self._in_tasks(model))
            self.billed = said.billed.tokens
        self.seconds = time.perf_counter() - started
        self.served = sum(replies)
        self.refused = len(replies) - self.served
        reading = self.ledger.reading(self.shared)
        self.ledger_tokens = reading["input_tokens"] + reading["output_tokens"]
        if self.address is not None:
            self.ledger.close()  # type: ignore[attr-defined]  # it is durable
        return self

    def _in_threads(self, model: ThinkingChatModel) -> list[bool]:
        def ask(_: int) -> bool:
            try:
                return isinstance(model.invoke(_QUESTION), AIMessage)
            except BudgetExceeded:
                return False

        with ThreadPoolExecutor(self.branches) as pool:
            return list(pool.map(ask, range(self.branches)))

    async def _in_tasks(self, model: ThinkingChatModel) -> list[bool]:
        async def ask() -> bool:
            try:
                return isinstance(await model.ainvoke(_QUESTION), AIMessage)
            except BudgetExceeded:
                return False

        return list(await asyncio.gather(*(ask() for _ in range(self.branches))))

    def _in_processes(self) -> list[bool]:
        each = self.branches // _PROCESSES
        some = (str(self.address), self.shared, str(each), self.on_contention)
        command = python_module("rheostat.bench.contention", "--some", *some)
        return [reply for said in together(command, _PROCESSES) for reply in json.loads(said)]


def _some(address: str, shared: str, branches: str, on_contention: Any) -> None:
    crowd = Crowd(address, int(branches), 1, on_contention=on_contention, shared=shared)
    model, _ = crowd._model()
    wait_for_the_others()
    sys.stdout.write(json.dumps(crowd._in_threads(model)))
    crowd.ledger.close()  # type: ignore[attr-defined]  # it is durable


@dataclass(frozen=True, slots=True)
class _Row:
    ledger: str
    address: str | None
    ways: tuple[How, ...]


def main(postgres: str | None = None) -> None:
    """Measure every crowd and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            _Row("memory", None, ("threads", "asyncio")),
            _Row("SQLite", str(Path(folder) / "ledger.db"), ("threads", "asyncio", "processes")),
        ]
        if postgres is not None:
            rows.append(_Row("Postgres", postgres, ("threads", "asyncio", "processes")))
        sys.stdout.write("served of those that the budget pays for    refuse          wait\n")
        for branches, paid_for in ((16, 10), (64, 40)):
            for row in rows:
                for how in row.ways:
                    found = [
                        Crowd(row.address, branches, paid_for, on_contention=on_contention).run(how)
                        for on_contention in ("refuse", "wait")
                    ]
                    told = "  ".join(f"{each.served:3} in {each.seconds:5.2f} s" for each in found)
                    name = f"{branches} branches, {row.ledger}, {how}"
                    sys.stdout.write(f"{name:36} {paid_for:3}     {told}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--some"]:
        _some(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
