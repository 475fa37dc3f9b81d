"""Attributes of spans and metrics: the semantic conventions' names where there are such, ours under `rheostat.*`.

The names under `gen_ai.*` are those of the semantic conventions for generative AI as opentelemetry-semantic-conventions
0.66b2 has them (schema 1.44.0; they have since moved to open-telemetry/semantic-conventions-genai) and
opentelemetry-util-genai 1.3b0 uses them. Text of prompts, answers and errors is in `text_of_*` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages

from rheostat.calling.payer import Attempt, Payer
from rheostat.calling.watch import Work
from rheostat.calling.wire import WireRequest
from rheostat.errors import BudgetExceeded
from rheostat.money.usage import Spend
from rheostat.visible import visible, visible_json

__all__ = [
    "SCHEMA_URL", "asked_by", "error_type", "of_candidates", "of_payment", "of_plan", "of_reply", "of_request",
    "of_result", "of_run", "of_score", "of_spend", "of_verdict", "provider_of", "text_of_request", "text_of_tool",
    "word",
]  # fmt: skip

Attributes = dict[str, Any]
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_PROVIDERS = {
    "x-ai": "x_ai", "google": "gcp.gemini", "mistral": "mistral_ai", "azure": "azure.ai.openai", "aws": "aws.bedrock",
    "platform": "gcp.vertex_ai", "amazon_bedrock": "aws.bedrock", "google_genai": "gcp.gemini", "xai": "x_ai",
}  # fmt: skip
"""The conventions' names of providers, by those of genai-prices and LangChain, where they differ."""
_BY_API = {
    "chat": "openai", "responses": "openai", "completions": "openai", "messages": "anthropic", "gemini": "gcp.gemini",
    "ollama": "ollama", "bedrock": "aws.bedrock",
}  # fmt: skip
"""Where the address doesn't tell, the provider whose API it is, as the conventions ask."""
_OPERATIONS = {"completions": "text_completion", "gemini": "generate_content"}
_STOPS = {
    "end": "stop", "tool": "tool_call", "length": "length", "context": "length", "refusal": "content_filter",
    "filter": "content_filter",
}  # fmt: skip
"""The conventions' reasons why a reply ended, by ours."""
_MOST_CHARS = 200


