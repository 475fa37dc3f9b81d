"""OpenTelemetry: one tree of spans for each run, and metrics. Needs the extra `otel`.

agent run → step → request (each HTTP attempt); tools under their agent, subagents under the tool that called them;
solver run → round → sample → request, verifier, scorer → request. docs/how-to/tracing.md has the picture and all names,
which follow the semantic conventions for generative AI (see `rheostat.report.attributes` for the version).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from rheostat.calling.watch import Work, watch
from rheostat.errors import MissingExtra
from rheostat.graph.events import listen

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context, get_current
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
except ImportError as error:
    raise MissingExtra("OpenTelemetry", "otel") from error

from rheostat.report import attributes as to
from rheostat.report.metrics import Metrics
from rheostat.report.tree import Invocation, Tree, follow, make_current, nearest
from rheostat.visible import visible

__all__ = ["instrument"]


def instrument(
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    capture_text: bool = False,
) -> Callable[[], None]:
    """Make spans and metrics of all runs in this process, from now on.

    The user's current span where a run is called becomes the parent of the run's, and the user's own spans in tools lie
    under the tool's.

    Args:
        tracer_provider: By default the global one.
        meter_provider: By default the global one.
        capture_text: Write prompts, answers, the arguments and results of tools, and error messages into the spans.

    Returns:
        A function that stops it, and ends the spans of runs in flight.
    """
    about = version("rheostat")
    tracer = trace.get_tracer("rheostat", about, tracer_provider, schema_url=to.SCHEMA_URL)
    measured = Metrics(metrics.get_meter("rheostat", about, meter_provider, schema_url=to.SCHEMA_URL))
    spans = _Spans(tracer, text=capture_text)
    stops = [watch(spans), watch(measured), follow(spans.tree), listen(spans.hear), listen(_refusals(measured))]

    def stop() -> None:
        while stops:
            stops.pop()()

    return stop


def _refusals(measured: Metrics) -> Callable[[str, dict[str, Any]], None]:
    def hear(type_: str, data: dict[str, Any]) -> None:
        if type_ == "refused":
            measured.refused(str(data.get("limit", "")))

    return hear


_UNNAMED = {"", "LangGraph"}
"""LangGraph's name of a graph that has none."""


@dataclass(slots=True, eq=False)
class _At:
    """The span of a piece of work, and where it stands."""

    span: Span
    context: Context
    inside: Invocation | None


class _Spans:
    """Makes a span of each piece of work."""

    def __init__(self, tracer: trace.Tracer, *, text: bool) -> None:
        self._tracer, self._text = tracer, text
        self.tree = Tree(self._run, self._round, self._ran)

    # --- work ---------------------------------------------------------------------------------------------

    def begun(self, work: Work) -> None:
        """Start its span."""
        context, inside = self.tree.place(work)
        if work.kind == "run":
            return
        name, kind, attributes = _NAMED[work.kind](work)
        span = self._tracer.start_span(name, context, kind=kind, attributes=attributes, links=_between(context, inside))
        work.kept[self] = _At(span, context, inside)

    def current(self, work: Work) -> Callable[[], None] | None:
        """Make its span current, so that what begins inside lies under it: the user's own spans in a tool, too."""
        at: _At | None = work.kept.get(self)
        return None if at is None else nearest(make_current(at.span, at.inside, get_current()))

    def more(self, work: Work) -> None:
        """Mark when a request was admitted."""
        at: _At = work.kept[self]
        at.span.add_event("rheostat.admitted")

    def ended(self, work: Work) -> None:
        """Complete its span, and end it."""
        at: _At = work.kept[self]
        try:
            if at.span.is_recording():
                self._complete(at.span, work)
        finally:
            at.span.end()
            self.tree.went_on(at.inside)

    def _complete(self, span: Span, work: Work) -> None:
        found = _found(work)
        span.set_attributes(found)
        if "error.type" in found:
            span.set_status(Status(StatusCode.ERROR))
        self._status(span, work.error)
        if self._text:
            span.set_attributes(_text(work))

    def _status(self, span: Span, error: BaseException | None) -> None:
        if error is not None:
            span.set_attribute("error.type", to.error_type(error))
            span.set_status(Status(StatusCode.ERROR, to.word(error) if self._text else None))

    # --- runs ---------------------------------------------------------------------------------------------

    def _run(self, invocation: Invocation, work: Work, context: Context) -> Span:
        solver = work.round or work.name == "solver"
        operation, key = ("invoke_workflow", "workflow") if solver else ("invoke_agent", "agent")
        name = to.word(invocation.name) if invocation.name not in _UNNAMED else "solver" if solver else "agent"
        attributes = {
            "gen_ai.operation.name": operation,
            f"gen_ai.{key}.name": name,
            "rheostat.account": visible(work.run),
            **({"gen_ai.conversation.id": to.word(invocation.thread)} if invocation.thread else {}),
        }
        return self._tracer.start_span(
            f"{operation} {name}", context, attributes=attributes, start_time=invocation.began_ns
        )

    def _round(self, number: int, context: Context) -> Span:
        return self._tracer.start_span(f"round {number}", context, attributes={"rheostat.round": number})

    def _ran(self, invocation: Invocation, error: BaseException | None) -> None:
        if invocation.span is not None:
            self._status(invocation.span, error)
            invocation.span.end()

    # --- events -------------------------------------------------------------------------------------------

    def hear(self, type_: str, data: dict[str, Any]) -> None:
        """Add what an event tells to the span that it belongs to."""
        run = data.get("run")
        if type_ not in _HEARD and not isinstance(run, dict):
            return
        invocation, span = self.tree.here()
        if invocation is not None and invocation.span is not None:
            if isinstance(run, dict):
                invocation.span.set_attributes(to.of_run(run))
            if type_ == "plan" and "round" in data:
                span = self.tree.round(invocation, data["round"])
            span = span or (invocation.round.span if invocation.round is not None else invocation.span)
        if span is None:
            return
        match type_:
            case "estimate" | "difficulty":
                span.set_attributes({"rheostat.difficulty": data["score"], "rheostat.kind": data["kind"]})
            case "plan":
                span.set_attributes(to.of_plan(data))
            case "decision":
                span.add_event("rheostat.decision", {"rheostat.action": data["action"]})
            case "wind_down":
                span.add_event("rheostat.wind_down", {"rheostat.stage": str(data["stage"])})
            case "refused":
                span.add_event("rheostat.refused", {"rheostat.limit": str(data.get("limit", ""))})


