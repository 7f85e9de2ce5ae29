"""Spans of one story are one trace, whoever records them, and nobody pays when nobody does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given as anything
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from libs.bus.memory import MemoryBus
from libs.core.errors import Misconfigured, Refused
from libs.events.envelope import Cause
from libs.events.run import RunEnded
from libs.telemetry import tracing
from libs.telemetry.http import Traced
from libs.telemetry.otlp import SpanRecorder, traces_url
from libs.telemetry.process import telemetry
from libs.telemetry.reactions import reacting
from libs.telemetry.scope import is_sampled, new_traceparent, trace_id, valid_traceparent

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = CALLER[:-2] + "00"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Record every trace, and keep the spans."""
    kept = InMemorySpanExporter()
    tracing.set_up_tracing("test", SpanRecorder(SimpleSpanProcessor(kept)))
    yield kept
    tracing.set_up_tracing("", None)


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def parent_of(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}" if span.context else ""


def app() -> TestClient:
    async def answer(_request: Request) -> Response:
        return JSONResponse({"trace": tracing.current()})

    routes = [Route("/prompt/{prompt_id}", answer, methods=["GET", "POST"])]
    made = Starlette(routes=routes)
    made.add_middleware(Traced)
    return TestClient(made)


def test_a_new_traceparent_is_one_by_the_standard_and_is_not_sampled():
    made = new_traceparent()
    assert valid_traceparent(made) == made
    assert not is_sampled(made)
    assert trace_id(made) != trace_id(new_traceparent())


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (CALLER, CALLER),
        ("cc" + CALLER[2:] + "-and-more", CALLER),
        ("ff" + CALLER[2:], ""),
        (CALLER.upper(), ""),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", ""),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", ""),
        (CALLER + "\r\nx: y", ""),
        (CALLER + "-" + "x" * 600, ""),
        ("", ""),
    ],
)
def test_only_a_traceparent_is_taken_from_a_stranger(sent, taken):
    assert valid_traceparent(sent) == taken


@anything(st.text(max_size=80))
def test_whatever_a_stranger_sends_is_a_traceparent_or_nothing(text):
    assert valid_traceparent(text) in ("", f"00{text[2:55]}")


def test_without_a_collector_a_request_begins_a_trace_that_is_only_carried():
    carried = app().post("/prompt/1").json()["trace"]
    assert valid_traceparent(carried) == carried
    assert not is_sampled(carried)
    assert app().post("/prompt/1", headers={"traceparent": CALLER}).json()["trace"] == CALLER


def test_a_request_is_named_by_its_route_and_goes_on_with_the_caller_s_trace(exporter):
    app().post("/prompt/a-secret-name", headers={"traceparent": CALLER})
    (span,) = exporter.get_finished_spans()
    assert (span.name, parent_of(span)) == ("POST /prompt/{prompt_id}", "b7ad6b7169203331")
    assert f"{span.context.trace_id:032x}" == trace_id(CALLER)
    assert "a-secret-name" not in span.to_json()


@pytest.mark.parametrize("sent", [{}, {"traceparent": UNSAMPLED}, {"traceparent": "nonsense"}])
def test_who_only_looks_is_traced_only_when_it_asks_for_it(exporter, sent):
    app().get("/prompt/1", headers=sent)
    assert exporter.get_finished_spans() == ()
    app().get("/prompt/1", headers={"traceparent": CALLER})
    assert len(exporter.get_finished_spans()) == 1


def test_a_caller_that_does_not_want_to_be_recorded_is_not(exporter):
    trace = app().post("/prompt/1", headers={"traceparent": UNSAMPLED}).json()["trace"]
    assert trace == UNSAMPLED
    assert exporter.get_finished_spans() == ()


