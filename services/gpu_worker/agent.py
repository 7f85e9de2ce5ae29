"""The agent: asks for leases, has them executed by the engine child, and says that it lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

import structlog

from libs.artifacts.base import Artifacts
from libs.bus.base import Bus
from libs.core.errors import Refused, StudioError, Unavailable
from libs.decider import Folds, transact
from libs.events.asks import LEASE_SUBJECT, LeaseAnswer, LeaseAsk
from libs.events.base import SYSTEM_TENANT, subject
from libs.events.envelope import Cause
from libs.events.signals import Heartbeat, Stop, control_subject, heartbeat_subject
from libs.events.worker import (
    WeightsFile,
    WeightsListed,
    WorkerEvent,
    WorkerRegistered,
    WorkerStopped,
)
from libs.sealed.base import Vault
from libs.telemetry.logs import name_worker
from libs.weights.folder import Inventory, ModelFolder
from services.gpu_worker import metrics
from services.gpu_worker.child import EngineChild
from services.gpu_worker.domain import presence
from services.gpu_worker.domain.execution import Execution
from services.gpu_worker.domain.presence import Presence
from services.gpu_worker.files import Files, Shelf
from services.gpu_worker.job import Job
from services.gpu_worker.metrics import Busy
from services.gpu_worker.outlet import Outlet
from services.gpu_worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.5
REFUSED_PAUSE_SECONDS: Final = 5.0
# What is left of the drain when a job is handed back, to write it and to leave.
HAND_BACK_SECONDS: Final = 2.0
CANCELLED: Final = "cancelled"


@dataclass
class Agent:
    """One worker process; every dependency is a field."""

    worker_id: str
    bus: Bus
    artifacts: Artifacts
    vault: Vault
    shelf: Shelf
    engine: EngineChild
    folder: ModelFolder
    settings: WorkerSettings
    now: Callable[[], datetime]
    heartbeat_seconds: float
    drain_seconds: float
    may_preview: Callable[[str], bool] = field(default=lambda _tenant: False)
    inventory: Inventory = field(default_factory=dict)
    warm: tuple[str, ...] = ()
    job: Job | None = None
    busy: Busy = field(default_factory=Busy)
    draining: bool = False
    introduced: asyncio.Event = field(default_factory=asyncio.Event)
    _done: tuple[str, int] = ("", 0)
    _presence: Folds[Presence] = field(default_factory=Folds)
    _executions: Folds[Execution] = field(default_factory=Folds)

    async def run(self) -> None:
        """Work until cancelled, then finish the job in hand or hand it back."""
        name_worker(self.worker_id)
        helpers = [
            asyncio.create_task(part())
            for part in (self.engine.run, self._beat, self._heed, self._introduce)
        ]
        work = asyncio.create_task(self._work())
        try:
            done, _ = await asyncio.wait({work, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            await self._drain(work)
            raise
        finally:
            for task in (work, *helpers):
                task.cancel()
            await asyncio.gather(work, *helpers, return_exceptions=True)

    async def ready(self) -> str:
        """Name what is missing before a lease can be asked for."""
        return "" if self.engine.hello is not None else "the engine is warming up"

    # Presence.

    async def _introduce(self) -> None:
        """Say who came and what is on its disk, for ever."""
        self.folder.prepare()
        hello = await self.engine.ready()
        self.inventory = await asyncio.to_thread(self.folder.scan)
        await self._say(
            WorkerRegistered(
                worker_id=self.worker_id,
                slot=self.settings.place,
                device=str(hello["device"]),
                backend=str(hello["backend"]),
                vram_mib=cast("int", hello["memory_mib"]),
                software=cast("dict[str, str]", hello["software"]),
            )
        )
        while True:
            await self._say(
                WeightsListed(
                    worker_id=self.worker_id,
                    slot=self.settings.place,
                    weights=_listed(self.inventory),
                )
            )
            self.introduced.set()
            await asyncio.sleep(self.settings.scan_seconds)
            self.inventory = await asyncio.to_thread(self.folder.scan)

    async def _say(self, event: WorkerEvent) -> None:
        where = subject(SYSTEM_TENANT, "worker", self.worker_id)
        while True:
            try:
                await transact(
                    self.bus.journal, presence, where, event, Cause(), folds=self._presence
                )
            except Unavailable as error:
                log.warning("not_said_yet", event_type=type(event).__name__, error=error.message)
                self._presence.drop(where)
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def _beat(self) -> None:
        """Say that we live, for ever; also in the middle of a step."""
        while True:
            beat = Heartbeat(
                worker_id=self.worker_id,
                slot=self.settings.place,
                prompt_id=self.job.outlet.prompt_id if self.job else "",
                attempt=self.job.outlet.attempt if self.job else 0,
                vram_free_mib=self.engine.free_mib,
                warm=self.warm,
                sent_ms=int(self.now().timestamp() * 1000),
            )
            try:
                data = beat.model_dump_json().encode()
                await self.bus.signal(heartbeat_subject(self.worker_id), data)
            except Unavailable as error:
                log.warning("heartbeat_lost", error=error.message)
            self.busy.tick()
            metrics.READY.set(int(self.engine.hello is not None))
            await asyncio.sleep(self.heartbeat_seconds)

    async def _heed(self) -> None:
        """Stop when told to, for ever."""
        async for signal in self.bus.signals(control_subject(self.worker_id)):
            try:
                stop = Stop.model_validate_json(signal.data)
            except ValueError:
                log.warning("unreadable_stop", subject=signal.subject)
                continue
            job = self.job
            if job is None or (stop.prompt_id, stop.attempt) != _identity(job):
                continue
            log.info("told_to_stop", prompt_id=stop.prompt_id, reason=stop.reason)
            await (job.stop() if stop.reason == CANCELLED else job.abandon())

    # Work.

    async def _work(self) -> None:
        # Who has not looked at its disk yet would be leased what it cannot execute.
        await self.introduced.wait()
        while not self.draining:
            await self.engine.ready()
            asked_at = time.monotonic()
            answer = await self._ask()
            if answer is not None and answer.lease is not None:
                await self._execute(answer, asked_at)

    async def _ask(self) -> LeaseAnswer | None:
        hello = self.engine.hello or {}
        ask = LeaseAsk(
            worker_id=self.worker_id,
            slot=self.settings.place,
            backend=str(hello.get("backend", "")),
            vram_total_mib=cast("int", hello.get("memory_mib", 0)),
            vram_free_mib=self.engine.free_mib,
            weights=tuple(
                f"{folder}/{name}" for folder in self.inventory for name in self.inventory[folder]
            ),
            warm=self.warm,
            done_prompt_id=self._done[0],
            done_attempt=self._done[1],
        )
        try:
            data = await self.bus.ask(
                LEASE_SUBJECT, ask.model_dump_json().encode(), self.settings.ask_seconds
            )
            return LeaseAnswer.model_validate_json(data)
        except Unavailable as error:
            log.info("nobody_leases", error=error.message)
            await asyncio.sleep(PAUSE_SECONDS)
        except (Refused, ValueError) as error:
            log.warning("ask_refused", error=str(error))
            await asyncio.sleep(REFUSED_PAUSE_SECONDS)
        return None

    async def _execute(self, answer: LeaseAnswer, asked_at: float) -> None:
        job = self._job(answer, asked_at)
        if job is None:
            return
        self.job = job
        began = time.monotonic()
        self.busy.begin()
        try:
            with job.outlet.executing() as span:
                await self._finish(job)
                span.note(outcome=job.outcome)
        finally:
            self.busy.end()
            metrics.EXECUTIONS.labels(job.outcome).inc()
            metrics.EXECUTION.labels(job.outcome).observe(time.monotonic() - began)

    async def _finish(self, job: Job) -> None:
        log.info("executing", attempt=job.outlet.attempt)
        try:
            await job.run()
            self.warm = job.warm or self.warm
        except Exception as error:
            log.exception("not_delivered", prompt_id=job.outlet.prompt_id)
            # If even that cannot be said, this process ends, and its lease with it.
            await job.give_up(error)
        finally:
            self._done = _identity(job)
            self.job = None

    def _job(self, answer: LeaseAnswer, asked_at: float) -> Job | None:
        lease, submitted, validated = answer.lease, answer.submitted, answer.validated
        if lease is None or submitted is None or validated is None:
            return None
        outlet = Outlet(
            bus=self.bus,
            tenant=answer.tenant,
            prompt_id=lease.prompt_id,
            attempt=lease.attempt,
            worker_id=self.worker_id,
            cause=Cause(answer.causation_id, lease.prompt_id, answer.traceparent),
            verified_at=asked_at,
            folds=self._executions,
        )
        files = Files(
            bus=self.bus,
            artifacts=self.artifacts,
            vault=self.vault,
            shelf=self.shelf,
            outlet=outlet,
            user=submitted.user_id,
            now=self.now,
        )
        return Job(
            outlet=outlet,
            files=files,
            engine=self.engine,
            vault=self.vault,
            submitted=submitted,
            validated=validated,
            inventory=self.inventory,
            stop_seconds=self.settings.stop_seconds,
            previews=submitted.wants_previews and self.may_preview(answer.tenant),
            profile=self.settings.profile,
        )

    # Leaving.

    async def _drain(self, work: asyncio.Task[None]) -> None:
        """Finish the job in hand if there is time, else hand it back; then say goodbye."""
        self.draining = True
        began = time.monotonic()
        if self.job is None:
            work.cancel()
        patience = max(0.0, self.drain_seconds - HAND_BACK_SECONDS)
        await asyncio.wait({work}, timeout=patience)
        job = self.job
        if job is not None and not work.done():
            log.info("handing_back", prompt_id=job.outlet.prompt_id)
            await job.stop()
            self.engine.kill()
            left = max(0.1, self.drain_seconds - (time.monotonic() - began) - 0.5)
            await asyncio.wait({work}, timeout=left)
        where = subject(SYSTEM_TENANT, "worker", self.worker_id)
        stopped = WorkerStopped(
            worker_id=self.worker_id, slot=self.settings.place, reason="drained"
        )
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                await transact(
                    self.bus.journal, presence, where, stopped, Cause(), folds=self._presence
                )
        except (TimeoutError, StudioError) as error:
            log.warning("left_without_a_word", error=repr(error))


def _identity(job: Job) -> tuple[str, int]:
    return (job.outlet.prompt_id, job.outlet.attempt)


def _listed(inventory: Inventory) -> dict[str, tuple[WeightsFile, ...]]:
    return {
        folder: tuple(
            WeightsFile(name=file.name, size_bytes=file.size_bytes, modified_ms=file.modified_ms)
            for file in files.values()
        )
        for folder, files in inventory.items()
    }
