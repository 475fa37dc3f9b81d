"""Decide whether a request that leaves needs a hold, and find its payer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rheostat.calling.bound import refuse_unknown
from rheostat.calling.payer import Payer, paying
from rheostat.calling.wire import WireRequest, read_request
from rheostat.errors import BadInput, BudgetExceeded

__all__ = ["GATE", "Gate", "Seen", "late", "look"]


@dataclass(slots=True)
class Gate:
    """The process-wide switches of the gate."""

    installed: bool = False
    """Requests are read."""
    strict: bool = False
    """Billable requests without a payer are refused."""


GATE = Gate()


@dataclass(slots=True)
class Seen:
    """A request, read, and its payer."""

    request: WireRequest
    payer: Payer
    usage_is_ours: bool = False
    """The gate asked for the usage, not the caller, which mustn't see it."""


def look(http_request: Any, method: str, host: str, path: str, port: int | None = None) -> Seen | None:
    """Read a request that needs a hold or counts tokens; `None`: any other.

    Args:
        http_request: Has the body as `content`, which may raise where there is none.

    Raises:
        BadInput: it is billable and has no payer (strict), or its cost is unknown.
    """
    if not GATE.installed:
        return None
    payer = paying()
    if not GATE.strict if payer is None else not payer.gated:
        return None
    try:
        content = http_request.content
    except Exception:  # a streamed upload: a file, never a question
        content = None
    request = read_request(method, host, path, content, port=port)
    if request is None or request.kind == "free" or (request.kind == "count" and payer is None):
        return None
    if payer is None:
        raise BadInput(
            f"{host}{path} would be billed, but no account pays for it here (strict=True): call it inside an agent, or "
            "move it out of this process"
        )
    if request.kind == "unknown":
        refuse_unknown(request, payer, path)
        return None
    return Seen(request, payer)


def late(payer: Payer) -> BudgetExceeded:
    """The refusal for a request that was in flight at the deadline."""
    limit = payer.budget.seconds if payer.budget is not None and payer.budget.seconds else 0
    return BudgetExceeded(
        account=payer.account,
        limit="seconds",
        asked=0,
        left=0,
        cap=limit or 0,
        hint="The request was in flight at the deadline and was cut",
    )
