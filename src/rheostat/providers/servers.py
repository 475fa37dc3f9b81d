"""OpenAI-compatible model servers: how each sets the thinking, and how to recognise it.

Sources, tried or read in November 2026: vLLM 0.33 (`thinking_token_budget`, enforced with `--reasoning-parser`), SGLang
0.5.23 (`custom_params.thinking_budget`, enforced with `--enable-strict-thinking`), the documentation of Ollama
(`reasoning_effort`), NIM (`nvext.max_thinking_tokens`) and TensorRT-LLM (`thinking_token_budget`).
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage

from rheostat.addresses import without_password
from rheostat.errors import ModelUnknown
from rheostat.flow import Effect
from rheostat.providers.bounds import Overhead
from rheostat.providers.dial import FRESH, Messages, Phase, Reply, Settings, Steer, Step, reply_from
from rheostat.providers.generic import LEVELS
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["SERVERS", "Found", "Server", "ServerDial", "inspect_server"]

_MOST_BYTES = 16 << 20
"""Of a server's reply about itself."""
_UNREADABLE = (OSError, ValueError, RecursionError, http.client.HTTPException)
_CLOSE_TOKENS = 8
"""Room for the close marker of a thought, which is generated too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to set the thinking of one kind of server."""

    name: str
    on: Callable[[int, Effort], dict[str, Any]]
    """Returns the extra fields of the body for a number of thinking tokens at a level."""
    off: dict[str, Any]
    """The extra fields of the body for no thinking."""
    enforced: str
    """The condition for the server to enforce the number; empty: it never does, and only our length cap holds."""
    levels: dict[Effort, int]
    continuing: dict[str, Any] = field(default_factory=dict)
    """The extra fields of the body that make it continue the last message; empty: it can't."""
    logprobs: bool = True
    """It returns the log-probabilities of its tokens."""


def _template(on: bool) -> dict[str, Any]:
    return {"chat_template_kwargs": {"enable_thinking": on}}


_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
_NAMED = {level: LEVELS[level] for level in (Effort.none, Effort.low, Effort.medium, Effort.high)}
SERVERS = {
    server.name: server
    for server in (
        Server(
            name="vllm",
            on=lambda tokens, _: {"thinking_token_budget": tokens, **_template(True)},
            off=_template(False),
            enforced="started with --reasoning-parser",
            levels=LEVELS,
            continuing=_CONTINUE,
        ),
        Server(
            name="sglang",
            on=lambda tokens, _: {"custom_params": {"thinking_budget": tokens}, **_template(True)},
            off=_template(False),
            enforced="started with --enable-strict-thinking",
            levels=LEVELS,
            continuing=_CONTINUE,
        ),
        Server(
            name="tensorrt-llm",
            on=lambda tokens, _: {"thinking_token_budget": tokens, **_template(True)},
            off=_template(False),
            enforced="a reasoning parser is set",
            levels=LEVELS,
        ),
        Server(
            name="nim",
            on=lambda tokens, _: {"nvext": {"max_thinking_tokens": tokens}},
            off=_template(False),
            enforced="the model's NIM supports it",
            levels=LEVELS,
        ),
        Server(
            name="ollama",
            on=lambda _, effort: {"reasoning_effort": effort.value},
            off={"reasoning_effort": "none"},
            enforced="",
            levels=_NAMED,
            logprobs=False,
        ),
    )
}
"""All servers by name. llama.cpp has a dial of its own (`llama_cpp`), which counts the thought exactly."""


