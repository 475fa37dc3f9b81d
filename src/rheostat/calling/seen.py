"""Whether a request that leaves must be held for, and for whom."""

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
    """The switches of the process."""

    installed: bool = False
    """Requests are looked at."""
    strict: bool = False
    """What is billable and nothing pays for is refused."""


GATE = Gate()


@dataclass(slots=True)
class Seen:
    """What a request is, and who pays for it."""

    request: WireRequest
    payer: Payer
    usage_is_ours: bool = False
    """It wasn't asked for by the caller, who mustn't see it."""


def look(http_request: Any, method: str, host: str, path: str, port: int | None = None) -> Seen | None:
    """Is this a request that must be held for, or one that counts tokens?

    Args:
        http_request: Has the body as `content`; without one it may raise.

    Raises:
        BadInput: it is billable, and nothing pays for it (strict); or its cost is unknown.
    """
    if not GATE.installed:
        return None
    payer = paying()
    if not GATE.strict if payer is None else not payer.gated:
        return None
    try:
        content = http_request.content
    except Exception:  # a body that is streamed up: a file, never a question
        content = None
    request = read_request(method, host, path, content, port=port)
    if request is None or request.kind == "free" or (request.kind == "count" and payer is None):
        return None
    if payer is None:
        raise BadInput(
            f"{host}{path} would be billed, and no account pays for it here (strict=True): call it inside an agent, or "
            "take it out of this process"
        )
    if request.kind == "unknown":
        refuse_unknown(request, payer, path)
        return None
    return Seen(request, payer)


def late(payer: Payer) -> BudgetExceeded:
    """The deadline came while a request was in flight."""
    limit = payer.budget.seconds if payer.budget is not None and payer.budget.seconds else 0
    return BudgetExceeded(
        account=payer.account,
        limit="seconds",
        asked=0,
        left=0,
        cap=limit or 0,
        hint="The request was in flight at the deadline and was cut",
    )
