"""Anthropic's dial: effort with adaptive thinking on newer models, `budget_tokens` on older ones.

Sources (read November 2026): the docstrings of anthropic 2.12 and langchain-anthropic 1.7; platform.claude.com/docs:
build-with-claude/adaptive-thinking, build-with-claude/thinking-tool-workflows, build-with-claude/effort.

- `thinking: enabled` requires 1024 ≤ `budget_tokens` < `max_tokens`; models from Opus 4.7 on refuse it.
- Models whose thinking can't be disabled (they refuse `disabled`) have no level `none`; the nearest is `low`.
- Manual thinking refuses a forced tool and a temperature; adaptive thinking accepts a forced tool on most models.
- A tool loop is one turn, in which thinking can't be switched on or off.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages

from rheostat.errors import ModelUnknown
from rheostat.flow import Effect
from rheostat.money.pricing import Terms
from rheostat.providers.adapter import Adapter, tell_replaced
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Dial, Messages, Reply, Settings, Step
from rheostat.providers.failures import read_failure
from rheostat.providers.hosted import ROOM_TO_THINK, HostedDial, profile_levels, takes_effort, with_margin
from rheostat.task import Effort, ThinkingPlan

if TYPE_CHECKING:
    from langchain_anthropic import ChatAnthropic

__all__ = ["GENERATIONS", "Anthropic", "AnthropicDial", "Generation", "Told", "ask_about", "generation_of"]

LEAST_BUDGET_TOKENS = 1024
_BUDGETS = {
    Effort.none: 0,
    Effort.low: 1024,
    Effort.medium: 4096,
    Effort.high: 16384,
    Effort.xhigh: 32768,
    Effort.max: 60000,
}
"""Our thinking tokens by level for models with a token budget, from Anthropic's minimum to the room in their output."""
_UNLISTED = (Effort.low, Effort.medium, Effort.high)
"""The levels of a model whose profile lists none: those of every model with an effort."""
_LEAST_TASK_BUDGET_TOKENS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The thinking settings that models of one generation accept."""

    models: tuple[str, ...]
    """Prefixes of their names; the first row that matches counts."""
    adaptive: bool = True
    """`False`: thinking is set by `budget_tokens`."""
    off: bool = True
    """`thinking: disabled` is accepted."""
    forced_tools: bool = True
    """`tool_choice` any or tool is accepted (but never with manual thinking)."""
    source: str = "langchain-anthropic 1.7.7"


GENERATIONS = (
    Generation(models=("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"), adaptive=False),
    Generation(models=("claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-4-8")),
    Generation(models=("claude-opus-5-5", "claude-sonnet-5-5"), off=False, forced_tools=False),
    Generation(models=("claude-opus-5", "claude-sonnet-5")),
    Generation(models=("claude-fable-5-1", "claude-fable-5-2"), off=False, forced_tools=False),
    Generation(
        models=("claude-fable-", "claude-mythos-"), off=False,
        source="docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html",
    ),
    Generation(models=("claude-",), off=False, source="unknown to us: nothing is sent that some model refuses"),
)  # fmt: skip


def generation_of(model: str) -> Generation:
    """The row of a model, by its name."""
    return next(row for row in GENERATIONS if model.startswith(row.models) or row is GENERATIONS[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Facts about a model that Anthropic's API has reported, which take precedence over profiles and rows."""

    generation: Generation
    levels: tuple[Effort, ...]
    """The effort levels; empty: the model accepts no effort."""
    max_output_tokens: int | None
    max_input_tokens: int | None


def ask_about(chat: BaseChatModel) -> Told:
    """Ask `GET /v1/models/{id}` about a model, which is free and needs the key.

    Source: `ModelInfo.capabilities` of anthropic 2.12. As it says, each entry of `thinking.types` is read on its own.

    Raises:
        ModelUnknown: There is no such model, it is retired, or Anthropic can't be reached.
    """
    model: Any = getattr(chat, "model", "")
    try:
        info = cast("Any", chat)._client.models.retrieve(model)
    except Exception as error:
        raise ModelUnknown(f"{model}: asking Anthropic about it failed: {read_failure(error)}: {error}") from error
    if info.lifecycle == "retired":
        raise ModelUnknown(f"{model} is retired: requests to it fail")
    row = generation_of(model)
    can = info.capabilities
    if can is None:
        return Told(
            generation=row, levels=(), max_output_tokens=info.max_tokens, max_input_tokens=info.max_input_tokens
        )
    types, effort = can.thinking.types, can.effort
    levels = tuple(level for level in Effort if getattr(getattr(effort, level.value, None), "supported", False))
    generation = replace(
        row, adaptive=types.adaptive.supported, off=types.disabled.supported, source=f"/v1/models/{model}"
    )
    return Told(
        generation=generation,
        levels=levels if effort.supported else (),
        max_output_tokens=info.max_tokens,
        max_input_tokens=info.max_input_tokens,
    )


