"""What leaves the worker for one attempt: checked against the lease, written in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from libs.bus.base import Bus
from libs.core.errors import StudioError, Unavailable
from libs.decider import Folds, transact
from libs.events.base import subject
from libs.events.envelope import Cause
from libs.events.execution import ExecutionEvent
from libs.events.signals import Preview, Progress, preview_subject, progress_subject
from libs.telemetry import tracing
from services.gpu_worker.domain import execution
from services.gpu_worker.domain.execution import Execution
from services.gpu_worker.domain.lease import still_held

log = structlog.get_logger(__name__)

# Within so short a time a lease is not looked at again; what slips through, the attempt fences.
FRESH_SECONDS: Final = 1.0
RETRY_SECONDS_FIRST: Final = 0.1
RETRY_SECONDS_MAX: Final = 2.0

# An attempt by its tenant, its prompt and its number: two tenants may have chosen the same id.
Attempt: TypeAlias = tuple[str, str, int]


class LeaseLost(StudioError):
    """The attempt is somebody else's now: nothing of it may leave this worker any more."""

    code = "lease_lost"


@dataclass
class Outlet:
    """The one way out; `order` counts events and signals together, without a gap."""

    bus: Bus
    tenant: str
    prompt_id: str
    attempt: int
    worker_id: str
    cause: Cause
    verified_at: float
    folds: Folds[Execution]
    order: int = 0
    lost: bool = False
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> Attempt:
        """Return which attempt it is."""
        return (self.tenant, self.prompt_id, self.attempt)

    def executing(self) -> tracing.Span:
        """Begin the span of the whole attempt."""
        return tracing.span(
            "execute",
            kind="consumer",
            parent=self.cause.traceparent,
            tenant=self.tenant,
            prompt_id=self.prompt_id,
            attempt=self.attempt,
            worker_id=self.worker_id,
        )

    async def require(self) -> None:
        """Raise LeaseLost unless the lease was ours a moment ago; waits for the bus."""
        delay = RETRY_SECONDS_FIRST
        while time.monotonic() - self.verified_at > FRESH_SECONDS or self.lost:
            if self.lost:
                raise LeaseLost("the lease is lost", prompt_id=self.prompt_id, attempt=self.attempt)
            asked_at = time.monotonic()
            try:
                loaded = await self.bus.journal.load(subject(self.tenant, "run", self.prompt_id))
            except Unavailable as error:
                delay = await self._wait(error, delay)
                continue
            events = (recorded.event for recorded in loaded.events)
            self.lost = not still_held(events, self.worker_id, self.attempt)
            self.verified_at = asked_at

    async def write(self, make: Callable[[int], ExecutionEvent]) -> None:
        """Append the event that `make` returns for the next order; waits for the bus."""
        async with self._one_by_one:
            self.order += 1
            await self._append(make(self.order))

    async def signal(self, node_id: str, state: str, **more: object) -> None:
        """Tell progress, which may be lost."""
        async with self._one_by_one:
            self.order += 1
            facts = {"prompt_id": self.prompt_id, "attempt": self.attempt, "order": self.order}
            progress = Progress.model_validate(
                {**facts, "node_id": node_id, "state": state, **more}
            )
            try:
                await self.bus.signal(
                    progress_subject(self.tenant, self.prompt_id),
                    progress.model_dump_json().encode(),
                )
            except Unavailable as error:
                log.info("progress_lost", prompt_id=self.prompt_id, error=error.message)

    async def preview(self, node: Mapping[str, str], image: bytes) -> None:
        """Show a glance at an unfinished picture, which may be lost."""
        if self.lost:
            return
        facts = {"prompt_id": self.prompt_id, "attempt": self.attempt, "image": image}
        shown = Preview.model_validate({**node, **facts})
        try:
            await self.bus.signal(preview_subject(self.tenant, self.prompt_id), shown.encode())
        except Unavailable as error:
            log.info("preview_lost", prompt_id=self.prompt_id, error=error.message)

    async def _append(self, event: ExecutionEvent) -> None:
        where = subject(self.tenant, "execution", self.prompt_id)
        delay = RETRY_SECONDS_FIRST
        while True:
            await self.require()
            try:
                written = await transact(
                    self.bus.journal,
                    execution,
                    where,
                    event,
                    self.cause,
                    folds=self.folds,
                    fresh=self.attempt == 1,
                )
            except Unavailable as error:
                # What was remembered may be what was not written: the next try looks again.
                self.folds.drop(where)
                delay = await self._wait(error, delay)
                continue
            known = self.folds.get(where)
            if not written and not (known and known[0].covers(event)):
                self.lost = True
                raise LeaseLost("a newer attempt writes", prompt_id=self.prompt_id)
            return

    async def _wait(self, error: StudioError, delay: float) -> float:
        log.warning("waiting_for_the_bus", prompt_id=self.prompt_id, error=error.message)
        await asyncio.sleep(delay)
        return min(delay * 2, RETRY_SECONDS_MAX)
