"""OpenAI's dial: `reasoning_effort`, or `reasoning.effort` on the Responses API; thinking is within the length cap.

Sources (read November 2026): the docstrings of openai 3.54 and langchain-openai 1.7. The two parameters together raise
an error, so the chat model's own route decides which is sent. `LEVELS` corrects errors in the profiles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages

from rheostat.flow import Effect
from rheostat.money.pricing import Terms
from rheostat.providers.adapter import Adapter, is_kind, tell_replaced
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Dial, Messages, Reply, Settings, Step
from rheostat.providers.hosted import HostedDial, profile_levels, takes_effort, with_margin
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.difficulty import THOUGHT_WITH

if TYPE_CHECKING:
    from langchain_openai.chat_models.base import BaseChatOpenAI

__all__ = ["LEVELS", "OpenAI", "OpenAIDial", "OpenAIFamily", "Row", "configuration_update", "has_dial", "steered"]

_UNLISTED = (Effort.low, Effort.medium, Effort.high)
"""The levels of a model whose profile lists none: those of every reasoning model."""
_LEAST_OUTPUT_TOKENS = 16
"""The minimum of `max_output_tokens` on the Responses API."""
_REASONING_EFFORT = (
    "learn.microsoft.com/en-us/javascript/api/@azure/ai-projects/reasoningeffort (the API's own docstring)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Levels that the model profiles of langchain-openai 1.7.3 don't list, or list wrongly."""

    models: tuple[str, ...]
    """Names without their date; the first row that matches counts."""
    levels: tuple[Effort, ...]
    source: str = _REASONING_EFFORT


LEVELS = (
    Row(models=("gpt-5-pro",), levels=(Effort.high,)),  # "defaults to (and only supports) high"
    Row(models=("gpt-5-codex",), levels=_UNLISTED),  # "all models before gpt-5.1 … do not support none"
    Row(
        models=("gpt-5-chat-latest", "gpt-5.1-chat-latest", "gpt-5.2-chat-latest"),
        levels=(),
        source="github.com/chatgpt-web-dev/chatgpt-web/pull/662: they refuse the parameter",
    ),
    Row(models=("gpt-5.1", "gpt-5.1-codex", "gpt-5.1-codex-mini"), levels=(Effort.none, *_UNLISTED)),
)
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def _row(model: str) -> Row | None:
    undated = _DATED.sub("", model)
    return next((row for row in LEVELS if undated in row.models), None)


def has_dial(chat: BaseChatModel) -> bool:
    """Whether the thinking of an OpenAI model can be set."""
    row = _row(str(getattr(chat, "model_name", "")))
    return row is None or bool(row.levels)


