"""Holds for models without a wire: models in this process, scripted ones, and clients that no hook sees.

A callback sees every model call of the process. Calls whose requests the gate sees are left to the gate. The others are
held before they begin and settled when they end, by the usage in LangChain's message. Where the callback isn't told of
an end (a cancelled task), the planned call, `cut` or `forget` closes the hold.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from rheostat.calling import gate, instrument
from rheostat.calling.aio import install_aiohttp
from rheostat.calling.aws import install_botocore
from rheostat.calling.payer import Attempt, Payer, left, paying
from rheostat.calling.wire import WireRequest
from rheostat.flow import drive
from rheostat.money.usage import Spend
from rheostat.providers.bounds import Overhead, input_bound
from rheostat.providers.dial import Settings, reply_from

__all__ = ["UNWIRED", "forget"]

_PLANNED, _BEDROCK = "rheostat", "amazon_bedrock_converse_chat"
WIRED = {
    "openai-chat", "azure-openai-chat", "openai", "azure", "anthropic-chat", "anthropic-llm", "chat-deepseek",
    "xai-chat", "groq-chat", "chat-ollama", "ollama-llm", "chat-google-generative-ai", "google_gemini",
    "openrouter-chat", _BEDROCK,
}  # fmt: skip
"""`_llm_type` of the integrations whose requests the gate sees."""
_OVERHEAD = Overhead(request=224, message=48, tools=1024, image=12_000)
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


@dataclass(slots=True)
class _InFlight:
    attempt: Attempt
    payer: Payer
    settings: Settings
    thread: int
    told: list[UsageMetadata] = field(default_factory=list)
    """The usage of stream chunks that each report the input: running totals, which mustn't be added up."""


class _Unwired(BaseCallbackHandler):
    raise_error = True
    """A refusal must stop the call: by default LangChain only logs a callback's exceptions."""

    def __init__(self) -> None:
        self._in_flight: dict[UUID, _InFlight] = {}
        self._awaited: dict[UUID, Payer] = {}
        """Planned calls by run, whose requests the gate should see."""

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Hold for a text completion model. Its usage can't be read, so the whole hold stays charged."""
        self.on_chat_model_start(serialized, [[HumanMessage(prompt) for prompt in prompts]], run_id=run_id, **kwargs)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        params = kwargs.get("invocation_params") or {}
        kind = str(params.get("_type") or "")
        payer = paying()
        if payer is None or kind == _PLANNED:
            return
        if payer.gated and instrument.installed() and kind in WIRED:
            if kind == _BEDROCK:
                install_botocore()
            elif "google" in kind:
                install_aiohttp()  # aiohttp is imported with the first such model
            if payer.call is not None and payer.call.held is not None:
                self._awaited[run_id] = payer
            return
        held = payer.call is not None and payer.call.held is not None
        request = _asked(messages, params, metadata or {}, planned=held, kind=str((serialized or {}).get("name") or ""))
        self._in_flight[run_id] = self._admitted(request, payer)

    @staticmethod
    def _admitted(request: WireRequest, payer: Payer) -> _InFlight:
        attempt, _ = drive(gate.admit(request, payer))
        most = attempt.holds[0][1].amount
        settings = Settings({}, most.output_tokens, most.thinking_tokens or 0)
        return _InFlight(attempt, payer, settings, threading.get_ident())

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any) -> None:
        """Note the usage of a chunk: LangChain adds up the running totals that some servers repeat in each chunk."""
        flying = self._in_flight.get(run_id)
        usage = getattr(getattr(chunk, "message", None), "usage_metadata", None)
        if flying is not None and usage and usage["input_tokens"] > 0:
            flying.told.append(usage)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        flying, awaited = self._in_flight.pop(run_id, None), self._awaited.pop(run_id, None)
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        message = generation.message if isinstance(generation, ChatGeneration) else None
        cached = isinstance(message, AIMessage) and "total_cost" in (message.usage_metadata or {})
        if awaited is not None and awaited.call is not None and not (awaited.call.attempts or cached):
            # it answered without a request that a hook saw
            flying = self._admitted(_asked([[]], {}, {}, planned=True), awaited)
        if flying is None or flying.attempt.closed:
            return
        attempt = flying.attempt
        if cached:
            drive(gate.give_back(attempt))  # nothing was sent
            return
        if isinstance(message, AIMessage) and len(flying.told) > 1:
            message = message.model_copy(update={"usage_metadata": flying.told[-1]})
        reply = reply_from(message, flying.settings) if isinstance(message, AIMessage) else None
        if reply is None or reply.spend is None or _impossible(reply.spend, attempt):
            drive(gate.fail(attempt, None))
            return
        attempt.read, attempt.request_id = (reply.spend, reply.terms), reply.request_id
        if flying.payer.call is None or not flying.payer.call.refined:
            drive(gate.settle(attempt, reply.spend, reply.terms, reply.request_id))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._awaited.pop(run_id, None)
        flying = self._in_flight.pop(run_id, None)
        if flying is not None:
            drive(gate.fail(flying.attempt, error))
        refusal = instrument.refusal_in(error)
        if refusal is not None and refusal is not error and not isinstance(error, type(refusal)):
            raise refusal  # the SDK may have wrapped it

    def adopt(self, payer: Payer) -> None:
        """Give a call's hold back when the gate sees its request: one hold is enough."""
        for run_id, flying in reversed(list(self._in_flight.items())):
            if flying.payer.account == payer.account and flying.thread == threading.get_ident():
                drive(gate.give_back(flying.attempt))
                self._in_flight.pop(run_id, None)
                return

    def forget(self, account: str) -> None:
        """Mark as unknown the calls of a finished agent that never came back."""
        self._mark_unknown(lambda payer: payer.account == account)

    def cut(self, cut: Payer) -> None:
        """Mark as unknown the calls under a payer that was cut: callbacks aren't told of cancelled tasks."""
        self._mark_unknown(lambda payer: payer is cut)

    def _mark_unknown(self, whose: Callable[[Payer], bool]) -> None:
        for run_id, payer in list(self._awaited.items()):
            if whose(payer):
                self._awaited.pop(run_id, None)
        for run_id, flying in list(self._in_flight.items()):
            if whose(flying.payer) and self._in_flight.pop(run_id, None) is not None:
                drive(gate.fail(flying.attempt, asyncio.CancelledError()))


