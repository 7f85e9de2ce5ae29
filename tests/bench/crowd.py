"""WebSocket clients of a house: `python -m tests.bench.crowd URL --clients 500`.

Each has a WebSocket and a prompt of its own; a few prompts are open at a time, so that what is
timed is the telling and not the wait in the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop

from tests.bench.programs import say
from tests.bench.wire import Listener, Wire, ended_prompt
from tests.e2e.watching import tiny_graph

CONNECTING_AT_ONCE = 32
POSTING_AT_ONCE = 8
OPEN_MAX = 16
LINGER_SECONDS = 0.5
# Every so many-th client is cut off when its prompt begins, and comes back after a while.
CUT_OFF_EVERY = 10
AWAY_SECONDS = 10.0
LIFECYCLE = ["execution_start", "execution_cached", "executed"]
LIFECYCLE += ["execution_complete", "execution_success", "executing"]


@dataclass
class Person:
    """One client: what it handed in, and what it was told."""

    number: int
    away_seconds: float
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    listener: Listener | None = None
    prompt_id: str = ""
    submitted_at: float = 0.0
    told_at: float = 0.0
    told_of: list[str] = field(default_factory=list)
    frames: int = 0
    place: int = 0
    certain: list[str] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, text: bytes) -> None:
        """Count every frame; note the end."""
        self.frames += 1
        if self.is_cut_off:
            self._remember(json.loads(text))
        if prompt_id := ended_prompt(text):
            self.told_of.append(prompt_id)
            self.told_at = time.monotonic()
            self.told.set()

    @property
    def is_cut_off(self) -> bool:
        """Say whether this one is away in the middle of its run."""
        return self.number % CUT_OFF_EVERY == 0

    def _remember(self, frame: dict[str, Any]) -> None:
        """Keep the lifecycle, which is told once and in order however often one connects."""
        if frame["seq"] < self.place:
            self.certain.append("a step back")
        self.place = frame["seq"]
        over = frame["type"] != "executing" or frame["data"]["node"] is None
        if frame["type"] in LIFECYCLE and over:
            self.certain.append(frame["type"])
            self.began.set()


async def run(url: str, clients: int, seconds_max: float, away_seconds: float) -> None:
    """Connect everybody, let each submit, wait until each was told."""
    people = [Person(number, away_seconds) for number in range(clients)]
    began = time.monotonic()
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
    await asyncio.gather(*(_connect(person, url, gate) for person in people))
    say("connected", seconds=time.monotonic() - began)
    spent, began = time.process_time(), time.monotonic()
    waiting = iter(people)
    room = asyncio.Semaphore(OPEN_MAX)
    # Whoever was not told in time is counted below.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds_max):
            await asyncio.gather(*(_post(waiting, url, room) for _ in range(POSTING_AT_ONCE)))
    seconds, spent = time.monotonic() - began, time.process_time() - spent
    # Long enough for a frame too many to arrive.
    await asyncio.sleep(LINGER_SECONDS)
    say(
        "told",
        seconds=seconds,
        client_cpu_seconds=spent,
        ended_ms=[(p.told_at - p.submitted_at) * 1000 for p in people if p.told.is_set()],
        refused=sum(not person.prompt_id for person in people),
        wrong=sum(p.told_of != [p.prompt_id] for p in people if p.prompt_id or p.told_of),
        cut_off=sum(person.is_cut_off for person in people),
        not_resumed=sum(p.is_cut_off and p.certain != LIFECYCLE for p in people if p.prompt_id),
        dropped=sum(person.listener is None or person.listener.lost.is_set() for person in people),
        frames=sum(person.frames for person in people),
    )


async def _connect(person: Person, url: str, gate: asyncio.Semaphore) -> None:
    async with gate:
        person.listener = await Listener.open(url, person.client_id, person.hear)


async def _post(waiting: Iterator[Person], url: str, room: asyncio.Semaphore) -> None:
    wire = await Wire.open(url)
    tellings = []
    for person in waiting:
        await room.acquire()
        person.submitted_at = time.monotonic()
        person.prompt_id = await wire.submit(tiny_graph(person.number), person.client_id)
        if person.prompt_id:
            tellings.append(asyncio.create_task(_told(person, url, room)))
        else:
            room.release()
    await asyncio.gather(*tellings)
    wire.close()


async def _told(person: Person, url: str, room: asyncio.Semaphore) -> None:
    assert person.listener is not None
    if person.is_cut_off:
        await person.began.wait()
        person.listener.close()
        # Nobody waits for it meanwhile.
        room.release()
        await asyncio.sleep(person.away_seconds)
        person.listener = await Listener.open(url, person.client_id, person.hear, person.place)
        await room.acquire()
    waits = [asyncio.create_task(event.wait()) for event in (person.told, person.listener.lost)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    room.release()


def main() -> None:
    """Read the command line and gather the crowd."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("url")
    words.add_argument("--clients", type=int, default=500)
    words.add_argument("--seconds-max", type=float, default=180.0)
    words.add_argument("--away-seconds", type=float, default=AWAY_SECONDS)
    given = words.parse_args()
    uvloop.run(run(given.url, given.clients, given.seconds_max, given.away_seconds))


if __name__ == "__main__":
    main()