class AnthropicDial(HostedDial):
    """The dial of the Claude models."""

    overhead = Overhead(request=224, message=48, tools=1024, image=5000)
    """An image is first scaled to at most 2,576 pixels a side, which is 4,784 tokens (platform.claude.com, vision)."""

    def __init__(
        self, name: str, chat: BaseChatModel, *, strict: bool = False, model: str = "", told: Told | None = None
    ) -> None:
        self._generation = told.generation if told else generation_of(model or str(getattr(chat, "model", name)))
        profile = chat.profile or {}
        self._most_output_tokens = (told and told.max_output_tokens) or profile.get("max_output_tokens")
        self._takes_temperature = bool(profile.get("temperature"))
        self._chat = chat
        own = getattr(chat, "model_kwargs", None) or {}
        region = getattr(chat, "inference_geo", None) or own.get("inference_geo") or "auto"
        self.context_tokens = told.max_input_tokens if told else None
        self._terms = Terms(speed=str(own.get("speed") or ""), region=str(region))
        if self._generation.adaptive:
            levels = profile_levels(chat, _UNLISTED, told.levels if told else None)
            if self._generation.off:
                levels = {Effort.none: 0, **levels}
        else:
            most = (self._most_output_tokens or 64_000) - 4000
            levels = {level: tokens for level, tokens in _BUDGETS.items() if tokens <= most}
        super().__init__(name, levels, strict=strict, clamped=self._generation.adaptive)
        if self._generation.adaptive:
            self.facts = replace(self.facts, loop_floor=Effort.low)

    def encode(
        self, plan: ThinkingPlan, phase: str, *, temperature: float | None, schema: Any | None, step: Step = FRESH
    ) -> Settings:
        notes: list[str] = []
        tokens, effort = self._within_the_loop(plan, step, notes)
        kwargs = self.schema_kwargs(schema)
        if step.forced_tool:
            tokens = self._forced(tokens, step, kwargs, notes)
        kwargs["max_tokens"] = most = self.clamp(tokens, plan.answer_tokens, notes)
        config: dict[str, Any] = {}
        if not tokens:
            kwargs["thinking"] = {"type": "disabled"}
        elif self._generation.adaptive:
            kwargs["thinking"] = {"type": "adaptive"}
            config["effort"] = effort.value
        else:
            room = max(LEAST_BUDGET_TOKENS, most - plan.answer_tokens)
            kwargs["thinking"] = {"type": "enabled", "budget_tokens": min(tokens, room)}
        if step.task_tokens is not None:
            config.update(self._task_budget(step.task_tokens, kwargs, notes))
        if config:
            kwargs["output_config"] = config
        if temperature is not None:
            if not tokens and self._takes_temperature:
                kwargs["temperature"] = temperature
            else:
                notes.append("temperature not sent: thinking refuses it")
        return Settings(kwargs, most, most if tokens else 0, self._terms, tuple(notes))

    def _forced(self, tokens: int, step: Step, kwargs: dict[str, Any], notes: list[str]) -> int:
        """The thinking tokens that may be sent with a forced tool; replaces the tool choice if the model refuses it."""
        if not self._generation.forced_tools:
            notes.append(f"{self.facts.name} refuses a forced tool_choice: auto is sent")
            kwargs["tool_choice"] = {"type": "auto"}
            return tokens
        if self._generation.adaptive or not tokens:
            return tokens
        if step.loop == "thinking":
            notes.append(f"{self.facts.name} refuses a forced tool_choice in a loop that thinks: auto is sent")
            kwargs["tool_choice"] = {"type": "auto"}
            return tokens
        notes.append("no thinking: a forced tool refuses it on this model")
        return 0

    def _task_budget(self, task_tokens: int, kwargs: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        if not self._generation.adaptive or task_tokens < _LEAST_TASK_BUDGET_TOKENS:
            notes.append(
                f"no task budget sent: it takes a newer model and {_LEAST_TASK_BUDGET_TOKENS:,} tokens or more"
            )
            return {}
        kwargs["betas"] = ["task-budgets-2026-03-13"]
        return {"task_budget": {"type": "tokens", "total": task_tokens}}

    def _within_the_loop(self, plan: ThinkingPlan, step: Step, notes: list[str]) -> tuple[int, Effort]:
        """The thinking tokens and the effort that may be sent at this point of a tool loop."""
        tokens, effort = plan.thinking_tokens, plan.effort
        if not self._generation.adaptive and 0 < tokens < LEAST_BUDGET_TOKENS:
            notes.append(f"{tokens} thinking tokens are below Anthropic's least ({LEAST_BUDGET_TOKENS}): off")
            tokens = 0
        if step.loop == "direct" and tokens and self._generation.off:
            notes.append("no thinking: this tool loop began without, and can't be switched in the middle")
            return 0, Effort.none
        if step.loop == "thinking" and not tokens:
            effort = min((level for level, room in self.facts.levels.items() if room), key=lambda level: level.rank)
            notes.append(f"{effort.value}, not none: this tool loop began with thinking, and can't be switched")
            return self.facts.levels[effort], effort
        if not tokens and not self._generation.off:  # a plan made by hand, with a level that the dial doesn't have
            effort = min(self.facts.levels, key=lambda level: level.rank)
            notes.append(f"{self.facts.name} can't be told not to think: {effort.value}")
            return ROOM_TO_THINK[effort], effort
        return tokens, effort

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        """Count by `/v1/messages/count_tokens`: free; it "may differ by a small amount", so a margin is added."""
        shared = {name: settings.kwargs[name] for name in ("tools", "thinking") if name in settings.kwargs}
        counted = list(messages)

        def do() -> int:
            return with_margin(self._chat.get_num_tokens_from_messages(convert_to_messages(counted), **shared))

        return Effect(do, lambda: asyncio.to_thread(do))

    def decode(self, message: AIMessage, settings: Settings, phase: str, sent: Messages = ()) -> Reply:
        reply = super().decode(message, settings, phase)
        usage = message.response_metadata.get("usage")
        if usage is not None:
            return reply.billed(
                cache_write_1h_tokens=(usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0,
                web_searches=(usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
                speed="fast" if usage.get("speed") == "fast" else "",
                region=str(usage.get("inference_geo") or ""),
            )
        # in a stream, langchain-anthropic drops the billing details, so they are read from the request
        written = reply.spend.cache_write_tokens if reply.spend else 0
        blocks = message.content if isinstance(message.content, list) else []
        return reply.billed(
            cache_write_1h_tokens=written if written and _asked_for_an_hour(sent, settings) else 0,
            web_searches=sum(isinstance(b, dict) and b.get("type") == "server_tool_use" for b in blocks),
            speed=self._terms.speed,
        )


def _asked_for_an_hour(sent: Messages, settings: Settings) -> bool:
    contents = [message.content if isinstance(message, BaseMessage) else message["content"] for message in sent]
    return '"1h"' in json.dumps([contents, settings.kwargs.get("tools")], default=str)


def _is_anthropic(chat: BaseChatModel) -> TypeGuard[ChatAnthropic]:
    """Without importing langchain-anthropic, which takes two seconds: a program with such a model has done it."""
    module = sys.modules.get("langchain_anthropic")
    return module is not None and isinstance(chat, module.ChatAnthropic)


_SECONDS = 600.0
"""How long a request may take, if the model object doesn't say: without an end, one that hangs would hang us."""


class Anthropic(Adapter):
    """`ChatAnthropic`."""

    spec = "anthropic"
    takes_timeout = True

    def claims(self, chat: BaseChatModel) -> bool:
        return _is_anthropic(chat)

    def build(self, model: str) -> BaseChatModel:
        from langchain_anthropic import ChatAnthropic

        chat = ChatAnthropic(model_name=model, timeout=_SECONDS, stop=None)
        if not chat.anthropic_api_key.get_secret_value():  # else it would show at the first call only
            raise ModelUnknown("set ANTHROPIC_API_KEY")
        return chat

    def once(self, chat: BaseChatModel) -> BaseChatModel:
        assert _is_anthropic(chat)  # noqa: S101 - it was claimed
        own = {
            name: getattr(chat, name) for name in ("thinking", "reasoning_effort") if getattr(chat, name) is not None
        }
        config = dict(chat.output_config or {})
        if "effort" in config:
            own["output_config"] = {"effort": config.pop("effort")}
        sampling = [name for name in ("temperature", "top_p", "top_k") if getattr(chat, name) is not None]
        if takes_effort(chat):
            own.update((name, getattr(chat, name)) for name in sampling)
        tell_replaced(chat, own)
        update: dict[str, object] = dict.fromkeys(own)
        update.update(max_retries=0, output_config=config or None)
        if chat.default_request_timeout is None:
            update["default_request_timeout"] = _SECONDS
        copy = chat.model_copy(update=update)
        for built in ("_client", "_async_client", "_client_params"):  # made from the old settings, if at all
            copy.__dict__.pop(built, None)
        return copy

    def bare(self, chat: BaseChatModel) -> BaseChatModel:
        assert _is_anthropic(chat)  # noqa: S101 - it was claimed
        update: dict[str, Any] = {
            name: None for name in ("thinking", "reasoning_effort") if getattr(chat, name) is not None
        }
        config = dict(chat.output_config or {})
        if config.pop("effort", None) is not None:
            update["output_config"] = config or None
        if takes_effort(chat):
            update.update({n: None for n in ("temperature", "top_p", "top_k") if getattr(chat, n) is not None})
        return chat.model_copy(update=update) if update else chat

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        if not (takes_effort(chat) or live):
            return super().dial(chat, name, provider=provider, strict=strict, live=live)
        return AnthropicDial(name, chat, strict=strict, told=ask_about(chat) if live else None)

    def price_list(self, chat: BaseChatModel) -> str | None:
        """An address of another's has prices that the list doesn't know."""
        assert _is_anthropic(chat)  # noqa: S101 - it was claimed
        return "anthropic" if "anthropic.com" in (chat.anthropic_api_url or "anthropic.com") else None
