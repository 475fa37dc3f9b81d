"""The simulator of OpenAI's Chat Completions and Responses APIs.

Sources: docstrings of openai 3.54 (`reasoning`, `reasoning_effort`, `service_tier`, `max_completion_tokens`, `store`);
the `unsupported_value` and `unsupported_parameter` errors as quoted in openai/openai-agents-python#2089.
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

__all__ = ["Chat", "Responses", "openai_model"]

_SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_CHAT = {
    "model", "messages", "max_completion_tokens", "max_tokens", "reasoning_effort", "temperature", "top_p", "n",
    "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format", "service_tier",
    "stop", "seed", "user", "metadata", "store", "verbosity", "logprobs", "top_logprobs", "prompt_cache_key",
    "modalities",
}  # fmt: skip
_RESPONSES = {
    "model", "input", "instructions", "max_output_tokens", "reasoning", "temperature", "top_p", "stream",
    "stream_options", "tools", "tool_choice", "parallel_tool_calls", "text", "service_tier", "store", "include",
    "previous_response_id",
    "truncation", "user", "metadata", "prompt_cache_key", "context_management",
}  # fmt: skip
_LEAST_OUTPUT_TOKENS = 16


def _efforts(model: str) -> tuple[str, ...]:
    """The efforts by the API's docstrings; for newer models by the texts of errors."""
    if model.startswith("gpt-5-pro"):
        return ("high",)
    if model.startswith(("gpt-5-codex", "o1", "o3", "o4")):
        return ("low", "medium", "high")
    if model in ("gpt-5", "gpt-5-mini", "gpt-5-nano"):
        return ("minimal", "low", "medium", "high")
    if model in ("gpt-5.1", "gpt-5.1-codex", "gpt-5.1-codex-mini"):
        return ("none", "low", "medium", "high")
    if model.startswith("gpt-6-astra"):
        return ("low", "medium", "high", "xhigh", "max")
    if model.startswith(("gpt-5.6", "gpt-6")):
        return ("none", "low", "medium", "high", "xhigh", "max")
    if model.startswith("gpt-5"):
        return ("none", "low", "medium", "high", "xhigh")
    return ()


def _most_output_tokens(model: str) -> int:
    return {"gpt-5-pro": 272_000, "o1": 100_000, "o3": 100_000, "gpt-4o": 16_384}.get(model, 128_000)


def openai_model(model: str) -> dict[str, Any] | None:
    """The reply of `/v1/models/{id}`, which only says that the model exists; `None` for an unknown model."""
    if not _efforts(model) and not model.startswith("gpt-4"):
        return None
    return {"id": model, "object": "model", "created": 0, "owned_by": "openai"}


