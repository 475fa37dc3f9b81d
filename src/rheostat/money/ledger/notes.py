"""The tables of a database ledger beside the accounts: step records, and the tokens that replies used."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import orjson

from rheostat.money.ledger.rows import Statement, packed
from rheostat.money.ledger.steps import StepRecord
from rheostat.money.ledger.use import Use, UseKey, use_of

__all__ = ["Notes", "Transaction", "in_thread"]

T = TypeVar("T")


class Transaction(Protocol):
    """One transaction in the database."""

    def load(self, queries: Sequence[Statement]) -> tuple[int, list[list[tuple[Any, ...]]]]:
        """The database's time in milliseconds since the epoch, and the rows of each query."""

    def save(self, statements: Sequence[Statement]) -> None:
        """Write, and commit the transaction."""


class Notes(abc.ABC):
    """Step records and uses in tables. Subclasses define how to connect, lock and commit."""

    @abc.abstractmethod
    def _transaction(self, *, flush: bool) -> AbstractContextManager[Transaction]:
        """Begin a transaction, which is rolled back on an exception. `flush`: the commit must survive a power cut."""

    @abc.abstractmethod
    def _query(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Execute one statement outside of a transaction, and return its rows."""

    @abc.abstractmethod
    def _retrying(self, work: Callable[[bool], T]) -> T:
        """Run `work(False)`; if the database was gone and came back, run `work(True)` once more."""

    def record(self, step: StepRecord) -> None:
        text = (
            "INSERT INTO rheostat_steps (id, account, at_ms, record) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET record = excluded.record RETURNING id"
        )
        values = [step.id, step.account, step.at_ms, packed(step.to_dict())]
        used = use_of(step)
        if used is None:
            self._retrying(lambda again: self._query((text, values)))
            return
        count = (
            "INSERT INTO rheostat_uses (model, effort, purpose, bucket, calls) VALUES (?, ?, ?, ?, 1)"
            " ON CONFLICT (model, effort, purpose, bucket) DO UPDATE SET calls = rheostat_uses.calls + 1"
        )

        def work(again: bool) -> None:
            with self._transaction(flush=False) as transaction:
                transaction.load([])
                transaction.save([(text, values), (count, [*used[0], used[1]])])

        self._retrying(work)

    def uses(self, model: str | None = None) -> dict[UseKey, Use]:
        where, values = ("WHERE model = ?", [model]) if model is not None else ("", [])
        text = f"SELECT model, effort, purpose, bucket, calls FROM rheostat_uses {where} ORDER BY 1, 2, 3"
        found: dict[UseKey, Use] = {}
        for name, effort, purpose, bucket, calls in self._retrying(lambda again: self._query((text, values))):
            found.setdefault((name, effort, purpose), Use()).count(bucket, calls)
        return found

    def steps(self, account: str | None = None) -> list[StepRecord]:
        where, values = ("WHERE account = ?", [account]) if account is not None else ("", [])
        text = f"SELECT record FROM rheostat_steps {where} ORDER BY at_ms, id"
        rows = self._retrying(lambda again: self._query((text, values)))
        return [StepRecord.from_dict(orjson.loads(row[0])) for row in rows]

    async def arecord(self, step: StepRecord) -> None:
        await in_thread(lambda: self.record(step))

    async def auses(self, model: str | None = None) -> dict[UseKey, Use]:
        return await in_thread(lambda: self.uses(model))


async def in_thread(do: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
    """Run `do` in a thread. It can't be stopped there: a cancelled caller waits for its end and then calls `undo`."""
    running = asyncio.ensure_future(asyncio.to_thread(do))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            result = await running
            if undo is not None:
                await asyncio.to_thread(undo, result)
        raise
