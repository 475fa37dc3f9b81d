"""A step that the agent's own model object sends: plan and hold, let it be sent, read the reply.

Middleware and nodes work this way: they send with the user's model object, and the gate sees each request leave.
Callbacks, streams, tags and `isinstance` stay as they are, and each of the SDK's own retries is held.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable

from rheostat.calling.instrument import refusal_in
from rheostat.calling.payer import Call, Payer, paid_by
from rheostat.calling.ready import ReadyStep
from rheostat.calling.step import Listener, Stepper
from rheostat.errors import BudgetExceeded, HoldExceeded
from rheostat.flow import Effect, Flow
from rheostat.providers import Reply, failure
from rheostat.providers.dial import Phase
from rheostat.providers.failures import noted
from rheostat.providers.generic import accepted
from rheostat.providers.registry import adapter_of
from rheostat.task import AskedEffort

__all__ = ["Sending", "guided_step"]

_BOUND_ANEW = ("tools", "tool_choice", "response_format", "strict", "parallel_tool_calls")
"""Arguments that LangChain itself binds, from the request."""
_UNSTREAMED_TOKENS = 20_000
"""A length cap above which Anthropic's SDK requires a time limit or a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One request of a planned step, ready to be sent."""

    model: BaseChatModel
    """The user's own model, or another that took over."""
    messages: list[BaseMessage]
    settings: dict[str, Any]
    """Keyword arguments for `bind`."""
    tool_choice: Any
    """The plan's change to it; `None`: no change."""
    alone: bool
    """A think-first request: without tools and schema, and not shown to the user."""
    last_word: bool

    def runnable(self, tools: Sequence[Any] = ()) -> Runnable[Any, AIMessage]:
        """The model with the plan's settings, and these tools as LangChain binds them."""
        if not tools or self.alone:
            return self.model.bind(**self.settings)
        choice = {} if self.tool_choice is None else {"tool_choice": self.tool_choice}
        return self.model.bind_tools(tools, **choice, **self.settings)


def guided_step(
    stepper: Stepper,
    payer: Payer,
    chat: BaseChatModel,
    messages: Sequence[BaseMessage],
    kwargs: dict[str, Any],
    effort: AskedEffort,
    listener: Listener,
    send: Callable[[Sending], Effect],
    reply_of: Callable[[Any], AIMessage | None],
) -> Flow[tuple[Any, AIMessage | None]]:
    """Plan one step and let it be sent, request by request.

    Args:
        kwargs: The arguments that LangChain will bind to the model: tools, tool_choice, the user's settings.
        send: Sends one request and returns the caller's result.
        reply_of: Finds the model's message in that result.

    Returns:
        The last result of `send`, and the message in it with its stamp in the metadata (`None`: the result has no
        model message).

    Raises:
        BudgetExceeded: not even the last word fits; nothing was sent.
        Exception: as `send` raised it. A refusal that an SDK wrapped is raised as itself.
    """
    beside, revived, smaller = 0, False, False
    wider: ReadyStep | None = None
    calls: list[Call]
    while True:
        ready = wider or (
            yield from stepper.ready(
                payer.account, messages, kwargs, effort=effort, listener=listener, beside_tokens=beside, standing=True
            )
        )
        wider, calls = None, []
        try:
            result, message, reply = yield from _sent(stepper, payer, chat, ready, listener, send, reply_of, calls)
            if reply is not None:
                wider = yield from stepper.wider(ready, reply)
            if wider is None:
                return result, message
        except BudgetExceeded as refused:
            # another middleware's settings made the request larger than planned: plan once more with that
            more = max((call.beyond_tokens for call in calls), default=0)
            sent = any(call.attempts for call in calls)
            if sent and not smaller and refused.limit != "seconds" and not isinstance(refused, HoldExceeded):
                smaller = True  # it failed, and the client's own retry of the same body no longer fits
                continue
            if beside or not more or refused.limit == "seconds" or sent:
                raise
            beside = more
        except Exception as error:
            revive = ready.endpoint.revive
            if revive is None or revived or failure(error) == "refused":
                raise
            revived = yield Effect(revive, functools.partial(asyncio.to_thread, revive))
            if not revived:
                raise
        finally:
            yield from stepper.give_back(ready)


def _sent(
    stepper: Stepper,
    payer: Payer,
    chat: BaseChatModel,
    ready: ReadyStep,
    listener: Listener,
    send: Callable[[Sending], Effect],
    reply_of: Callable[[Any], AIMessage | None],
    calls: list[Call],
) -> Flow[tuple[Any, AIMessage | None, Reply | None]]:
    meter = stepper.meter
    result: Any = None
    reply: Reply | None = None
    model = chat if ready.endpoint is stepper.models[0] else ready.endpoint.own
    model = adapter_of(model).bare(model)
    for phase, settings in ready.phases:
        if phase == "answer" and reply is not None and not reply.empty:
            break
        sent = ready.sent(phase)
        held = ready.held.pop(0)
        call = meter.planned(
            ready.endpoint, held, ready.note, ready.about(phase), ready.reread(phase), alone=not ready.held, asked=sent
        )
        calls.append(call)
        try:
            with paid_by(_for(payer, call)):
                result = yield send(_sending(model, phase, ready, settings.kwargs, sent))
        except BaseException as error:
            yield from meter.close(call, error=error)
            refusal = refusal_in(error)
            if refusal is not None and refusal is not error:
                raise refusal from None
            noted(error, model)
            raise
        message = reply_of(result)
        if message is None or not call.attempts:  # another middleware answered, or a cache did
            yield from meter.close(call)
            return result, message, None
        reply = yield from meter.read(ready.endpoint, call, message, sent, settings, phase)
        ready.thought = reply.thought or ready.thought
        if phase == "think":
            listener("thought", text=reply.thought)
            reply = None
    if reply is None:
        raise AssertionError("a step has at least one request")
    return result, stepper.finish(ready, reply, listener), reply


def _for(payer: Payer, call: Call) -> Payer:
    return replace(payer, call=call)


def _sending(
    model: BaseChatModel, phase: Phase, ready: ReadyStep, settings: dict[str, Any], sent: list[BaseMessage]
) -> Sending:
    alone = phase == "think"
    if alone:
        model = model.model_copy(update={"tags": [*(model.tags or []), "nostream"]})
    kwargs = {name: value for name, value in settings.items() if alone or name not in _BOUND_ANEW}
    kwargs = accepted(model, kwargs)
    most = max((kwargs.get(name) or 0 for name in ("max_tokens", "max_completion_tokens")), default=0)
    if most > _UNSTREAMED_TOKENS and getattr(model, "default_request_timeout", 0) is None:
        kwargs.setdefault("timeout", 600.0)
    return Sending(
        model=model,
        messages=sent,
        settings=kwargs,
        tool_choice=settings.get("tool_choice"),
        alone=alone,
        last_word=ready.last_word,
    )
