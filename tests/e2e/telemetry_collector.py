"""A collector of traces for tests: OTLP over HTTP, kept in memory."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """A span as it arrived."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    facts: dict[str, str]


@dataclass
class Collector:
    """What was sent to `url`."""

    url: str
    spans: list[Seen] = field(default_factory=list)
    requests: int = 0

    def take(self, body: bytes) -> None:
        """Decode one export."""
        self.requests += 1
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    Seen(
                        service=named["service.name"],
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        began_ns=span.start_time_unix_nano,
                        ended_ns=span.end_time_unix_nano,
                        facts={
                            a.key: a.value.string_value or str(a.value.int_value)
                            for a in span.attributes
                        },
                    )
                    for span in scope.spans
                ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Receive on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def rendered(spans: list[Seen]) -> str:
    """Return a trace as a person reads it: who did what, when, below what."""
    began = min(span.began_ns for span in spans)
    known = {span.span_id for span in spans}
    below: dict[str, list[Seen]] = {}
    for span in sorted(spans, key=lambda one: (one.began_ns, -one.ended_ns)):
        below.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    lines: list[str] = []

    def walk(parent: str, depth: int) -> None:
        for span in below.get(parent, []):
            start, took = (span.began_ns - began) / 1e6, (span.ended_ns - span.began_ns) / 1e6
            name = "  " * depth + span.name
            lines.append(f"{start:9.1f} {took:8.1f}  {span.service:<11} {name}")
            walk(span.span_id, depth + 1)

    walk("", 0)
    return "\n".join(["  start ms  took ms  service     span", *lines])
