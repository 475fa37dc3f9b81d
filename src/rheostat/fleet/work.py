"""One task of a fleet: its graph is run, or gone on with, under the task's account."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel
from tenacity import RetryCallState, wait_random_exponential

from rheostat.calling import unwired  # noqa: F401 - models without a wire are seen from here on
from rheostat.calling.instrument import install_gate, refusal_in
from rheostat.calling.payer import Payer, paid_by
from rheostat.errors import BadInput, BudgetExceeded, LedgerUnavailable, MissingExtra
from rheostat.fleet.database import account_of
from rheostat.fleet.graphs import input_for
from rheostat.fleet.queue import TaskResult
from rheostat.fleet.tasks import FleetTask
from rheostat.graph.state import read
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, Reading

__all__ = ["PutBack", "TaskFailed", "UsedUp", "Work"]

_AWAY: Final = ("OperationalError", "InterfaceError", "PoolTimeout", "PoolClosed", "AdminShutdown", "CannotConnectNow")
_WAIT: Final = wait_random_exponential(multiplier=1, max=60)


class PutBack(Exception):
    """The task can't be ended now and goes back to the queue."""


class UsedUp(PutBack):
    """The account of the fleet, or one above it, can't pay any more."""


class TaskFailed(Exception):
    """The task is set aside."""

    def __init__(self, result: TaskResult) -> None:
        super().__init__(result.why)
        self.result = result


