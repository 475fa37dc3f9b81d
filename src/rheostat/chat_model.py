"""`ThinkingChatModel`: any chat model with a dial, a ledger and an estimate inside.

It is for code that takes a chat model and can't be changed. Tools, structured output, streams, batches and async work
as in the wrapped model.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableMap, RunnableSequence
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field

from rheostat.calling import stream as streams
from rheostat.calling.chunks import piece
from rheostat.calling.instrument import refusal_in
from rheostat.calling.payer import Call
from rheostat.calling.ready import ReadyStep
from rheostat.calling.step import Stepper
from rheostat.calling.waits import pause
from rheostat.calling.watch import Work, begin, doing, end, inside
from rheostat.errors import BadInput, SettingWarning
from rheostat.flow import Flow, adrive, drive
from rheostat.models import models_of, resolve
from rheostat.money.ledger import Account, Ledger, Reading, Reservation
from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Phase
from rheostat.providers.failures import noted
from rheostat.providers.generic import accepted
from rheostat.thinking.difficulty import THOUGHT_WITH

__all__ = ["ThinkingChatModel", "instead_of"]


@dataclass(slots=True)
class _Stream:
    """A stream that is open."""

    ready: ReadyStep
    call: Call
    chunks: Any
    first: Any
    phase: Phase
    settings: Settings
    work: Work | None


class ThinkingChatModel(BaseChatModel):
    """Adaptive thinking under a hard budget, as a chat model.

    >>> model = ThinkingChatModel(model=ChatOpenAI(model="gpt-5.1"), budget=Budget(usd="1"))  # doctest: +SKIP

    Args:
        model: A chat model or its name (see `resolve`).
        budget: Hard limits for all calls of this object together, over its whole life.
        effort: A preset (`fast`, `balanced`, `thorough`) or a fixed level.
        escalate_to: Other models, which take over when an agent's tools keep failing.
        ledger: Keeps the spend; by default in this process's memory.
        account: An account above, open in this ledger; its limits bind as well.
        caps: The operator's caps; `answer_tokens` is the most tokens of an answer.

    Raises:
        BadInput, NoPrice, ModelUnknown: an argument is invalid.
        BudgetExceeded: a call no longer fits, and was not sent.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Any = Field(exclude=True)
    budget: Any = Field(exclude=True)
    effort: str = "balanced"
    escalate_to: Any = Field(default=(), exclude=True)
    ledger: Any = Field(default=None, exclude=True)
    account: str | None = None
    caps: Any = Field(default=None, exclude=True)
    policy: Any = Field(default=None, exclude=True)
    pacing: Any = Field(default=None, exclude=True)
    on_contention: Any = "wait"
    """Where room is only held by requests in flight: `wait` for it, or `refuse`."""
    gate: bool = True
    """Read requests where they leave. False, where that is forbidden: LangChain's objects are trusted."""

    stepper: Any = Field(default=None, exclude=True, repr=False)
    account_id: str = ""
    """The account that pays; open in the ledger."""

    def __init__(self, **fields: Any) -> None:
        """Build the model and open its account; nothing is spent."""
        unknown = set(fields) - set(type(self).model_fields)
        if strange := unknown - _STANDARD:
            raise BadInput(f"ThinkingChatModel has no {', '.join(sorted(strange))}")
        if unknown:
            said = f"{', '.join(sorted(unknown))} belong to the model within: give them to it; here they do nothing"
            warnings.warn(said, SettingWarning, stacklevel=2)
        super().__init__(**fields)
        self.stepper = Stepper.read(
            budget=self.budget,
            models=self._resolved,
            effort=self.effort,
            ledger=self.ledger,
            account=self.account,
            on_contention=self.on_contention,
            gate=self.gate,
            caps=self.caps,
            policy=self.policy,
            pacing=self.pacing,
        )
        ledger: Ledger = self.stepper.meter.ledger
        self.ledger = ledger
        self.account_id = f"model/{uuid.uuid4().hex}"
        ledger.open(Account(self.account_id, self.budget, self.account))
        if self.profile is None:
            self.profile = self.endpoint.chat.profile

    def _resolved(self) -> list[Endpoint]:
        return [resolve(one) for one in (self.model, *models_of(self.escalate_to))]

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of the wrapped model."""
        return self._stepper().models[0]

    @property
    def spend(self) -> Reading:
        """The reading of its account: the cost of its calls so far."""
        ledger: Ledger = self.ledger
        return ledger.reading(self.account_id)

    @property
    def _llm_type(self) -> str:
        return "rheostat"

    @property
    def model_name(self) -> str:
        """The name of the wrapped model, which integrations look at."""
        chat = self._stepper().models[0].chat
        return str(getattr(chat, "model_name", None) or getattr(chat, "model", None) or self._stepper().models[0].name)

    def _stepper(self) -> Stepper:
        stepper: Stepper = self.stepper
        return stepper

    def _ready(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> Flow[ReadyStep]:
        asked = {**kwargs, **({"stop": stop} if stop else {})}
        return (yield from self._stepper().ready(self.account_id, messages, asked))

    def _step(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> Flow[ChatResult]:
        with doing("step", "step", account=self.account_id):
            ready = yield from self._ready(messages, stop, kwargs)
            message = yield from self._stepper().step(self.account_id, ready)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return drive(self._step(messages, stop, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await adrive(self._step(messages, stop, kwargs))

    # --- streams --------------------------------------------------------------------------------------

    def _should_stream(self, **how: Any) -> bool:
        """Stream only if the wrapped model does; a whole reply stays one chunk."""
        return super()._should_stream(**how) and self._stepper().models[0].own._should_stream(**how)

    def _opened(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> Flow[_Stream]:
        """Plan, think first if that takes a request of its own, and open the stream; retry if that fails."""
        work = begin("step", "step", account=self.account_id)
        try:
            with inside(work):
                return (yield from self._open(messages, stop, kwargs, work))
        except BaseException as error:
            end(work, error)
            raise

    def _open(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any], work: Work | None
    ) -> Flow[_Stream]:
        ready = yield from self._ready(messages, stop, kwargs)
        stepper = self._stepper()
        meter, account = stepper.meter, self.account_id
        [(phase, settings), *_] = yield from stepper.before_last(account, ready)
        held, sent, attempt = ready.held.pop(0), ready.sent(phase), 1
        while True:
            call = meter.planned(ready.endpoint, held, ready.note, ready.about(phase), ready.reread(phase), asked=sent)
            payer = meter.payer(account, call)
            try:
                chunks, first = yield streams.opening(
                    ready.endpoint.chat, sent, accepted(ready.endpoint.chat, settings.kwargs), payer
                )
                return _Stream(ready, call, chunks, first, phase, settings, work)
            except BaseException as error:
                yield from meter.close(call, error=error)
                try:
                    [held] = yield from self._again(error, attempt, held, ready)
                except BaseException:
                    yield from stepper.give_back(ready)
                    raise
                attempt += 1

    def _again(
        self, error: BaseException, attempt: int, held: Reservation, ready: ReadyStep
    ) -> Flow[list[Reservation]]:
        """Wait, and hold for another attempt.

        Raises:
            BaseException: the same error, or the refusal behind it, if there may be no other attempt.
        """
        meter, refusal = self._stepper().meter, refusal_in(error)
        if refusal is not None or not isinstance(error, Exception):
            raise refusal or error
        noted(error, ready.endpoint.chat)
        seconds = meter.again_after_seconds(error, attempt)
        left = yield from meter.room(self.account_id)
        if seconds is None or (left.seconds is not None and seconds >= left.seconds):
            raise error
        yield pause(seconds)
        again = yield from meter.hold(self.account_id, [held.amount], ready.note, alone=not ready.held)
        return again

    def _left(self, stream: _Stream, error: BaseException) -> Flow[None]:
        """Close a stream that wasn't read to its end; the gate charges for what had come."""
        yield from self._stepper().meter.close(stream.call, error=error)
        yield from self._stepper().give_back(stream.ready)
        end(stream.work, error)

    def _end(self, stream: _Stream, full: AIMessageChunk | None) -> Flow[ChatGenerationChunk]:
        """Settle a stream that has ended, and ask for the answer if only a thought came.

        The last chunk carries the stamp of the step.
        """
        with inside(stream.work):
            last = yield from self._ended(stream, full)
        end(stream.work)
        return last

    def _ended(self, stream: _Stream, full: AIMessageChunk | None) -> Flow[ChatGenerationChunk]:
        stepper, ready = self._stepper(), stream.ready
        number = next(number for number, (_, each) in enumerate(ready.phases) if each is stream.settings)
        try:
            message = streams.whole(full, ready)
            last = AIMessageChunk(content="", id=message.id, chunk_position="last")
            reply = yield from stepper.meter.read(
                ready.endpoint, stream.call, message, ready.sent(stream.phase), stream.settings, stream.phase
            )
            if reply.empty and number + 1 < len(ready.phases):
                ready.thought = reply.thought or ready.thought
                reply = yield from stepper.call(self.account_id, ready, *ready.phases[number + 1])
                last = streams.as_chunk(stepper.finish(ready, reply), last)
        except BaseException as error:
            yield from self._left(stream, error)
            raise
        yield from stepper.give_back(ready)
        stamp = stepper.finish(ready, reply).response_metadata[THOUGHT_WITH]
        wider = yield from stepper.wider(ready, reply)
        if wider is not None:
            answer = yield from stepper.step(self.account_id, wider)
            stamp, last = answer.response_metadata[THOUGHT_WITH], streams.as_chunk(answer, last)
        last.response_metadata = {**last.response_metadata, THOUGHT_WITH: stamp}
        return ChatGenerationChunk(message=last)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        stream = drive(self._opened(messages, stop, kwargs))
        full: AIMessageChunk | None = None
        try:
            chunk = stream.first
            while chunk is not None:
                chunk = piece(chunk)
                full = chunk if full is None else full + chunk
                yield streams.told(streams.shown(chunk, stream.ready), run_manager)
                chunk = next(stream.chunks, None)
        except BaseException as error:  # also if the consumer leaves: what was sent may be billed
            drive(self._left(stream, error))
            raise refusal_in(error) or error from None
        yield drive(self._end(stream, full))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        stream = await adrive(self._opened(messages, stop, kwargs))
        full: AIMessageChunk | None = None
        try:
            chunk = stream.first
            while chunk is not None:
                chunk = piece(chunk)
                full = chunk if full is None else full + chunk
                generation = ChatGenerationChunk(message=streams.shown(chunk, stream.ready))
                if run_manager is not None:
                    await run_manager.on_llm_new_token(generation.text, chunk=generation)
                yield generation
                chunk = await anext(stream.chunks, None)
        except BaseException as error:
            await adrive(self._left(stream, error))
            raise refusal_in(error) or error from None
        yield await adrive(self._end(stream, full))

    # --- tools and structured output -----------------------------------------------------------------------

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools as the wrapped model binds them."""
        stepper = self._stepper()
        first, *others = stepper.models
        bound = first.chat.bind_tools(tools, **kwargs)
        if isinstance(bound, BaseChatModel):  # a fake that keeps or drops its tools
            within = replace(stepper, models=[replace(first, chat=bound, given=bound), *others])
            return self.model_copy(update={"stepper": within})
        if not isinstance(bound, RunnableBinding):
            raise BadInput(f"{self.model_name} binds tools in a way that can't be budgeted: {type(bound)}")
        return self.bind(**bound.kwargs)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Structured output as the wrapped model gives it: by a tool, or by its provider's own means."""
        chat = self._stepper().models[0].chat
        return instead_of(chat.with_structured_output(schema, **kwargs), chat, self)


def instead_of(runnable: Runnable[Any, Any], chat: BaseChatModel, other: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The same runnable, such as a structured output, with another model in the place of this one.

    Raises:
        BadInput: it contains a copy of the model.
    """
    if runnable is chat:
        return other
    if isinstance(runnable, RunnableBinding):
        return runnable.model_copy(update={"bound": instead_of(runnable.bound, chat, other)})
    if isinstance(runnable, RunnableSequence):
        first, *rest = runnable.steps
        return RunnableSequence(instead_of(first, chat, other), *rest)
    if isinstance(runnable, RunnableMap) and "raw" in runnable.steps__:
        return RunnableMap({**runnable.steps__, "raw": instead_of(runnable.steps__["raw"], chat, other)})
    if isinstance(runnable, BaseChatModel):
        raise BadInput(f"{type(chat).__name__} structures output through a copy of itself, which can't be metered")
    return runnable


_STANDARD = {"api_key", "max_retries", "max_tokens", "stop", "streaming", "temperature", "timeout"}
"""LangChain's standard parameters of a chat model."""
