"""What runs beside an agent's own steps (a summary, a router, another middleware's hook) is paid for by the agent whose
invocation it belongs to.

A context variable set in one node isn't seen in the others, so an agent is looked up by what LangGraph makes anew for
each invocation and hands to its subgraphs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from rheostat.calling.payer import Payer, lookups
from rheostat.nodes.identity import invocation, thread_account

__all__ = ["unwatch", "watch"]

_REMEMBERED = 10_000
_lock = threading.Lock()
_watched: OrderedDict[str, tuple[Any, Payer]] = OrderedDict()
"""By the agent's account: (LangGraph's control object of the invocation, the agent). A run that was left (interrupted,
cut, out of steps) covers nothing in the thread's next invocation."""


def watch(agent: Payer) -> None:
    """Cover what happens in this invocation from now on."""
    with _lock:
        _watched[agent.account] = invocation(), agent
        _watched.move_to_end(agent.account)
        while len(_watched) > _REMEMBERED:
            _watched.popitem(last=False)


def unwatch(account: str) -> None:
    """The agent has ended: what happens beside it now is another's."""
    with _lock:
        _watched.pop(account, None)


def _beside() -> Payer | None:
    if not _watched:
        return None
    try:
        control, thread = invocation(), thread_account()
    except (RuntimeError, AttributeError, LookupError):  # outside of any graph
        return None
    with _lock:  # of several agents in one invocation, the one that was heard of last
        found = (agent for at, agent in reversed(_watched.values()) if at is control and _under(agent, thread))
        return next(found, None)


def _under(agent: Payer, thread: str) -> bool:
    return agent.account.startswith(f"{thread}/")


lookups.append(_beside)
