"""Which of two schedulers leads: the one that the bus delivers asks for a lease to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import httpx

ASKS = "ask.v1.lease"
ANSWER_SECONDS_MAX = 2.0


def leader_of(home: Path, schedulers: Iterable[int]) -> int | None:
    """Return the process that answers asks; None while nobody does."""
    config = json.loads((home / "nats" / "nats.conf").read_text())
    try:
        answer = httpx.get(
            f"http://{config['http']}/connz",
            params={"subs": "true", "limit": 1000},
            timeout=ANSWER_SECONDS_MAX,
        )
        connections = answer.json()["connections"]
    except (httpx.HTTPError, ValueError, KeyError):
        return None
    ports = {
        int(connection["port"])
        for connection in connections
        if ASKS in connection.get("subscriptions_list", ())
    }
    inodes = _inodes_of(ports)
    return next((pid for pid in schedulers if _sockets_of(pid) & inodes), None)


def _inodes_of(ports: set[int]) -> set[str]:
    """Return the sockets whose own port is one of these."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[1].rpartition(":")[2], 16) in ports:
            found.add(words[9])
    return found


def _sockets_of(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                link = str(entry.readlink())
                if link.startswith("socket:["):
                    found.add(link[8:-1])
    return found
