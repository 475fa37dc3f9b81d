"""One sample: the one or two requests that make a thought and an answer, each held before and settled after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rheostat.effort import ThinkingPlan, plan_of
from rheostat.errors import BudgetExceeded
from rheostat.flow import Flow
from rheostat.ledger import Reservation
from rheostat.meter import Meter
from rheostat.prompts import FINISH, STOP, extract
from rheostat.providers import Endpoint, Settings
from rheostat.providers.bounds import input_bound
from rheostat.providers.dial import Messages
from rheostat.providers.failures import read_failure
from rheostat.usage import Spend
from rheostat.evidence.verifiers import AnswerForm

__all__ = ["bounds", "sample"]

_THOUGHT_OVERHEAD = 32
"""Template tokens around a thought that is sent back."""


def bounds(
    meter: Meter,
    endpoint: Endpoint,
    plan: ThinkingPlan,
    input_tokens: int,
    form: AnswerForm,
    *,
    schema: Any | None,
) -> list[Spend]:
    """The most that each request of one sample can cost."""
    amounts = []
    dial = endpoint.dial
    for number, phase in enumerate(dial.phases(plan, schema=schema is not None)):
        settings = dial.encode(plan, phase, temperature=None, schema=schema)
        tokens = input_tokens
        if number:  # the thought is read back, byte for byte at the most what was written
            finish = input_bound([{"role": "user", "content": FINISH[form]}], {}, dial.overhead).tokens
            tokens += plan.thinking_tokens + _THOUGHT_OVERHEAD + (finish or 0)
        amounts.append(meter.bound(endpoint, tokens, settings))
    return amounts


def sample(
    meter: Meter,
    endpoint: Endpoint,
    account: str,
    plan: ThinkingPlan,
    messages: Messages,
    form: AnswerForm,
    held: Sequence[Reservation],
    *,
    temperature: float | None,
    schema: Any | None,
    note: dict[str, str],
) -> Flow[dict[str, Any]]:
    """Draw one answer. A failed request becomes an `error`, never a text that could vote.

    Returns:
        Plain data: `answer` (or None), `text`, `thought`, `thinking_tokens`, `output_tokens`, `cut` (the thought hit
        its cap), `error` (or None), `notes`.
    """
    dial = endpoint.dial
    phases = dial.phases(plan, schema=schema is not None)
    drawn: dict[str, Any] = {
        "model": endpoint.name,
        "answer": None,
        "text": "",
        "thought": "",
        "thinking_tokens": 0,
        "output_tokens": 0,
        "input_tokens": 0,
        "cut": False,
        "error": None,
        "notes": [],
    }
    waiting = list(held)
    try:
        for phase in phases:
            if phase == "answer" and drawn["answer"] is not None:
                break
            settings: Settings = dial.encode(plan, phase, temperature=temperature, schema=schema)
            if form in STOP and dial.facts.takes_stop and phase != "think":
                settings.kwargs["stop"] = STOP[form]
            sent, reread = messages, None
            if phase == "answer":
                thought = drawn["thought"] or drawn["text"] or "…"
                sent = [
                    *messages,
                    {"role": "assistant", "content": thought},
                    {"role": "user", "content": FINISH[form]},
                ]
                reread = (thought, plan.thinking_tokens)
            reply = yield from meter.call(
                endpoint, account, waiting.pop(0), sent, settings, phase, note, plan_of(plan), reread,
                alone=not waiting,
            )  # fmt: skip
            spend = reply.spend or Spend()
            drawn["thinking_tokens"] += spend.thinking_tokens or 0
            drawn["output_tokens"] += spend.output_tokens
            drawn["input_tokens"] += spend.input_tokens
            drawn["notes"] += settings.notes
            drawn["text"] = reply.text or drawn["text"]
            drawn["thought"] = reply.thought or drawn["thought"]
            if phase != "answer":
                drawn["cut"] = reply.cut or (
                    settings.max_thinking_tokens > 0 and (spend.thinking_tokens or 0) >= settings.max_thinking_tokens
                )
            drawn["answer"] = extract(reply.text, form) if phase != "think" else None
    except BudgetExceeded as refused:
        drawn["error"] = f"budget: {refused}"
    except Exception as error:
        drawn["error"] = f"{read_failure(error)}: {type(error).__name__}: {str(error)[:500]}"
    finally:
        for reservation in waiting:
            yield from meter.void(reservation.id)
    return drawn
