"""The simulator of Anthropic's Messages API.

Sources: docstrings of anthropic 2.12; platform.claude.com/docs/build-with-claude/thinking-tool-workflows and
adaptive-thinking; docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rheostat.money.pricing import context_of
from rheostat.testing.server.bill import Line
from rheostat.testing.server.rules import Cache, Refused, refuse, seal, tokens_of
from rheostat.testing.server.turn import THOUGHTS, Turn, Work, work

__all__ = ["Messages", "model_info"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_MANUAL = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")
_BOTH = ("claude-opus-4-6", "claude-sonnet-4-6")
_ALWAYS = ("claude-fable-", "claude-mythos-", "claude-opus-5-5", "claude-sonnet-5-5")
_NO_FORCED_TOOL = ("claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5")
_KNOWN = (
    *_MANUAL, *_BOTH, *_ALWAYS, "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5",
    "claude-haiku-5-5",
)  # fmt: skip
_PARAMETERS = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "temperature",
    "top_p", "top_k", "stop_sequences", "stream", "metadata", "service_tier", "speed", "container", "inference_geo",
    "mcp_servers", "context_management", "cache_control",
}  # fmt: skip
_TOOL_PROMPT_TOKENS = 346
"""The hidden system prompt that comes with tools (docs: 346 with auto, 313 with any, on the Claude 4 models)."""


def _most_output_tokens(model: str) -> int:
    return 64_000 if model.startswith(_MANUAL) else 128_000


def _efforts(model: str) -> tuple[str, ...]:
    if model.startswith("claude-opus-4-5"):
        return _EFFORTS[:3]
    if model.startswith(_MANUAL):
        return ()
    return ("low", "medium", "high", "max") if model.startswith(_BOTH) else _EFFORTS


def model_info(model: str) -> dict[str, Any] | None:
    """The reply of `/v1/models/{id}`, or `None` for an unknown model. Source: `ModelInfo` of anthropic 2.12."""
    if not model.startswith(_KNOWN):
        return None

    def can(yes: object) -> dict[str, bool]:
        return {"supported": bool(yes)}

    efforts = _efforts(model)
    manual = model.startswith(_MANUAL)
    types = {
        "adaptive": can(not manual), "enabled": can(manual or model.startswith(_BOTH)),
        "disabled": can(not model.startswith(_ALWAYS)), "between_tools": can(False),
    }  # fmt: skip
    return {
        "id": model, "type": "model", "display_name": model, "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": 200_000 if manual else 1_000_000,
        "max_tokens": _most_output_tokens(model),
        "capabilities": {
            "effort": {**can(efforts), **{level: can(level in efforts) for level in _EFFORTS}},
            "thinking": {**can(True), "types": types},
        },
    }  # fmt: skip


@dataclass
class Messages:
    """One checked request to `/v1/messages`."""

    body: dict[str, Any]
    headers: dict[str, str]
    cache: Cache

    provider = "anthropic"

    def __post_init__(self) -> None:
        body = self.body
        if not (self.headers.get("x-api-key") or self.headers.get("authorization")):
            raise Refused("x-api-key header is required", status=401, kind="authentication_error")
        self.model = str(body.get("model", ""))
        if not self.model.startswith(_KNOWN):
            raise Refused(f"model: {self.model}", status=404, kind="not_found_error")
        for name in set(body) - _PARAMETERS:
            refuse(True, f"{name}: Extra inputs are not permitted")
        self.thinking = body.get("thinking") or {}
        self.config = body.get("output_config") or {}
        self.kind = self.thinking.get("type", "adaptive" if self.model.startswith(_ALWAYS) else "none")
        self.thinks = self.kind in ("enabled", "adaptive")
        if not self.headers.get("counting"):
            self._check_length()
        self._check_thinking()
        self._check_tools()
        self._check_conversation()
        context = context_of("anthropic", self.model) or 200_000
        if int(self.headers.get("content-length") or 0) > context:  # no body has more tokens than bytes
            tokens = self.input_tokens()
            refuse(tokens > context, f"prompt is too long: {tokens} tokens > {context} maximum")

    # --- the rules ------------------------------------------------------------------------------------

    def _check_length(self) -> None:
        most, cap = self.body.get("max_tokens"), _most_output_tokens(self.model)
        refuse(not isinstance(most, int) or most < 1, "max_tokens: Field required")
        refuse(isinstance(most, int) and most > cap, f"max_tokens: {most} > {cap}, the maximum of {self.model}")

    def _check_thinking(self) -> None:
        model, kind = self.model, self.kind
        manual = model.startswith(_MANUAL)
        refuse(kind == "adaptive" and manual, "adaptive thinking is not supported on this model")
        if kind == "enabled":
            budget, most = self.thinking.get("budget_tokens"), self.body.get("max_tokens", 10**9)
            refuse(not manual and not model.startswith(_BOTH), "thinking.type.enabled is not supported for this model")
            refuse(not isinstance(budget, int) or budget < 1024, "thinking.budget_tokens: should be at least 1024")
            refuse(isinstance(budget, int) and budget >= most, "max_tokens must be greater than thinking.budget_tokens")
        refuse(kind == "disabled" and model.startswith(_ALWAYS), "thinking.type.disabled is not supported")
        effort = self.config.get("effort")
        refuse(effort and not _efforts(model), "This model does not support the effort parameter.")
        refuse(effort and effort not in _efforts(model), f"output_config.effort: {effort!r} is not supported")
        off_above = kind == "disabled" and model.startswith("claude-opus-5") and effort in ("xhigh", "max")
        refuse(off_above, f"thinking can't be disabled at effort {effort}")
        task = self.config.get("task_budget")
        beta = "task-budgets" in self.headers.get("anthropic-beta", "")
        refuse(task and not beta, "output_config.task_budget: Extra inputs are not permitted")
        refuse(task and task.get("total", 0) < 20_000, "output_config.task_budget.total: at least 20000")
        if self.thinks:
            refuse(self.body.get("temperature", 1) != 1, "`temperature` may only be set to 1 when thinking is enabled")
            refuse(self.body.get("top_k") is not None, "`top_k` must be unset when thinking is enabled")

    def _check_tools(self) -> None:
        choice = (self.body.get("tool_choice") or {}).get("type", "auto")
        forced = choice in ("any", "tool")
        refuse(forced and not self.body.get("tools"), "tool_choice may only be specified with tools")
        refuse(forced and self.kind == "enabled", "Thinking may not be enabled when tool_choice forces tool use.")
        refuse(forced and self.model.startswith(_NO_FORCED_TOOL), f"tool_choice {choice} is not supported")

    def _check_conversation(self) -> None:
        messages = self.body.get("messages") or []
        refuse(not messages, "messages: at least one message is required")
        refuse(messages[0]["role"] != "user", "messages: first message must use the user role")
        for number, message in enumerate(messages):
            for block in _blocks(message):
                if block["type"] == "thinking":
                    bad = block.get("signature") != seal(self.model + block.get("thinking", ""))
                    refuse(bad, f"messages.{number}.content: Invalid `signature` in `thinking` block")
                if block["type"] == "redacted_thinking":
                    sealed, _, text = str(block.get("data", "")).partition(".")
                    refuse(sealed != seal(self.model + text), f"messages.{number}.content: Invalid redacted thinking")
            before = _blocks(messages[number - 1]) if number else []
            made = {block["id"] for block in before if block["type"] == "tool_use"}
            given = [block["tool_use_id"] for block in _blocks(message) if block["type"] == "tool_result"]
            unexpected = [each for each in given if each not in made]
            refuse(unexpected, f"messages.{number}: unexpected `tool_use_id` in `tool_result` blocks: {unexpected}")
            called = [block["id"] for block in _blocks(message) if block["type"] == "tool_use"]
            if called:
                after = _blocks(messages[number + 1]) if number + 1 < len(messages) else []
                answered = [block.get("tool_use_id") for block in after if block["type"] == "tool_result"]
                missing = set(called) - set(answered)
                refuse(missing, f"messages.{number}: `tool_use` ids were found without `tool_result` blocks: {missing}")
        self._check_loop(messages)

    def _check_loop(self, messages: list[dict[str, Any]]) -> None:
        """A tool loop is one assistant turn: its thinking is sent back unchanged, and can't be switched.

        Uncertain: pages of the documentation differ on whether a switch is refused or the thinking is silently left
        out; a refusal is the stricter reading.
        """
        loop: list[dict[str, Any]] = []
        for message in reversed(messages):
            if message["role"] == "user" and not any(block["type"] == "tool_result" for block in _blocks(message)):
                break
            if message["role"] == "assistant":
                loop.insert(0, message)
        if not loop or not any(block["type"] == "tool_use" for block in _blocks(loop[-1])):
            return
        first = _blocks(loop[0])[0]["type"]
        thought = first in ("thinking", "redacted_thinking")
        refuse(
            self.kind == "enabled" and not thought,
            f"messages: Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` is enabled, a "
            "final `assistant` message must start with a thinking block",
        )
        off = self.kind in ("disabled", "none")
        refuse(
            self.model.startswith(_MANUAL) and thought and off, "thinking may not be switched off inside a tool loop"
        )

    # --- the count, the work, the bill ------------------------------------------------------------------

    def parts(self) -> list[Any]:
        """The parts of the prompt, in the order of caching."""
        system: Any = self.body.get("system") or []
        if isinstance(system, str):
            system = [{"type": "text", "text": system}]
        blocks = [{"role": message["role"], **block} for message in self.body["messages"] for block in _blocks(message)]
        return [*(self.body.get("tools") or []), *system, *blocks]

    @property
    def most(self) -> int:
        """The length cap."""
        return int(self.body["max_tokens"])

    def input_tokens(self) -> int:
        hidden = _TOOL_PROMPT_TOKENS if self.body.get("tools") else 0
        schema = tokens_of(self.config.get("format")) + 40 if self.config.get("format") else 0
        return sum(tokens_of(part) for part in self.parts()) + 4 * len(self.body["messages"]) + 8 + hidden + schema

    def do(self, turn: Turn) -> tuple[Work, Line]:
        effort = str(self.config.get("effort") or "high")
        wanted = THOUGHTS[effort] if self.thinks else 0
        if self.thinks and turn.thinking_tokens is not None:
            wanted = turn.thinking_tokens
        if self.kind == "enabled":
            wanted = min(wanted, self.thinking["budget_tokens"])
        done = work(turn, wanted, self.body["max_tokens"])
        parts = self.parts()
        marks = [number for number, part in enumerate(parts) if isinstance(part, dict) and part.get("cache_control")]
        hour = any((parts[mark]["cache_control"] or {}).get("ttl") == "1h" for mark in marks)
        whole = self.body.get("cache_control")
        if whole and parts:  # automatic: as if the last block were marked
            marks, hour = [*marks, len(parts) - 1], hour or whole.get("ttl") == "1h"
        namespace = json.dumps([self.model, self.thinking, effort])
        read, written = self.cache.lookup(namespace, parts, marks) if marks else (0, 0)
        return done, Line(
            provider="anthropic", model=self.model, effort=effort if self.thinks else "none",
            input_tokens=self.input_tokens() + 1000 * turn.web_searches,
            cached_input_tokens=read, cache_write_tokens=written, cache_write_1h_tokens=written if hour else 0,
            output_tokens=done.output_tokens, thinking_tokens=done.thinking_tokens,
            speed="fast" if self.body.get("speed") == "fast" else "", web_searches=turn.web_searches,
        )  # fmt: skip

    # --- the reply ----------------------------------------------------------------------------------------

    def reply(self, turn: Turn, done: Work, line: Line, name: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if done.thinking_tokens:
            signature = seal(self.model + done.thought)
            content.append(
                {"type": "redacted_thinking", "data": f"{signature}.{done.thought}"}
                if turn.redacted
                else {"type": "thinking", "thinking": done.thought, "signature": signature}
            )
        for number in range(turn.web_searches):
            called = {"id": f"srvtoolu_{name}_{number}", "name": "web_search", "input": {"query": "q"}}
            found = {"type": "web_search_tool_result", "tool_use_id": called["id"], "content": []}
            content += [{"type": "server_tool_use", **called}, found]
        if done.text:
            content.append({"type": "text", "text": done.text})
        if done.tools:
            content += [
                {"type": "tool_use", "id": f"toolu_{name}_{number}", "name": tool, "input": arguments}
                for number, (tool, arguments) in enumerate(turn.tool_calls)
            ]
        stop = "max_tokens" if done.cut else turn.stop or ("tool_use" if done.tools else "end_turn")
        reply: dict[str, Any] = {
            "id": f"msg_{name}", "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop, "stop_sequence": None,
        }  # fmt: skip
        if not turn.fault.no_usage:
            reply["usage"] = _usage(line)
        return reply

    def events(self, reply: dict[str, Any], *, whole: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """The reply as the events of a stream; one that isn't `whole` ends before its last events."""
        total = reply.get("usage") or {"input_tokens": 0, "output_tokens": 0}
        start = {**reply, "content": [], "stop_reason": None, "usage": {**total, "output_tokens": 0}}
        yield "message_start", {"type": "message_start", "message": start}
        for index, block in enumerate(reply["content"]):
            for event in _block_events(index, block):
                yield event["type"], event
        delta = {"stop_reason": reply["stop_reason"], "stop_sequence": None}
        if whole:
            yield "message_delta", {"type": "message_delta", "delta": delta, "usage": total}
            yield "message_stop", {"type": "message_stop"}

    def error(self, refused: Refused) -> dict[str, Any]:
        return {"type": "error", "error": {"type": refused.kind, "message": str(refused)}, "request_id": "req_error"}


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content: Any = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _usage(line: Line) -> dict[str, Any]:
    hour = line.cache_write_1h_tokens
    return {
        "input_tokens": line.input_tokens - line.cached_input_tokens - line.cache_write_tokens,
        "cache_read_input_tokens": line.cached_input_tokens,
        "cache_creation_input_tokens": line.cache_write_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": line.cache_write_tokens - hour, "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": line.output_tokens,
        "output_tokens_details": {"thinking_tokens": line.thinking_tokens},
        "server_tool_use": {"web_search_requests": line.web_searches, "web_fetch_requests": 0},
        "service_tier": "standard",
        "speed": line.speed or "standard",
    }  # fmt: skip


def _block_events(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = block["type"]
    empty: dict[str, Any] = dict(block)
    deltas: list[dict[str, Any]] = []
    if kind == "thinking":
        empty.update(thinking="", signature="")
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif kind == "text":
        empty["text"] = ""
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    elif kind == "tool_use":
        empty["input"] = {}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _pieces(text: str, size: int = 200) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]
