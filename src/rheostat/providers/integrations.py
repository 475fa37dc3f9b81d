"""Other hosted models on LangChain: one row each, from the integration's own class and profile; none is imported.

Sources (read November 2026): langchain-google-genai 4.4, langchain-deepseek 1.1, langchain-openrouter 0.2,
langchain-aws 1.9, langchain-xai 1.3, langchain-groq 1.1, langchain-ollama 1.1, and the page named in each row. The
requests were checked on the wire; what those servers accept is known only from their documentation.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel

from rheostat.addresses import without_password
from rheostat.errors import SettingWarning
from rheostat.flow import Effect
from rheostat.providers.adapter import is_kind, model_of
from rheostat.providers.anthropic import AnthropicDial
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Dial, Messages, Settings, Step
from rheostat.providers.generic import GenericDial
from rheostat.providers.hosted import HostedDial, profile_levels, takes_effort
from rheostat.providers.openai import OpenAIFamily
from rheostat.task import Effort, ThinkingPlan

__all__ = ["INTEGRATIONS", "BedrockClaudeDial", "Integration", "TableDial"]

Say: TypeAlias = Callable[[str, Effort, int], dict[str, Any]]
"""(model, effort, thinking tokens) → the call's arguments. Zero tokens: no thinking, or as little as possible."""

_LOW_TO_HIGH = (Effort.low, Effort.medium, Effort.high)


