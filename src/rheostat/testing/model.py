"""A scripted chat model that counts the tokens it bills."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr

from rheostat.money.pricing import FREE, declare_price
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, endpoint_for
from rheostat.providers.adapter import model_of

__all__ = ["Said", "ScriptedModel", "free", "scripted"]

ChatT = TypeVar("ChatT", bound=BaseChatModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One reply of a `ScriptedModel`."""

    text: str = ""
    tool_calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(tool, arguments) of each call; several are parallel calls."""
    input_tokens: int = 10
    output_tokens: int | None = None
    """`None`: one for each word."""
    usage: bool = True
    """`False`: the reply has no usage, as from a stream that was cut."""
    stop: str = "stop"
    error: BaseException | None = None
    """Raised instead of replying."""
    wait: Callable[[], None] | None = None
    """Called before the reply, to block, kill, or do whatever the test needs."""


Script: TypeAlias = Sequence[Said | str] | Callable[[list[BaseMessage], dict[str, Any]], Said | str]


class ScriptedModel(BaseChatModel):
    """A chat model with scripted replies, which counts the tokens it bills and observes `max_tokens`.

    `script` is a list of replies (the last one repeats), or a function of the messages and the call's arguments.
    `billed` is the truth that a test compares a ledger with.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    script: Any
    model: str = "scripted"
    calls: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)
    _billed: Spend = PrivateAttr(default_factory=Spend)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def billed(self) -> Spend:
        """All tokens that this model has ever billed, whatever happened to the replies."""
        return self._billed

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools in OpenAI's format."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._lock:
            number = len(self.calls)
            self.calls.append((messages, kwargs))
            said = (
                self.script(messages, kwargs)
                if callable(self.script)
                else self.script[min(number, len(self.script) - 1)]
            )
        said = Said(text=said) if isinstance(said, str) else said
        if said.wait is not None:
            said.wait()
        if said.error is not None:
            raise said.error
        most = kwargs.get("max_tokens")
        words = said.text.split(" ")
        cut = most is not None and len(words) > most
        text = " ".join(words[:most]) if cut else said.text
        output = said.output_tokens if said.output_tokens is not None else len(text.split())
        with self._lock:
            self._billed = self._billed + Spend(input_tokens=said.input_tokens, output_tokens=output, calls=1)
        message = AIMessage(
            content=text,
            tool_calls=[
                {"name": name, "args": arguments, "id": f"call_{number}_{index}", "type": "tool_call"}
                for index, (name, arguments) in enumerate(said.tool_calls)
            ],
            usage_metadata=UsageMetadata(
                input_tokens=said.input_tokens, output_tokens=output, total_tokens=said.input_tokens + output
            )
            if said.usage
            else None,
            response_metadata={"finish_reason": "length" if cut else said.stop},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def free(model: ChatT) -> ChatT:
    """Declare that a fake costs nothing, so that it can run under a budget in money, and return the same object.

    >>> agent = create_agent(free(GenericFakeChatModel(messages=…)), middleware=[AdaptiveThinking(…)])  # doctest: +SKIP
    """
    declare_price(model_of(model), FREE)
    return model


def scripted(*script: Said | str, **kwargs: Any) -> tuple[Endpoint, ScriptedModel]:
    """An endpoint with a scripted model, and the model itself, which has the truth in `billed`."""
    model = ScriptedModel(script=list(script), **kwargs)
    return endpoint_for(model), model
