"""One task of a fleet: its graph is run, or gone on with, under the task's account."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from langchain_core.messages import AIMessage
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel
from tenacity import RetryCallState, wait_random_exponential

from rheostat.calling import unwired  # noqa: F401 - models without a wire are seen from here on
from rheostat.calling.instrument import install_gate, refusal_in
from rheostat.calling.payer import Payer, paid_by
from rheostat.errors import BadInput, BudgetExceeded, LedgerUnavailable, MissingExtra, ProviderFailed
from rheostat.fleet.database import account_of
from rheostat.fleet.graphs import input_for
from rheostat.fleet.results import TaskResult
from rheostat.fleet.tasks import FleetTask
from rheostat.graph.state import read
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Ledger, Reading
from rheostat.money.ledger.counts import LIMITS

__all__ = ["PutBack", "Taken", "TaskFailed", "UsedUp", "Work"]

_DRIVERS: Final = ("psycopg", "psycopg_pool", "sqlite3")
_AWAY: Final = ("OperationalError", "InterfaceError", "PoolTimeout", "PoolClosed", "AdminShutdown", "CannotConnectNow")
_GRACE_SECONDS: Final = 5.0
"""Beyond the deadline, at which the ledger cuts calls: for what isn't a call."""
_WAIT: Final = wait_random_exponential(multiplier=1, max=60)


class PutBack(Exception):
    """The task can't be ended now and goes back to the queue."""


class UsedUp(PutBack):
    """The account of the fleet, or one above it, can't pay any more."""


class Taken(PutBack):
    """The task belongs to another worker now."""