def _gemini(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    if model.startswith("gemini-2.5"):
        return {"thinking_budget": tokens}
    return {"thinking_level": effort.value}


def _gemini_levels(model: str) -> tuple[Effort, ...]:
    if model.startswith("gemini-2.5-pro"):
        return _LOW_TO_HIGH  # "minimum 128: thinking can't be disabled"
    if model.startswith("gemini-2.5"):
        return (Effort.none, *_LOW_TO_HIGH)
    return (Effort.low, Effort.high)  # the levels of every Gemini 3


def _deepseek(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    if not tokens:
        return {"extra_body": {"thinking": {"type": "disabled"}}}
    return {"reasoning_effort": effort.value, "extra_body": {"thinking": {"type": "enabled"}}}


def _openrouter(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    return {"reasoning": {"effort": effort.value}}


def _bedrock(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    if "amazon.nova" in model and not tokens:
        return {"additional_model_request_fields": {"reasoningConfig": {"type": "disabled"}}}
    return {"reasoning_effort": effort.value}


def _named(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    return {"reasoning_effort": effort.value}


def _groq(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    if "gpt-oss" in model:
        return {"reasoning_effort": effort.value, "reasoning_format": "parsed"}
    return {"reasoning_effort": "default" if tokens else "none", "reasoning_format": "parsed"}


def _groq_levels(model: str) -> tuple[Effort, ...]:
    return _LOW_TO_HIGH if "gpt-oss" in model else (Effort.none, Effort.medium)


def _ollama(model: str, effort: Effort, tokens: int) -> dict[str, Any]:
    if "gpt-oss" in model:
        return {"reasoning": effort.value}
    return {"reasoning": tokens > 0}


def _ollama_levels(model: str) -> tuple[Effort, ...]:
    return _LOW_TO_HIGH if "gpt-oss" in model else (Effort.none, Effort.medium)


def _length(name: str) -> Callable[[int], dict[str, Any]]:
    return lambda most: {name: most}


def _response_format(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


@functools.cache
def _kinds(of: type) -> frozenset[tuple[str, str]]:
    """(package, class) of a class and of those above it."""
    return frozenset((base.__module__.split(".")[0], base.__name__) for base in of.__mro__)


@dataclass(frozen=True, kw_only=True)
class Integration(OpenAIFamily):
    """How to set the thinking in one LangChain integration: a provider as a row of facts."""

    spec: str
    """The name before the colon, as in `init_chat_model`: `google_genai:gemini-3.6-flash`."""
    module: str
    kind: str
    """The class in the module."""
    say: Say
    source: str
    levels: Callable[[str], tuple[Effort, ...]]
    """Returns the levels of a model whose profile lists none."""
    length: Callable[[int], dict[str, Any]] = field(default=_length("max_tokens"))
    """Returns the call's arguments for a length cap, which covers thought and answer."""
    schema: Callable[[Any], dict[str, Any]] = field(default=_response_format)
    """Returns the call's arguments for an answer in a JSON Schema."""
    prices: str = ""
    """The provider in genai-prices; empty: the list can't price it (others run the model, or you do)."""
    sends_once: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments that turn off the client's retries."""
    takes_timeout: bool = False
    """`timeout` in seconds may be passed with each call."""
    note: str = ""
    """A note that is added to the settings of every call."""

    def claims(self, chat: BaseChatModel) -> bool:
        """By the object's class, or one above it."""
        return (self.module, self.kind) in _kinds(type(chat))

    def build(self, model: str) -> BaseChatModel:
        kind: Any = getattr(importlib.import_module(self.module), self.kind)
        chat: BaseChatModel = kind(model=model)
        return chat

    def once(self, chat: BaseChatModel) -> BaseChatModel:
        """Built anew with a client that sends a request once: its retries are fixed when it is built."""
        if is_kind(chat, "langchain_openai.chat_models.base", "BaseChatOpenAI"):
            return super().once(chat)
        if not self.sends_once:
            return chat
        fields = type(chat).model_fields
        given = {name: getattr(chat, name) for name in chat.model_fields_set if not fields[name].exclude}
        try:
            return type(chat)(**{**given, **self.sends_once})
        except Exception as error:
            said = without_password(str(error))
            warnings.warn(
                f"{type(chat).__name__} can't be built again without retries ({said}): give it {self.sends_once}, or "
                "calls that its client repeats are on no ledger",
                SettingWarning,
                stacklevel=4,
            )
            return chat

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        """Bedrock's Claude keeps Anthropic's rules; a model whose thinking can't be set thinks in two phases."""
        reasoning = takes_effort(chat)
        if self.spec == "bedrock_converse" and "claude" in model_of(chat) and reasoning:
            return BedrockClaudeDial(name, chat, strict=strict)
        if (chat.profile or {}).get("reasoning_effort_levels") or self.levels(model_of(chat)):
            unknown = chat.profile is None and self.spec != "ollama"
            if reasoning or unknown or self.spec == "ollama":
                return TableDial(name, chat, self, strict=strict)
        return GenericDial(name, length=self.length)

    def price_list(self, chat: BaseChatModel) -> str | None:
        return self.prices or None


INTEGRATIONS = (
    Integration(
        spec="google_genai", module="langchain_google_genai", kind="ChatGoogleGenerativeAI", say=_gemini,
        levels=_gemini_levels, length=_length("max_output_tokens"), prices="google", sends_once={"max_retries": 1},
        schema=lambda schema: {"response_mime_type": "application/json", "response_json_schema": schema},
        takes_timeout=True, source="ai.google.dev/gemini-api/docs/thinking",
    ),
    Integration(
        spec="deepseek", module="langchain_deepseek", kind="ChatDeepSeek", say=_deepseek,
        levels=lambda _: (Effort.none, Effort.high, Effort.max), prices="deepseek", sends_once={"max_retries": 0},
        schema=lambda _: {"response_format": {"type": "json_object"}}, takes_timeout=True,
        source="api-docs.deepseek.com, Thinking Mode: high and max; low and medium mean high",
    ),
    Integration(
        spec="openrouter", module="langchain_openrouter", kind="ChatOpenRouter", say=_openrouter,
        levels=lambda _: (Effort.none, Effort.minimal, *_LOW_TO_HIGH, Effort.xhigh),
        # max_retries=0 leaves the SDK's own retries on for an hour; only the call can turn them off
        length=lambda most: {"max_tokens": most, "retries": None},
        source="openrouter.ai/docs/use-cases/reasoning-tokens",
        note="OpenRouter translates the level for the model's own provider, and leaves it out where there is none",
    ),
    Integration(
        spec="bedrock_converse", module="langchain_aws", kind="ChatBedrockConverse", say=_bedrock,
        levels=lambda model: (Effort.none, *_LOW_TO_HIGH) if "nova-2" in model else (), prices="aws",
        sends_once={"max_retries": 0},
        source="langchain_aws.utils.reasoning_effort_additional_fields",
    ),
    Integration(
        spec="xai", module="langchain_xai", kind="ChatXAI", say=_named, levels=lambda _: (), prices="x-ai",
        sends_once={"max_retries": 0}, takes_timeout=True, source="docs.x.ai/docs/guides/reasoning",
    ),
    Integration(
        spec="groq", module="langchain_groq", kind="ChatGroq", say=_groq, levels=_groq_levels, prices="groq",
        sends_once={"max_retries": 0}, takes_timeout=True, source="console.groq.com/docs/reasoning",
    ),
    Integration(
        spec="ollama", module="langchain_ollama", kind="ChatOllama", say=_ollama, levels=_ollama_levels,
        length=lambda most: {"options": {"num_predict": most}}, schema=lambda schema: {"format": schema},
        source="docs.ollama.com/capabilities/thinking",
        note="options of the model object (num_ctx, seed …) give way to the length cap of the call",
    ),
)  # fmt: skip


class TableDial(HostedDial):
    """A dial made from a row. Thought and answer share the length cap, which is the only enforced limit."""

    overhead = Overhead(request=224, message=48, tools=1024)

    def __init__(self, name: str, chat: BaseChatModel, row: Integration, *, strict: bool = False) -> None:
        self._row, self._model = row, model_of(chat)
        self._most_output_tokens = (chat.profile or {}).get("max_output_tokens")
        levels = profile_levels(chat, row.levels(self._model))
        by_name = all(row.say(self._model, level, 1) == row.say(self._model, level, 2) for level in levels)
        super().__init__(name, levels, strict=strict, clamped=by_name)

    def encode(
        self, plan: ThinkingPlan, phase: str, *, temperature: float | None, schema: Any | None, step: Step = FRESH
    ) -> Settings:
        notes = [self._row.note] if self._row.note else []
        tokens = plan.thinking_tokens
        lowest = self.facts.nearest(Effort.none)
        if not tokens and self.facts.levels[lowest]:  # a plan made by hand, with a level that the dial doesn't have
            tokens = self.facts.levels[lowest]
            notes.append(f"{self.facts.name} can't be told not to think: {lowest.value}")
        kwargs = dict(self._row.say(self._model, plan.effort if plan.thinking_tokens else lowest, tokens))
        most = self.clamp(tokens, plan.answer_tokens, notes)
        kwargs.update(self._row.length(most))
        if schema is not None:
            kwargs.update(self._row.schema(schema))
        if temperature is not None and not tokens:
            kwargs.get("options", kwargs)["temperature"] = temperature
        elif temperature is not None:
            notes.append("temperature not sent: what it does to a thought differs from model to model")
        if step.task_tokens is not None:
            notes.append("no task budget sent: the API has none; our own cap holds")
        return Settings(kwargs, most, most if tokens else 0, notes=tuple(notes))


class BedrockClaudeDial(AnthropicDial):
    """The dial of Claude on Bedrock's Converse: Anthropic's rules in Bedrock's fields."""

    def __init__(self, name: str, chat: BaseChatModel, *, strict: bool = False) -> None:
        self._claude = "claude-" + model_of(chat).partition("claude-")[2]
        super().__init__(name, chat, strict=strict, model=self._claude)

    def encode(
        self, plan: ThinkingPlan, phase: str, *, temperature: float | None, schema: Any | None, step: Step = FRESH
    ) -> Settings:
        settings = super().encode(plan, phase, temperature=temperature, schema=schema, step=step)
        kwargs = settings.kwargs
        fields: dict[str, Any] = {name: kwargs.pop(name) for name in ("thinking", "output_config") if name in kwargs}
        betas = kwargs.pop("betas", None)
        if betas:
            fields["anthropic_beta"] = betas
        kwargs["additional_model_request_fields"] = fields
        return settings

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        """`None`: Converse has no free count."""
        return None
