"""Questions to real servers: keep something, find it again, is it still running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import nats as nats_client
from nats.js.api import StreamConfig

from libs.chassis.embedded import alive
from libs.chassis.embedded.s3 import S3Access, client

ROOT = Path(__file__).parents[3]
BUCKET = "kept"
# More than one of the server's chunks of 4 MiB.
BODY = b"kept" * 1_500_000
START_SECONDS = 60


async def keep_on_nats(url: str) -> None:
    connection = await nats_client.connect(url, allow_reconnect=False)
    stream = connection.jetstream()
    await stream.add_stream(StreamConfig(name="KEPT", subjects=["kept"]))
    await stream.publish("kept", b"kept")
    await connection.close()


async def kept_on_nats(url: str) -> bool:
    connection = await nats_client.connect(url, allow_reconnect=False)
    found = await connection.jetstream().get_last_msg("KEPT", "kept")
    await connection.close()
    return bool(found.data == b"kept")


async def keep_in_postgres(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ('kept')")
    await connection.close()


async def kept_in_postgres(url: str) -> bool:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    found = await connection.fetchval("SELECT word FROM kept")
    await connection.close()
    return bool(found == "kept")


def keep_in_s3(access: S3Access) -> None:
    s3 = client(access)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="kept", Body=BODY)


def kept_in_s3(access: S3Access) -> bool:
    body = client(access).get_object(Bucket=BUCKET, Key="kept")["Body"].read()
    return body == BODY


@dataclass
class Told:
    """What a house in a process of its own told about itself."""

    process: subprocess.Popen[str]
    pids: dict[str, int]
    addresses: dict[str, str]
    start_seconds: float

    def servers(self) -> list[alive.ProcessId]:
        """Name the servers' processes, so that they can be looked for afterwards."""
        return [alive.of(pid) for pid in self.pids.values()]


@contextmanager
def house_process(
    home: Path, python: str = sys.executable, user: int | None = None
) -> Iterator[Told]:
    """Run the servers under a process of their own, in its own group like a terminal's job."""
    process = subprocess.Popen(
        [python, "-B", "-m", "tests.integration.embedded.run_house", str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the house did not start; its error is above"
        yield Told(process, **json.loads(line))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


def gone(processes: list[alive.ProcessId], seconds: float) -> bool:
    """Wait until none of these runs any more."""
    return becomes_true(lambda: not any(one.is_alive() for one in processes), seconds)


def becomes_true(question: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def children() -> list[str]:
    """Name the programs that run as children of ours."""
    listed = subprocess.run(
        ["ps", "-o", "comm=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in listed.stdout.split() if name != "ps")


async def until_true(question: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.02)
    return True