class OpenAIDial(HostedDial):
    """The dial of the GPT and o-series reasoning models."""

    overhead = Overhead(request=224, message=48, tools=256, image=12_000)
    """An image in its original size has at most 10,000 patches (openai 3.54, `detail`)."""

    def __init__(self, name: str, chat: BaseChatModel, *, strict: bool = False) -> None:
        self._responses = uses_responses(chat)
        steerable = self._responses and str(getattr(chat, "model_name", "")).startswith("gpt-6")
        self.steer = steered if steerable else None
        self._chat = chat
        self._own = dict(getattr(chat, "reasoning", None) or {})
        self._service_tier = str(getattr(chat, "service_tier", None) or "")
        self._most_output_tokens = (chat.profile or {}).get("max_output_tokens")
        row = _row(str(getattr(chat, "model_name", name)))
        super().__init__(name, profile_levels(chat, _UNLISTED, row.levels if row else None), strict=strict)

    def encode(
        self, plan: ThinkingPlan, phase: str, *, temperature: float | None, schema: Any | None, step: Step = FRESH
    ) -> Settings:
        notes: list[str] = []
        effort = plan.effort
        kwargs = self.schema_kwargs(schema)
        if self._responses:
            kwargs["reasoning"] = {**self._own, "effort": effort.value}
        else:
            kwargs["reasoning_effort"] = effort.value
        if temperature is not None:
            notes.append("temperature not sent: reasoning models refuse it or fix it")
        if not self._service_tier:  # else the project's settings choose a tier, whose price isn't known here
            kwargs["service_tier"] = "default"
        if step.task_tokens is not None:
            notes.append("no task budget sent: the API has none; our own cap holds")
        most = self.clamp(plan.thinking_tokens, plan.answer_tokens, notes)
        if self._responses and most < _LEAST_OUTPUT_TOKENS:
            notes.append(f"{most} tokens of output are below the API's least: {_LEAST_OUTPUT_TOKENS}")
            most = _LEAST_OUTPUT_TOKENS
        kwargs["max_tokens" if self._responses else "max_completion_tokens"] = most
        tier = {"fast": "priority"}.get(self._service_tier, self._service_tier) or "default"
        thought = most if plan.thinking_tokens else 0
        return Settings(kwargs, most, thought, Terms(service_tier=tier), tuple(notes))

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        """Count by `/v1/responses/input_tokens`, which is free. Chat Completions has no count of its own."""
        if not self._responses:
            return None
        chat: Any = self._chat
        named = ("model", "input", "instructions", "tools", "text", "reasoning", "tool_choice")

        def asked() -> dict[str, Any]:
            payload = chat._get_request_payload(convert_to_messages(list(messages)), **settings.kwargs)
            return {name: payload[name] for name in named if name in payload}

        def do() -> int:
            return with_margin(chat.root_client.responses.input_tokens.count(**asked()).input_tokens)

        async def ado() -> int:
            return with_margin((await chat.root_async_client.responses.input_tokens.count(**asked())).input_tokens)

        return Effect(do, ado)

    def decode(self, message: AIMessage, settings: Settings, phase: str, sent: Messages = ()) -> Reply:
        reply = super().decode(message, settings, phase)
        blocks = message.content if isinstance(message.content, list) else []  # LangChain drops `tool_usage`
        searches = sum(1 for block in blocks if isinstance(block, dict) and block.get("type") == "web_search_call")
        return reply.billed(web_searches=searches)


def steered(messages: Sequence[BaseMessage], effort: Effort) -> tuple[list[BaseMessage], Effort]:
    """The conversation with its changes of effort inside it, and the effort that it began with: keeps the prompt cache.

    A change in the middle of a tool loop has no user message to stand in; then nothing is changed.

    Args:
        messages: The conversation, with the effort of each reply in its metadata.
        effort: The effort of the next reply.
    """
    sent = list(messages)
    base = current = None
    spoke: int | None = None
    said = [(number, _stamped(message)) for number, message in enumerate(messages)]
    for number, level in [*said, (len(messages), effort)]:
        if number < len(messages) and isinstance(messages[number], HumanMessage):
            spoke = number
        if level is None:
            continue
        if base is not None and level != current:
            if spoke is None:
                return list(messages), effort
            sent[spoke] = _with_update(sent[spoke], level)
        base, current, spoke = base or level, level, None
    return sent, base or effort


def _stamped(message: BaseMessage) -> Effort | None:
    stamp = message.response_metadata.get(THOUGHT_WITH) if isinstance(message, AIMessage) else None
    level = stamp.get("effort") if isinstance(stamp, dict) else None
    return Effort(str(level)) if level in Effort.__members__ else None


def _with_update(message: BaseMessage, effort: Effort) -> BaseMessage:
    content = message.content
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return message.model_copy(update={"content": [configuration_update(effort), *blocks]})


def uses_responses(chat: BaseChatModel) -> bool:
    """Whether a `ChatOpenAI` uses the Responses API."""
    return bool(getattr(chat, "use_responses_api", False) or getattr(chat, "reasoning", None))