async def test_an_event_names_its_append_and_the_append_what_caused_it(exporter):
    bus = MemoryBus()
    event = RunEnded(prompt_id="p-1", outcome="succeeded", attempt=1)
    with reacting("scheduler", "NodeFinished", cause=CALLER, tenant="acme", prompt_id="p-1"):
        cause = Cause("e-1", "p-1", CALLER)
        (recorded,) = await bus.journal.append("acme", [event], 0, cause)
    spans = by_name(exporter)
    reaction, append = spans["scheduler NodeFinished"], spans["append RunEnded"]
    assert parent_of(reaction) == "b7ad6b7169203331"
    assert parent_of(append) == id_of(reaction)
    assert recorded.traceparent == f"00-{trace_id(CALLER)}-{id_of(append)}-01"
    assert dict(append.attributes or {})["studio.prompt_id"] == "p-1"


async def test_without_a_collector_an_event_carries_the_trace_of_its_cause_unchanged():
    event = RunEnded(prompt_id="p-1", outcome="succeeded", attempt=1)
    with reacting("scheduler", "NodeFinished", cause=CALLER, tenant="acme", prompt_id="p-1"):
        (recorded,) = await MemoryBus().journal.append("acme", [event], 0, Cause("", "p-1", CALLER))
    assert recorded.traceparent == CALLER


async def test_an_event_that_is_no_part_of_a_story_has_no_trace(exporter):
    event = RunEnded(prompt_id="p-1", outcome="succeeded", attempt=1)
    (recorded,) = await MemoryBus().journal.append("acme", [event], 0, Cause())
    assert recorded.traceparent == ""
    assert exporter.get_finished_spans() == ()


def test_an_error_is_told_by_its_kind_and_never_by_its_words(exporter):
    with pytest.raises(Refused), tracing.span("work", parent=CALLER):
        raise Refused("a photo of Zanzibar", name="zanzibar.png")
    (span,) = exporter.get_finished_spans()
    assert (span.status.description, span.events) == ("Refused", ())
    assert "anzibar" not in span.to_json()


def test_what_is_over_is_recorded_with_its_own_times_below_the_parent_that_is_given(exporter):
    with tracing.span("execute", parent=CALLER) as outer:
        first = tracing.record("node", 1_000, 5_000, parent=outer.traceparent)
        tracing.record("load weights", 2_000, 3_000, parent=first, failed="interrupted")
    spans = by_name(exporter)
    assert parent_of(spans["load weights"]) == id_of(spans["node"])
    assert parent_of(spans["node"]) == id_of(spans["execute"])
    assert (spans["node"].start_time, spans["node"].end_time) == (1_000, 5_000)
    assert spans["load weights"].status.description == "interrupted"


def test_a_share_of_the_traces_is_recorded_whole_and_the_rest_not_at_all():
    kept = InMemorySpanExporter()
    tracing.set_up_tracing("test", SpanRecorder(SimpleSpanProcessor(kept), ratio=0.25))
    try:
        for _ in range(400):
            with tracing.root("POST") as top, tracing.span("below", parent=top.traceparent):
                pass
    finally:
        tracing.set_up_tracing("", None)
    names = [span.name for span in kept.get_finished_spans()]
    assert names.count("POST") == names.count("below")
    assert 40 < names.count("POST") < 180


def test_a_collector_that_never_answers_does_not_keep_a_process_from_leaving():
    gate = threading.Event()

    class Stuck(SimpleSpanProcessor):
        def shutdown(self) -> None:
            gate.wait()

    tracing.set_up_tracing("test", SpanRecorder(Stuck(InMemorySpanExporter())))
    tracing.shut_down_tracing(0.01)
    gate.set()
    assert not tracing.recording(CALLER)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("http://collector/v1/traces", "http://collector/v1/traces"),
    ],
)
def test_the_endpoint_is_the_collector_s_base(endpoint, url):
    assert traces_url(endpoint) == url


def test_a_process_without_a_collector_never_imports_the_sdk():
    script = (
        "import sys, services.gateway.main, services.gpu_worker.main, services.recorder.main\n"
        "from libs.telemetry.process import telemetry\n"
        "with telemetry('gateway'):\n"
        "    heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'google.protobuf')\n"
        "    print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_a_missing_exporter_says_what_to_install(monkeypatch):
    monkeypatch.setenv("STUDIO_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "libs.telemetry.otlp", None)
    with pytest.raises(Misconfigured, match="not installed"), telemetry("gateway"):
        raise AssertionError("it must not begin")
