"""A bus with schedulers on it, and the other services played from a script, each event twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.bus.memory import MemoryBus
from libs.core.errors import Conflict
from libs.events.asks import LEASE_SUBJECT, LeaseAnswer, LeaseAsk
from libs.events.base import SYSTEM_TENANT, Event, subject_of
from libs.events.envelope import Cause
from libs.events.run import RunEnded
from libs.events.signals import Heartbeat, heartbeat_subject
from libs.events.worker import WorkerEvent
from services.scheduler.handlers import Scheduler
from services.scheduler.leadership import Leadership
from services.scheduler.settings import SchedulerSettings
from tests.unit.services.scheduler import told

TENANT = "t"
PATIENCE_SECONDS = 60
QUICK = SchedulerSettings(
    poll_seconds=0.2, cancel_seconds=0.4, unfit_seconds=0.3, wait_seconds_max=600
)


async def tell(bus: MemoryBus, *events: Event, tenant: str = TENANT) -> None:
    """Write each event twice, as services that crashed between writing and acking do."""
    for event in events:
        where = SYSTEM_TENANT if isinstance(event, WorkerEvent) else tenant
        for _ in range(2):
            await _append(bus, where, event)


async def _append(bus: MemoryBus, tenant: str, event: Event) -> None:
    while True:
        loaded = await bus.journal.load(subject_of(tenant, event))
        try:
            await bus.journal.append(tenant, [event], loaded.last_seq, Cause())
        except Conflict:
            continue
        return


async def until(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def leading(scheduler: Scheduler) -> None:
    """Wait until the scheduler acts."""
    await until(lambda: scheduler.leading)


def about(event: Event, prompt_id: str) -> Event:
    """Return the same event about another prompt."""
    return event.model_copy(update={"prompt_id": prompt_id})


@dataclass
class House:
    """One bus, and whoever runs on it."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    silence_seconds: float = 30
    settings: SchedulerSettings = QUICK

    @asynccontextmanager
    async def scheduler(self, name: str = "scheduler") -> AsyncIterator[Scheduler]:
        """Run a scheduler as a process of its own."""

        async def start_seq() -> int:
            return 1

        scheduler = Scheduler(
            bus=self.bus.another(name),
            now=lambda: datetime.now(UTC),
            settings=self.settings,
            silence_seconds=self.silence_seconds,
            start_seq=start_seq,
        )
        leadership = Leadership(scheduler, claim_again_seconds=0.02, renew_seconds=0.05)
        parts: list[Any] = [
            scheduler.follow,
            scheduler.listen,
            scheduler.tick,
            leadership.run,
        ]
        tasks = [asyncio.create_task(part()) for part in parts]
        try:
            yield scheduler
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(self, prompt_id: str, *, tenant: str = TENANT, **more: Any) -> None:
        """Play gateway, validator, moderation and billing up to the moment of admission."""
        needs = more.pop("needs", ())
        await tell(self.bus, about(told.submitted, prompt_id), tenant=tenant)
        await tell(self.bus, told.validated(prompt_id, *needs, **more), tenant=tenant)
        await tell(
            self.bus, about(told.cleared, prompt_id), about(told.held, prompt_id), tenant=tenant
        )

    async def ask(
        self, worker_id: str = told.ADA, via: Scheduler | None = None, **more: Any
    ) -> LeaseAnswer:
        """Ask for a lease as a worker does, or straight at the desk of one scheduler."""
        offer = {"slot": worker_id.rpartition("-")[0], "backend": "torch", "vram_total_mib": 8192}
        ask = LeaseAsk(worker_id=worker_id, vram_free_mib=1, **{**offer, **more})
        body = ask.model_dump_json().encode()
        data = await (
            via.desk.on_ask(body) if via else self.bus.ask(LEASE_SUBJECT, body, PATIENCE_SECONDS)
        )
        return LeaseAnswer.model_validate_json(data)

    async def lease(self, worker_id: str = told.ADA, **more: Any) -> LeaseAnswer:
        """Ask until there is a lease."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await self.ask(worker_id, **more)).lease is None:
                pass
        return answer

    async def grant(self, prompt_id: str, worker_id: str = told.ADA) -> None:
        """Write a lease as a leader does whose answer nobody hears."""
        soon = datetime.now(UTC) + timedelta(hours=1)
        lease = told.lease(worker_id=worker_id).model_copy(update={"expires_at": soon})
        event = about(lease, prompt_id)
        loaded = await self.bus.journal.load(subject_of(TENANT, event))
        await self.bus.journal.append(TENANT, [event], loaded.last_seq, Cause())

    async def work(self, answer: LeaseAnswer, files: int = 1) -> None:
        """Play a worker and moderation for one attempt that goes well."""
        assert answer.lease is not None
        prompt_id, attempt = answer.lease.prompt_id, answer.lease.attempt
        news: list[Event] = [
            told.started(attempt),
            told.node_finished(attempt, files=files),
            told.finished(attempt, outputs=files),
            *(told.released(attempt, index=index) for index in range(files)),
        ]
        await tell(self.bus, *(about(event, prompt_id) for event in news), tenant=answer.tenant)

    async def beat(self, worker_id: str) -> None:
        """Send a heartbeat."""
        beat = Heartbeat(worker_id=worker_id, slot=worker_id.rpartition("-")[0])
        await self.bus.signal(heartbeat_subject(worker_id), beat.model_dump_json().encode())

    def run_events(self, prompt_id: str) -> list[Event]:
        """Return what the schedulers wrote about a prompt."""
        return self.bus.journal_events(f"evt.v1.*.run.{prompt_id}")

    def kinds(self, prompt_id: str) -> list[str]:
        """Return the names of what the schedulers wrote about a prompt."""
        return [type(event).__name__ for event in self.run_events(prompt_id)]

    def end(self, prompt_id: str) -> RunEnded | None:
        """Return the end of the run; there is never more than one."""
        ends = [event for event in self.run_events(prompt_id) if isinstance(event, RunEnded)]
        assert len(ends) <= 1
        return ends[0] if ends else None

    async def said(self, prompt_id: str, kind: str = "", times: int = 1) -> None:
        """Wait until the schedulers wrote `kind` about a prompt so often; anything by default."""
        await until(
            lambda: (
                len([found for found in self.kinds(prompt_id) if found == (kind or found)]) >= times
            )
        )

    async def ended(self, prompt_id: str, seconds: float = PATIENCE_SECONDS) -> RunEnded:
        """Wait for the end of the run."""
        await until(lambda: self.end(prompt_id), seconds)
        end = self.end(prompt_id)
        assert end is not None
        return end
