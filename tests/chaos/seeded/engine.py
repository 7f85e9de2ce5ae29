"""An engine in virtual time: it speaks as the real one does, and dies or fails as the dice say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from libs.core.jsonvalue import JsonObject
from services.gpu_worker.child import DIED, Line
from services.gpu_worker.frames import Frame, Mark, mark_of
from tests.chaos.seeded.weather import Weather

HELLO: JsonObject = {
    "device": "virtual",
    "backend": "torch",
    "memory_mib": 8192,
    "software": {},
    "free_mib": 8192,
}
STEP_SECONDS_MAX = 1.5
RESTART_SECONDS = 2.0
NUDE = b"nude"


def picture(prompt_id: str, attempt: int, worker_id: str, *, nude: bool) -> bytes:
    """Return the bytes that a worker makes in one attempt, and nobody else does."""
    return b"|".join((prompt_id.encode(), b"%d" % attempt, worker_id.encode(), NUDE * nude))


@dataclass(eq=False)
class Hand:
    """One job that the engine has in hand."""

    line: Line = field(default_factory=Line)
    replies: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    stopped: bool = False
    late: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class VirtualEngine:
    """Takes the place of `EngineChild`; `nude` are the prompts whose pictures must be blocked.

    It has as many jobs in hand as it is given.
    """

    worker_id: str
    weather: Weather
    nude: set[str]
    hello: JsonObject | None = None
    free_mib: int = 8192
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _hands: dict[Mark, Hand] = field(default_factory=dict)
    _jobs: dict[Mark, asyncio.Task[None]] = field(default_factory=dict)
    _killed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def takes_more(self) -> bool:
        """Say whether it may be given more; not when it has to be killed for one that hangs."""
        return not any(hand.late for hand in self._hands.values())

    async def run(self) -> None:
        """Live, die when killed, and live again."""
        try:
            while True:
                self.hello = HELLO
                self._ready.set()
                await self._killed.wait()
                self._killed.clear()
                self._ready.clear()
                self.hello = None
                self._drop_jobs()
                for mark in list(self._hands):
                    self._end(mark, Frame(DIED, {"exit_code": -9}))
                await asyncio.sleep(RESTART_SECONDS)
        finally:
            self._drop_jobs()

    def _drop_jobs(self) -> None:
        for job in self._jobs.values():
            job.cancel()
        self._jobs.clear()

    def _end(self, mark: Mark, frame: Frame) -> None:
        """Say how a job ended."""
        hand = self._hands.pop(mark)
        hand.line.put(frame)
        hand.over.set()

    async def ready(self) -> JsonObject:
        """Wait until there is an engine."""
        while self.hello is None:
            await self._ready.wait()
        return self.hello

    async def begin(self, frame: Frame) -> Line:
        """Begin a job, with a line of its own."""
        await self.ready()
        mark = mark_of(frame.facts)
        hand = self._hands[mark] = Hand()
        self._jobs[mark] = asyncio.create_task(self._execute(mark, hand, frame.facts))
        return hand.line

    async def send(self, frame: Frame) -> None:
        """Hear a reply, or that a job must stop; what is over is not spoken to any more."""
        if frame.kind == "stop":
            if (hand := self._hands.get(mark_of(frame.facts))) is not None:
                hand.stopped = True
            return
        prompt_id, _, attempt = str(frame.facts["call"]).rpartition(" ")
        if (hand := self._hands.get((prompt_id, int(attempt)))) is not None:
            await hand.replies.put(frame)

    def kill(self) -> None:
        """End the engine at once."""
        self._killed.set()

    async def kill_for(self, line: Line) -> None:
        """End the engine because of one attempt, as soon as no other is executed any more."""
        hand = next((hand for hand in self._hands.values() if hand.line is line), None)
        if hand is None:
            return
        hand.late = True
        while others := [other for other in self._hands.values() if not other.late]:
            await others[0].over.wait()
        if hand in self._hands.values():
            self.kill()

    async def _execute(self, mark: Mark, hand: Hand, job: JsonObject) -> None:
        ending = await self._ending(hand, job)
        if ending is None:
            self.kill()
        elif self._hands.get(mark) is hand:
            self._end(mark, ending)

    async def _ending(self, hand: Hand, job: JsonObject) -> Frame | None:
        """Do a job and return how it ended; None if the engine dies of it."""
        mark: JsonObject = {"prompt_id": job["prompt_id"], "attempt": job["attempt"]}
        hand.line.put(Frame("started", {**mark, "cached": []}))
        executed: list[str] = []
        outputs = cast("list[str]", job["outputs"])
        for node_id in outputs:
            at: JsonObject = {"node_id": node_id, "node_type": "PreviewImage"}
            facts: JsonObject = {**mark, **at, "executed": list(executed)}
            running = {**facts, "state": "running", "announces": True}
            hand.line.put(Frame("progress", running))
            await asyncio.sleep(self.weather.dice.uniform(0, STEP_SECONDS_MAX))
            fate = self.weather.one_of(
                died=self.weather.engine_rate, failed=self.weather.engine_rate
            )
            if fate == "died":
                return None
            if fate == "failed":
                return Frame("failed", {**facts, "exception_type": "ValueError"})
            if node_id == outputs[-1]:
                hand.line.put(Frame("computed", mark))
            if not hand.stopped:
                await self._show(hand, facts)
            if hand.stopped:
                return Frame("interrupted", facts)
            executed.append(node_id)
        return Frame("finished", {**mark, "compute_ms": 7, "executed": list(executed)})

    async def _show(self, hand: Hand, facts: JsonObject) -> None:
        prompt_id = str(facts["prompt_id"])
        data = picture(
            prompt_id,
            cast("int", facts["attempt"]),
            self.worker_id,
            nude=prompt_id in self.nude,
        )
        file: JsonObject = {
            "extension": "png",
            "mime": "image/png",
            "filename_prefix": "ComfyUI",
            "folder": "temp",
            "width": 64,
            "height": 64,
            "batch_number": 0,
            # The name of a call tells whose it is.
            "call": f"{prompt_id} {facts['attempt']}",
        }
        hand.line.put(Frame("save", {**facts, **file}, (data,)))
        reply = await hand.replies.get()
        if "error" in reply.facts:
            hand.stopped = True
            return
        shown: JsonObject = {**reply.facts, "type": "temp"}
        shown.pop("call")
        hand.line.put(Frame("shown", {**facts, "ui": {"images": [shown]}}))
