"""One scheduler acts at a time; the others follow, ready to take over within seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import structlog

from libs.core.errors import StudioError, Unavailable
from libs.events.asks import LEASE_SUBJECT
from services.scheduler.handlers import Scheduler

log = structlog.get_logger(__name__)

ROLE: Final = "scheduler"
CLAIM_AGAIN_SECONDS: Final = 1.0
RENEW_SECONDS: Final = 3.0
# A claim lapses after 10 s; who cannot renew must have ceased before somebody else begins.
UNSURE_SECONDS_MAX: Final = 7.0


@dataclass
class Leadership:
    """Claims the role, renews it, and lets the scheduler act in between."""

    scheduler: Scheduler
    holder: str = field(default_factory=lambda: uuid4().hex)
    claim_again_seconds: float = CLAIM_AGAIN_SECONDS
    renew_seconds: float = RENEW_SECONDS

    async def run(self) -> None:
        """Try to lead, for ever."""
        while True:
            revision = await self._claim()
            if revision is None:
                await asyncio.sleep(self.claim_again_seconds)
            else:
                await self._lead(revision)

    async def _claim(self) -> int | None:
        try:
            return await self.scheduler.bus.claim(ROLE, self.holder)
        except Unavailable as error:
            log.warning("cannot_claim", error=error.message)
            return None

    async def _lead(self, revision: int) -> None:
        scheduler = self.scheduler
        parts: list[Coroutine[Any, Any, None]] = [
            self._act(),
            self._keep(revision),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        log.info("leading", holder=self.holder)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _say_why(task)
        finally:
            scheduler.cease()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await scheduler.settle()
            log.info("ceased", holder=self.holder)

    async def _act(self) -> None:
        await self.scheduler.begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scheduler.bus.answer(LEASE_SUBJECT, self.scheduler.desk.on_ask))
            group.create_task(self.scheduler.burying.bury())

    async def _keep(self, revision: int) -> None:
        """Return when the role is somebody else's, or may be."""
        sure = time.monotonic()
        current: int | None = revision
        try:
            while current is not None:
                await asyncio.sleep(self.renew_seconds)
                try:
                    renewed = await self.scheduler.bus.renew(ROLE, self.holder, current)
                    current, sure = renewed, time.monotonic()
                except Unavailable as error:
                    log.warning("cannot_renew", error=error.message)
                    if time.monotonic() - sure > UNSURE_SECONDS_MAX:
                        return
        except asyncio.CancelledError:
            if current is not None:
                with contextlib.suppress(StudioError):
                    await self.scheduler.bus.resign(ROLE, current)
            raise


def _say_why(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("leading_failed", error=repr(error))
