"""What operators see of dead letters, and bytes put on EVENTS by hand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import nats

from tests.e2e.houses import House


def kept(target: House) -> list[dict[str, Any]]:
    """Return the dead letters as `studio dead-letters list --json` prints them."""
    told = target.studio("dead-letters", "list", "--json")
    assert told.returncode == 0, told.stderr
    return list(json.loads(told.stdout))


def about(target: House, prompt_id: str) -> list[dict[str, Any]]:
    """Return the dead letters of one prompt."""
    return [letter for letter in kept(target) if letter["prompt_id"] == prompt_id]


def counted(target: House) -> float:
    """Return how many dead letters the house's metrics count."""
    lines = httpx.get(f"{target.url}/metrics").text.splitlines()
    counts = (line for line in lines if line.startswith("studio_dead_letters_total{"))
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def nats_url(home: Path) -> str:
    """Return where the house on `home` has its bus."""
    told = json.loads((home / "run" / "house.json").read_text())
    return str(told["addresses"]["nats_url"])


def put(target: House, subject: str, payload: bytes) -> int:
    """Write bytes to a stream as nobody of the house would; return their sequence."""
    return asyncio.run(_put(nats_url(target.home), subject, payload))


async def _put(url: str, subject: str, payload: bytes) -> int:
    client = await nats.connect(url)
    try:
        return int((await client.jetstream().publish(subject, payload)).seq)
    finally:
        await client.close()