@dataclass
class _Request:
    """The checks that both APIs share."""

    body: dict[str, Any]
    headers: dict[str, str]
    cache: Cache

    provider = "openai"

    def __post_init__(self) -> None:
        raise NotImplementedError

    def _check(self, known: set[str], effort: str | None, most: Any, length: str) -> None:
        body = self.body
        if not self.headers.get("authorization", "").startswith("Bearer "):
            raise Refused("You didn't provide an API key.", status=401, kind="invalid_api_key")
        self.model = str(body.get("model", ""))
        levels = _efforts(self.model)
        if not levels and not self.model.startswith("gpt-4"):
            raise Refused(f"The model `{self.model}` does not exist", status=404, kind="model_not_found")
        for name in set(body) - known:
            refuse(True, f"Unknown parameter: '{name}'.", param=name)
        refuse(effort is not None and not levels, "Unsupported parameter: 'reasoning_effort'", param="reasoning_effort")
        supported = ", ".join(levels)
        refuse(
            effort is not None and effort not in levels,
            f"Unsupported value: '{effort}' is not supported with the '{self.model}' model. Supported: {supported}",
            param="reasoning.effort",
        )
        default = "none" if "none" in levels and self.model.startswith("gpt-5.1") else "medium"
        self.effort = self.base_effort = effort or (default if levels else "none")
        cap = _most_output_tokens(self.model)
        refuse(
            most is not None and (not isinstance(most, int) or most < 1), f"{length} must be at least 1", param=length
        )
        refuse(isinstance(most, int) and most > cap, f"{length} is too large: {most}. At most {cap}", param=length)
        self.most = most or cap
        warm = body.get("temperature", 1) != 1 and levels and self.effort != "none"
        refuse(
            warm, "Unsupported value: 'temperature' does not support this value with this model.", param="temperature"
        )
        context = context_of("openai", self.model) or 128_000
        if int(self.headers.get("content-length") or 0) > context and self.input_tokens() > context:
            told = "Your input exceeds the context window of this model. Please adjust your input and try again."
            raise Refused(told, kind="context_length_exceeded", param="input")
        tier = body.get("service_tier") or "auto"
        refuse(tier not in _SERVICE_TIERS, f"Invalid value: '{tier}'", param="service_tier")
        self.service_tier = {"auto": "default", "fast": "priority"}.get(tier, tier)

    def parts(self) -> list[Any]:
        raise NotImplementedError

    def input_tokens(self) -> int:
        parts = self.parts()
        return sum(tokens_of(part) for part in parts) + 4 * len(parts) + 3

    def do(self, turn: Turn) -> tuple[Work, Line]:
        wanted = THOUGHTS[self.effort] if self.effort != "none" else 0
        if turn.thinking_tokens is not None and self.effort != "none":
            wanted = turn.thinking_tokens
        done = work(turn, wanted, self.most)
        namespace = json.dumps([self.model, self.base_effort, self.body.get("verbosity"), self.service_tier])
        read, written = self.cache.lookup(namespace, self.parts())
        return done, Line(
            provider="openai", model=self.model, effort=self.effort,
            input_tokens=self.input_tokens() + 1000 * turn.web_searches,
            cached_input_tokens=read, cache_write_tokens=written if self.model.startswith("gpt-6") else 0,
            output_tokens=done.output_tokens, thinking_tokens=done.thinking_tokens,
            service_tier=self.service_tier, web_searches=turn.web_searches,
        )  # fmt: skip

    def error(self, refused: Refused) -> dict[str, Any]:
        return {"error": {"message": str(refused), "type": refused.kind, "param": refused.param, "code": refused.kind}}


