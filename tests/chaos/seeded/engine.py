"""An engine in virtual time: it speaks as the real one does, and dies or fails as the dice say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from libs.core.jsonvalue import JsonObject
from services.gpu_worker.child import DIED, Line
from services.gpu_worker.frames import Frame
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


@dataclass
class VirtualEngine:
    """Takes the place of `EngineChild`; `nude` are the prompts whose pictures must be blocked."""

    worker_id: str
    weather: Weather
    nude: set[str]
    hello: JsonObject | None = None
    free_mib: int = 8192
    takes_more: bool = True
    line: Line = field(default_factory=Line)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _replies: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    _job: asyncio.Task[None] | None = None
    _stopped: bool = False
    _killed: asyncio.Event = field(default_factory=asyncio.Event)

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
                self._drop_job()
                self.line.put(Frame(DIED, {"exit_code": -9}))
                await asyncio.sleep(RESTART_SECONDS)
        finally:
            self._drop_job()

    def _drop_job(self) -> None:
        if self._job is not None:
            self._job.cancel()

    async def ready(self) -> JsonObject:
        """Wait until there is an engine."""
        while self.hello is None:
            await self._ready.wait()
        return self.hello

    async def begin(self, frame: Frame) -> Line:
        """Begin a job, with a line of its own."""
        await self.ready()
        self.line = Line()
        self._replies = asyncio.Queue()
        self._stopped = False
        self._job = asyncio.create_task(self._execute(frame.facts))
        return self.line

    async def send(self, frame: Frame) -> None:
        """Hear a reply, or that the job must stop."""
        if frame.kind == "stop":
            self._stopped = True
        else:
            await self._replies.put(frame)

    def kill(self) -> None:
        """End the engine at once."""
        self._killed.set()

    async def kill_for(self, line: Line) -> None:
        """End the engine because of one attempt."""
        assert line is self.line
        self.kill()

    async def _execute(self, job: JsonObject) -> None:
        mark: JsonObject = {"prompt_id": job["prompt_id"], "attempt": job["attempt"]}
        self.line.put(Frame("started", {**mark, "cached": []}))
        executed: list[str] = []
        for node_id in cast("list[str]", job["outputs"]):
            at: JsonObject = {"node_id": node_id, "node_type": "PreviewImage"}
            facts: JsonObject = {**mark, **at, "executed": list(executed)}
            running = {**facts, "state": "running", "announces": True}
            self.line.put(Frame("progress", running))
            await asyncio.sleep(self.weather.dice.uniform(0, STEP_SECONDS_MAX))
            fate = self.weather.one_of(
                died=self.weather.engine_rate, failed=self.weather.engine_rate
            )
            if fate == "died":
                self.kill()
                return
            if fate == "failed":
                self.line.put(Frame("failed", {**facts, "exception_type": "ValueError"}))
                return
            if not self._stopped:
                await self._show(facts)
            if self._stopped:
                self.line.put(Frame("interrupted", facts))
                return
            executed.append(node_id)
        done: JsonObject = {**mark, "compute_ms": 7, "executed": list(executed)}
        self.line.put(Frame("finished", done))

    async def _show(self, facts: JsonObject) -> None:
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
            "call": 1,
        }
        self.line.put(Frame("save", {**facts, **file}, (data,)))
        reply = await self._replies.get()
        if "error" in reply.facts:
            self._stopped = True
            return
        shown: JsonObject = {**reply.facts, "type": "temp"}
        shown.pop("call")
        self.line.put(Frame("shown", {**facts, "ui": {"images": [shown]}}))
