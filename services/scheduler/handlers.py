"""The scheduler's hands: follow the stream, do what each story asks for, grant leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from libs.bus.base import Bus
from libs.core.errors import StudioError, Unavailable
from libs.events.asks import LeaseAnswer
from libs.events.base import Event, PromptKey
from libs.events.envelope import Cause, Recorded
from libs.events.run import LeaseExpired
from libs.events.signals import Heartbeat, Stop, control_subject
from libs.events.worker import WorkerStopped
from libs.telemetry import tracing
from services.scheduler import metrics
from services.scheduler.burying import Burying
from services.scheduler.desk import Desk, Parked
from services.scheduler.domain import run
from services.scheduler.domain.board import Board
from services.scheduler.domain.decisions import AdmitRun, StopWorker, Terms, next_command
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.matching import Match, Waiting, obstacle
from services.scheduler.domain.run import (
    Command,
    EndRun,
    GrantLease,
    QueueRun,
    RefuseRun,
)
from services.scheduler.domain.story import Story
from services.scheduler.numbers import Numbers
from services.scheduler.settings import SchedulerSettings

log = structlog.get_logger(__name__)

APPENDS_AT_ONCE = 64
TICK_SECONDS = 0.1
SWEEP_SECONDS = 1.0
STOP_AGAIN_SECONDS = 0.5
BUSY_RETRY_SECONDS = 30


@dataclass
class Scheduler:
    """Follows always; acts only while `leading`.

    Safety does not rest on who leads: whatever is written goes through the expected sequence of
    the run's subject, so two leaders waste work and nothing else.
    """

    bus: Bus
    now: Callable[[], datetime]
    settings: SchedulerSettings
    silence_seconds: float
    start_seq: Callable[[], Awaitable[int]]
    leading: bool = False
    position: int = 0
    current: bool = False

    _busy: set[PromptKey] = field(default_factory=set)
    _again: set[PromptKey] = field(default_factory=set)
    _told: dict[tuple[PromptKey, int], datetime] = field(default_factory=dict)
    _unfit: dict[PromptKey, datetime] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.board = Board(Fleet(self.silence_seconds, self.now()))
        self.desk = Desk(self.board, self.now, self.settings.poll_seconds, self.match)
        self.burying = Burying(self.bus, self.board, self._stop_worker)
        self.numbers = Numbers(self.bus)
        self._appends = asyncio.Semaphore(APPENDS_AT_ONCE)
        self._moved = asyncio.Event()
        self._terms = Terms(
            self.settings.attempts_max,
            self.settings.cancel_seconds,
            self.settings.wait_seconds_max,
        )

    # Following.

    async def follow(self) -> None:
        """Read every event from the first unfinished prompt on, for ever."""
        start = await self.start_seq()
        async for batch in self.bus.feed(start_seq=start):
            for recorded in batch.events:
                self._take_in(recorded)
            self.position = max(self.position, batch.last_seq)
            self.current = batch.pending == 0
            self._moved.set()
            self._moved = asyncio.Event()

    async def listen(self) -> None:
        """Hear the heartbeats of all workers, for ever."""
        async for signal in self.bus.signals("sig.v1.worker.*"):
            try:
                beat = Heartbeat.model_validate_json(signal.data)
            except ValueError:
                log.warning("unreadable_heartbeat", subject=signal.subject)
                continue
            self.board.fleet.hear(beat.worker_id, self.now())

    async def ready(self) -> str:
        """Name what is missing before a takeover would be quick."""
        return "" if self.current else "reading the stream"

    async def caught_up(self) -> None:
        """Wait until everything that is on the stream now has been read."""
        target = (await self.bus.state()).last_seq
        while self.position < target:
            await self._moved.wait()

    def _take_in(self, recorded: Recorded[Event]) -> None:
        if isinstance(recorded.event, WorkerStopped):
            self.desk.dismiss(recorded.event.worker_id)
        for key in self.board.apply(recorded):
            self.look_at(key)
        self.match()

    # Leading.

    async def begin(self) -> None:
        """Start to act: every worker gets one full period before its silence counts."""
        await self.caught_up()
        self.numbers.forget()
        self.board.fleet.judge_from(self.now())
        self.leading = True
        metrics.lead(leading=True, now=self.now())
        for key in list(self.board.stories):
            self.look_at(key)
        self.match()

    def cease(self) -> None:
        """Stop to act, and send everybody who asks away."""
        self.leading = False
        metrics.lead(leading=False, now=self.now())
        self.desk.clear()

    async def settle(self) -> None:
        """Finish what is in hand."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def tick(self) -> None:
        """Let time count, for ever: silence, bounds, and what did not work the last time."""
        swept = self.now()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self.leading:
                continue
            again, self._again = self._again, set()
            for key in again | {*self.board.leased} | {*self.board.grants}:
                self.look_at(key)
            now = self.now()
            if now - swept >= timedelta(seconds=SWEEP_SECONDS):
                swept = now
                self._sweep(now)
            self.match()

    def _sweep(self, now: datetime) -> None:
        self.board.fleet.sweep(now)
        metrics.look_at(self.board.room, len(self.board.leased), now)
        self._told = {who: at for who, at in self._told.items() if who[0] in self.board.stories}
        offers = self.board.fleet.known_offers(now)
        found: dict[tuple[tuple[str, ...], int, tuple[str, ...]], str] = {}
        unfit: dict[PromptKey, datetime] = {}
        for waiting in list(self.board.room):
            self.look_at(waiting.key)
            wants = (waiting.needs, waiting.vram_mib, waiting.engines)
            if wants not in found:
                found[wants] = obstacle(waiting, offers or ())
            if found[wants]:
                unfit[waiting.key] = since = self._unfit.get(waiting.key, now)
                if now - since >= timedelta(seconds=self.settings.unfit_seconds):
                    self._end_unfit(waiting, found[wants])
        self._unfit = unfit

    def _end_unfit(self, waiting: Waiting, reason: str) -> None:
        story = self.board.stories[waiting.key]
        command = EndRun(waiting.prompt_id, "expired", reason, story.run.attempt)
        self._spawn(self._guarded(story, command))

    # Doing what a story asks for.

    def look_at(self, key: PromptKey) -> None:
        """Do, in the background, what the story of the prompt asks for."""
        story = self.board.stories.get(key)
        if not self.leading or story is None or key in self._busy:
            return
        if self._decide(story) is not None:
            self._busy.add(key)
            self._spawn(self._drive(key))

    def _decide(self, story: Story) -> Command | AdmitRun | StopWorker | None:
        now = self.now()
        lost = ""
        if story.executing:
            lost = self.board.fleet.lost(story.run.worker_id, story.leased_at, now)
        decision = next_command(story, now, terms=self._terms, worker_lost=lost)
        if isinstance(decision, StopWorker):
            told = self._told.get((story.key, decision.attempt))
            if told is not None and now - told < timedelta(seconds=STOP_AGAIN_SECONDS):
                return None
        return decision

    async def _drive(self, key: PromptKey) -> None:
        try:
            while (story := self.board.stories.get(key)) is not None:
                decision = self._decide(story)
                if decision is None or not self.leading:
                    return
                if isinstance(decision, StopWorker):
                    await self._stop_worker(story.tenant, decision)
                    return
                if isinstance(decision, AdmitRun):
                    decision = await self._admission(story, decision)
                if not await self._guarded(story, decision):
                    return
        finally:
            self._busy.discard(key)

    async def _admission(self, story: Story, admit: AdmitRun) -> QueueRun | RefuseRun:
        room = self.board.room
        if len(room) >= self.settings.queue_max:
            message = f"{self.settings.queue_max} runs are waiting already"
            return RefuseRun(admit.prompt_id, 503, "queue_full", message, BUSY_RETRY_SECONDS)
        if room.waiting_of(story.tenant) >= self.settings.tenant_queue_max:
            message = f"{self.settings.tenant_queue_max} runs of this tenant are waiting already"
            return RefuseRun(admit.prompt_id, 429, "queue_full", message, BUSY_RETRY_SECONDS)
        number = await self.numbers.take(self.board.number_seen)
        return QueueRun(admit.prompt_id, number, admit.tier, admit.account)

    async def _guarded(self, story: Story, command: Command) -> bool:
        """Do it; what did not work this time is looked at again at the next tick."""
        try:
            written = await self._do(story, command)
        except Unavailable as error:
            log.warning("not_written_yet", prompt_id=story.prompt_id, error=error.message)
            written = ()
        except StudioError:
            log.exception("cannot_be_written", prompt_id=story.prompt_id)
            return False
        if not written:
            self._again.add(story.key)
        return bool(written)

    async def _do(self, story: Story, command: Command) -> tuple[Recorded[Event], ...]:
        """Decide on what the stream told so far; who lost a race hears from it what happened."""
        events = run.decide(command, story.run)
        if not events:
            return ()
        cause = self.board.causes.get(story.key, Cause(correlation_id=story.prompt_id))
        with tracing.span(
            f"scheduler {type(command).__name__}",
            kind="consumer",
            parent=cause.traceparent,
            tenant=story.tenant,
            prompt_id=story.prompt_id,
        ):
            async with self._appends:
                written = await self.bus.journal.append(story.tenant, events, story.run_seq, cause)
        for recorded in written:
            metrics.count(story, recorded)
            self.board.apply(recorded)
            if isinstance(recorded.event, LeaseExpired):
                expired = recorded.event
                await self._stop_worker(
                    story.tenant,
                    StopWorker(
                        expired.worker_id, expired.prompt_id, expired.attempt, "the lease is lost"
                    ),
                )
        self.match()
        return written

    async def _stop_worker(self, tenant: str, decision: StopWorker) -> None:
        self._told[(tenant, decision.prompt_id), decision.attempt] = self.now()
        stop = Stop(
            tenant=tenant,
            prompt_id=decision.prompt_id,
            attempt=decision.attempt,
            reason=decision.reason,
        )
        try:
            data = stop.model_dump_json().encode()
            await self.bus.signal(control_subject(decision.worker_id), data)
        except Unavailable as error:
            log.warning("stop_not_sent", worker_id=decision.worker_id, error=error.message)

    # Granting.

    def match(self) -> None:
        """Give waiting runs to asking workers, as many as there are of both."""
        while self.leading and (found := self.desk.next_match()) is not None:
            match, parked = found
            self.board.granting.add(match.waiting.key)
            self.board.room.take(match.waiting, self.now())
            self._spawn(self._grant(match, parked))

    async def _grant(self, match: Match, parked: Parked) -> None:
        key = match.waiting.key
        answer = LeaseAnswer()
        try:
            story = self.board.stories.get(key)
            if story is not None:
                command = GrantLease(
                    story.prompt_id, match.offer.worker_id, self.now(), self.settings.term_seconds
                )
                with self._leasing(story, match, parked):
                    if await self._guarded(story, command):
                        answer = self.board.answer(key)
        finally:
            self.board.granting.discard(key)
            parked.say(answer)
            left = self.board.stories.get(key)
            if left is not None:
                self.board.place(left)
                self.look_at(key)

    def _leasing(self, story: Story, match: Match, parked: Parked) -> tracing.Span:
        """Return the span of an ask, from when both the worker and the run waited."""
        since = max(match.waiting.since, parked.since)
        return tracing.span(
            "lease ask",
            kind="server",
            parent=self.board.causes.get(story.key, Cause()).traceparent,
            tenant=story.tenant,
            prompt_id=story.prompt_id,
            began_ns=int(since.timestamp() * 1e9),
            worker_id=match.offer.worker_id,
            queued_seconds=(self.now() - match.waiting.since).total_seconds(),
        )

    def _spawn(self, work: Awaitable[object]) -> None:
        async def guard() -> None:
            try:
                await work
            except Exception:
                log.exception("work_failed")

        task = asyncio.create_task(guard())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
