"""What is counted is what happened."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from libs.bus.base import Reactor
from libs.bus.memory import MemoryBus
from libs.core.errors import Unavailable
from libs.core.jsonvalue import Json
from libs.events.base import Sealed
from libs.events.envelope import Cause, Recorded
from libs.events.prompt import PromptSubmitted
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued, RunRefused
from libs.telemetry import tracing
from libs.telemetry.otlp import SpanRecorder
from services.gpu_worker.metrics import Busy
from services.gpu_worker.spans import Stopwatch, Watching, record_parts
from services.recorder.measuring import committing
from services.scheduler import metrics as scheduler
from services.scheduler.domain.matching import Waiting
from services.scheduler.domain.story import Story

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Counts:
    """The metrics before, so that a test sees what it added."""

    def __init__(self) -> None:
        self.before = self._now()

    def _now(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
        }

    def added(self, name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return self._now().get(key, 0.0) - self.before.get(key, 0.0)


@pytest.fixture
def counts() -> Counts:
    return Counts()


def recorded(event: Any, *, trace: str = "", seconds: float = 0, seq: int = 1) -> Recorded[Any]:
    return Recorded(
        event=event,
        event_id=f"e-{seq}",
        seq=seq,
        subject="evt.v1.acme.run.p-1",
        tenant="acme",
        time=NOON + timedelta(seconds=seconds),
        source="/studio/test",
        causation_id="",
        correlation_id="p-1",
        traceparent=trace,
        payload=b"",
    )


async def test_deliveries_retries_and_what_is_set_aside_are_counted_by_service(counts):
    bus = MemoryBus()
    tries = iter([Unavailable("not now"), None])

    async def handler(received: Recorded[Any]) -> None:
        if received.event.prompt_id == "p-2":
            raise ValueError("never")
        if (trouble := next(tries)) is not None:
            raise trouble

    for prompt_id in ("p-1", "p-2"):
        event = RunEnded(prompt_id=prompt_id, outcome="failed", attempt=1)
        await bus.journal.append("acme", [event], 0, Cause())
    reactor = Reactor(name="counted", filters=("evt.v1.>",), handler=handler, deliver_max=2)
    reading = asyncio.create_task(bus.react(reactor))
    await bus.drain()
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    assert counts.added("studio_deliveries_total", service="counted", outcome="done") == 1
    assert counts.added("studio_deliveries_total", service="counted", outcome="set_aside") == 1
    retries = "studio_delivery_retries_total"
    assert counts.added(retries, service="counted", failure="unavailable") == 1
    assert counts.added(retries, service="counted", failure="poisoned") == 2


def test_the_waits_of_a_run_are_measured_from_its_own_events(counts):
    submitted = PromptSubmitted(
        prompt_id="p-1",
        user_id="ann",
        account="acme",
        tier="pro",
        dialect="comfyui",
        workflow=Sealed(kid="k", inline=""),
        body_mac="",
        keyed=False,
    )
    story = Story("p-1", "acme", submitted=submitted, queued_at=NOON, leased_at=NOON)
    scheduler.count(story, recorded(RunQueued(prompt_id="p-1", number=1, tier="pro", account="a")))
    granted = LeaseGranted(prompt_id="p-1", worker_id="w", attempt=1, expires_at=NOON)
    scheduler.count(story, recorded(granted, seconds=7))
    ended = RunEnded(prompt_id="p-1", outcome="succeeded", attempt=1)
    scheduler.count(story, recorded(ended, seconds=30))
    assert counts.added("studio_scheduler_queued_total", tier="pro") == 1
    assert counts.added("studio_scheduler_queued_seconds_sum", tier="pro") == pytest.approx(7)
    leased = counts.added("studio_scheduler_leased_seconds_sum", outcome="succeeded")
    assert leased == pytest.approx(30)
    assert counts.added("studio_scheduler_ended_total", outcome="succeeded") == 1


def test_a_refusal_is_counted_by_its_code_and_an_unknown_tier_makes_no_label(counts):
    refused = RunRefused(prompt_id="p-1", status=402, code="insufficient_credits", message="m")
    scheduler.count(Story("p-1", "acme"), recorded(refused))
    odd = RunQueued(prompt_id="p-1", number=1, tier="made-up", account="a")
    scheduler.count(Story("p-1", "acme"), recorded(odd))
    assert counts.added("studio_scheduler_refused_total", reason="insufficient_credits") == 1
    assert counts.added("studio_scheduler_queued_total", tier="free") == 1


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("the worker was silent for 30 seconds", "silent"),
        ("the worker stopped", "stopped"),
        ("the worker was replaced by a newer one", "replaced"),
        ("the lease ran out", "ran_out"),
        ("the worker handed the run back", "handed_back"),
        ("torch.OutOfMemoryError", "failed"),
    ],
)
def test_a_lost_lease_is_counted_by_one_of_a_few_causes(counts, words, cause):
    lost = LeaseExpired(prompt_id="p-1", worker_id="w", attempt=1, cause=words)
    scheduler.count(Story("p-1", "acme"), recorded(lost))
    assert counts.added("studio_scheduler_leases_lost_total", cause=cause) == 1


def test_the_queue_shows_depth_and_age_by_tier_and_a_standby_shows_none():
    room = [
        Waiting("p-1", "acme", "pro", 1, NOON - timedelta(seconds=40)),
        Waiting("p-2", "acme", "pro", 2, NOON - timedelta(seconds=10)),
        Waiting("p-3", "acme", "free", 3, NOON - timedelta(seconds=5)),
    ]
    value = REGISTRY.get_sample_value
    scheduler.look_at(room, 2, NOON)
    assert value("studio_scheduler_waiting_runs", {"tier": "pro"}) == 2
    assert value("studio_scheduler_oldest_wait_seconds", {"tier": "pro"}) == 40
    assert value("studio_scheduler_oldest_wait_seconds", {"tier": "free"}) == 5
    assert value("studio_scheduler_leased_runs") == 2
    scheduler.lead(leading=False, now=NOON)
    assert value("studio_scheduler_waiting_runs", {"tier": "pro"}) == 0
    assert value("studio_scheduler_leading") == 0


def test_a_worker_counts_busy_time_while_it_passes(counts):
    clock = iter([0.0, 3.0, 5.0])
    busy = Busy(clock=lambda: next(clock))
    busy.tick()
    busy.begin()
    busy.tick()
    assert counts.added("studio_worker_busy_seconds_total") == 3
    busy.end()
    busy.tick()
    assert counts.added("studio_worker_busy_seconds_total") == 5
    assert REGISTRY.get_sample_value("studio_worker_busy") == 0


def test_a_commit_that_fails_leaves_the_archive_behind_until_one_succeeds(counts):
    events = [recorded(RunEnded(prompt_id="p-1", outcome="failed", attempt=1))] * 3
    with pytest.raises(Unavailable), committing(events):
        raise Unavailable("PostgreSQL is down")
    assert (REGISTRY.get_sample_value("studio_recorder_lag_seconds") or 0) > 0
    with committing(events):
        pass
    assert REGISTRY.get_sample_value("studio_recorder_lag_seconds") == 0
    assert counts.added("studio_recorder_batch_events_sum") == 3


@pytest.fixture
def exporter():
    kept = InMemorySpanExporter()
    tracing.set_up_tracing("test", SpanRecorder(SimpleSpanProcessor(kept)))
    yield kept
    tracing.set_up_tracing("", None)


def test_a_batch_is_one_span_for_each_of_its_traces(exporter):
    event = RunEnded(prompt_id="p-1", outcome="failed", attempt=1)
    with committing([recorded(event, trace=t) for t in (CALLER, OTHER, CALLER, "")]):
        pass
    spans = exporter.get_finished_spans()
    assert sorted(span.attributes["studio.events"] for span in spans) == [1, 2]
    assert {span.attributes["studio.batch_events"] for span in spans} == {4}


def test_what_the_engine_measured_is_recorded_below_the_execution(exporter):
    watching = Watching(Stopwatch(on=True))
    watch = watching.present
    with watch.part("plan"):
        pass
    watch.begin("node KSampler", node_id="3", node_type="KSampler")
    assert watching.loading("unet", lambda: "network") == "network"
    with tracing.span("execute", parent=CALLER):
        record_parts(cast("Json", watch.told("interrupted")), {"attempt": 1})
    spans = {span.name: span for span in exporter.get_finished_spans()}
    execute, node = spans["execute"].context, spans["node KSampler"]
    assert spans["plan"].parent.span_id == node.parent.span_id == execute.span_id
    assert spans["load weights"].parent.span_id == node.context.span_id
    assert node.status.description == "interrupted"
    assert dict(node.attributes) == {
        "studio.attempt": 1,
        "studio.node_id": "3",
        "studio.node_type": "KSampler",
        "error.type": "interrupted",
    }


def test_an_engine_that_nobody_watches_measures_nothing():
    watch = Stopwatch()
    with watch.part("plan"):
        watch.begin("node KSampler")
        watch.end()
    assert watch.told() == []