async def _always() -> bool:
    return True


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
    _above: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        install_gate()

    async def run(self, task: FleetTask, died: int = 0, ours: Callable[[], Awaitable[bool]] = _always) -> TaskResult:
        """Run a task to its end.

        Args:
            died: How often it was begun alone after a worker had died with it, this time included.
            ours: Asked between a graph's steps: whether the task is still this worker's.

        Raises:
            PutBack: It is to be queued again, with its checkpoints.
            Taken: It is another worker's.
            TaskFailed: Its last attempt failed, or its deadline passed.
        """
        began, account, attempt, away = time.monotonic(), account_of(self.fleet, task.id), max(1, died), 0
        result = _Results(self.ledger, task, account, began)
        if died >= self.attempts:
            raise TaskFailed(await result.failed(f"its worker died at each of {died} attempts", attempts=died))
        while True:
            try:
                if self.stopping():
                    raise PutBack
                await self.ledger.aopen(Account(account, self._limits(task), account_of(self.fleet)), {})
                state = await self._attempt(task, account, ours)
                if answer_of(state, task.input) is None and _late(task):
                    raise TaskFailed(await result.late(attempt))
                return await result.done(state, attempt)
            except (PutBack, TaskFailed):
                raise
            except Exception as error:
                if await self._away(error, account):  # it isn't the task's fault, and counts as no attempt
                    away += 1
                    await self._pause(away)
                    continue
                refused = refusal_in(error)
                if isinstance(refused, BudgetExceeded) and not refused.rate:
                    if await self._is_ours(refused.account):
                        raise UsedUp(refused.plainly) from error
                    if _late(task):
                        raise TaskFailed(await result.late(attempt)) from error
                    so_far = (await self.graph.aget_state(self._config(account))).values
                    return await result.done(dict(so_far), attempt, by="budget", why=str(refused))
                if _late(task):
                    raise TaskFailed(await result.late(attempt)) from error
                final = isinstance(error, BadInput | MissingExtra | _Waits) or isinstance(refused, BudgetExceeded)
                if final or attempt >= self.attempts:
                    why = str(error) if isinstance(error, _Waits) else f"{type(error).__name__}: {error}"
                    by = "user" if isinstance(error, _Waits) else "error"
                    raise TaskFailed(await result.failed(why, by=by, attempts=attempt)) from error
                attempt += 1
                await self._pause(attempt)

    def _config(self, account: str) -> Any:
        return {"configurable": {"thread_id": account.removeprefix("fleet/")}}

    def _limits(self, task: FleetTask) -> Budget | None:
        """The task's own limits; a deadline ends it in time."""
        limits = {} if self.each is None else self.each.to_dict()
        left = _seconds_left(task)
        if left is not None:
            limits["seconds"] = min(max(left, 0.001), float(limits.get("seconds", math.inf)))
        return Budget.from_dict(limits) if limits else None

    async def _restart_clock(self, task: FleetTask, account: str) -> None:
        """A task's seconds count from now; the ledger counts them from when its account was opened."""
        limits = self._limits(task)
        if limits is not None and limits.seconds is not None:
            spent = (await self.ledger.areading(account))["elapsed_milliseconds"] / 1000
            if spent > 1:  # else it has just been opened
                await self.ledger.aamend(account, replace(limits, seconds=limits.seconds + spent))

    async def _attempt(self, task: FleetTask, account: str, ours: Callable[[], Awaitable[bool]]) -> dict[str, Any]:
        """Run the graph from its input, or from where a worker that died left it; return its last state."""
        config = self._config(account)
        before = await self.graph.aget_state(config)
        begun = before.created_at is not None
        if begun:  # what a worker that died held is given up, because no one else works on this
            await self.ledger.aexpire(0, account=account)
        await self._restart_clock(task, account)
        if _late(task):
            return {}
        state: dict[str, Any] = dict(before.values) if begun else {}
        # a run that ended without an answer, because of the cap or an outage, has nothing left to go on with
        ended = begun and not before.next and read(state)["end"].get("by") in ("budget", "failure")
        afresh = not begun or (ended and answer_of(state, task.input) is None)
        data = input_for(self.graph, task.input) if afresh else None
        room = await self.ledger.aroom(account)
        limits = frozenset(name for name in LIMITS if getattr(room, name) is not None)
        seconds = _seconds_left(task)
        with paid_by(Payer(self.ledger, account, limits=limits)):
            async with asyncio.timeout(None if seconds is None else seconds + _GRACE_SECONDS):
                steps = self.graph.astream(data, config, stream_mode="values", durability="sync")
                async with aclosing(steps):  # type: ignore[type-var]  # it is an async generator
                    async for values in steps:
                        state = dict(values)
                        if not await ours():
                            raise Taken
                        if self.stopping():
                            break
        breaks = bool(self.graph.interrupt_before_nodes or self.graph.interrupt_after_nodes)
        unfinished = (self.stopping() or breaks) and (await self.graph.aget_state(config)).next
        if unfinished and self.stopping():
            raise PutBack
        if unfinished or state.get("__interrupt__"):
            raise _Waits("the graph waits for a human, and a fleet has none: let it decide by itself")
        if answer_of(state, task.input) is not None:
            return state
        end = read(state)["end"]
        if end.get("by") == "failure":
            raise ProviderFailed(end.get("why") or "the model couldn't be reached")
        if end.get("by") == "budget" and await self._is_ours(end.get("account"), account):
            raise UsedUp(end.get("why") or "the budget is used up")
        return state

    async def _is_ours(self, refusing: str | None, account: str = "") -> bool:
        """Whether it was the account of the fleet, or one above it, that refused.

        Args:
            account: The task's, to find out where the refusal doesn't name its account.
        """
        fleet = account_of(self.fleet)
        if refusing:
            if not self._above:
                self._above = tuple(await asyncio.to_thread(self.ledger.chain, fleet))
            return refusing in self._above
        own, its = await self.ledger.aroom(account, patient=True), await self.ledger.aroom(fleet, patient=True)
        pairs = [(getattr(its, name), getattr(own, name)) for name in LIMITS]
        return any(above is not None and mine is not None and above <= mine for above, mine in pairs)

    async def _away(self, error: BaseException | None, account: str) -> bool:
        """Whether the fleet's database can't be reached; a graph may have a database of its own, whose errors count."""
        driver = False
        while error is not None:
            if isinstance(error, LedgerUnavailable):
                return True
            kind = type(error)
            if kind.__module__.partition(".")[0] in _DRIVERS and kind.__name__ in _AWAY:
                if _is_from(error, self.graph.checkpointer) and not str(error).startswith("no such"):
                    return True  # even if it is back by now
                driver = True
            error = error.__cause__
        if driver:
            try:
                await self.ledger.areading(account)
            except LedgerUnavailable:
                return True
        return False

    async def _pause(self, attempt: int) -> None:
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # the wait reads its number only
        state.attempt_number = attempt
        until = time.monotonic() + _WAIT(state)
        while time.monotonic() < until:
            if self.stopping():
                raise PutBack
            await asyncio.sleep(0.2)