_HEARD = {"estimate", "difficulty", "plan", "decision", "wind_down", "refused"}


def _between(context: Context, inside: Invocation | None) -> list[Link]:
    """A link to a span that the user began inside a run, and that can't be the parent: it lies in another tree."""
    here, parent = trace.get_current_span(), trace.get_current_span(context)
    if here is parent or inside is None or not here.get_span_context().is_valid:
        return []
    return [] if here is trace.get_current_span(inside.context) else [Link(here.get_span_context())]


# --- names and attributes by kind ------------------------------------------------------------------------------

_Named = tuple[str, SpanKind, dict[str, Any]]


def _request(work: Work) -> _Named:
    found = to.of_request(work.facts["request"], work.facts["payer"])
    name = f"{found['gen_ai.operation.name']} {found.get('gen_ai.request.model', '')}".strip()
    return name, SpanKind.CLIENT, found


def _step(work: Work) -> _Named:
    return "step", SpanKind.INTERNAL, {"rheostat.account": visible(work.facts["account"])}


def _tool(work: Work) -> _Named:
    call, name = work.facts["call"], to.word(work.name or "unknown")
    found = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    if call.get("id"):
        found["gen_ai.tool.call.id"] = to.word(call["id"])
    return f"execute_tool {name}", SpanKind.INTERNAL, found


def _sample(work: Work) -> _Named:
    return f"sample {work.name}", SpanKind.INTERNAL, {"rheostat.round": work.round}


def _verify(work: Work) -> _Named:
    name = to.word(work.name.lstrip("_"))
    return f"verify {name}", SpanKind.INTERNAL, {"gen_ai.evaluation.name": name}


def _score(work: Work) -> _Named:
    name = to.word(work.name)
    return f"score {name}", SpanKind.INTERNAL, {"gen_ai.evaluation.name": name}


def _payment(work: Work) -> _Named:
    name = to.word(work.name)
    return f"pay {name}".strip(), SpanKind.INTERNAL, {"rheostat.account": visible(work.facts["account"])}


_NAMED: dict[str, Callable[[Work], _Named]] = {
    "request": _request, "step": _step, "tool": _tool, "sample": _sample, "verify": _verify, "score": _score,
    "payment": _payment,
}  # fmt: skip


def _found(work: Work) -> dict[str, Any]:
    """What is known of it at its end."""
    facts = work.facts
    match work.kind:
        case "request":
            return to.of_reply(work)
        case "step" if "stopped" in facts:
            return {"rheostat.stopped": to.error_type(facts["stopped"])}
        case "verify" if "verdict" in facts:
            return to.of_verdict(facts["verdict"])
        case "score":
            verdicts = facts.get("verdicts") or []
            return to.of_score(verdicts[0][1].score if len(verdicts) == 1 else facts.get("score"))
        case "sample":
            return to.of_candidates(facts.get("candidates", ()))
        case "payment":
            return to.of_payment(facts["price"], facts.get("outcome", ""))
        case "tool":
            return to.of_result(facts.get("result"))
    return {}


def _text(work: Work) -> dict[str, Any]:
    if work.kind == "request":
        return to.text_of_request(work.facts["payer"])
    return to.text_of_tool(work.facts["call"], work.facts.get("result")) if work.kind == "tool" else {}
