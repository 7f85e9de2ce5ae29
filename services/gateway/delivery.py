"""The last step of a prompt: from the end of its run to the frame that tells of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from libs.bus.identity import utc_now
from libs.events.base import Event, PromptKey
from libs.events.envelope import Recorded
from libs.telemetry import tracing
from services.gateway import metrics
from services.gateway.domain.story import Story


@dataclass
class Deliveries:
    """The ends that were heard of and are not told yet."""

    now: Callable[[], datetime] = utc_now
    _heard: dict[PromptKey, tuple[str, int]] = field(default_factory=dict)

    def begin(self, key: PromptKey, recorded: Recorded[Event]) -> None:
        """Hear of an end; it waits until the recorder has committed it."""
        if tracing.recording(recorded.traceparent):
            self._heard[key] = (recorded.traceparent, time.time_ns())

    def end(self, story: Story) -> None:
        """Count an end that was told."""
        heard = self._heard.pop((story.tenant, story.prompt_id), None)
        if story.ended is None or story.ended_at is None:
            return
        waited = (self.now() - story.ended_at).total_seconds()
        metrics.DELIVERY.observe(max(0.0, waited))
        if heard is not None:
            parent, began_ns = heard
            tracing.record(
                "deliver",
                began_ns,
                time.time_ns(),
                kind="producer",
                parent=parent,
                tenant=story.tenant,
                prompt_id=story.prompt_id,
                outcome=story.ended.outcome,
            )
