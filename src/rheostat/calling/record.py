"""The step record of a planned call that has ended."""

from __future__ import annotations

import time
from typing import Any

from rheostat.calling.payer import Attempt, Call
from rheostat.money.ledger import StepRecord
from rheostat.providers.dial import Reply

__all__ = ["record_of"]


def record_of(call: Call, reply: Reply | None, error: BaseException | None) -> StepRecord:
    """The step record of a call: what was decided, what left, and the outcome. It holds no text."""
    last = call.attempts[-1]
    milliseconds = int(1000 * (time.monotonic() - call.attempts[0].started))
    return StepRecord.from_dict(
        {
            "id": call.id,
            "account": call.account,
            "node": call.note.get("node", ""),
            "model": call.note.get("model", ""),
            "effort_seen": last.effort,
            "most_output_tokens": last.most_output_tokens,
            "stop": reply.stop if reply else "",
            "starved": bool(reply and reply.ran_out),
            "error": type(error).__name__ if error is not None else "",
            "requests": [_request(each) for each in call.attempts],
            "at_ms": int(1000 * time.time()) - milliseconds,
            "milliseconds": milliseconds,
            **call.about,
        }
    )


def _request(attempt: Attempt) -> dict[str, Any]:
    return {
        "reservation": attempt.holds[0][1].id if attempt.holds else "", "request_id": attempt.request_id,
        "model": attempt.model, "spend": attempt.spend.to_dict() if attempt.spend else None,
    }  # fmt: skip
