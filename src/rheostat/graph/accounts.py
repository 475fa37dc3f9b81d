"""Whose money is it: the account of the running thread."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from typing import Any

from langgraph.config import get_config
from langgraph.runtime import get_runtime

from rheostat.errors import BadInput
from rheostat.money.ledger import Reading

__all__ = ["account_above", "invocation", "task_name", "thread_account"]


_lock = threading.Lock()
_invocations: OrderedDict[int, tuple[Any, str]] = OrderedDict()
_REMEMBERED = 10_000


def thread_account() -> str:
    """The name of the account that all runs, forks and subgraphs of this thread share.

    It comes from the thread's id, never from state, so that no input can point at another account. A run
    without a thread is known by the control object that LangGraph makes for each invocation and hands to its
    subgraphs; it is kept here for a while, so that no other can take its address.
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
    """The account above a thread: the one that it has, else the one that the caller named, else the usual one.

    Raises:
        BadInput: it has another than the one that was named.
    """
    if before.get("account") != thread:
        return named or usual
    known = before["parent"] or None
    if named is not None and named != known:
        raise BadInput(
            f"{thread} has spent on {known or 'no account above it'} before, and can't go over to {named!r}: one "
            "thread, one account. Start another thread."
        )
    return known


def invocation() -> Any:
    """What LangGraph makes anew for each invocation, and hands to its subgraphs; to be compared by identity."""
    return get_runtime().control


def task_name() -> str:
    """The running task: the same when it is resumed or tried again, another in every run."""
    info = get_runtime().execution_info
    return info.task_id if info else uuid.uuid4().hex
