"""The dial of llama.cpp's server, which enforces a thinking budget per request, to the token.

Facts (tried on xllamacpp 2026.10, October 2026):

- `thinking_budget_tokens` caps the thought. 0 leaks a literal `</think>`, so thinking is turned off by the chat
  template (`enable_thinking: false`) instead.
- usage has no count of thinking tokens. With `logprobs`, the reply lists every generated token, and the thought ends
  where the close marker begins, which gives an exact count without a second request.
- `n > 1` reports the usage of only one choice, so that each sample is a request of its own.
- a budget together with a JSON Schema sometimes makes the server fail, so that with a schema the thought and the answer
  are two requests.
- a model that wasn't trained to think may end inside its thought; a second request then asks for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, convert_to_messages

from rheostat.evidence.asking import WayName
from rheostat.flow import Effect
from rheostat.providers.adapter import is_kind
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Dial, Messages, Phase, Reply, Settings, Steer, Step, reply_from
from rheostat.providers.generic import LEVELS
from rheostat.providers.openai import OpenAIFamily
from rheostat.task import Kind, ThinkingPlan
from rheostat.thinking.model_facts import ModelFacts

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

__all__ = ["CLOSE", "LlamaCppDial", "thinking_tokens_of"]

OPEN, CLOSE = "<think>", "</think>"
_CLOSE_TOKENS = 8
"""Room for the close marker, which is generated too: four tokens in Qwen's vocabulary, one if it is a special token."""


def thinking_tokens_of(tokens: list[str]) -> int:
    """The number of generated tokens before the close marker; all of them if there is none."""
    text = ""
    ends: list[int] = []
    for token in tokens:
        text += token
        ends.append(len(text))
    at = text.find(CLOSE)
    if at < 0:
        return len([token for token in tokens if token])
    return sum(1 for start in [0, *ends][: len(tokens)] if start < at)


def _without_markers(text: str) -> str:
    """The answer after the last close marker: a thought closed by force may go on, and be closed again by the model."""
    before, marker, after = text.rpartition(CLOSE)
    return (after.strip() or before.replace(CLOSE, "").replace(OPEN, "").strip()) if marker else text


class LlamaCppDial:
    """The dial of a llama.cpp server that runs one of our chat templates."""

    overhead = Overhead()
    counts_at_once = True
    steer: Steer | None = None

    def __init__(
        self,
        name: str,
        *,
        client: ChatOpenAI | None = None,
        thinks: bool = False,
        ways: dict[Kind, tuple[WayName, ...]] | None = None,
        copies: bool = False,
    ) -> None:
        self.facts = ModelFacts(
            name=name,
            levels=LEVELS,
            least_useful_thinking_tokens=32,
            takes_temperature=True,
            takes_stop=True,
            gives_logprobs=True,
            continues=True,
            prolongs="" if thinks else f"{OPEN}{{thought}}\nWait,",
            several=True,
            cancels=True,
            takes_seed=True,
            thinks=thinks,
            ways=ways or {},
            copies=copies,
        )
        self._client = client

    @property
    def example(self) -> Callable[[str, str], str] | None:
        return lambda thought, answer: f"{OPEN}{thought}{CLOSE}\n\n{answer}"

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        if not plan.thinking_tokens:
            return ("whole",)
        return ("think", "answer") if schema and not plan.inline else ("whole", "answer")

    def encode(
        self,
        plan: ThinkingPlan,
        phase: Phase,
        *,
        temperature: float | None,
        schema: Any | None,
        step: Step = FRESH,
    ) -> Settings:
        body: dict[str, Any] = {}
        kwargs: dict[str, Any] = {"extra_body": body}
        thinking = plan.thinking_tokens if phase in ("whole", "think") and not plan.inline else 0
        if phase == "think":
            most = thinking  # plain text, cut by its length, without a close marker
            body["chat_template_kwargs"] = {"enable_thinking": False}
        elif thinking:
            most = thinking + _CLOSE_TOKENS + plan.answer_tokens
            body["thinking_budget_tokens"] = thinking
            kwargs["logprobs"] = True
        else:
            most = plan.thinking_tokens if plan.inline and phase == "whole" else plan.answer_tokens
            thinking = plan.written_tokens if phase == "whole" else 0
            body["chat_template_kwargs"] = {"enable_thinking": False}
        kwargs["max_tokens"] = most
        if temperature is not None:
            kwargs["temperature"] = temperature
        if schema is not None and phase != "think":
            kwargs["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            }
        return Settings(kwargs, most, thinking)

    def decode(self, message: AIMessage, settings: Settings, phase: Phase, sent: Messages = ()) -> Reply:
        thought = str(message.additional_kwargs.get("reasoning_content") or "")
        if phase == "think":
            usage = message.usage_metadata
            reply = reply_from(message, settings, thinking_tokens=usage["output_tokens"] if usage else None)
            return replace(reply, text="", thought=reply.text)
        counted: int | None = 0
        if settings.max_thinking_tokens:
            listed = (message.response_metadata.get("logprobs") or {}).get("content") or []
            # without a list of tokens the count is unknown, and the most is assumed
            counted = thinking_tokens_of([str(entry["token"]) for entry in listed]) if listed else None
        reply = reply_from(message, settings, thought=thought, thinking_tokens=counted)
        return replace(reply, text=_without_markers(reply.text))

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        if self._client is None:
            return None
        asked = {name: value for name, value in settings.kwargs.items() if name in ("tools", "tool_choice")}
        payload = self._client._get_request_payload(convert_to_messages(list(messages)), **asked)
        body = {name: payload[name] for name in ("model", "messages", "tools", "tool_choice") if name in payload}
        body.update(settings.kwargs.get("extra_body") or {})
        sync, asynchronous = self._client.root_client, self._client.root_async_client
        path = "/chat/completions/input_tokens"

        def do() -> int:
            return int(sync.post(path, body=body, cast_to=dict[str, Any])["input_tokens"])

        async def ado() -> int:
            return int((await asynchronous.post(path, body=body, cast_to=dict[str, Any]))["input_tokens"])

        return Effect(do, ado)


class LlamaCpp(OpenAIFamily):
    """`ChatLlamaCpp`."""

    def claims(self, chat: BaseChatModel) -> bool:
        return is_kind(chat, "rheostat.providers.server_chat", "ChatLlamaCpp")

    def dial(self, chat: BaseChatModel, name: str, *, provider: str | None, strict: bool, live: bool) -> Dial:
        client: Any = chat  # it was claimed
        return LlamaCppDial(name, client=client)
