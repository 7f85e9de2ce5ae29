"""The client of the throughput measure: `python -m tests.bench.load URL --seconds 15`.

It keeps a bounded number of prompts open over several connections, hears their ends on one
WebSocket, and says when the measured window opens and closes.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field

import uvloop

from tests.bench.programs import say
from tests.bench.wire import Listener, Wire, ended_prompt
from tests.e2e.watching import tiny_graph

CONNECTIONS = 8
OPEN_MAX = 32
DRAIN_SECONDS_MAX = 60.0
COLORS = 1 << 24


@dataclass
class Load:
    """Prompts that were handed in and prompts that ended."""

    url: str
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    submitted: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    refused: int = 0
    stopping: bool = False
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OPEN_MAX))
    news: asyncio.Event = field(default_factory=asyncio.Event)
    color: int = field(default_factory=lambda: secrets.randbelow(COLORS))

    async def post(self) -> None:
        """Submit one after another, each of another colour, while there is room."""
        wire = await Wire.open(self.url)
        while True:
            await self.room.acquire()
            if self.stopping:
                break
            self.color = (self.color + 1) % COLORS
            if prompt_id := await wire.submit(tiny_graph(self.color), self.client_id):
                self.submitted.add(prompt_id)
            else:
                self.refused += 1
                self.room.release()
        wire.close()

    def hear(self, text: bytes) -> None:
        """Count terminal frames; each makes room for one more prompt."""
        if prompt_id := ended_prompt(text):
            self.ended.append(prompt_id)
            self.room.release()
            self.news.set()

    async def drain(self, posting: list[asyncio.Task[None]]) -> None:
        """Stop submitting and wait for the ends of all that was accepted."""
        self.stopping = True
        for _ in range(CONNECTIONS):
            self.room.release()
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await asyncio.gather(*posting)
            while self.submitted - set(self.ended):
                self.news.clear()
                await self.news.wait()


async def run(load: Load, warm_seconds: float, seconds: float) -> None:
    """Warm up, measure a window, drain, and tell what came of it."""
    listener = await Listener.open(load.url, load.client_id, load.hear)
    posting = [asyncio.create_task(load.post()) for _ in range(CONNECTIONS)]
    await _unless_failed(posting, warm_seconds)
    first, began, spent = len(load.ended), time.monotonic(), time.process_time()
    say("warm")
    await _unless_failed(posting, seconds)
    say(
        "measured",
        prompts=len(load.ended) - first,
        seconds=time.monotonic() - began,
        client_cpu_seconds=time.process_time() - spent,
    )
    await load.drain(posting)
    listener.close()
    say("drained", refused=load.refused, doubled=len(load.ended) - len(set(load.ended)))


async def _unless_failed(parts: list[asyncio.Task[None]], seconds: float) -> None:
    done, _ = await asyncio.wait(parts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for part in done:
        part.result()
        raise AssertionError("the client stopped before its time")


def main() -> None:
    """Read the command line and put the load on."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("url")
    words.add_argument("--warm-seconds", type=float, default=3.0)
    words.add_argument("--seconds", type=float, default=15.0)
    given = words.parse_args()
    uvloop.run(run(Load(given.url), given.warm_seconds, given.seconds))


if __name__ == "__main__":
    main()
