"""Gathers evidence with plain clients: asyncpg, boto3, httpx and nats-py, and no code of ours."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import httpx
import nats
from botocore.config import Config

from tests.chaos.checker.evidence import (
    ArchiveRow,
    Event,
    Evidence,
    Glimpse,
    Key,
    Receipt,
    Shown,
    StreamRow,
    end_of,
    of_type,
)
from tests.chaos.checker.outputs import forbidden_files

STREAM = "EVENTS"
BUCKET = "hanzo-outputs"
TABLES = (
    *("prompts", "outputs", "ledger_entries", "balances", "holds", "grants", "workers"),
    "checkpoint",
)
AT_ONCE = 100
CALLS_AT_ONCE = 8
QUIET_PAUSE_SECONDS = 0.5
MICROS_PER_CREDIT = 1000
SERVED = 200


@dataclass(frozen=True)
class Addresses:
    """Where a house and its servers are, as it wrote down for other processes of its user."""

    api: str
    nats: str
    database: str
    s3: Mapping[str, str]


@dataclass(frozen=True)
class Account:
    """A customer of the house and the header that says so; empty for the local user."""

    tenant: str
    user: str
    headers: Mapping[str, str]


def addresses_of(home: Path) -> Addresses:
    """Read the note of a running house."""
    told = json.loads((home / "run" / "house.json").read_text())
    servers = told["addresses"]
    return Addresses(
        api=told["urls"]["studio"],
        nats=servers["nats_url"],
        database=servers["database_url"].replace("+asyncpg", "", 1),
        s3={
            "endpoint_url": servers["s3_endpoint"],
            "aws_access_key_id": servers["s3_access_key"],
            "aws_secret_access_key": servers["s3_secret_key"],
            "region_name": servers["s3_region"],
        },
    )


async def gather(
    where: Addresses, receipts: Sequence[Receipt], accounts: Sequence[Account]
) -> Evidence:
    """Read everything once; the house should have come to rest."""
    stream = await read_stream(where.nats)
    archive, tables = await read_database(where.database)
    found = Evidence(receipts, archive, stream, tables, blobs={})
    async with httpx.AsyncClient(base_url=where.api, timeout=30) as api:
        shown, costs = await _histories(api, found, accounts)
        glimpses = await _glimpses(api, found, accounts)
    blobs = await asyncio.to_thread(read_blobs, where.s3)
    return Evidence(receipts, archive, stream, tables, blobs, shown, costs, glimpses)


async def until_quiet(where: Addresses, receipts: Sequence[Receipt], seconds: float) -> float:
    """Wait until every prompt has its end, its money is settled and all is archived.

    Returns how long that took. What is not so after `seconds` is for the checks to tell.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < seconds:
        if await _is_quiet(where, receipts):
            break
        await asyncio.sleep(QUIET_PAUSE_SECONDS)
    return loop.time() - began


_OPEN = """
    SELECT count(*) FROM prompts p WHERE state NOT IN ('ended', 'refused') OR EXISTS (
        SELECT 1 FROM holds h WHERE h.tenant = p.tenant AND h.prompt_id = p.prompt_id
        AND h.state = 'held')
"""


async def _is_quiet(where: Addresses, receipts: Sequence[Receipt]) -> bool:
    accepted = {receipt.prompt_id for receipt in receipts if receipt.status == SERVED}
    async with _database(where.database) as database:
        ended = await database.fetch("SELECT prompt_id FROM prompts WHERE state = 'ended'")
        still_open = await database.fetchval(_OPEN)
        seq = await database.fetchval("SELECT seq FROM checkpoint WHERE name = 'archive'")
    if still_open or accepted - {row["prompt_id"] for row in ended}:
        return False
    return bool(seq == await _last_seq(where.nats))


async def read_database(url: str) -> tuple[list[ArchiveRow], dict[str, list[dict[str, Any]]]]:
    """Return the archive in order, and all read models, as one moment of the database has them."""
    async with _database(url) as database, database.transaction(isolation="repeatable_read"):
        rows = await database.fetch(
            "SELECT seq, subject, payload, hash, event_id FROM event_log"
            " WHERE stream = 'EVENTS' ORDER BY seq"
        )
        tables = {
            name: [dict(row) for row in await database.fetch(f'SELECT * FROM "{name}"')]
            for name in TABLES
        }
    return [ArchiveRow(**row) for row in rows], tables


async def read_stream(url: str) -> list[StreamRow]:
    """Return every message that EVENTS retains, each asked for by its sequence."""
    connection = await nats.connect(url)
    try:
        stream = connection.jetstream()
        state = (await stream.stream_info(STREAM)).state
        sequences = range(max(state.first_seq, 1), state.last_seq + 1)
        rows: list[StreamRow] = []
        for begin in range(0, len(sequences), AT_ONCE):
            page = sequences[begin : begin + AT_ONCE]
            messages = await asyncio.gather(*(stream.get_msg(STREAM, seq=seq) for seq in page))
            rows += [StreamRow(m.seq, m.subject, m.data or b"") for m in messages]
        return rows
    finally:
        await connection.close()