class Chat(_Request):
    """One checked request to `/v1/chat/completions`."""

    def __post_init__(self) -> None:
        body = self.body
        most = body.get("max_completion_tokens")
        if most is None and body.get("max_tokens") is not None:
            refuse(
                bool(_efforts(str(body.get("model")))),
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'",
                param="max_tokens",
            )
            most = body["max_tokens"]
        self._check(_CHAT, body.get("reasoning_effort"), most, "max_completion_tokens")
        waiting: set[str] = set()
        for message in body.get("messages") or []:
            if message["role"] == "tool":
                refuse(message.get("tool_call_id") not in waiting, "messages with role 'tool' must answer a tool call")
                waiting.discard(message["tool_call_id"])
            else:
                refuse(waiting, f"An assistant message with 'tool_calls' must be followed by tool messages: {waiting}")
            waiting |= {call["id"] for call in message.get("tool_calls") or []}
        refuse(waiting, f"An assistant message with 'tool_calls' must be followed by tool messages: {waiting}")

    def parts(self) -> list[Any]:
        schema = self.body.get("response_format")
        return [*(self.body.get("tools") or []), *([schema] if schema else []), *self.body["messages"]]

    def reply(self, turn: Turn, done: Work, line: Line, name: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": done.text or None, "refusal": None}
        if done.tools:
            message["tool_calls"] = [
                {
                    "id": f"call_{name}_{number}",
                    "type": "function",
                    "function": {"name": tool, "arguments": json.dumps(arguments)},
                }
                for number, (tool, arguments) in enumerate(turn.tool_calls)
            ]
        finish = "length" if done.cut else turn.stop or ("tool_calls" if done.tools else "stop")
        reply = {
            "id": f"chatcmpl-{name}", "object": "chat.completion", "created": 0, "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "service_tier": self.service_tier,
        }  # fmt: skip
        if not turn.fault.no_usage:
            reply["usage"] = {
                "prompt_tokens": line.input_tokens, "completion_tokens": line.output_tokens,
                "total_tokens": line.input_tokens + line.output_tokens,
                "prompt_tokens_details": {
                    "cached_tokens": line.cached_input_tokens, "cache_write_tokens": line.cache_write_tokens,
                },
                "completion_tokens_details": {"reasoning_tokens": line.thinking_tokens},
            }  # fmt: skip
        return reply

    def events(self, reply: dict[str, Any], *, whole: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        base = {key: reply[key] for key in ("id", "created", "model", "service_tier")}
        base["object"] = "chat.completion.chunk"
        [choice] = reply["choices"]
        message = choice["message"]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [
            {"content": f"{' ' if n else ''}{word}"} for n, word in enumerate((message["content"] or "").split(" "))
        ]
        deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(message.get("tool_calls") or [])]
        for delta in deltas:
            yield "", {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        if whole:
            yield "", {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
            if (self.body.get("stream_options") or {}).get("include_usage") and "usage" in reply:
                yield "", {**base, "choices": [], "usage": reply["usage"]}
            yield "", {}


class Responses(_Request):
    """One checked request to `/v1/responses`; it is stateless, because nothing is stored here."""

    def __post_init__(self) -> None:
        body = self.body
        most = body.get("max_output_tokens")
        refuse(
            isinstance(most, int) and most < _LEAST_OUTPUT_TOKENS,
            f"Invalid 'max_output_tokens': at least {_LEAST_OUTPUT_TOKENS}",
            param="max_output_tokens",
        )
        reasoning = body.get("reasoning") or {}
        self._check(_RESPONSES, reasoning.get("effort"), most, "max_output_tokens")
        refuse(reasoning.get("mode") not in (None, "standard", "pro"), "Invalid value: 'reasoning.mode'")
        called: set[str] = set()
        for item in self._items():
            kind = item.get("type", "message")
            if kind == "function_call":
                called.add(item["call_id"])
            elif kind == "function_call_output":
                missing = item.get("call_id") not in called
                refuse(missing, f"No tool call found for function call output with call_id {item.get('call_id')}.")
            elif kind == "reasoning":
                self._check_reasoning(item)
            elif kind == "configuration_update":  # from here on; the cache keeps the effort beside the input
                self.effort = (item.get("reasoning") or {}).get("effort", self.effort)
                known = self.model.startswith("gpt-6") and self.effort in _efforts(self.model)
                refuse(not known, "configuration_update is not supported with this model", param="input")
        answered = {item.get("call_id") for item in self._items() if item.get("type") == "function_call_output"}
        refuse(called - answered, f"No tool output found for function call {called - answered}.")

    def _check_reasoning(self, item: dict[str, Any]) -> None:
        sealed = item.get("encrypted_content")
        if sealed is None:
            if self.body.get("store") is not False:
                return  # the default: the server has kept it
            raise Refused(
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is false.", status=404
            )
        refuse(sealed != seal(str(item.get("id"))), "The encrypted content could not be verified.")

    def _items(self) -> list[dict[str, Any]]:
        given = self.body.get("input") or []
        return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given

    def parts(self) -> list[Any]:
        instructions = self.body.get("instructions")
        schema = (self.body.get("text") or {}).get("format")
        head = [
            *(self.body.get("tools") or []),
            *([schema] if schema else []),
            *([instructions] if instructions else []),
        ]
        return [*head, *self._items()]

    def reply(self, turn: Turn, done: Work, line: Line, name: str) -> dict[str, Any]:
        output: list[dict[str, Any]] = []
        if self.effort != "none":
            item: dict[str, Any] = {"id": f"rs_{name}", "type": "reasoning", "summary": []}
            if (self.body.get("reasoning") or {}).get("summary"):
                item["summary"] = [{"type": "summary_text", "text": done.thought[:60]}]
            if "reasoning.encrypted_content" in (self.body.get("include") or []):
                item["encrypted_content"] = seal(item["id"])
            output.append(item)
        output += [
            {
                "id": f"ws_{name}_{number}",
                "type": "web_search_call",
                "status": "completed",
                "action": {"type": "search", "query": "q"},
            }
            for number in range(turn.web_searches)
        ]
        if done.text:
            said = {"type": "output_text", "text": done.text, "annotations": [], "logprobs": []}
            output.append(
                {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
            )
        if done.tools:
            output += [
                {
                    "id": f"fc_{name}_{number}",
                    "type": "function_call",
                    "call_id": f"call_{name}_{number}",
                    "name": tool,
                    "arguments": json.dumps(arguments),
                    "status": "completed",
                }
                for number, (tool, arguments) in enumerate(turn.tool_calls)
            ]
        reason = "max_output_tokens" if done.cut else turn.stop
        reply: dict[str, Any] = {
            "id": f"resp_{name}", "object": "response", "created_at": 0, "model": self.model, "output": output,
            "status": "incomplete" if reason else "completed", "error": None, "instructions": None, "metadata": {},
            "incomplete_details": {"reason": reason} if reason else None, "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0, "service_tier": self.service_tier,
            "max_output_tokens": self.most, "reasoning": {"effort": self.effort, "summary": None},
            "tool_usage": {"web_search": {"num_requests": turn.web_searches}},
        }  # fmt: skip
        if not turn.fault.no_usage:
            reply["usage"] = {
                "input_tokens": line.input_tokens, "output_tokens": line.output_tokens,
                "total_tokens": line.input_tokens + line.output_tokens,
                "input_tokens_details": {
                    "cached_tokens": line.cached_input_tokens, "cache_write_tokens": line.cache_write_tokens,
                },
                "output_tokens_details": {"reasoning_tokens": line.thinking_tokens},
            }  # fmt: skip
        return reply

    def events(self, reply: dict[str, Any], *, whole: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        count = iter(range(10**6))

        def event(kind: str, **rest: Any) -> tuple[str, dict[str, Any]]:
            return kind, {"type": kind, "sequence_number": next(count), **rest}

        yield event("response.created", response={**reply, "output": [], "status": "in_progress", "usage": None})
        for index, item in enumerate(reply["output"]):
            where = {"output_index": index, "item_id": item["id"]}
            bare = {**item, "content": []} if item["type"] == "message" else {**item}
            if item["type"] == "function_call":
                bare["arguments"] = ""
            if item["type"] == "reasoning":
                bare["summary"] = []
            yield event("response.output_item.added", output_index=index, item=bare)
            if item["type"] == "message":
                text = item["content"][0]["text"]
                for word in [text[at : at + 40] for at in range(0, len(text), 40)]:
                    yield event("response.output_text.delta", content_index=0, delta=word, logprobs=[], **where)
                yield event("response.output_text.done", content_index=0, text=text, logprobs=[], **where)
            if item["type"] == "function_call":
                yield event("response.function_call_arguments.delta", delta=item["arguments"], **where)
            for number, part in enumerate(item.get("summary") or []):
                empty = {**part, "text": ""}
                yield event("response.reasoning_summary_part.added", summary_index=number, part=empty, **where)
                yield event("response.reasoning_summary_text.delta", summary_index=number, delta=part["text"], **where)
            yield event("response.output_item.done", output_index=index, item=item)
        if whole:
            kind = "response.completed" if reply["status"] == "completed" else "response.incomplete"
            yield event(kind, response=reply)