class ServerDial:
    """The dial of a server in `SERVERS`."""

    overhead = Overhead()
    counts_at_once = False
    steer: Steer | None = None

    def __init__(self, name: str, server: Server, *, strict: bool = False) -> None:
        self._server = server
        self.facts = ModelFacts(
            name=name,
            levels=server.levels,
            least_useful_thinking_tokens=32,
            takes_temperature=True,
            takes_stop=True,
            strict=strict,
            gives_logprobs=server.logprobs,
            continues=bool(server.continuing),
            several=server.logprobs,
            cancels=True,
            takes_seed=True,
        )

    @property
    def example(self) -> Callable[[str, str], str] | None:
        return None

    def phases(self, plan: ThinkingPlan, *, schema: bool) -> tuple[Phase, ...]:
        return ("whole", "answer") if plan.thinking_tokens else ("whole",)

    def encode(
        self,
        plan: ThinkingPlan,
        phase: Phase,
        *,
        temperature: float | None,
        schema: Any | None,
        step: Step = FRESH,
    ) -> Settings:
        tokens = plan.thinking_tokens if phase == "whole" else 0
        body = self._server.on(tokens, plan.effort) if tokens else dict(self._server.off)
        most = tokens + _CLOSE_TOKENS + plan.answer_tokens if tokens else plan.answer_tokens
        if plan.purpose == "continue":
            body.update(self._server.continuing)
        kwargs: dict[str, Any] = {"extra_body": body, "max_tokens": most}
        notes: tuple[str, ...] = ()
        if tokens and not self._server.enforced:
            notes = (f"{self._server.name} takes a level and no number: only the length cap holds the thought",)
        elif tokens:
            notes = (f"{self._server.name} keeps to the number if it was {self._server.enforced}",)
        if temperature is not None:
            kwargs["temperature"] = temperature
        if schema is not None:
            kwargs["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        return Settings(kwargs, most, most if tokens else 0, notes=notes)

    def decode(self, message: AIMessage, settings: Settings, phase: Phase, sent: Messages = ()) -> Reply:
        thought = str(message.additional_kwargs.get("reasoning_content") or "")
        reply = reply_from(message, settings, thought=thought)
        return reply if not reply.text.startswith("<think>") else replace(reply, text="", thought=reply.text)

    def count_input(self, messages: Messages, settings: Settings) -> Effect | None:
        return None


# --- recognising a server ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The facts about a server that was inspected."""

    kind: str
    """A name in `SERVERS`, `llama.cpp`, or `unknown`."""
    version: str
    models: tuple[str, ...]
    context_tokens: int | None
    """The context of the first model, in tokens; `None`: unknown."""
    thinking: str
    """How its thinking is set, as text for display."""
    thinks: bool = True
    """Its chat template has thoughts."""


def inspect_server(url: str, key: str = "none", *, seconds: float = 10.0) -> Found:
    """Find out the kind of a server: by `/v1/models`, then by paths that only one kind has.

    Args:
        url: Its address, ending in `/v1`.
        key: The key for `Authorization: Bearer`.
        seconds: The timeout of each request.

    Raises:
        ModelUnknown: No OpenAI-compatible server answers there, or it offers no model.
    """

    def get(path: str) -> Any:
        root = url.rstrip("/").removesuffix("/v1")
        request = urllib.request.Request(f"{root}{path}", headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - http(s), the model's own server
        with urllib.request.urlopen(request, timeout=seconds) as response:  # noqa: S310 - the user's own address
            return json.loads(response.read(_MOST_BYTES))

    def ask(path: str) -> dict[str, Any]:
        try:
            said = get(path)
        except _UNREADABLE:
            return {}
        return said if isinstance(said, dict) else {}

    try:
        listed = [dict(each) for each in get("/v1/models")["data"]]
    except (*_UNREADABLE, KeyError, TypeError) as error:
        hint = "" if url.rstrip("/").endswith("/v1") else " Most servers want the address to end in /v1."
        raise ModelUnknown(f"no OpenAI-compatible server answers at {without_password(url)}: {error}.{hint}") from error
    if not listed:
        raise ModelUnknown(f"the server at {without_password(url)} offers no model")
    first = listed[0]
    owner = str(first.get("owned_by") or "").lower()
    context: Any = first.get("max_model_len")
    if owner == "llamacpp":
        props = ask("/props")
        slot = props.get("default_generation_settings") or {}
        template = str(props.get("chat_template") or "")
        thinks = "enable_thinking" in template or "<think>" in template
        how = "thinking_budget_tokens, enforced to the token" if thinks else "its chat template doesn't think"
        return _found("llama.cpp", props.get("build_info"), listed, slot.get("n_ctx"), how, thinks=thinks)
    if owner == "sglang":
        return _found("sglang", ask("/server_info").get("version"), listed, context)
    if owner == "vllm" or context:
        return _found("vllm", ask("/version").get("version"), listed, context)
    version = ask("/api/version").get("version")
    if version:
        return _found("ollama", version, listed, context)
    return _found("unknown", "", listed, context, "two requests: a scratchpad, then the answer")


def _found(
    kind: str, version: Any, listed: list[Any], context: Any, thinking: str = "", *, thinks: bool = True
) -> Found:
    if kind in SERVERS:
        server = SERVERS[kind]
        sent = ", ".join(name for name in server.on(1, Effort.low) if name != "chat_template_kwargs")
        thinking = f"{sent}; enforced if {server.enforced}" if server.enforced else f"{sent}: levels, no number"
    return Found(
        kind=kind,
        version=str(version or ""),
        models=tuple(str(each.get("id")) for each in listed),
        context_tokens=context if isinstance(context, int) else None,
        thinking=thinking,
        thinks=thinks,
    )
