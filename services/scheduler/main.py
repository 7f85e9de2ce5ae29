"""The scheduler's table of contents."""

from __future__ import annotations

import structlog

from libs.chassis.service import Resources, Service
from libs.core.errors import Unavailable
from libs.events.run import RunEnded
from libs.store.engine import reading
from libs.store.readmodels import checkpoint, prompts
from services.scheduler.handlers import Scheduler
from services.scheduler.leadership import Leadership
from services.scheduler.settings import SchedulerSettings

log = structlog.get_logger(__name__)


def build(resources: Resources, settings: SchedulerSettings | None = None) -> Service:
    """Wire the scheduler on real adapters."""

    async def start_seq() -> int:
        """Return where the first unfinished prompt begins, or the stream if that is unknown."""
        first = (await resources.bus.state()).first_seq
        try:
            async with reading(resources.database) as database:
                covered = await checkpoint.covered_seq(database)
                unfinished = await prompts.first_open_seq(database)
        except Unavailable as error:
            log.warning("reading_from_the_beginning", error=error.message)
            return first
        return max(first, min(covered + 1, unfinished or covered + 1))

    scheduler = Scheduler(
        bus=resources.bus,
        now=resources.now,
        settings=settings or SchedulerSettings(),
        silence_seconds=resources.settings.lease_seconds,
        start_seq=start_seq,
    )
    return Service(
        name="scheduler",
        reacts={RunEnded: scheduler.burying.on_run_ended},
        tasks={
            "follow": scheduler.follow,
            "listen": scheduler.listen,
            "tick": scheduler.tick,
            "lead": Leadership(scheduler).run,
        },
        ready=scheduler.ready,
    )
