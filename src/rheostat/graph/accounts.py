"""The accounts that pay: the running thread's, and beneath it the run's."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from typing import Any

from langgraph.config import get_config
from langgraph.runtime import get_runtime

from rheostat.calling.meter import Meter
from rheostat.calling.payer import Payer
from rheostat.calling.settings import RunSettings
from rheostat.errors import BadInput
from rheostat.flow import Flow
from rheostat.graph.state import Known
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Reading

__all__ = ["account_above", "invocation", "open_run", "readings_of", "start_run", "task_name", "thread_account"]


_lock = threading.Lock()
_invocations: OrderedDict[int, tuple[Any, str]] = OrderedDict()
_REMEMBERED = 10_000


def thread_account() -> str:
    """The name of the account that all runs, forks and subgraphs of this thread share.

    It comes from the thread's id, never from state, so that no input can point at another account. A run without a
    thread is recognised by the control object that LangGraph makes for each invocation and passes to its subgraphs. The
    object is kept here for a while, so that no other can take its address.
    """
    thread = get_config().get("configurable", {}).get("thread_id")
    if thread:
        return f"thread/{thread}"
    control = get_runtime().control
    if control is None:
        return f"run/{task_name()}"
    with _lock:
        known = _invocations.get(id(control))
        if known is not None and known[0] is control:
            _invocations.move_to_end(id(control))
            return known[1]
        name = f"run/{uuid.uuid4().hex}"
        _invocations[id(control)] = (control, name)
        while len(_invocations) > _REMEMBERED:
            _invocations.popitem(last=False)
        return name


def account_above(thread: str, before: Reading, named: str | None, usual: str | None) -> str | None:
    """The account above a thread: the one it already has, else the caller's, else the usual one.

    Raises:
        BadInput: the thread has another account than the one that the caller named.
    """
    if before.get("account") != thread:
        return named or usual
    known = before["parent"] or None
    if named is not None and named != known:
        raise BadInput(
            f"{thread} has spent on {known or 'no account above it'} before, and can't change to {named!r}: one "
            "thread, one account. Start another thread."
        )
    return known


def invocation() -> Any:
    """The control object that LangGraph makes for each invocation and passes to its subgraphs; compare by identity."""
    return get_runtime().control


def task_name() -> str:
    """The name of the running task: the same after a resume or a retry, different in every run."""
    info = get_runtime().execution_info
    return info.task_id if info else uuid.uuid4().hex


def start_run(
    settings: RunSettings, meter: Meter, before: Reading, *, named: str | None, caller: Payer | None
) -> Flow[tuple[str, str]]:
    """Open the thread's account and, beneath it, this run's.

    The thread's account has no limits of its own; it counts what all its runs, forks and subgraphs spend.

    Args:
        meter: The settings' own meter, or one on the caller's ledger.
        before: The reading in the state.
        named: The account above that this run's context names.
        caller: The agent around this run, if it begins in that agent's tool; the run's account lies beneath.

    Returns:
        The names of both accounts.
    """
    if caller is not None:
        thread = caller.account
    else:
        thread = thread_account()
        known = before if before.get("account") == thread else {}
        above = account_above(thread, before, named, settings.account)
        yield from meter.open(Account(thread, parent=above), known)
    run = f"{thread}/{task_name()}"
    yield from meter.open(Account(run, settings.budget, thread), {})
    return thread, run


def open_run(meter: Meter, budget: Budget, state: Known, *, caller: Payer | None) -> Flow[str]:
    """Open the run's account again, even after a restart, and return its name."""
    spend, run = state["spend"], state["run"]
    if caller is None:
        yield from meter.open(Account(spend["account"], parent=spend["parent"] or None), spend)
    account: str = run["account"]
    yield from meter.open(Account(account, budget, run["parent"] or None), run)
    return account


def readings_of(meter: Meter, run: str) -> Flow[dict[str, Reading]]:
    """The readings of the thread and of the run, for state."""
    reading = yield from meter.reading(run)
    return {"spend": (yield from meter.reading(reading["parent"])), "run": reading}
