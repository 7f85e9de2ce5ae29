"""The fleet: who holds each slot, what it is, and which model files it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import BigInteger, Column, Integer, Table, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.worker import (
    NodePack,
    NodePacksListed,
    WeightsFile,
    WeightsListed,
    WorkerEvent,
    WorkerRegistered,
    WorkerStopped,
)
from libs.store.fold import Fold, Key, replace
from libs.store.metadata import DOCUMENT, METADATA, MOMENT

WORKERS = Table(
    "workers",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("slot", Text, primary_key=True),
    Column("worker_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("vram_mib", Integer, nullable=False),
    Column("software", DOCUMENT, nullable=False),
    Column("weights", DOCUMENT, nullable=False),
    Column("packs", DOCUMENT, nullable=False, server_default="[]"),
    Column("schemas", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("registered_at", MOMENT, nullable=False),
    Column("seen_at", MOMENT, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)


class KnownPack(NodePack):
    """A node pack of a worker; `page` is the artifact of what it adds to the editor's page."""

    page: str = ""


@dataclass(frozen=True)
class WorkerRow:
    """The newest worker of a slot; an older process on the same slot is dead.

    `seen_at` is when it last wrote an event; heartbeats are no events.
    """

    tenant: str
    slot: str
    worker_id: str
    device: str
    backend: str
    vram_mib: int
    state: Literal["up", "stopped"]
    registered_at: datetime
    seen_at: datetime
    last_seq: int
    software: dict[str, str] = field(default_factory=dict)
    weights: dict[str, tuple[WeightsFile, ...]] = field(default_factory=dict)
    packs: tuple[KnownPack, ...] = ()
    schemas: str = ""


def touch(recorded: Recorded[Event]) -> Iterable[Key]:
    """Return the slot that an event is about."""
    event = recorded.event
    if isinstance(event, WorkerEvent):
        yield (recorded.tenant, event.slot)


def evolve(row: WorkerRow | None, key: Key, recorded: Recorded[Event]) -> WorkerRow | None:
    """Return the slot after its worker came, said what it has, or left."""
    event = recorded.event
    if isinstance(event, WorkerRegistered):
        return WorkerRow(
            tenant=str(key[0]),
            slot=str(key[1]),
            worker_id=event.worker_id,
            device=event.device,
            backend=event.backend,
            vram_mib=event.vram_mib,
            state="up",
            registered_at=recorded.time,
            seen_at=recorded.time,
            last_seq=recorded.seq,
            software=event.software,
            # Until the newcomer has looked, its disk is taken to be as its forerunner left it.
            weights=row.weights if row else {},
            packs=row.packs if row and event.has_packs else (),
            schemas=row.schemas if row and event.has_packs else "",
        )
    if row is None or not isinstance(event, WorkerEvent) or event.worker_id != row.worker_id:
        return row
    match event:
        case WeightsListed():
            return replace(row, weights=event.weights, seen_at=recorded.time)
        case NodePacksListed():
            packs = tuple(
                KnownPack(**pack.model_dump(), page=event.pages.get(pack.name, ""))
                for pack in event.packs
            )
            return replace(row, packs=packs, schemas=event.schemas, seen_at=recorded.time)
        case WorkerStopped():
            return replace(row, state="stopped", seen_at=recorded.time)
        case _:
            return row


WORKER_FOLD: Final = Fold(table=WORKERS, row=WorkerRow, touch=touch, evolve=evolve)


async def fleet(connection: AsyncConnection) -> list[WorkerRow]:
    """Return the newest worker of every slot."""
    found = await connection.execute(select(WORKERS).order_by(WORKERS.c.tenant, WORKERS.c.slot))
    return [WORKER_FOLD.read(row) for row in found.mappings()]


def present(rows: list[WorkerRow]) -> list[WorkerRow]:
    """Return the workers who are up; while nobody is, those who were, as they may come back."""
    return [row for row in rows if row.state == "up"] or rows


async def weights_of_fleet(connection: AsyncConnection) -> dict[str, list[WeightsFile]]:
    """Return the model files by folder, each name once, that workers who are up hold.

    While nobody is up it is what they held last, so that prompts can wait for one to come back.
    """
    rows = present(await fleet(connection))
    merged: dict[str, dict[str, WeightsFile]] = {}
    for row in rows:
        for folder, files in row.weights.items():
            names = merged.setdefault(folder, {})
            for file in files:
                names.setdefault(file.name, file)
    return {
        folder: [files[name] for name in sorted(files)] for folder, files in sorted(merged.items())
    }