def _impossible(spend: Spend, attempt: Attempt) -> bool:
    """Whether the usage is more than the hold allows: LangChain's counts aren't a bill."""
    most = attempt.holds[0][1].amount if attempt.holds else spend
    return spend.input_tokens > 2 * most.input_tokens + 1_024 or spend.output_tokens > most.output_tokens + 1_024


def _asked(
    messages: list[list[BaseMessage]], params: dict[str, Any], said: dict[str, Any], *, planned: bool, kind: str = ""
) -> WireRequest:
    """The request as LangChain's objects describe it, which is trusted where there is no wire."""
    name = str(said.get("ls_model_name") or params.get("model") or params.get("model_name") or kind or "a model")
    most = next((int(params[n]) for n in _LENGTHS if params.get(n)), said.get("ls_max_tokens"))
    found = [] if planned else [input_bound(each, params, _OVERHEAD) for each in messages]
    unbounded = "" if all(each.tokens is not None for each in found) else "a file"
    answers = params.get("n") if isinstance(params.get("n"), int) else 1
    return WireRequest(
        provider=str(said.get("ls_provider") or ""),
        flavor="other",
        kind="billable",
        model=name,
        fake="fake" in str(params.get("_type") or ""),
        input_bytes=sum(each.tokens or 0 for each in found),
        unbounded=unbounded,
        most_output_tokens=most if isinstance(most, int) else None,
        answers=(answers or 1) * max(1, len(messages)),
    )


UNWIRED = _Unwired()
forget = UNWIRED.forget
_hook: ContextVar[BaseCallbackHandler | None] = ContextVar("rheostat_unwired", default=UNWIRED)
register_configure_hook(_hook, inheritable=True)
instrument.on_admitted.append(UNWIRED.adopt)
left.append(UNWIRED.cut)
