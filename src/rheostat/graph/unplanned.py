"""What runs beside an agent's own steps (a summary, a router, another middleware's hook) is paid for by the agent whose
invocation it belongs to.

A context variable set in one node isn't seen in the others, so an agent is looked up by what LangGraph makes anew for
each invocation and hands to its subgraphs.
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
"""By the agent's account: (LangGraph's control object of the invocation, the agent, what runs it). A run that was left
(interrupted, cut, out of steps) covers nothing in the thread's next invocation."""


def watch(agent: Payer, runner: Any) -> None:
    """Cover what happens in this invocation from now on."""
    with _lock:
        _watched[agent.account] = invocation(), agent, runner
        _watched.move_to_end(agent.account)
        while len(_watched) > _REMEMBERED:
            _watched.popitem(last=False)


def unwatch(account: str) -> None:
    """The agent has ended: what happens beside it now is another's."""
    with _lock:
        _watched.pop(account, None)


def around(runner: Any) -> Payer | None:
    """The agent in whose invocation another one begins; never one that was left by the same runner."""
    payer = PAYER.get()
    return payer if payer is not None else beside(runner)


def beside(but: Any = None) -> Payer | None:
    """The agent that was heard of last in this invocation."""
    if not _watched:
        return None
    try:
        control, thread = invocation(), thread_account()
    except (RuntimeError, AttributeError, LookupError):  # outside of any graph
        return None
    with _lock:  # of several agents in one invocation, the one that was heard of last
        here = ((agent, runner) for at, agent, runner in reversed(_watched.values()) if at is control)
        found = (agent for agent, runner in here if _under(agent, thread) and (but is None or runner is not but))
        return next(found, None)


def _under(agent: Payer, thread: str) -> bool:
    return agent.account.startswith(f"{thread}/")


lookups.append(beside)
