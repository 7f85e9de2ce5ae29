"""The recorder's table of contents."""

from __future__ import annotations

from libs.chassis.service import Resources, Service
from services.recorder.archive import Archive
from services.recorder.public import Publisher
from services.recorder.recorder import Recorder
from services.recorder.settings import RecorderSettings


def build(resources: Resources, settings: RecorderSettings | None = None) -> Service:
    """Wire the recorder on real adapters."""
    recorder = Recorder(
        bus=resources.bus,
        archive=Archive(resources.database, resources.now),
        publisher=Publisher(resources.bus, resources.database),
        settings=settings or RecorderSettings(),
    )
    return Service(
        name="recorder",
        tasks={"archive": recorder.follow, "publish": recorder.publish},
        ready=recorder.ready,
    )
