"""What a client was told for certain, beside what anybody is told of the same prompts later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

LIFECYCLE = frozenset(
    {
        "execution_start",
        "execution_cached",
        "executed",
        "execution_complete",
        "execution_success",
        "execution_error",
        "execution_interrupted",
    }
)
Told = dict[str, list[tuple[int, str]]]


def certain(frames: Iterable[dict[str, Any]]) -> Told:
    """Return the lifecycle of each prompt as place and type, as one client was told it."""
    told: Told = defaultdict(list)
    for frame in frames:
        data = frame["data"]
        over = frame["type"] == "executing" and data["node"] is None
        if frame["type"] in LIFECYCLE or over:
            told[data["prompt_id"]].append((frame["seq"], frame["type"]))
    return told


def archived(api: httpx.Client, prompt_id: str) -> list[tuple[int, str]]:
    """Return the lifecycle of a finished prompt, as anybody is told it afterwards."""
    stream = api.get(f"/api/jobs/{prompt_id}/events").text
    blocks = [dict(line.split(": ", 1) for line in b.splitlines()) for b in stream.split("\n\n")]
    return [(int(block["id"]), block["event"]) for block in blocks if "id" in block]


def faults(
    sockets: Sequence[Sequence[dict[str, Any]]], mine: Sequence[str], api: httpx.Client
) -> tuple[list[str], list[str]]:
    """Return what a client heard of others, and what it did not hear of its own as it was.

    Each socket tells once and in order; what may not have arrived on one, the next tells again.
    """
    strangers = [
        f"{frame['type']} of {prompt_id}"
        for frames in sockets
        for frame in frames
        if (prompt_id := frame["data"].get("prompt_id")) and prompt_id not in mine
    ]
    wrong = [f"a step back on socket {n}" for n, frames in enumerate(sockets) if not _grows(frames)]
    for prompt_id in mine:
        told = {place for frames in sockets for place in certain(frames)[prompt_id]}
        as_it_was = archived(api, prompt_id)
        if sorted(told) != as_it_was:
            wrong.append(f"{prompt_id}: {sorted(told)}, not {as_it_was}")
    return strangers, wrong


def _grows(frames: Sequence[dict[str, Any]]) -> bool:
    """Say whether the places never fall, and no word of a lifecycle is told twice."""
    places = [frame["seq"] for frame in frames]
    words = [place for told in certain(frames).values() for place, _ in told]
    return places == sorted(places) and len(words) == len(set(words))