def word(text: object) -> str:
    """A name that a user or a model wrote, as one short printable line."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text)[:_MOST_CHARS])


def _stop(ours: str) -> str:
    return _STOPS.get(ours, word(ours) or "stop")


def provider_of(request: WireRequest) -> str:
    """`gen_ai.provider.name`."""
    known = _PROVIDERS.get(request.provider, request.provider)
    return known or _BY_API.get(request.flavor, "unknown")


def _operation_of(request: WireRequest) -> str:
    if request.flavor == "vectors":
        return "embeddings"
    return _OPERATIONS.get(request.flavor, "chat")


def asked_by(request: WireRequest) -> Attributes:
    """The attributes of a request that its metrics have, too."""
    found: Attributes = {"gen_ai.operation.name": _operation_of(request), "gen_ai.provider.name": provider_of(request)}
    if request.model:
        found["gen_ai.request.model"] = word(request.model)
    host, _, port = request.address.rpartition(":")
    if host:
        found |= {"server.address": visible(host), **({"server.port": int(port)} if port.isdecimal() else {})}
    return found


def of_request(request: WireRequest, payer: Payer) -> Attributes:
    """A request as it leaves, and what was decided for it."""
    found = {**asked_by(request), "rheostat.account": visible(payer.account)}
    if request.stream:
        found["gen_ai.request.stream"] = True
    if request.most_output_tokens is not None:
        found["gen_ai.request.max_tokens"] = request.most_output_tokens
    if request.answers > 1:
        found["gen_ai.request.choice.count"] = request.answers
    if request.effort:
        found["rheostat.request.effort"] = word(request.effort)
    call = payer.call
    if call is not None:
        found["rheostat.node"] = word(call.note.get("node", ""))
        found |= of_plan(call.about)
    return found


_OF_PLAN = {
    "effort_planned": "rheostat.effort", "effort": "rheostat.effort", "samples": "rheostat.samples",
    "thinking_tokens": "rheostat.most_thinking_tokens", "decided_by": "rheostat.decided_by",
    "purpose": "rheostat.purpose", "difficulty": "rheostat.difficulty", "kind": "rheostat.kind",
    "id": "rheostat.id", "last_word": "rheostat.last_word",
}  # fmt: skip


def of_plan(plan: Mapping[str, Any]) -> Attributes:
    """What a plan decided, and why; it quotes nobody."""
    found = {
        ours: plan[name] for name, ours in _OF_PLAN.items() if isinstance(plan.get(name), str | int | float | bool)
    }
    if plan.get("reasons"):
        found["rheostat.reasons"] = [visible(each) for each in plan["reasons"]]
    return found


def of_held(held: Spend) -> Attributes:
    """The worst case that was held."""
    found: Attributes = {
        "rheostat.held.input_tokens": held.input_tokens,
        "rheostat.held.output_tokens": held.output_tokens,
    }
    return found if held.usd_nanos is None else {**found, "rheostat.held.usd_nanos": held.usd_nanos}


def of_spend(spend: Spend) -> Attributes:
    """What it cost, settled."""
    found: Attributes = {
        "gen_ai.usage.input_tokens": spend.input_tokens,
        "gen_ai.usage.output_tokens": spend.output_tokens,
    }
    if spend.thinking_tokens is not None:
        found["gen_ai.usage.reasoning.output_tokens"] = spend.thinking_tokens
    if spend.cached_input_tokens:
        found["gen_ai.usage.cache_read.input_tokens"] = spend.cached_input_tokens
    if spend.cache_write_tokens:
        found["gen_ai.usage.cache_creation.input_tokens"] = spend.cache_write_tokens
    return found if spend.usd_nanos is None else {**found, "rheostat.usd_nanos": spend.usd_nanos}


def of_unknown(spend: Spend) -> Attributes:
    """What it is charged at while its cost is unknown."""
    found: Attributes = {
        "rheostat.unknown.input_tokens": spend.input_tokens,
        "rheostat.unknown.output_tokens": spend.output_tokens,
    }
    return found if spend.usd_nanos is None else {**found, "rheostat.unknown.usd_nanos": spend.usd_nanos}


def of_reply(work: Work) -> Attributes:
    """A request that was closed: its hold, its cost, its answer."""
    attempt: Attempt = work.facts["attempt"]
    payer: Payer = work.facts["payer"]
    found: Attributes = {"rheostat.outcome": work.facts.get("outcome", "")}
    if "admitted" in work.facts:
        found |= of_held(work.facts["held"])
        found["rheostat.waited_seconds"] = round(work.facts["admitted"] - attempt.started, 6)
    if attempt.request_id:
        found["gen_ai.response.id"] = word(attempt.request_id)
    if attempt.answered:
        found["gen_ai.response.model"] = word(attempt.answered)
    if payer.call is not None and payer.call.stop:
        found["gen_ai.response.finish_reasons"] = [_stop(payer.call.stop)]
    if attempt.spend is not None:
        found |= of_spend(attempt.spend)
    elif attempt.charged is not None:
        found |= of_unknown(attempt.charged)
    if work.facts.get("late"):
        found["rheostat.late"] = True
    return found


def of_run(reading: Mapping[str, Any]) -> Attributes:
    """A run's own reading so far; on its span alone, under names of its own, so that nothing is added up twice."""
    named = ("usd_nanos", "input_tokens", "output_tokens", "thinking_tokens", "calls", "unknown_usd_nanos")
    return {f"rheostat.run.{name}": reading[name] for name in named if reading.get(name) is not None}


def of_verdict(verdict: Any) -> Attributes:
    """A verifier's verdict, without its reason, which may quote the answer."""
    label = {True: "pass", False: "fail", None: "unknown"}[verdict.passed]
    return {"gen_ai.evaluation.score.label": label, **of_score(verdict.score)}


