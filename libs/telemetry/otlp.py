"""Recording spans with OpenTelemetry's SDK; imported only by processes that export.

The SDK costs 16 MB and a tenth of a second, which a house without a collector never pays.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from libs.telemetry.scope import FLAGS, SPAN_ID, TRACE_ID
from libs.telemetry.tracing import Kind, Value

NAMESPACE: Final = "hanzo-studio"
TRACES_PATH: Final = "/v1/traces"
EXPORT_SECONDS: Final = 5
KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


@dataclass(frozen=True)
class RecordedSpan:
    """A `Recording` in the SDK's hands."""

    span: Span

    @property
    def traceparent(self) -> str:
        made = self.span.get_span_context()
        return f"00-{made.trace_id:032x}-{made.span_id:016x}-{int(made.trace_flags):02x}"

    def rename(self, name: str) -> None:
        self.span.update_name(name)

    def note(self, name: str, value: Value) -> None:
        self.span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        # The error's words are left out on purpose: they may quote what people typed.
        self.span.set_status(Status(StatusCode.ERROR, kind))
        self.span.set_attribute("error.type", kind)

    def end(self, at_ns: int | None) -> None:
        self.span.end(at_ns)


@dataclass
class SpanRecorder:
    """One provider for each service of the process, and one way out for all of them."""

    processor: SpanProcessor
    ratio: float = 1.0
    _tracers: dict[str, Tracer] = field(default_factory=dict)

    def begin(
        self, service: str, name: str, kind: Kind, parent: str, at_ns: int | None
    ) -> RecordedSpan:
        span = self._tracer(service).start_span(
            name,
            context=_context_of(parent),
            kind=KINDS[kind],
            start_time=at_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
        return RecordedSpan(span)

    def shut_down(self, seconds: float) -> None:
        """Flush within a bound, whatever the collector does; the rest is lost."""
        leaving = threading.Thread(target=self.processor.shutdown, daemon=True)
        leaving.start()
        leaving.join(seconds)

    def _tracer(self, service: str) -> Tracer:
        tracer = self._tracers.get(service)
        if tracer is None:
            provider = TracerProvider(
                sampler=_sampler(self.ratio), resource=_resource(service), shutdown_on_exit=False
            )
            provider.add_span_processor(self.processor)
            tracer = self._tracers[service] = provider.get_tracer(NAMESPACE)
        return tracer


def exporting(endpoint: str, ratio: float) -> SpanRecorder:
    """Return a recorder that sends batches to a collector, on a thread of its own.

    Its queue is bounded: when the collector does not keep up, spans are lost and nothing waits.
    `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*` set what is not given here.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=traces_url(endpoint), timeout=EXPORT_SECONDS)
    return SpanRecorder(BatchSpanProcessor(exporter), ratio)


def traces_url(endpoint: str) -> str:
    """Return where traces go at a collector whose base is given."""
    base = endpoint.rstrip("/")
    return base if base.endswith(TRACES_PATH) else base + TRACES_PATH


def _sampler(ratio: float) -> Sampler:
    return ParentBased(TraceIdRatioBased(ratio))


def _resource(service: str) -> Resource:
    return Resource.create(
        {
            "service.namespace": NAMESPACE,
            "service.name": service,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )


def _context_of(parent: str) -> Context:
    if not parent:
        return Context()
    context = SpanContext(
        trace_id=int(parent[TRACE_ID], 16),
        span_id=int(parent[SPAN_ID], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent[FLAGS], 16)),
    )
    return set_span_in_context(NonRecordingSpan(context), Context())
