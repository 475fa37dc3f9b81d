"""Charge unplanned calls (a summary, a router, another middleware's hook) to the agent in whose invocation they run.

A context variable set in one node isn't seen in the others, so the agent is looked up by the control object that
LangGraph makes for each invocation and passes to its subgraphs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from rheostat.calling.payer import PAYER, Payer, lookups
from rheostat.graph.accounts import invocation, thread_account

__all__ = ["around", "beside", "unwatch", "watch"]

_REMEMBERED = 10_000
_lock = threading.Lock()
_watched: OrderedDict[str, tuple[Any, Payer, Any]] = OrderedDict()
"""By the agent's account: (LangGraph's control object of the invocation, the agent, its runner). A run that was left
(interrupted, cut, out of steps) pays for nothing in the thread's next invocation."""


def watch(agent: Payer, runner: Any) -> None:
    """Let this agent pay for unplanned calls in this invocation from now on."""
    with _lock:
        _watched[agent.account] = invocation(), agent, runner
        _watched.move_to_end(agent.account)
        while len(_watched) > _REMEMBERED:
            _watched.popitem(last=False)


def unwatch(account: str) -> None:
    """Stop charging unplanned calls to an agent that has ended."""
    with _lock:
        _watched.pop(account, None)


def around(runner: Any) -> Payer | None:
    """The agent around a run that begins here; never a run that the same runner has left."""
    payer = PAYER.get()
    return payer if payer is not None else beside(runner)


def beside(but: Any = None) -> Payer | None:
    """The agent of this invocation that was watched last.

    Args:
        but: A runner whose agents don't count.
    """
    if not _watched:
        return None
    try:
        control, thread = invocation(), thread_account()
    except (RuntimeError, AttributeError, LookupError):  # outside of any graph
        return None
    with _lock:  # of several agents in one invocation, the one that was watched last
        here = ((agent, runner) for at, agent, runner in reversed(_watched.values()) if at is control)
        found = (agent for agent, runner in here if _under(agent, thread) and (but is None or runner is not but))
        return next(found, None)


def _under(agent: Payer, thread: str) -> bool:
    return agent.account.startswith(f"{thread}/")


lookups.append(beside)
