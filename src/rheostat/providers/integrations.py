"""Other hosted models on LangChain: one row each, from the integration's own class and profile; none is imported.

Sources (read November 2026): langchain-google-genai 4.4, langchain-deepseek 1.1, langchain-openrouter 0.2,
langchain-aws 1.9, langchain-xai 1.3, langchain-groq 1.1, langchain-ollama 1.1, and the page named in each row. The
requests were checked on the wire; what those servers accept is known only from their documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel

from rheostat.flow import Effect
from rheostat.providers.anthropic import AnthropicDial
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Messages, Settings, Step
from rheostat.providers.hosted import HostedDial, profile_levels
from rheostat.task import Effort, ThinkingPlan

__all__ = ["INTEGRATIONS", "BedrockClaudeDial", "Integration", "TableDial", "integration_of", "model_of"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """How to set the thinking in one LangChain integration."""

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
    once: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments that turn off the client's retries."""
    takes_timeout: bool = False
    """`timeout` in seconds may be passed with each call."""
    note: str = ""
    """A note that is added to the settings of every call."""


INTEGRATIONS = (
    Integration(
        spec="google_genai", module="langchain_google_genai", kind="ChatGoogleGenerativeAI", say=_gemini,
        levels=_gemini_levels, length=_length("max_output_tokens"), prices="google", once={"max_retries": 1},
        schema=lambda schema: {"response_mime_type": "application/json", "response_json_schema": schema},
        takes_timeout=True, source="ai.google.dev/gemini-api/docs/thinking",
    ),
    Integration(
        spec="deepseek", module="langchain_deepseek", kind="ChatDeepSeek", say=_deepseek,
        levels=lambda _: (Effort.none, Effort.high, Effort.max), prices="deepseek", once={"max_retries": 0},
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
        once={"max_retries": 0},
        source="langchain_aws.utils.reasoning_effort_additional_fields",
    ),
    Integration(
        spec="xai", module="langchain_xai", kind="ChatXAI", say=_named, levels=lambda _: (), prices="x-ai",
        once={"max_retries": 0}, takes_timeout=True, source="docs.x.ai/docs/guides/reasoning",
    ),
    Integration(
        spec="groq", module="langchain_groq", kind="ChatGroq", say=_groq, levels=_groq_levels, prices="groq",
        once={"max_retries": 0}, takes_timeout=True, source="console.groq.com/docs/reasoning",
    ),
    Integration(
        spec="ollama", module="langchain_ollama", kind="ChatOllama", say=_ollama, levels=_ollama_levels,
        length=lambda most: {"options": {"num_predict": most}}, schema=lambda schema: {"format": schema},
        source="docs.ollama.com/capabilities/thinking",
        note="options of the model object (num_ctx, seed …) give way to the length cap of the call",
    ),
)  # fmt: skip


def integration_of(chat: BaseChatModel) -> Integration | None:
    """The row of an object's class or of one of its base classes; `None`: there is none."""
    names = {(base.__module__.split(".")[0], base.__name__) for base in type(chat).__mro__}
    return next((row for row in INTEGRATIONS if (row.module, row.kind) in names), None)


def model_of(chat: BaseChatModel) -> str:
    """The model's name, without the prefix `models/` of Google's names."""
    name = getattr(chat, "model_name", None) or getattr(chat, "model_id", None) or getattr(chat, "model", None)
    return str(name or type(chat).__name__).removeprefix("models/")


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
