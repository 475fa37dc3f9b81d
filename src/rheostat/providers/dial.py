"""Dials, which translate between thinking plans and one provider's settings and replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from rheostat.flow import Effect
from rheostat.money.pricing import LIST, Price, Terms
from rheostat.money.usage import Spend
from rheostat.providers.bounds import Overhead
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.model_facts import ModelFacts

__all__ = [
    "FRESH", "STOPS", "Dial", "Endpoint", "Messages", "Phase", "Reply", "Settings", "Steer", "Step", "Stop",
    "reply_from",
]  # fmt: skip

Messages: TypeAlias = Sequence[dict[str, Any] | BaseMessage]
"""Messages as plain data (role and content), or LangChain's messages."""

Phase: TypeAlias = Literal["whole", "think", "answer"]
"""`whole`: thought and answer in one request; `think`: a scratchpad alone; `answer`: the answer after a thought."""


Stop: TypeAlias = Literal["end", "length", "context", "tool", "refusal", "pause", "filter"]
"""Why a reply ended: by itself, at its length cap, at the end of the context, to call a tool, because the model
refused, in the middle of the provider's own tools (send it back to go on), or by a content filter."""

STOPS: dict[str, Stop] = {
    "stop": "end", "end_turn": "end", "stop_sequence": "end", "completed": "end",
    "length": "length", "max_tokens": "length", "max_output_tokens": "length", "incomplete": "length",
    "model_context_window_exceeded": "context",
    "tool_calls": "tool", "tool_use": "tool", "function_call": "tool",
    "refusal": "refusal", "pause_turn": "pause", "content_filter": "filter",
}  # fmt: skip
"""The reason by each provider's name for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A plan as the settings of one request."""

    kwargs: dict[str, Any]
    """Keyword arguments of the chat model's `invoke`."""
    max_output_tokens: int
    """The length cap of the reply."""
    max_thinking_tokens: int
    """The most thinking tokens within the length cap."""
    terms: Terms = LIST
    """The most expensive terms on which the request can be billed."""
    notes: tuple[str, ...] = ()
    """The changes to the plan and their reasons; nothing is dropped silently."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as the dial read it."""

    text: str
    """The answer; empty if the model gave none."""
    thought: str
    """The visible part of the thought."""
    spend: Spend | None
    """Tokens by kind and one call, not yet priced; `None`: the provider didn't report it."""
    cut: bool
    """A length cap, or the end of the context, stopped it."""
    terms: Terms = LIST
    """The terms on which it was billed."""
    request_id: str = ""
    """The provider's id of the request, by which a usage export is matched."""
    stop: Stop = "end"
    """Why it ended."""
    message: AIMessage | None = None
    """The message as received."""

    @property
    def starved(self) -> bool:
        """Whether the tokens ran out in the thought; the same call again would only cost the same again."""
        return self.cut and not self.text

    @property
    def empty(self) -> bool:
        """Whether there is neither an answer nor a tool call."""
        return not self.text and not (self.message and self.message.tool_calls)

    @property
    def ran_out(self) -> bool:
        """Whether it reached its length cap before it said or did anything: in its thought or within a tool call."""
        calls = self.message.tool_calls if self.message else []
        broken = self.message.invalid_tool_calls if self.message else []
        return self.cut and not calls and (not self.text or bool(broken))

    def billed(self, **terms: Any) -> Reply:
        """The same reply with further terms on which it was billed."""
        return replace(self, terms=replace(self.terms, **terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The place of a request in a conversation, on which providers' rules depend."""

    loop: Literal["", "thinking", "direct"] = ""
    """Within a tool loop that began with thinking, or directly without; empty: not in a tool loop."""
    forced_tool: bool = False
    """The model must call a tool (`tool_choice` any, required, or a name)."""
    task_tokens: int | None = None
    """The tokens left for the whole task, for models that pace themselves by them. Advisory; our own cap holds."""


FRESH = Step()
"""A request that continues nothing: a new question, or a new turn of the user."""


Steer: TypeAlias = Callable[[Sequence[BaseMessage], Effort], tuple[list[BaseMessage], Effort]]
"""(conversation, wanted effort) → the conversation with its changes of effort inside it, and the effort to send."""


class Dial(Protocol):
    """The translation between thinking plans and one provider's settings and replies."""

    facts: ModelFacts

    @property
    def example(self) -> Callable[[str, str], str] | None:
        """Writes (thought, answer) in the model's format, for examples shown to a small model; `None`: show none."""

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        """The requests of one sample. An `answer` after a `whole` is sent only if the `whole` had no answer."""

    def encode(
        self,
        plan: ThinkingPlan,
        phase: Phase,
        *,
        temperature: float | None,
        schema: Any | None,
        step: Step = FRESH,
    ) -> Settings:
        """The settings of one request.

        Args:
            temperature: `None`: the model's default.
            schema: The JSON Schema of the answer, or `None`.
        """

    def decode(self, message: AIMessage, settings: Settings, phase: Phase, sent: Messages = ()) -> Reply:
        """Read a reply; `sent` has the messages that it answers."""

    steer: Steer | None
    """A way to change the effort in a conversation without losing the prompt cache, if the provider has one."""

    overhead: Overhead
    """The tokens that the provider adds to our bytes."""

    counts_at_once: bool
    """Counting is nearly free (a server of our own), so always count; else count only if the bound doesn't fit."""

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        """The provider's own count of the input tokens; `None`: it has none."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that can be called: the chat model, its dial and its price."""

    chat: BaseChatModel
    dial: Dial
    price: Price | None
    """`None`: unknown; such a model can't run under a money limit."""
    context_tokens: int | None = None
    """The most input and output tokens of one request together; `None`: unknown."""
    takes_timeout: bool = False
    """The client accepts `timeout` (seconds) with each request, so that one that hangs is cut in sync code too."""
    given: BaseChatModel | None = None
    """The model object as given, with its own retries, which an agent's calls use. `None`: `chat`."""
    revive: Callable[[], bool] | None = field(default=None)
    """Restarts a server of our own that died; returns whether it runs again."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.dial.facts.name

    @property
    def own(self) -> BaseChatModel:
        """The model object as the user gave it."""
        return self.given or self.chat

    def __getattr__(self, name: str) -> Any:
        """Say what to do where the endpoint is taken for its chat model, as in `create_agent(resolve(…))`."""
        if name.startswith("_") or not (hasattr(BaseChatModel, name) or name in BaseChatModel.model_fields):
            raise AttributeError(f"'Endpoint' object has no attribute {name!r}")
        raise AttributeError(
            f"an Endpoint is no chat model, so it has no {name!r}: its chat model is its attribute chat, as in "
            "create_agent(resolve(…).chat, …)"
        )


_CACHE_WRITES = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""LangChain's names; if it has a count for each lifetime, the first one is zero."""


def _detail(details: Any, name: str) -> int | None:
    """A usage detail by name, or `None`; on some service tiers the key has a prefix (`flex_reasoning`)."""
    for key, value in (details or {}).items():
        if (key == name or key.endswith(f"_{name}")) and isinstance(value, int):
            return value
    return None


def _refuses(message: AIMessage) -> bool:
    """Whether the model refused in OpenAI's way, which doesn't show in the stop reason."""
    blocks = message.content if isinstance(message.content, list) else []
    refusals = [each for each in blocks if isinstance(each, dict) and each.get("type") == "refusal"]
    return bool(refusals or message.additional_kwargs.get("refusal"))


def reply_from(
    message: AIMessage, settings: Settings, *, thought: str = "", thinking_tokens: int | None = None
) -> Reply:
    """Read a message with LangChain's standard usage.

    Args:
        thinking_tokens: A count of the dial's own. `None`: as reported, else as many as the settings allow.
    """
    text = message.text
    metadata = message.response_metadata
    incomplete = metadata.get("incomplete_details") or {}
    named = incomplete.get("reason") or metadata.get("finish_reason") or metadata.get("stop_reason")
    stop = STOPS.get(str(named or metadata.get("status") or "stop"), "end")
    if _refuses(message):
        stop = "refusal"
    usage = message.usage_metadata
    spend = None
    # every request has input: zero means that the client (such as langchain-anthropic) or the server has no usage
    if usage is not None and usage["input_tokens"] > 0 and (usage["output_tokens"] > 0 or not message.content):
        if thinking_tokens is None:
            thinking_tokens = _detail(usage.get("output_token_details"), "reasoning")
        if thinking_tokens is None:
            thinking_tokens = settings.max_thinking_tokens
        thinking_tokens = min(max(0, thinking_tokens), usage["output_tokens"])
        spend = Spend(
            input_tokens=usage["input_tokens"],
            cached_input_tokens=_detail(usage.get("input_token_details"), "cache_read") or 0,
            cache_write_tokens=sum(_detail(usage.get("input_token_details"), name) or 0 for name in _CACHE_WRITES),
            output_tokens=usage["output_tokens"],
            thinking_tokens=thinking_tokens,
            calls=1,
        )
    return Reply(
        text=text,
        thought=thought,
        spend=spend,
        cut=stop in ("length", "context"),
        stop=stop,
        terms=Terms(service_tier=str(metadata.get("service_tier") or "")),
        request_id=str(metadata.get("id") or message.id or ""),
    )
