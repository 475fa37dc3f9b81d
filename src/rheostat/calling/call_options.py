"""The arguments of a call, bound to the model or given with it, and the plan's settings laid over them."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.utils.function_calling import convert_to_openai_tool

from rheostat.providers import Endpoint, Settings
from rheostat.providers.dial import Phase, Step
from rheostat.task import ThinkingPlan

__all__ = ["LENGTHS", "CallOptions", "once_for", "tools_as_sent"]

T = TypeVar("T")
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
"""The names that chat models have for a reply's length cap."""
_THINKING = ("reasoning_effort", "effort", "reasoning", "thinking", "thinking_budget", "thinking_level")
_FORCED = ("any", "required", "tool", "function", True)
_MERGED = ("extra_body", "output_config", "options", "additional_model_request_fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The arguments of a call, sorted."""

    kwargs: dict[str, Any]
    """The arguments that are passed on unchanged."""
    most_answer_tokens: int | None
    temperature: float | None
    step: Step
    notes: tuple[str, ...]
    """The arguments that the plan overrides."""
    constrained: bool
    """The reply is bound to a grammar: some servers can't think in the same request."""

    _known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, kwargs: dict[str, Any], endpoint: Endpoint, loop: Literal["", "thinking", "direct"]) -> CallOptions:
        """Sort the arguments of a call."""
        rest = {name: value for name, value in kwargs.items() if value is not None}
        lengths = [int(rest.pop(name)) for name in LENGTHS if name in rest]
        own = getattr(endpoint.chat, "max_tokens", None)
        most = (endpoint.chat.profile or {}).get("max_output_tokens")  # langchain-anthropic's default for max_tokens
        if isinstance(own, int) and own != most and "max_tokens" in endpoint.chat.model_fields_set:
            lengths.append(own)
        dropped = {name: rest.pop(name) for name in _THINKING if name in rest}
        notes = tuple(f"{name}={value!r} gives way to the plan" for name, value in dropped.items())
        choice = rest.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else choice
        named = isinstance(choice, str) and choice not in ("auto", "none", "any", "required")
        by_schema = bool(rest.get("tools")) and getattr(endpoint.chat, "calls_by_schema", False)
        return cls(
            kwargs=rest,
            most_answer_tokens=min(lengths, default=None),
            temperature=rest.pop("temperature", None),
            step=Step(loop=loop, forced_tool=bool(rest.get("tools")) and (kind in _FORCED or named)),
            notes=notes,
            constrained=by_schema or "response_format" in rest,
        )

    def answer_tokens(self, most: int) -> int:
        """The most tokens of the answer: this cap, or the caller's if it is lower."""
        return most if self.most_answer_tokens is None else max(1, min(most, self.most_answer_tokens))

    @property
    def offers_tools(self) -> bool:
        """Whether the model may either call tools or answer, so that another call may follow."""
        return bool(self.kwargs.get("tools")) and not self.step.forced_tool and self._choice != "none"

    @property
    def _choice(self) -> Any:
        choice = self.kwargs.get("tool_choice")
        return choice.get("type") if isinstance(choice, dict) else choice

    def without_tools(self, endpoint: Endpoint) -> CallOptions:
        """The same options with the tools listed, since the conversation refers to them, but not to be called."""
        style: Any = {"type": "none"} if any("input_schema" in tool for tool in self.kwargs["tools"]) else "none"
        return replace(self, kwargs={**self.kwargs, "tool_choice": style}, constrained=False, _known={})

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Compute once per step: fitting a plan tries the same values again and again."""
        if key not in self._known:
            self._known[key] = make()
        known: T = self._known[key]
        return known

    def settings(self, endpoint: Endpoint, plan: ThinkingPlan, phase: Phase) -> Settings:
        """The settings of one request: the plan's, laid over the caller's arguments."""
        key = (plan.effort, plan.thinking_tokens, plan.answer_tokens, phase)
        return self.once(key, lambda: self._settings(endpoint, plan, phase))

    def _settings(self, endpoint: Endpoint, plan: ThinkingPlan, phase: Phase) -> Settings:
        settings = endpoint.dial.encode(plan, phase, temperature=self.temperature, schema=None, step=self.step)
        if phase == "think":
            return settings
        kwargs = {**self.kwargs, **settings.kwargs}
        for name in _MERGED:
            if isinstance(self.kwargs.get(name), dict) and isinstance(settings.kwargs.get(name), dict):
                kwargs[name] = {**self.kwargs[name], **settings.kwargs[name]}
        if "betas" in self.kwargs and "betas" in settings.kwargs:
            kwargs["betas"] = [*self.kwargs["betas"], *settings.kwargs["betas"]]
        return replace(settings, kwargs=kwargs)


_schemas: OrderedDict[tuple[int, ...], tuple[Sequence[Any], list[Any]]] = OrderedDict()
_REMEMBERED = 64


def once_for(objects: Sequence[Any], make: Callable[[], list[Any]]) -> list[Any]:
    """The schemas of these objects, computed once, since that takes longer than the rest of a plan."""
    key = tuple(map(id, objects))
    known = _schemas.get(key)
    if known is not None and all(map(operator.is_, known[0], objects)):
        return known[1]
    schemas = make()
    _schemas[key] = objects, schemas
    while len(_schemas) > _REMEMBERED:
        _schemas.popitem(last=False)
    return schemas


def tools_as_sent(chat: BaseChatModel, tools: Sequence[Any]) -> list[Any]:
    """Tools as this model binds them."""

    def schemas() -> list[Any]:
        try:
            bound: Any = chat.bind_tools(list(tools))
            return list(bound.kwargs["tools"])
        except Exception:  # a fake, or a model with its own way of binding tools
            return [each if isinstance(each, dict) else convert_to_openai_tool(each) for each in tools]

    return once_for((chat, *tools), schemas)
