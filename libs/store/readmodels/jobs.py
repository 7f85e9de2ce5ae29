"""Finished prompts as a list that is filtered, sorted and paged, without what is sealed in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.readmodels.prompts import IN_HISTORY, PROMPTS

Outcome = Literal["succeeded", "failed", "cancelled", "blocked", "expired"]
SortBy = Literal["created_at", "execution_duration"]
OUTCOMES: Final[frozenset[Outcome]] = frozenset(
    {"succeeded", "failed", "cancelled", "blocked", "expired"}
)
DURATION: Final = text("COALESCE(ended_at - started_at, interval '0')")


@dataclass(frozen=True)
class Choice:
    """Which finished prompts a list is of, and in which order; `without` are left out.

    With `workflow_id` only those that were made from that document.
    """

    outcomes: Collection[Outcome]
    sort_by: SortBy = "created_at"
    descending: bool = True
    without: Sequence[str] = ()
    workflow_id: str = ""


@dataclass(frozen=True)
class JobRow:
    """A finished prompt as a line of a list."""

    prompt_id: str
    outcome: Outcome
    submitted_at: datetime
    number: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    workflow_id: str = ""

    @property
    def duration(self) -> timedelta:
        """Return how long it was on a worker."""
        if self.started_at is None or self.ended_at is None:
            return timedelta(0)
        return self.ended_at - self.started_at


_COLUMNS: Final = (
    PROMPTS.c.prompt_id,
    PROMPTS.c.outcome,
    PROMPTS.c.submitted_at,
    PROMPTS.c.number,
    PROMPTS.c.started_at,
    PROMPTS.c.ended_at,
    PROMPTS.c.workflow_id,
)


async def count(connection: AsyncConnection, tenant: str, user_id: str, choice: Choice) -> int:
    """Return how many finished prompts are chosen."""
    query = select(func.count()).select_from(PROMPTS).where(*_where(tenant, user_id, choice))
    return int(await connection.scalar(query) or 0)


async def page(
    connection: AsyncConnection,
    tenant: str,
    user_id: str,
    choice: Choice,
    *,
    offset: int,
    limit: int,
) -> list[JobRow]:
    """Return some of the chosen prompts in order; equal ones in the order of their numbers."""
    order = "DESC" if choice.descending else "ASC"
    first = str(DURATION) if choice.sort_by == "execution_duration" else "submitted_at"
    query = select(*_COLUMNS).where(*_where(tenant, user_id, choice))
    query = query.order_by(text(f"{first} {order}, number {order}"))
    found = await connection.execute(query.offset(offset).limit(limit))
    return [JobRow(**row) for row in found.mappings()]


def _where(tenant: str, user_id: str, choice: Choice) -> list[Any]:
    where: list[Any] = [PROMPTS.c.tenant == tenant, PROMPTS.c.user_id == user_id, IN_HISTORY]
    if OUTCOMES - set(choice.outcomes):
        where.append(PROMPTS.c.outcome.in_(choice.outcomes))
    if choice.workflow_id:
        where.append(PROMPTS.c.workflow_id == choice.workflow_id)
    if choice.without:
        where.append(PROMPTS.c.prompt_id.not_in(choice.without))
    return where
