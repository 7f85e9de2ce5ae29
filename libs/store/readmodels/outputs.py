"""Outputs: the files that prompts made, where they lie, and whether they may be seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    Select,
    Table,
    Text,
    any_,
    cast,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.execution import NodeFinished
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.store.fold import Fold, Key, replace
from libs.store.metadata import METADATA
from libs.store.readmodels.prompts import PROMPTS

OUTPUTS = Table(
    "outputs",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("prompt_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("node_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("subfolder", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("quarantined", Text, nullable=False),
    Column("artifact", Text),
    Column("sha256", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("category", Text),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)
Index("outputs_name", OUTPUTS.c.tenant, OUTPUTS.c.filename, OUTPUTS.c.subfolder, OUTPUTS.c.folder)
RELEASED: Final = text("outputs.state = 'released'")
Index(
    "outputs_newest",
    OUTPUTS.c.tenant,
    OUTPUTS.c.first_seq,
    postgresql_where=text("state = 'released'"),
)


@dataclass(frozen=True)
class FoldedOutput:
    """An output as its own events tell it.

    `artifact` is where it may be served from, empty until it is released; `sha256` and
    `size_bytes` are of the file that the worker made, `sha256` of the served one after release.
    """

    tenant: str
    prompt_id: str
    attempt: int
    node_id: str
    index: int
    kind: str
    folder: str
    subfolder: str
    filename: str
    quarantined: str
    sha256: str
    mime: str
    size_bytes: int
    width: int
    height: int
    first_seq: int
    last_seq: int
    artifact: str | None = None
    state: Literal["pending", "released", "blocked"] = "pending"
    category: str | None = None


@dataclass(frozen=True)
class OutputRow(FoldedOutput):
    """An output and whose it is."""

    user_id: str = ""


def touch(recorded: Recorded[Event]) -> Iterable[Key]:
    """Return the outputs that an event is about."""
    match recorded.event:
        case NodeFinished() as event:
            for output in event.outputs:
                yield (
                    recorded.tenant,
                    event.prompt_id,
                    event.attempt,
                    event.node_id,
                    output.index,
                )
        case OutputReleased() | OutputBlocked() as event:
            yield (recorded.tenant, event.prompt_id, event.attempt, event.node_id, event.index)


def evolve(row: FoldedOutput | None, key: Key, recorded: Recorded[Event]) -> FoldedOutput | None:
    """Return the output after it was made, released or blocked."""
    match recorded.event:
        case NodeFinished() as event if row is None:
            return _made(recorded, event, int(key[-1]))
        case OutputReleased() as event if row is not None and row.state == "pending":
            return replace(row, state="released", artifact=event.artifact, sha256=event.sha256)
        case OutputBlocked() as event if row is not None and row.state == "pending":
            return replace(row, state="blocked", category=event.category)
        case _:
            return row


def _made(recorded: Recorded[Event], event: NodeFinished, index: int) -> FoldedOutput:
    output = next(output for output in event.outputs if output.index == index)
    return FoldedOutput(
        tenant=recorded.tenant,
        prompt_id=event.prompt_id,
        attempt=event.attempt,
        node_id=event.node_id,
        index=index,
        kind=output.kind,
        folder=output.folder,
        subfolder=output.subfolder,
        filename=output.filename,
        quarantined=output.artifact,
        sha256=output.sha256,
        mime=output.mime,
        size_bytes=output.size_bytes,
        width=output.width,
        height=output.height,
        first_seq=recorded.seq,
        last_seq=recorded.seq,
    )


OUTPUT_FOLD: Final = Fold(table=OUTPUTS, row=FoldedOutput, touch=touch, evolve=evolve)

_ADAPTER: Final = TypeAdapter(OutputRow)
# Only the attempt that counts is joined: the one under way, or the one that RunEnded names.
_COUNTING: Final = select(OUTPUTS, PROMPTS.c.user_id).join(
    PROMPTS,
    (PROMPTS.c.tenant == OUTPUTS.c.tenant)
    & (PROMPTS.c.prompt_id == OUTPUTS.c.prompt_id)
    & (PROMPTS.c.attempt == OUTPUTS.c.attempt),
)


async def find(
    connection: AsyncConnection,
    tenant: str,
    user_id: str,
    folder: str,
    subfolder: str,
    filename: str,
) -> OutputRow | None:
    """Return the newest released output of that name that its owner may see."""
    rows = await _rows(
        connection,
        _COUNTING.where(
            OUTPUTS.c.tenant == tenant,
            PROMPTS.c.user_id == user_id,
            OUTPUTS.c.folder == folder,
            OUTPUTS.c.subfolder == subfolder,
            OUTPUTS.c.filename == filename,
            OUTPUTS.c.state == "released",
        )
        .order_by(OUTPUTS.c.first_seq.desc(), OUTPUTS.c.index.desc())
        .limit(1),
    )
    return rows[0] if rows else None


async def of_prompt(connection: AsyncConnection, tenant: str, prompt_id: str) -> list[OutputRow]:
    """Return the outputs of the attempt that counts, in whatever state, as they were made."""
    return await _rows(
        connection,
        _COUNTING.where(OUTPUTS.c.tenant == tenant, OUTPUTS.c.prompt_id == prompt_id).order_by(
            OUTPUTS.c.first_seq, OUTPUTS.c.index
        ),
    )


async def of_prompts(
    connection: AsyncConnection, tenant: str, prompt_ids: Iterable[str]
) -> dict[str, list[OutputRow]]:
    """Return the outputs of many prompts at once, for a page of history."""
    wanted = list(prompt_ids)
    rows = await _rows(
        connection,
        # One parameter: a long history has more ids than a statement may have parameters.
        _COUNTING.where(
            OUTPUTS.c.tenant == tenant, OUTPUTS.c.prompt_id == any_(cast(wanted, ARRAY(Text)))
        ).order_by(OUTPUTS.c.first_seq, OUTPUTS.c.index),
    )
    by_prompt: dict[str, list[OutputRow]] = {prompt_id: [] for prompt_id in wanted}
    for row in rows:
        by_prompt[row.prompt_id].append(row)
    return by_prompt


async def newest_names(
    connection: AsyncConnection, tenant: str, user_id: str, folder: str, items_max: int
) -> list[tuple[str, str]]:
    """Return subfolder and name of the newest files of finished prompts, the newest first."""
    query = (
        select(OUTPUTS.c.subfolder, OUTPUTS.c.filename)
        .join(
            PROMPTS,
            (PROMPTS.c.tenant == OUTPUTS.c.tenant)
            & (PROMPTS.c.prompt_id == OUTPUTS.c.prompt_id)
            & (PROMPTS.c.attempt == OUTPUTS.c.attempt),
        )
        .where(
            OUTPUTS.c.tenant == tenant,
            RELEASED,
            OUTPUTS.c.folder == folder,
            PROMPTS.c.user_id == user_id,
            PROMPTS.c.state == "ended",
            PROMPTS.c.hidden.is_(False),
        )
        .order_by(OUTPUTS.c.first_seq.desc(), OUTPUTS.c.index)
        .limit(items_max)
    )
    return [(row.subfolder, row.filename) for row in await connection.execute(query)]


async def _rows(connection: AsyncConnection, query: Select[Any]) -> list[OutputRow]:
    found = await connection.execute(query)
    return [_ADAPTER.validate_python(dict(row)) for row in found.mappings()]