def read_blobs(s3: Mapping[str, str]) -> dict[str, str]:
    """Return the sha256 of the bytes of every blob in the output bucket."""
    client: Any = boto3.client(
        "s3",
        config=Config(s3={"addressing_style": "path"}),
        **s3,  # type: ignore[call-overload]
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]

    def digest(key: str) -> str:
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return hashlib.sha256(body).hexdigest()

    with ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
        return dict(zip(keys, threads.map(digest, keys), strict=True))


async def _last_seq(url: str) -> int:
    connection = await nats.connect(url)
    try:
        return int((await connection.jetstream().stream_info(STREAM)).state.last_seq)
    finally:
        await connection.close()


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _histories(
    api: httpx.AsyncClient, found: Evidence, accounts: Sequence[Account]
) -> tuple[dict[Key, list[Shown]], dict[Key, int]]:
    """Ask each owner's history for every prompt that ended, and fetch every file it lists."""
    shown: dict[Key, list[Shown]] = {}
    costs: dict[Key, int] = {}

    async def ask(key: Key, owner: Account) -> None:
        answer = await api.get(f"/api/history/{key[1]}", headers=owner.headers)
        entry = answer.json().get(key[1]) if answer.status_code == SERVED else None
        if entry is not None:
            costs[key] = round(entry["usage"]["cost_credits"] * MICROS_PER_CREDIT)
            shown[key] = [
                await _fetched(api, owner, node_id, file)
                for node_id, node in entry["outputs"].items()
                for file in node.get("images", [])
            ]

    await _side_by_side(ask(key, owner) for key, owner in _ended(found, accounts))
    return shown, costs


async def _side_by_side(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    gate = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(call: Coroutine[Any, Any, None]) -> None:
        async with gate:
            await call

    await asyncio.gather(*(one(call) for call in calls))


def _ended(found: Evidence, accounts: Sequence[Account]) -> list[tuple[Key, Account]]:
    owners = {(account.tenant, account.user): account for account in accounts}
    ended = []
    for key, story in found.stories.items():
        submitted = of_type(story, "PromptSubmitted")
        if submitted and end_of(story) is not None:
            owner = owners.get((key[0], submitted[0].data["user_id"]))
            if owner is not None:
                ended.append((key, owner))
    return ended


async def _fetched(
    api: httpx.AsyncClient, owner: Account, node_id: str, file: Mapping[str, str]
) -> Shown:
    answer = await api.get("/view", params=_asked(file), headers=owner.headers)
    return Shown(
        node_id=node_id,
        filename=file["filename"],
        subfolder=file["subfolder"],
        folder=file["type"],
        status=answer.status_code,
        sha256=hashlib.sha256(answer.content).hexdigest(),
    )


def _asked(file: Mapping[str, str]) -> dict[str, str]:
    folder = file["type"] if "type" in file else file["folder"]
    return {"filename": file["filename"], "subfolder": file["subfolder"], "type": folder}


async def _glimpses(
    api: httpx.AsyncClient, found: Evidence, accounts: Sequence[Account]
) -> list[Glimpse]:
    """Ask for what must not be seen: as another tenant, and for what the owner may not have."""
    glimpses: list[Glimpse] = []

    async def look(number: int, key: Key, owner: Account) -> None:
        story = found.stories[key]
        forbidden = [(owner, what, output) for what, output in forbidden_files(story)]
        others = [one for one in accounts if one != owner]
        if others:
            other = others[number % len(others)]
            answer = await api.get(f"/api/history/{key[1]}", headers=other.headers)
            saw = answer.status_code == SERVED and bool(answer.json())
            glimpses.append(Glimpse("another's history", key, answer.status_code, saw))
            forbidden += [(other, "another's file", output) for output in _own_files(story)]
        looks = [await _glimpse(api, who, what, key, output) for who, what, output in forbidden]
        glimpses.extend(looks)

    ended = _ended(found, accounts)
    await _side_by_side(look(number, *one) for number, one in enumerate(ended))
    return glimpses


def _own_files(story: Sequence[Event]) -> list[dict[str, Any]]:
    return [output for event in of_type(story, "NodeFinished") for output in event.data["outputs"]]


async def _glimpse(
    api: httpx.AsyncClient, who: Account, what: str, key: Key, output: Mapping[str, Any]
) -> Glimpse:
    answer = await api.get("/view", params=_asked(output), headers=who.headers)
    # Names are numbered per user, so another user may well have a file of that name.
    saw = answer.status_code == SERVED and (
        hashlib.sha256(answer.content).hexdigest() == output["sha256"]
    )
    return Glimpse(what, key, answer.status_code, saw)
