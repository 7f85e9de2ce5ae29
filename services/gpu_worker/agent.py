"""The agent: asks for leases, has them executed by the engine child, and says that it lives."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, cast

import structlog

from libs.artifacts.base import Artifacts
from libs.bus.base import Bus
from libs.core.errors import Refused, StudioError, Unavailable
from libs.decider import Folds, transact
from libs.events.asks import LEASE_SUBJECT, KnownAttempt, LeaseAnswer, LeaseAsk
from libs.events.base import SYSTEM_TENANT, subject
from libs.events.envelope import Cause
from libs.events.signals import Heartbeat, Stop, control_subject, heartbeat_subject
from libs.events.worker import (
    NodePack,
    WeightsListed,
    WorkerEvent,
    WorkerRegistered,
    WorkerStopped,
)
from libs.sealed.base import Vault
from libs.telemetry.logs import name_worker
from libs.weights.folder import Inventory, ModelFolder
from services.gpu_worker import company, metrics
from services.gpu_worker.child import EngineChild
from services.gpu_worker.describing import files_told
from services.gpu_worker.domain import presence
from services.gpu_worker.domain.execution import Execution
from services.gpu_worker.domain.presence import Presence
from services.gpu_worker.files import Files, Shelf
from services.gpu_worker.job import Job
from services.gpu_worker.kept import KeptResults
from services.gpu_worker.metrics import Busy
from services.gpu_worker.outlet import Attempt, Outlet
from services.gpu_worker.packs import listing, packs_of, types_of
from services.gpu_worker.settings import WorkerSettings
from services.gpu_worker.wishes import heed_wishes

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.5
REFUSED_PAUSE_SECONDS: Final = 5.0
# What is left of the drain when a job is handed back, to write it and to leave.
HAND_BACK_SECONDS: Final = 2.0
CANCELLED: Final = "cancelled"
# The scheduler may not have heard yet that these are over.
DONE_MAX: Final = 32
NOBODYS: Final[Attempt] = ("", "", 0)

T = TypeVar("T")


@dataclass
class Agent:
    """One worker process; every dependency is a field.

    `jobs` are the leases in hand, the oldest first: one, or several that may be executed beside
    each other. It asks for one lease at a time.
    """

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
    jobs: dict[Attempt, Job] = field(default_factory=dict)
    busy: Busy = field(default_factory=Busy)
    introduced: asyncio.Event = field(default_factory=asyncio.Event)
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _done: deque[Attempt] = field(default_factory=lambda: deque(maxlen=DONE_MAX))
    _presence: Folds[Presence] = field(default_factory=Folds)
    _keeping: set[asyncio.Task[None]] = field(default_factory=set)
    _executions: Folds[Execution] = field(default_factory=Folds)

    async def run(self) -> None:
        """Work until cancelled, then finish the jobs in hand or hand them back."""
        name_worker(self.worker_id)
        wishes = partial(heed_wishes, self.bus, self.engine)
        helpers = [
            asyncio.create_task(part())
            for part in (self.engine.run, self._beat, self._heed, wishes, self._introduce)
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

    @property
    def job(self) -> Job | None:
        """The oldest job in hand."""
        return next(iter(self.jobs.values()), None)

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
                has_packs=bool(packs_of(hello)),
            )
        )
        listed: tuple[NodePack, ...] = ()
        while True:
            # An engine that was started again may have had to leave a pack out.
            hello = self.engine.hello or hello
            if packs_of(hello) != listed:
                slot, blobs = self.settings.place, self.engine.blobs
                await self._say(await listing(self.worker_id, slot, hello, blobs, self.artifacts))
                listed = packs_of(hello)
            await self._say(
                WeightsListed(
                    worker_id=self.worker_id,
                    slot=self.settings.place,
                    weights=files_told(self.inventory),
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
            _, prompt_id, attempt = next(iter(self.jobs), NOBODYS)
            beat = Heartbeat(
                worker_id=self.worker_id,
                slot=self.settings.place,
                prompt_id=prompt_id,
                attempt=attempt,
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
            job = self._job_told_of(stop)
            if job is None:
                continue
            log.info("told_to_stop", prompt_id=stop.prompt_id, reason=stop.reason)
            await (job.stop() if stop.reason == CANCELLED else job.abandon())

    def _job_told_of(self, stop: Stop) -> Job | None:
        told = (stop.tenant, stop.prompt_id, stop.attempt)
        # Older schedulers name no tenant.
        named = (job for name, job in self.jobs.items() if told in (name, ("", *name[1:])))
        return next(named, None)

    # Work.

    async def _work(self) -> None:
        # Who has not looked at its disk yet would be leased what it cannot execute.
        await self.introduced.wait()
        async with asyncio.TaskGroup() as hands:
            while not self._leaving.is_set():
                job = await self._unless_leaving(self._next_job())
                if job is not None:
                    await self._apart_from_its_namesake(job)
                    self.jobs[job.outlet.name] = job
                    hands.create_task(self._execute(job))

    async def _apart_from_its_namesake(self, job: Job) -> None:
        """Wait for a run that another tenant gave the same id: the engine knows of no tenants."""
        while any(name[1:] == job.outlet.name[1:] for name in self.jobs):
            self._moved.clear()
            await self._moved.wait()

    async def _unless_leaving(self, work: Coroutine[None, None, T]) -> T | None:
        """Return what comes out of the work; None, and let go of it, when it is time to leave."""
        working, leaving = asyncio.create_task(work), asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            leaving.cancel()

    async def _next_job(self) -> Job | None:
        """Ask for a lease, as soon as one more can be executed."""
        while not self._has_room:
            self._moved.clear()
            await self._moved.wait()
        await self.engine.ready()
        asked_at = time.monotonic()
        answer = await self._ask()
        return None if answer is None else self._job(answer, asked_at)

    @property
    def _has_room(self) -> bool:
        """Say whether one more run can be executed."""
        jobs, settings = self.jobs.values(), self.settings
        return not jobs or (
            self.engine.takes_more
            and company.has_room(jobs, settings.runs_at_once, overlaps=settings.overlap)
        )

    async def _ask(self) -> LeaseAnswer | None:
        hello = self.engine.hello or {}
        _, done_prompt_id, done_attempt = self._done[-1] if self._done else NOBODYS
        ask = LeaseAsk(
            worker_id=self.worker_id,
            slot=self.settings.place,
            backend=str(hello.get("backend", "")),
            vram_total_mib=cast("int", hello.get("memory_mib", 0)),
            vram_free_mib=self.engine.free_mib,
            weights=tuple(
                f"{folder}/{name}" for folder in self.inventory for name in self.inventory[folder]
            ),
            node_types=types_of(hello),
            warm=company.warm(self.jobs.values(), self.warm),
            done_prompt_id=done_prompt_id,
            done_attempt=done_attempt,
            known=tuple(
                KnownAttempt(tenant=tenant, prompt_id=prompt_id, attempt=attempt)
                for tenant, prompt_id, attempt in (*self.jobs, *self._done)
            ),
            **cast("dict[str, Any]", company.beside(self.jobs.values())),
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

    async def _execute(self, job: Job) -> None:
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
            self._done.append(job.outlet.name)
            self.jobs.pop(job.outlet.name, None)
            self._moved.set()

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
            results=KeptResults(
                self.artifacts, self.vault, answer.tenant, submitted.user_id, self._keeping
            ),
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
            moved=self._moved.set,
        )

    # Leaving.

    async def _drain(self, work: asyncio.Task[None]) -> None:
        """Finish the jobs in hand if there is time, else hand them back; then say goodbye."""
        self._leaving.set()
        began = time.monotonic()
        if not self.jobs:
            work.cancel()
        patience = max(0.0, self.drain_seconds - HAND_BACK_SECONDS)
        await asyncio.wait({work}, timeout=patience)
        jobs = list(self.jobs.values())
        if jobs and not work.done():
            log.info("handing_back", prompt_ids=[job.outlet.prompt_id for job in jobs])
            await asyncio.gather(*(job.stop() for job in jobs))
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
