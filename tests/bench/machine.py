"""What this machine can do at all, in the same run: the figures of a house are judged by it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import nats
from nats.js.api import StorageType, StreamConfig

from libs.chassis.embedded.nats import start_nats
from tests.bench.figures import Figures, Taken, spread
from tests.bench.ground import Ground

WRITES = 200
WRITE_BYTES = 4096
PUBLISH_SECONDS = 2.0
AT_ONCE = 64
PAYLOAD = b"x" * 1024
LOOPS = 1_000_000


def measure(ground: Ground) -> Taken:
    """Time fsync, a plain Python loop, and publishing to the NATS server that houses use."""
    ground.folder.mkdir(exist_ok=True)
    with ground.bar("this machine", 3) as step:
        fsync = _fsync(ground.folder / "fsync")
        step()
        began = time.perf_counter()
        for _ in range(LOOPS):
            pass
        loop_ms = (time.perf_counter() - began) * 1000
        step()
        published = asyncio.run(_publish(ground.folder / "nats"))
        step()
    return Taken({**fsync, "python_loop_ms": loop_ms, **published})


def _fsync(path: Path) -> Figures:
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(WRITES):
            file.write(os.urandom(WRITE_BYTES))
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return spread(taken, "ms", "fsync_")


async def _publish(home: Path) -> Figures:
    """Publish with the acknowledgement that a house waits for: one at a time, and 64 at once."""
    server = await start_nats(home, port=0, monitoring_port=0)
    try:
        connection = await nats.connect(server.url)
        stream = connection.jetstream()
        config = StreamConfig(name="PEER", subjects=["peer"], storage=StorageType.FILE)
        await stream.add_stream(config)
        counts = {}
        for name, width in (("acks_per_second", 1), ("acks_per_second_64_at_once", AT_ONCE)):
            deadline = time.monotonic() + PUBLISH_SECONDS
            counts[name] = 0.0

            async def publish(name: str = name, deadline: float = deadline) -> None:
                while time.monotonic() < deadline:
                    await stream.publish("peer", PAYLOAD)
                    counts[name] += 1 / PUBLISH_SECONDS

            await asyncio.gather(*(publish() for _ in range(width)))
        await connection.close()
    finally:
        await server.server.stop()
    return {f"jetstream_{name}": count for name, count in counts.items()}