@dataclass
class Work:
    """Runs tasks on one graph."""

    fleet: str
    graph: CompiledStateGraph[Any, Any, Any, Any]
    """With a checkpointer."""
    ledger: Ledger
    """Where the fleet's account is open."""
    each: Budget | None = None
    """The limits of one task."""
    attempts: int = 3
    stopping: Callable[[], bool] = field(default=lambda: False)
    """Asked between a graph's steps: whether to stop there."""

    def __post_init__(self) -> None:
        install_gate()

    async def run(self, task: FleetTask, claims: int = 1) -> TaskResult:
        """Run a task to its end.

        Args:
            claims: How often it was begun, this time included.

        Raises:
            PutBack: It is to be queued again, with its checkpoints.
            TaskFailed: Its last attempt failed, or its deadline passed.
        """
        began, account = time.monotonic(), account_of(self.fleet, task.id)
        attempt, away = claims, 0
        while attempt <= self.attempts:
            try:
                if self.stopping():
                    raise PutBack
                await self.ledger.aopen(Account(account, self._limits(task), account_of(self.fleet)), {})
                state = await self._attempt(task, account)
            except (PutBack, TaskFailed):
                raise
            except Exception as error:
                if _database_away(error):  # it isn't the task's fault, and counts as no attempt
                    away += 1
                    await self._pause(away)
                    continue
                refused = refusal_in(error)
                if isinstance(refused, BudgetExceeded):
                    state = {}
                    if not await self._own(account, refused.account):
                        raise UsedUp(refused.plainly) from error
                    return await self._result(task, account, state, began, attempt, by="budget", why=str(refused))
                final = isinstance(error, BadInput | MissingExtra)
                if final or attempt >= self.attempts:
                    why = f"{type(error).__name__}: {error}"
                    failed = await self._result(task, account, {}, began, attempt, by="error", why=why)
                    raise TaskFailed(replace(failed, state="failed")) from error
                attempt += 1
                await self._pause(attempt)
            else:
                result = await self._result(task, account, state, began, attempt)
                if result.answer is None and _late(task):
                    raise TaskFailed(replace(result, state="failed", by="deadline", why=_why_late(task)))
                return result
        why = f"its worker died at each of {self.attempts} attempts"
        died = await self._result(task, account, {}, began, claims - 1, by="error", why=why)
        raise TaskFailed(replace(died, state="failed"))

    def _limits(self, task: FleetTask) -> Budget | None:
        """The task's own limits; a deadline ends it in time."""
        limits = {} if self.each is None else self.each.to_dict()
        if task.deadline is not None:
            left = (task.deadline - datetime.now(UTC)).total_seconds()
            limits["seconds"] = min(max(left, 0.001), float(limits.get("seconds", math.inf)))
        return Budget.from_dict(limits) if limits else None

    async def _attempt(self, task: FleetTask, account: str) -> dict[str, Any]:
        """Run the graph from its input, or from where a worker that died left it; return its last state."""
        config: Any = {"configurable": {"thread_id": account.removeprefix("fleet/")}}
        before = await self.graph.aget_state(config)
        begun = before.created_at is not None
        if begun:
            await self.ledger.aexpire(0, account=account)  # what the worker that died held: no one else works on this
        if _late(task):
            result = await self._result(task, account, {}, time.monotonic(), 1, by="deadline", why=_why_late(task))
            raise TaskFailed(replace(result, state="failed"))
        # a run that ended because the fleet's account was used up has nothing left to go on with: it begins again
        again = begun and not before.next and read(before.values)["end"].get("by") == "budget"
        data = None if begun and not again else input_for(self.graph, task.input)
        state: dict[str, Any] = dict(before.values) if begun else {}
        payer = Payer(self.ledger, account)
        with paid_by(payer):
            steps = self.graph.astream(data, config, stream_mode="values", durability="sync")
            async with aclosing(steps):  # type: ignore[type-var]  # it is an async generator
                async for values in steps:
                    state = dict(values)
                    if self.stopping():
                        break
        if state.get("__interrupt__"):
            why = "the graph asks a human, and a fleet has none: let it decide by itself, or answer by its thread"
            result = await self._result(task, account, {}, time.monotonic(), 1, by="user", why=why)
            raise TaskFailed(replace(result, state="failed"))
        if self.stopping() and (await self.graph.aget_state(config)).next:
            raise PutBack
        end = read(state)["end"]
        if end.get("by") == "budget" and _answer(state) is None and not await self._own(account, end.get("account")):
            raise UsedUp(end.get("why") or "the budget is used up")
        return state

    async def _own(self, account: str, refusing: str | None) -> bool:
        """Whether a refusal came from the task's own account or beneath it, and not from the fleet's or above it."""
        if refusing:
            return f"{refusing}/".startswith(f"{account}/")
        own = await self.ledger.aroom(account, patient=True)
        fleet = await self.ledger.aroom(account_of(self.fleet), patient=True)
        limits = ("usd_nanos", "tokens", "output_tokens", "thinking_tokens", "calls")
        binding = (getattr(fleet, name) for name in limits if getattr(own, name) is not None)
        bound = zip(binding, (getattr(own, name) for name in limits if getattr(own, name) is not None), strict=True)
        return not any(above is not None and above <= mine for above, mine in bound)

    async def _pause(self, attempt: int) -> None:
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = attempt
        until = time.monotonic() + _WAIT(state)
        while time.monotonic() < until:
            if self.stopping():
                raise PutBack
            await asyncio.sleep(0.2)

    async def _result(
        self,
        task: FleetTask,
        account: str,
        state: dict[str, Any],
        began: float,
        attempts: int,
        *,
        by: str = "",
        why: str = "",
    ) -> TaskResult:
        reading: Reading = await self.ledger.areading(account)
        end = read(state)["end"] if state else {}
        nanos = reading["usd_nanos"]
        return TaskResult(
            id=task.id,
            state="done",
            answer=_answer(state),
            verdict={"solved": True, "unsolved": False}.get(str(state.get("status"))),
            by=by or end.get("by") or "answer",
            why=why or end.get("why") or str(state.get("stopped") or ""),
            usd=None if nanos is None else f"{Decimal(nanos).scaleb(-9).normalize():f}",
            tokens=reading["input_tokens"] + reading["output_tokens"],
            calls=reading["calls"],
            attempts=attempts,
            seconds=round(time.monotonic() - began, 3),
        )


def _database_away(error: BaseException | None) -> bool:
    """Whether the fleet's database can't be reached, as the ledger or the checkpointer tells it."""
    while error is not None:
        kind = type(error)
        driver = kind.__module__.partition(".")[0] in ("psycopg", "psycopg_pool", "sqlite3")
        if isinstance(error, LedgerUnavailable) or (driver and kind.__name__ in _AWAY):
            return True
        error = error.__cause__
    return False


def _late(task: FleetTask) -> bool:
    return task.deadline is not None and datetime.now(UTC) >= task.deadline


def _why_late(task: FleetTask) -> str:
    return f"its deadline passed at {task.deadline:%Y-%m-%d %H:%M} UTC"


def _plain(value: Any) -> Any:
    """Something that JSON has no form for: a model of pydantic as its fields, anything else as text."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _answer(state: dict[str, Any]) -> Any:
    """The answer in a graph's last state, as plain data."""
    if "answer" in state:
        return json.loads(json.dumps(state["answer"], default=_plain))
    messages = state.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, AIMessage):
        return last.text or None
    if messages or isinstance(last, BaseMessage):
        return None
    plain = {name: value for name, value in state.items() if isinstance(value, str | int | float | bool)}
    return plain or None
