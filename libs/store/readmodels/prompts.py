"""Prompts: the queue and the history in one table, with the queries of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    Select,
    Table,
    Text,
    func,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.events.base import Sealed
from libs.events.verdict import WeightsNeed, WorkEstimate
from libs.store.metadata import DOCUMENT, METADATA, MOMENT

State = Literal["submitted", "queued", "running", "ended", "refused", "withdrawn"]
# Written out, not bound, so that the planner can see that the partial indexes cover them.
IN_QUEUE: Final = text("state IN ('submitted', 'queued', 'running')")
UNFINISHED: Final = text("state IN ('submitted', 'queued', 'running', 'withdrawn')")
IN_HISTORY: Final = text(
    "state = 'ended' AND NOT hidden AND NOT (outcome = 'cancelled' AND attempt = 0)"
)
OF_CLIENT: Final = text("state = 'ended' AND client_id <> ''")

PROMPTS = Table(
    "prompts",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("prompt_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("keyed", Boolean, nullable=False),
    Column("body_mac", Text, nullable=False),
    Column("front", Boolean, nullable=False),
    Column("priority", Double),
    Column("preview_method", Text),
    Column("workflow", DOCUMENT, nullable=False),
    Column("workflow_id", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("number", BigInteger),
    Column("submitted_at", MOMENT, nullable=False),
    Column("queued_at", MOMENT),
    Column("started_at", MOMENT),
    Column("ended_at", MOMENT),
    Column("attempt", Integer, nullable=False),
    Column("worker_id", Text),
    Column("lease_expires_at", MOMENT),
    Column("outcome", Text),
    Column("reason", Text, nullable=False),
    Column("failure", DOCUMENT),
    Column("failed_node_id", Text),
    Column("failed_node_type", Text),
    Column("exception_type", Text),
    Column("executed", DOCUMENT, nullable=False),
    Column("cached", DOCUMENT, nullable=False),
    Column("node_ui", DOCUMENT, nullable=False),
    Column("places", DOCUMENT, nullable=False),
    Column("refusal_status", Integer),
    Column("refusal_code", Text),
    Column("refusal_message", Text),
    Column("refusal_detail", DOCUMENT),
    Column("retry_after_seconds", Integer),
    Column("node_errors", DOCUMENT),
    Column("output_nodes", DOCUMENT, nullable=False),
    Column("needs", DOCUMENT, nullable=False),
    Column("vram_mib", Integer, nullable=False),
    Column("estimate", DOCUMENT),
    Column("clearance", Text),
    Column("labels", DOCUMENT, nullable=False),
    Column("compute_ms", BigInteger),
    Column("peak_vram_mib", Integer),
    Column("fingerprint", DOCUMENT, nullable=False),
    Column("held_micros", BigInteger),
    Column("captured_micros", BigInteger),
    Column("cancel_requested", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("messages", DOCUMENT, nullable=False),
    Column("ended_seq", BigInteger),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)
Index(
    "prompts_open",
    PROMPTS.c.first_seq,
    postgresql_where=UNFINISHED,
)
Index(
    "prompts_history",
    PROMPTS.c.tenant,
    PROMPTS.c.user_id,
    PROMPTS.c.ended_seq,
    postgresql_where=IN_HISTORY,
)
Index(
    "prompts_of_client",
    PROMPTS.c.tenant,
    PROMPTS.c.user_id,
    PROMPTS.c.client_id,
    PROMPTS.c.ended_seq,
    postgresql_where=OF_CLIENT,
)
Index(
    "prompts_created",
    PROMPTS.c.tenant,
    PROMPTS.c.user_id,
    PROMPTS.c.submitted_at,
    PROMPTS.c.number,
    # All that a list shows: the rows themselves, which are wide, are not read.
    postgresql_include=["prompt_id", "outcome", "started_at", "ended_at", "workflow_id"],
    postgresql_where=IN_HISTORY,
)
Index("prompts_number", PROMPTS.c.number)


@dataclass(frozen=True)
class Message:
    """What the history says of a run: ComfyUI's name of the frame, when, and its facts."""

    event: str
    at: datetime
    node_id: str = ""
    node_type: str = ""
    exception_type: str = ""
    reason: str = ""
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptRow:
    """All that is known of one prompt.

    `attempt` is the attempt that counts: the one under way, or the one that RunEnded names.
    `places` tells of nodes that expansions made which one shows them, which one made them, and
    which one of the client's own is behind them.
    """

    tenant: str
    prompt_id: str
    user_id: str
    account: str
    tier: str
    client_id: str
    dialect: Literal["comfyui", "hip35"]
    source: str
    keyed: bool
    body_mac: str
    front: bool
    priority: float | None
    preview_method: str | None
    workflow: Sealed
    state: State
    submitted_at: datetime
    first_seq: int
    last_seq: int
    workflow_id: str = ""
    number: int | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    worker_id: str | None = None
    lease_expires_at: datetime | None = None
    outcome: Literal["succeeded", "failed", "cancelled", "blocked", "expired"] | None = None
    reason: str = ""
    failure: Sealed | None = None
    failed_node_id: str | None = None
    failed_node_type: str | None = None
    exception_type: str | None = None
    executed: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    node_ui: dict[str, Sealed] = field(default_factory=dict)
    places: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    refusal_status: int | None = None
    refusal_code: str | None = None
    refusal_message: str | None = None
    refusal_detail: Sealed | None = None
    retry_after_seconds: int | None = None
    node_errors: Sealed | None = None
    output_nodes: tuple[str, ...] = ()
    needs: tuple[WeightsNeed, ...] = ()
    vram_mib: int = 0
    estimate: WorkEstimate | None = None
    clearance: Literal["cleared", "blocked"] | None = None
    labels: tuple[str, ...] = ()
    compute_ms: int | None = None
    peak_vram_mib: int | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)
    held_micros: int | None = None
    captured_micros: int | None = None
    cancel_requested: bool = False
    hidden: bool = False
    messages: tuple[Message, ...] = ()
    ended_seq: int | None = None

    @property
    def status_str(self) -> Literal["success", "error"]:
        """Return the history's word for how it ended."""
        return "success" if self.outcome == "succeeded" else "error"

    @property
    def completed(self) -> bool:
        """Say whether all outputs were made and may be seen."""
        return self.outcome == "succeeded"


