"""What a dial is: the translation between a thinking plan and one provider's settings and replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from rheostat.flow import Effect
from rheostat.judgement.policy import ModelFacts
from rheostat.money.pricing import LIST, Price, Terms
from rheostat.money.usage import Spend
from rheostat.providers.bounds import Overhead
from rheostat.task import Effort, ThinkingPlan

__all__ = [
    "FRESH", "STOPS", "Dial", "Endpoint", "Messages", "Phase", "Reply", "Settings", "Steer", "Step", "Stop",
    "reply_from",
]  # fmt: skip

Messages: TypeAlias = Sequence[dict[str, Any] | BaseMessage]
"""Role and content as plain data, or LangChain's messages."""

Phase: TypeAlias = Literal["whole", "think", "answer"]
"""Thought and answer in one request; a scratchpad alone; the answer after a thought."""


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
"""By the providers' names for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a plan became for one request."""

    kwargs: dict[str, Any]
    """Keyword arguments of the chat model's `invoke`."""
    max_output_tokens: int
    """The clamp that was sent: the reply can't be longer."""
    max_thinking_tokens: int
    """The most of it that can be thought."""
    terms: Terms = LIST
    """The dearest terms on which it can be billed."""
    notes: tuple[str, ...] = ()
    """What was changed on the way, and why: nothing is dropped in silence."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, read."""

    text: str
    """The answer; empty if the model gave none."""
    thought: str
    """The visible thought."""
    spend: Spend | None
    """Tokens by kind and one call, not yet priced; `None`: the provider didn't say."""
    cut: bool
    """Stopped by a length cap."""
    terms: Terms = LIST
    """The terms on which it was billed."""
    request_id: str = ""
    """The provider's own name for the request: a usage export is matched by it."""
    stop: Stop = "end"
    """Why it ended."""
    message: AIMessage | None = None
    """As it came."""

    @property
    def starved(self) -> bool:
        """The tokens ran out while it was thinking: the same call again would only pay for it again."""
        return self.cut and not self.text

    @property
    def empty(self) -> bool:
        """Neither an answer nor a tool call."""
        return not self.text and not (self.message and self.message.tool_calls)

    @property
    def ran_out(self) -> bool:
        """Its length cap came before it said or did anything: in its thought, or in the middle of a tool call."""
        calls = self.message.tool_calls if self.message else []
        broken = self.message.invalid_tool_calls if self.message else []
        return self.cut and not calls and (not self.text or bool(broken))

    def billed(self, **terms: Any) -> Reply:
        """The same, with more known about the terms on which it was billed."""
        return replace(self, terms=replace(self.terms, **terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where in a conversation a request stands: providers have rules about it."""

    loop: Literal["", "thinking", "direct"] = ""
    """In the middle of a tool loop that began with or without thinking; empty: in none."""
    forced_tool: bool = False
    """The model must call a tool (`tool_choice` any, required, or a name)."""
    task_tokens: int | None = None
    """What is left for the whole task: told to models that pace themselves by it. Advisory; our own cap holds."""


FRESH = Step()
"""A request that follows from nothing: a new question, a new turn of the user."""


Steer: TypeAlias = Callable[[Sequence[BaseMessage], Effort], tuple[list[BaseMessage], Effort]]
"""(conversation, effort wanted) → the conversation with its changes of effort in it, and the effort to send with it."""


class Dial(Protocol):
    """One provider's way to think."""

    facts: ModelFacts

    @property
    def example(self) -> Callable[[str, str], str] | None:
        """How (thought, answer) is written, for a small model that is best shown what is wanted; else None."""

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        """The requests that make one sample. An `answer` after a `whole` is only sent if the whole had none."""

    def encode(
        self,
        plan: ThinkingPlan,
        phase: Phase,
        *,
        temperature: float | None,
        schema: Any | None,
        step: Step = FRESH,
    ) -> Settings:
        """The settings of one request."""

    def decode(self, message: AIMessage, settings: Settings, phase: Phase, sent: Messages = ()) -> Reply:
        """Read a reply; `sent` is what it answers."""

    steer: Steer | None
    """A way to change the effort in a conversation without losing the prompt cache, if the provider has one."""

    overhead: Overhead
    """What the provider adds to our bytes."""

    counts_at_once: bool
    """Counting is as good as free (a server of our own): always count. Else only where the bound doesn't fit."""

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        """The provider's own count, if it has one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that can be called: the chat model, its dial and its price."""

    chat: BaseChatModel
    dial: Dial
    price: Price | None
    """`None`: unknown; such a model can't run under a money limit."""
    context_tokens: int | None = None
    """Input and output of one request together."""
    takes_timeout: bool = False
    """Its client takes `timeout` (seconds) with each request, so that one that hangs is cut in blocking code too."""
    given: BaseChatModel | None = None
    """The model object as it was given, with its own retries: an agent's calls are made with it. `None`: `chat`."""
    revive: Callable[[], bool] | None = field(default=None)
    """Restart a server of our own after it died; True: it runs again."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.dial.facts.name

    @property
    def own(self) -> BaseChatModel:
        """The user's own model object."""
        return self.given or self.chat


_CACHE_WRITES = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""LangChain's names; where the lifetimes are told apart, the first one is zero."""


def _detail(details: Any, name: str) -> int | None:
    """A usage detail by name; on some service tiers the key carries a prefix (`flex_reasoning`)."""
    for key, value in (details or {}).items():
        if (key == name or key.endswith(f"_{name}")) and isinstance(value, int):
            return value
    return None


def reply_from(
    message: AIMessage, settings: Settings, *, thought: str = "", thinking_tokens: int | None = None
) -> Reply:
    """Read LangChain's standard usage. Thinking that isn't reported is assumed at its most."""
    text = message.text
    metadata = message.response_metadata
    incomplete = metadata.get("incomplete_details") or {}
    named = incomplete.get("reason") or metadata.get("finish_reason") or metadata.get("stop_reason")
    stop = STOPS.get(str(named or metadata.get("status") or "stop"), "end")
    usage = message.usage_metadata
    spend = None
    # no request has no input: a client that finds no usage may say zero (langchain-anthropic does), and so may a server
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
