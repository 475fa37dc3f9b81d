"""A collector on loopback: OTLP over HTTP, whose rules it enforces (opentelemetry-proto 1.9, "OTLP Specification")."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

__all__ = ["Collector", "collecting", "value_of"]


@dataclass
class Collector:
    """What arrived, and what was wrong with it."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    schemas: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    busy: int = 0
    """This many requests are answered with 503 first: an exporter must send them again."""

    def take_spans(self, body: bytes) -> bytes:
        """Decode and check an export of spans."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.resources.append({each.key: value_of(each.value) for each in resource.resource.attributes})
            for scope in resource.scope_spans:
                self._scope(scope)
                for span in scope.spans:
                    self._check(span)
                    self.spans.append(span)
        return ExportTraceServiceResponse().SerializeToString()

    def take_metrics(self, body: bytes) -> bytes:
        """Decode and check an export of metrics."""
        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self._scope(scope)
                for metric in scope.metrics:
                    if not (metric.name and metric.unit and metric.description and metric.WhichOneof("data")):
                        self.faults.append(f"metric {metric.name!r}: no name, unit, description or data")
                    points = getattr(metric, metric.WhichOneof("data") or "sum").data_points
                    for point in points:
                        if not 0 < point.start_time_unix_nano <= point.time_unix_nano:
                            self.faults.append(f"metric {metric.name}: a point without its times")
                    self.metrics.append(metric)
        return ExportMetricsServiceResponse().SerializeToString()

    def _scope(self, scope: Any) -> None:
        if scope.scope.name == "rheostat":
            self.schemas.add(scope.schema_url)
            if not scope.scope.version:
                self.faults.append("the scope has no version")

    def _check(self, span: Any) -> None:
        wrong = {
            "trace_id has 16 bytes": len(span.trace_id) == 16 and any(span.trace_id),
            "span_id has 8 bytes": len(span.span_id) == 8 and any(span.span_id),
            "parent_span_id is empty or has 8 bytes": len(span.parent_span_id) in (0, 8),
            "name isn't empty": bool(span.name),
            "it ends after it starts": 0 < span.start_time_unix_nano <= span.end_time_unix_nano,
            "kind is set": span.kind != Span.SPAN_KIND_UNSPECIFIED,
            "keys of attributes are unique": len({each.key for each in span.attributes}) == len(span.attributes),
            "attributes have values": all(each.value.WhichOneof("value") for each in span.attributes),
            "nothing was dropped": not (span.dropped_attributes_count or span.dropped_events_count),
            "an error says its type": span.status.code != Status.STATUS_CODE_ERROR
            or any(each.key == "error.type" for each in span.attributes),
        }
        self.faults += [f"{span.name}: {rule}" for rule, holds in wrong.items() if not holds]


def value_of(value: Any) -> Any:
    """An AnyValue as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


@contextmanager
def collecting(*, busy: int = 0) -> Iterator[Collector]:
    """A collector that runs inside."""
    collector = Collector(busy=busy)
    takes = {"/v1/traces": collector.take_spans, "/v1/metrics": collector.take_metrics}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            take = takes.get(self.path)
            if take is None:
                return self._reply(404, b"")
            if self.headers["content-type"] != "application/x-protobuf":
                collector.faults.append(f"content-type {self.headers['content-type']}")
                return self._reply(415, b"")
            if self.headers["content-encoding"] != "gzip":
                collector.faults.append(f"content-encoding {self.headers['content-encoding']}")
                return self._reply(400, b"")
            if collector.busy:
                collector.busy -= 1
                return self._reply(503, b"")
            try:
                return self._reply(200, take(gzip.decompress(body)))
            except (DecodeError, OSError) as error:
                collector.faults.append(f"{self.path}: {error}")
                return self._reply(400, b"")

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