def _is_from(error: BaseException, saver: Any) -> bool:
    """Whether an exception was raised in a method of this checkpointer."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_locals.get("self") is saver:
            return True
        trace = trace.tb_next
    return False


class _Waits(Exception):
    """The graph asks somebody."""


@dataclass
class _Results:
    """What becomes of one task, with what it has spent."""

    ledger: Ledger
    task: FleetTask
    account: str
    began: float

    async def done(self, state: dict[str, Any], attempts: int, *, by: str = "", why: str = "") -> TaskResult:
        end = read(state)["end"] if state else {}
        return replace(
            await self._spent(attempts),
            answer=answer_of(state, self.task.input),
            verdict={"solved": True, "unsolved": False}.get(str(state.get("status"))),
            by=by or end.get("by") or "answer",
            why=why or end.get("why") or str(state.get("stopped") or ""),
        )

    async def failed(self, why: str, *, by: str = "error", attempts: int) -> TaskResult:
        return replace(await self._spent(attempts), state="failed", by=by, why=why)

    async def late(self, attempts: int) -> TaskResult:
        why = f"its deadline passed at {self.task.deadline:%Y-%m-%d %H:%M} UTC"
        return await self.failed(why, by="deadline", attempts=attempts)

    async def _spent(self, attempts: int) -> TaskResult:
        await self.ledger.aopen(Account(self.account, None, self.account.rpartition("/")[0]), {})
        reading: Reading = await self.ledger.areading(self.account)
        nanos = reading["usd_nanos"]
        return TaskResult(
            id=self.task.id,
            state="done",
            usd=None if nanos is None else f"{Decimal(nanos).scaleb(-9).normalize():f}",
            tokens=reading["input_tokens"] + reading["output_tokens"],
            calls=reading["calls"],
            attempts=attempts,
            seconds=round(time.monotonic() - self.began, 3),
        )


def _seconds_left(task: FleetTask) -> float | None:
    return None if task.deadline is None else (task.deadline - datetime.now(UTC)).total_seconds()


def _late(task: FleetTask) -> bool:
    left = _seconds_left(task)
    return left is not None and left <= 0


def _plain(value: Any) -> Any:
    """Something that JSON has no form for: a model of pydantic as its fields, anything else as text."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def answer_of(state: dict[str, Any], given: Collection[str] = ()) -> Any:
    """The answer in a graph's last state, as plain data; `None`: it has none.

    Args:
        given: The names in its input, which are no answer.
    """
    if "answer" in state:
        try:
            return json.loads(json.dumps(state["answer"], default=_plain))
        except (TypeError, ValueError, RecursionError):  # keys that are no text, a circle
            return str(state["answer"])
    messages = state.get("messages")
    if messages:
        last = messages[-1] if isinstance(messages, list) else None
        return (last.text or None) if isinstance(last, AIMessage) else None
    found = {name: value for name, value in state.items() if isinstance(value, str | int | float | bool)}
    return {name: value for name, value in found.items() if name not in given} or None
