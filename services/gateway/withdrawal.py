"""Taking submissions back whose callers were told 503 and cannot ask again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from libs.core.errors import Unavailable
from libs.decider import Journal, transact
from libs.events.base import subject
from libs.events.envelope import Cause
from libs.events.prompt import PromptEvent
from services.gateway import metrics
from services.gateway.domain import prompt as prompts
from services.gateway.domain.prompt import Withdraw

REASON = "no answer in time"
TRIES_MAX = 60
# So long the caller waits on; what takes longer goes on behind the answer.
HERE_SECONDS = 1.0
DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0

log = structlog.get_logger(__name__)


@dataclass
class Withdrawals:
    """Withdraws at once, or as soon as the bus answers again, for some minutes."""

    journal: Journal
    _going_on: set[asyncio.Task[None]] = field(default_factory=set)

    async def withdraw(self, tenant: str, prompt_id: str) -> None:
        """Take a submission back; what cannot be done now goes on after the caller has left."""
        metrics.WITHDRAWN.inc()
        try:
            async with asyncio.timeout(HERE_SECONDS):
                await self._once(tenant, prompt_id)
        except (Unavailable, TimeoutError):
            task = asyncio.ensure_future(self._until_done(tenant, prompt_id))
            self._going_on.add(task)
            task.add_done_callback(self._going_on.discard)

    async def _until_done(self, tenant: str, prompt_id: str) -> None:
        delay = DELAY_SECONDS_FIRST
        for _ in range(TRIES_MAX):
            await asyncio.sleep(delay)
            try:
                await self._once(tenant, prompt_id)
            except Unavailable as error:
                log.warning("not_withdrawn_yet", prompt_id=prompt_id, error=str(error))
                delay = min(delay * 2, DELAY_SECONDS_MAX)
            else:
                return
        log.error("not_withdrawn", prompt_id=prompt_id, tries=TRIES_MAX)

    async def _once(self, tenant: str, prompt_id: str) -> None:
        await transact(
            self.journal,
            prompts,
            subject(tenant, PromptEvent.kind, prompt_id),
            Withdraw(prompt_id, REASON),
            Cause(correlation_id=prompt_id),
        )
