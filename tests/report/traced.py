"""A tracer and a meter that keep all in memory, and a trace as a tree of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rheostat.report.spans import instrument

__all__ = ["Traced", "sums", "traced", "tree"]


class _Started(SpanProcessor):
    """Counts the spans that began: as many must end."""

    def __init__(self) -> None:
        self.number = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.number += 1


@dataclass
class Traced:
    """What was recorded."""

    provider: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    started: _Started = field(default_factory=_Started)

    measured: str = ""
    """All metrics, once it is over."""

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All spans that have ended, which are all that began."""
        found = self.exporter.get_finished_spans()
        assert len(found) == self.started.number
        return found

    def named(self, start: str) -> list[ReadableSpan]:
        """Those whose names start so, in order of their beginning."""
        found = [each for each in self.spans if each.name.startswith(start)]
        return sorted(found, key=lambda each: each.start_time or 0)

    @property
    def requests(self) -> list[ReadableSpan]:
        """The spans of requests."""
        return [
            each for each in self.spans if "rheostat.outcome" in (each.attributes or {}) and each.name[:4] != "pay "
        ]

    def metric(self, name: str, wanted: dict[str, Any] | None = None) -> float:
        """The sum of a metric's points (of a histogram's values) that have these attributes."""
        data = self.reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
        return sum(
            getattr(point, "sum", None) if hasattr(point, "sum") else point.value  # type: ignore[misc]
            for point in points
            if all((point.attributes or {}).get(key) == value for key, value in (wanted or {}).items())
        )


@contextmanager
def traced(**options: Any) -> Iterator[Traced]:
    """Instrumented inside."""
    exporter, reader, started = InMemorySpanExporter(), InMemoryMetricReader(), _Started()
    provider = TracerProvider()
    provider.add_span_processor(started)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider(metric_readers=[reader])
    stop = instrument(provider, meters, **options)
    recorded = Traced(provider, exporter, reader, started)
    try:
        yield recorded
    finally:
        stop()
        data = reader.get_metrics_data()
        recorded.measured = data.to_json() if data is not None else ""
        provider.shutdown()
        meters.shutdown()


Tree = dict[str, Any]


def tree(spans: Iterable[ReadableSpan]) -> list[Any]:
    """Nested (name, [children]), in order of their beginning. A span whose parent isn't among them fails."""
    known = {each.context.span_id: each for each in spans if each.context is not None}
    children: dict[int | None, list[ReadableSpan]] = {}
    for each in sorted(known.values(), key=lambda each: each.start_time or 0):
        parent = each.parent.span_id if each.parent is not None else None
        assert parent is None or parent in known, f"{each.name} is an orphan"
        assert parent is None or each.context.trace_id == known[parent].context.trace_id  # type: ignore[union-attr]
        children.setdefault(parent, []).append(each)

    def below(id_: int | None) -> list[Any]:
        found = []
        for each in children.get(id_, []):
            inner = below(each.context.span_id)  # type: ignore[union-attr]
            found.append((each.name, inner) if inner else each.name)
        return found

    return below(None)


_KINDS = {
    "input_tokens": "gen_ai.usage.input_tokens", "output_tokens": "gen_ai.usage.output_tokens",
    "thinking_tokens": "gen_ai.usage.reasoning.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens", "usd_nanos": "rheostat.usd_nanos",
    "unknown_usd_nanos": "rheostat.unknown.usd_nanos", "unknown_output_tokens": "rheostat.unknown.output_tokens",
}  # fmt: skip


def sums(spans: Iterable[ReadableSpan]) -> dict[str, int]:
    """The sums of what spans of requests cost, by the ledger's names."""
    every = [each.attributes or {} for each in spans]
    return {name: sum(int(each.get(key, 0)) for each in every) for name, key in _KINDS.items()}  # type: ignore[call-overload]
