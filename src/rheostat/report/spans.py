"""OpenTelemetry spans of agents: a span for each model call and each tool call, with `gen_ai.*` attributes.

Attributes follow the semantic conventions for generative AI (opentelemetry.io/docs/specs/semconv/gen-ai); attributes
without a name there are under `rheostat.*`. Needs the extra `otel`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from rheostat.errors import MissingExtra
from rheostat.graph.events import listen

try:
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
except ImportError as error:
    raise MissingExtra("OpenTelemetry", "otel") from error

__all__ = ["instrument"]

_step: ContextVar[dict[str, Any] | None] = ContextVar("rheostat_otel_step", default=None)


def instrument(tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make a span of every model call and tool call of our agents in this process, from now on.

    Args:
        tracer_provider: By default the global one.

    Returns:
        A function that stops it.
    """
    tracer = trace.get_tracer("rheostat", version("rheostat"), tracer_provider)

    def hear(type_: str, data: dict[str, Any]) -> None:
        match type_:
            case "estimate":
                _step.set(
                    {"started": time.time_ns(), "rheostat.difficulty": data["score"], "rheostat.seam": data["boundary"]}
                )
            case "plan" if step := _step.get():
                step["rheostat.id"] = data["id"]
                step["rheostat.effort"], step["rheostat.decided_by"] = data["effort"], data["decided_by"]
                step["rheostat.most_thinking_tokens"] = data["thinking_tokens"]
            case "call" if step := _step.get():
                step["gen_ai.request.model"] = data["model"]
                step["gen_ai.response.finish_reasons"] = [data["stop"]]
            case "settle" if step := _step.get():
                _chat(tracer, step, data)
                _step.set(None)
            case "tool" | "correction":
                _tool(tracer, data, failed=type_ == "correction")
            case "wind_down":
                trace.get_current_span().add_event("rheostat.wind_down", {"why": str(data.get("why", ""))})

    return listen(hear)


def _chat(tracer: trace.Tracer, step: dict[str, Any], spend: dict[str, Any]) -> None:
    started = step.pop("started")
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": spend["input_tokens"],
        "gen_ai.usage.output_tokens": spend["output_tokens"],
        "rheostat.thinking_tokens": spend["thinking_tokens"] or 0,
        **step,
    }
    if spend["usd_nanos"] is not None:
        attributes["rheostat.usd_nanos"] = spend["usd_nanos"]
    name = f"chat {step.get('gen_ai.request.model', '')}".strip()
    tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=started).end()


def _tool(tracer: trace.Tracer, data: dict[str, Any], *, failed: bool) -> None:
    started = time.time_ns() - int(1e9 * data.get("seconds", 0.0))
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": str(data["name"])}
    span = tracer.start_span(f"execute_tool {data['name']}", attributes=attributes, start_time=started)
    if failed:
        span.set_status(Status(StatusCode.ERROR, str(data["text"])[:200]))
    span.end()