def of_score(score: float | None) -> Attributes:
    """A scorer's score."""
    return {} if score is None else {"gen_ai.evaluation.score.value": float(score)}


def of_candidates(candidates: Sequence[Any]) -> Attributes:
    """The samples of one draw: how each was asked for, and how it ended; not what it says."""
    if not candidates:
        return {}
    first = candidates[0]
    return {
        "rheostat.candidates": [each.id for each in candidates],
        "rheostat.statuses": [each.status for each in candidates],
        "rheostat.way": first.way,
        "rheostat.purpose": first.purpose,
        "rheostat.effort": first.effort.value,
        "gen_ai.request.model": word(first.model),
    }


def of_payment(price: Spend, outcome: str) -> Attributes:
    """What isn't a model and has a price."""
    key = {"settled": "rheostat.usd_nanos", "unknown": "rheostat.unknown.usd_nanos"}.get(outcome)
    return {"rheostat.outcome": outcome, **({key: price.usd_nanos or 0} if key else {})}


def of_result(result: Any) -> Attributes:
    """Whether a tool call failed: its error went back to the model as evidence, so that nothing was raised."""
    return {"error.type": "tool_error"} if getattr(result, "status", "") == "error" else {}


def error_type(error: BaseException) -> str:
    """`error.type`: the HTTP status, or the kind of exception; never its message, which may quote anything."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return str(status)
    kind = type(error)
    if isinstance(error, BudgetExceeded):  # an SDK's own kind may be mixed in
        return BudgetExceeded.__qualname__
    name = kind.__qualname__.removeprefix("_")
    return name if kind.__module__ in ("builtins", "rheostat.errors") else f"{kind.__module__}.{name}"


# --- text, if the user wants it -------------------------------------------------------------------------------------


def text_of_request(payer: Payer) -> Attributes:
    """The messages of a planned request and its replies, as the conventions write them."""
    call = payer.call
    if call is None:
        return {}
    asked = convert_to_messages(list(call.asked)) if call.asked else []
    system = [part for each in asked if each.type == "system" for part in _parts(each)]
    found: Attributes = {}
    if system:
        found["gen_ai.system_instructions"] = _json(system)
    if asked:
        found["gen_ai.input.messages"] = _json(_plain(each for each in asked if each.type != "system"))
    if call.said:
        said = [{**each, "finish_reason": _stop(call.stop)} for each in _plain(call.said)]
        found["gen_ai.output.messages"] = _json(said)
    return found


def text_of_tool(call: Mapping[str, Any], result: Any) -> Attributes:
    """A tool call's arguments and result."""
    found = {"gen_ai.tool.call.arguments": _json(call.get("args"))}
    return found if result is None else {**found, "gen_ai.tool.call.result": _json(getattr(result, "content", result))}


_ROLES = {"human": "user", "ai": "assistant"}


def _plain(messages: Iterable[BaseMessage]) -> list[dict[str, Any]]:
    return [{"role": _ROLES.get(each.type, each.type), "parts": _parts(each)} for each in messages]


def _parts(message: BaseMessage) -> list[dict[str, Any]]:
    id_ = getattr(message, "tool_call_id", None)
    if id_ is not None:
        return [{"type": "tool_call_response", "id": id_, "response": message.text}]
    parts: list[dict[str, Any]] = []
    for block in message.content_blocks:
        match block["type"]:
            case "text":
                parts.append({"type": "text", "content": block["text"]})
            case "reasoning":
                parts.append({"type": "reasoning", "content": block.get("reasoning", "")})
            case "tool_call":
                parts.append({"type": "tool_call", **{name: block.get(name) for name in ("id", "name")}})
                parts[-1]["arguments"] = block.get("args")
            case other:
                parts.append({"type": other})  # media: its kind alone
    return parts


def _json(value: Any) -> str:
    return visible_json(json.dumps(value, ensure_ascii=False, default=str))  # half a surrogate pair can't be sent