_ADAPTER: Final = TypeAdapter(PromptRow)


async def one(connection: AsyncConnection, tenant: str, prompt_id: str) -> PromptRow | None:
    """Return a prompt in whatever state it is."""
    rows = await _rows(
        connection,
        select(PROMPTS).where(PROMPTS.c.tenant == tenant, PROMPTS.c.prompt_id == prompt_id),
    )
    return rows[0] if rows else None


async def many(
    connection: AsyncConnection, tenant: str, prompt_ids: Sequence[str]
) -> list[PromptRow]:
    """Return those of some prompts that there are, in no order."""
    return await _rows(
        connection,
        select(PROMPTS).where(PROMPTS.c.tenant == tenant, PROMPTS.c.prompt_id.in_(prompt_ids)),
    )


async def open_prompts(connection: AsyncConnection) -> list[PromptRow]:
    """Return the prompts of all tenants that are submitted, queued or running, oldest first."""
    return await _rows(connection, select(PROMPTS).where(IN_QUEUE).order_by(PROMPTS.c.first_seq))


async def first_open_seq(connection: AsyncConnection) -> int | None:
    """Return where to begin reading the stream so that no unfinished prompt is missed.

    A withdrawn prompt is unfinished until the scheduler has refused or ended it.
    """
    found: int | None = await connection.scalar(
        select(func.min(PROMPTS.c.first_seq)).where(UNFINISHED)
    )
    return found


async def history(
    connection: AsyncConnection,
    tenant: str,
    user_id: str | None,
    *,
    max_items: int,
    offset: int = 0,
    prompt_id: str | None = None,
    before: str | None = None,
) -> list[PromptRow]:
    """Return ended prompts in the order in which they ended, oldest first.

    Without `offset` these are the newest `max_items`, with it the ones after so many of the
    oldest. With `before` they are the newest of those that ended before that prompt, which must be
    of the same user. Prompts that were hidden, or cancelled before a worker had them, leave no
    history.
    """
    query = select(PROMPTS).where(PROMPTS.c.tenant == tenant, IN_HISTORY)
    if user_id is not None:
        query = query.where(PROMPTS.c.user_id == user_id)
    if prompt_id is not None:
        query = query.where(PROMPTS.c.prompt_id == prompt_id)
    if before is not None:
        end = select(PROMPTS.c.ended_seq).where(
            PROMPTS.c.tenant == tenant, PROMPTS.c.prompt_id == before
        )
        if user_id is not None:
            end = end.where(PROMPTS.c.user_id == user_id)
        query = query.where(PROMPTS.c.ended_seq < end.scalar_subquery())
    if offset > 0:
        # The place is found in the index alone; rows before it are wide and would be read in vain.
        places = query.with_only_columns(PROMPTS.c.ended_seq).order_by(PROMPTS.c.ended_seq)
        first = places.offset(offset).limit(1).scalar_subquery()
        rest = query.where(PROMPTS.c.ended_seq >= first).order_by(PROMPTS.c.ended_seq)
        return await _rows(connection, rest.limit(max(0, max_items)))
    newest = query.order_by(PROMPTS.c.ended_seq.desc()).limit(max(0, max_items))
    return (await _rows(connection, newest))[::-1]


async def ended_since(
    connection: AsyncConnection,
    tenant: str,
    user_id: str,
    client_id: str,
    seq: int,
    items_max: int,
) -> list[str]:
    """Return the ids of a client's prompts that ended at a sequence or after it, in order."""
    query = select(PROMPTS.c.prompt_id).where(
        PROMPTS.c.tenant == tenant,
        PROMPTS.c.user_id == user_id,
        PROMPTS.c.client_id == client_id,
        PROMPTS.c.ended_seq >= seq,
        OF_CLIENT,
    )
    found = await connection.scalars(query.order_by(PROMPTS.c.ended_seq).limit(items_max))
    return list(found)


async def next_number(connection: AsyncConnection) -> int:
    """Return one more than the largest queue number that was given out."""
    found = await connection.scalar(select(func.coalesce(func.max(PROMPTS.c.number), 0) + 1))
    return int(found or 1)


async def _rows(connection: AsyncConnection, query: Select[Any]) -> list[PromptRow]:
    found = await connection.execute(query)
    return [_ADAPTER.validate_python(dict(row)) for row in found.mappings()]
