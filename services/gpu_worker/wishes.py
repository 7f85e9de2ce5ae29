"""What a worker is asked to do when it has time for it."""

from __future__ import annotations

import structlog

from libs.bus.base import Bus
from libs.core.jsonvalue import JsonObject
from libs.events.signals import FREE_SUBJECT, Free
from services.gpu_worker.child import EngineChild
from services.gpu_worker.frames import FREE, Frame

log = structlog.get_logger(__name__)


async def heed_wishes(bus: Bus, engine: EngineChild) -> None:
    """Pass wishes for memory on to the engine, for ever; it frees between two jobs."""
    async for signal in bus.signals(FREE_SUBJECT):
        try:
            wish = Free.model_validate_json(signal.data)
        except ValueError:
            log.warning("unreadable_wish", subject=signal.subject)
            continue
        log.info("told_to_free", models=wish.models, results=wish.results)
        # It stands in the line of the jobs, and is nobody's attempt.
        facts: JsonObject = {"models": wish.models, "results": wish.results}
        await engine.send(Frame(FREE, facts))
