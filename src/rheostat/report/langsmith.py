"""LangSmith: each run of a model says how it was thought with, why, who paid, and what it cost.

LangChain's own tracer sends the runs. Ours go into what it sends and nowhere else: the model's message, its metadata in
the state and the stream stay as they are.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.langchain import LangChainTracer

from rheostat.calling.gate import reported
from rheostat.calling.payer import PAYER, Payer
from rheostat.money.usage import NANOS_PER_USD, Spend
from rheostat.thinking.difficulty import THOUGHT_WITH

__all__ = ["annotate"]

_lock = threading.Lock()
_wrapped: list[tuple[Any, Any]] = []
_listeners = 0


def annotate() -> Callable[[], None]:
    """Annotate LangSmith's runs of models in this process, from now on.

    A run gets the metadata `rheostat_effort`, `rheostat_most_thinking_tokens`, `rheostat_thinking_tokens`,
    `rheostat_usd`, `rheostat_held_usd`, `rheostat_account`, `rheostat_decided_by`, `rheostat_why` and `rheostat_id`, as
    far as they are known; the tag `effort:…`; and our cost as its total cost, so that LangSmith adds up the ledger's.
    Nothing is sent unless LangSmith's tracing is on.

    Returns:
        A function that stops it.
    """
    global _listeners  # noqa: PLW0603 - how many want it; the tracer is wrapped once
    with _lock:
        _listeners += 1
        if not _wrapped:
            _wrapped.append((LangChainTracer.on_llm_end, LangChainTracer.on_llm_error))
            LangChainTracer.on_llm_end = _ending(LangChainTracer.on_llm_end)  # type: ignore[method-assign] # wrapped on purpose
            LangChainTracer.on_llm_error = _failing(LangChainTracer.on_llm_error)  # type: ignore[method-assign] # as above
    stopped: list[None] = []

    def stop() -> None:
        global _listeners  # noqa: PLW0603 - as above
        with _lock:
            if not stopped:
                stopped.append(None)
                _listeners -= 1

    return stop


def _ending(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def on_llm_end(self: LangChainTracer, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> Any:
        if _listeners:
            response = _quietly(_annotated, self, run_id, response) or response
        return original(self, response, run_id=run_id, **kwargs)

    return on_llm_end


def _failing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def on_llm_error(self: LangChainTracer, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:
        if _listeners:
            _quietly(_annotated, self, run_id, None)
        return original(self, error, run_id=run_id, **kwargs)

    return on_llm_error


def _quietly(do: Callable[..., Any], *args: Any) -> Any:
    try:
        return do(*args)
    except Exception:  # an annotation must not break the run
        logging.getLogger("rheostat").exception("a run of LangSmith's couldn't be annotated")
        return None


def _annotated(tracer: LangChainTracer, run_id: UUID, response: LLMResult | None) -> LLMResult | None:
    """Annotate the run, and return the response with our cost in it, for the tracer alone."""
    run, payer = tracer.run_map.get(str(run_id)), PAYER.get()
    spend = _spend_of(payer)
    found = {**_stamped(response), **_planned(payer), **_spent(spend)}
    if run is None or not found:
        return None
    run.extra["metadata"] = {**(run.extra.get("metadata") or {}), **found}  # the old one is shared with others
    if "rheostat_effort" in found:
        run.tags = [*(run.tags or []), f"effort:{found['rheostat_effort']}"]
    if response is None or spend is None or spend.usd_nanos is None:
        return None
    return _priced(response, float(Decimal(spend.usd_nanos) / NANOS_PER_USD))


def _planned(payer: Payer | None) -> dict[str, Any]:
    if payer is None:
        return {}
    found: dict[str, Any] = {"rheostat_account": payer.account}
    call = payer.call
    if call is not None and call.about:
        about = call.about
        found |= {
            "rheostat_id": about.get("id"),
            "rheostat_effort": about.get("effort_planned"),
            "rheostat_most_thinking_tokens": about.get("thinking_tokens"),
            "rheostat_decided_by": about.get("decided_by"),
            "rheostat_why": "; ".join(about.get("reasons") or ()),
        }
        held = call.amount.usd_nanos
        if call.attempts and held is not None:
            found["rheostat_held_usd"] = float(Decimal(held) / NANOS_PER_USD)
    return found


def _stamped(response: LLMResult | None) -> dict[str, Any]:
    """What a model with a budget of its own wrote into its message."""
    message = _message_in(response)
    stamp = message.response_metadata.get(THOUGHT_WITH) if message is not None else None
    if not isinstance(stamp, dict):
        return {}
    return {
        "rheostat_id": stamp.get("id"),
        "rheostat_effort": stamp.get("effort"),
        "rheostat_most_thinking_tokens": stamp.get("thinking_tokens"),
        "rheostat_thinking_tokens": stamp.get("used_thinking_tokens"),
        "rheostat_decided_by": stamp.get("decided_by"),
        "rheostat_why": "; ".join(stamp.get("reasons") or ()),
    }


def _spend_of(payer: Payer | None) -> Spend | None:
    attempts = payer.call.attempts if payer is not None and payer.call is not None else []
    return reported(attempts[-1]) if attempts else None


def _spent(spend: Spend | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if spend is not None and spend.thinking_tokens is not None:
        found["rheostat_thinking_tokens"] = spend.thinking_tokens
    if spend is not None and spend.usd_nanos is not None:
        found["rheostat_usd"] = float(Decimal(spend.usd_nanos) / NANOS_PER_USD)
    return found


def _message_in(response: LLMResult | None) -> AIMessage | None:
    first = response.generations[0][:1] if response is not None and response.generations else []
    message = first[0].message if first and isinstance(first[0], ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def _priced(response: LLMResult, dollars: float) -> LLMResult | None:
    """A copy of the response whose usage has the total cost, which LangSmith reads."""
    message = _message_in(response)
    if message is None or message.usage_metadata is None:
        return None
    [first, *others] = response.generations[0]
    usage = {**message.usage_metadata, "total_cost": dollars}
    copy = first.model_copy(update={"message": message.model_copy(update={"usage_metadata": usage})})
    return response.model_copy(update={"generations": [[copy, *others], *response.generations[1:]]})