def configuration_update(effort: Effort) -> dict[str, Any]:
    """A content block that, on GPT-6, changes the effort from its message on and keeps the prompt cache.

    Source: `ChatOpenAI.reasoning_effort` of langchain-openai 1.7.3.
    """
    return {"type": "configuration_update", "reasoning": {"effort": effort.value}}


def _of_family(chat: BaseChatModel) -> bool:
    return is_kind(chat, "langchain_openai.chat_models.base", "BaseChatOpenAI")


def _is_own(chat: BaseChatModel) -> bool:
    return is_kind(chat, "langchain_openai.chat_models.base", "ChatOpenAI")


def _once(chat: BaseChatOpenAI) -> BaseChatOpenAI:
    if chat.root_client is None:
        return chat
    sync, asynchronous = (client.with_options(max_retries=0) for client in (chat.root_client, chat.root_async_client))
    own = {name: getattr(chat, name) for name in ("reasoning_effort",) if getattr(chat, name) is not None}
    if (chat.reasoning or {}).get("effort") is not None:
        own["reasoning"] = {"effort": (chat.reasoning or {})["effort"]}
    tell_replaced(chat, own, stacklevel=6)
    rest = {name: value for name, value in (chat.reasoning or {}).items() if name != "effort"}
    return chat.model_copy(
        update={
            "max_retries": 0,
            "reasoning_effort": None,
            "reasoning": rest or None,
            "use_responses_api": True if chat.reasoning is not None else chat.use_responses_api,
            # a stream is settled from its last chunk: it must be asked for, unless the caller knows better
            "stream_usage": chat.stream_usage if "stream_usage" in chat.model_fields_set else True,
            "root_client": sync,
            "client": sync.chat.completions,
            "root_async_client": asynchronous,
            "async_client": asynchronous.chat.completions,
        }
    )


def _bare(chat: BaseChatOpenAI) -> BaseChatOpenAI:
    update: dict[str, Any] = {}
    if chat.reasoning_effort is not None:
        update["reasoning_effort"] = None
    if (chat.reasoning or {}).get("effort") is not None:
        rest = {name: value for name, value in (chat.reasoning or {}).items() if name != "effort"}
        update.update(reasoning=rest or None, use_responses_api=True)
    return chat.model_copy(update=update) if update else chat


class OpenAIFamily(Adapter):
    """Chat models on langchain-openai's base class, be they OpenAI's or those of a server with the same API."""

    takes_timeout = True

    def once(self, chat: BaseChatModel) -> BaseChatModel:
        return _once(chat) if _of_family(chat) else chat  # type: ignore[arg-type] # it is one

    def bare(self, chat: BaseChatModel) -> BaseChatModel:
        return _bare(chat) if _of_family(chat) else chat  # type: ignore[arg-type] # it is one


class OpenAI(OpenAIFamily):
    """`ChatOpenAI`, at OpenAI's own address or at another's."""

    spec = "openai"

    def claims(self, chat: BaseChatModel) -> bool:
        return _of_family(chat)

    def build(self, model: str) -> BaseChatModel:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=model, timeout=600)

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        # behind a gateway the name still tells whose model it is, and how it is set; only its price is the gateway's
        openais = _is_own(chat) and (provider or self.price_list(chat) or (chat.profile and "openai")) == "openai"
        if openais and takes_effort(chat) and has_dial(chat):
            return OpenAIDial(name, chat, strict=strict)
        return super().dial(chat, name, provider=provider, strict=strict, live=live)

    def price_list(self, chat: BaseChatModel) -> str | None:
        """An address of another's has prices that the list doesn't know."""
        client = getattr(chat, "root_client", None)  # it knows of OPENAI_BASE_URL too
        address = getattr(client, "base_url", None) or getattr(chat, "openai_api_base", None) or "api.openai.com"
        own = _is_own(chat) and "api.openai.com" in str(address)
        return "openai" if own else None
