"""The archive is written once and never changed."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.store.engine import reading, writing
from libs.store.readmodels import event_log
from libs.store.readmodels.event_log import EVENTS, ArchivedEvent
from tests.contract.store.lives import NOON


def archived(seq: int, prompt: str = "p1", tenant: str = "acme") -> ArchivedEvent:
    return ArchivedEvent(
        stream=EVENTS,
        seq=seq,
        event_id=f"event-{seq}",
        tenant=tenant,
        subject=f"evt.v1.{tenant}.run.{prompt}",
        type="RunQueued",
        correlation_id=prompt,
        occurred=NOON,
        recorded=NOON,
        payload=b'{"\xc3\xa4":1}',
        hash=bytes(32),
    )


async def add(database, *events: ArchivedEvent) -> None:
    async with writing(database) as connection:
        await event_log.add(connection, events)


async def test_an_event_comes_back_byte_for_byte(database):
    await add(database, archived(1), archived(2))
    async with reading(database) as connection:
        assert await event_log.page(connection, after=0, limit=9) == [archived(1), archived(2)]


@pytest.mark.covers("R348")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event_log SET payload = 'x' WHERE seq = 1",
        "UPDATE event_log SET seq = 2 WHERE false",
        "DELETE FROM event_log",
        "TRUNCATE event_log",
    ],
)
async def test_the_archive_refuses_every_change(database, statement):
    await add(database, archived(1))
    with pytest.raises(DBAPIError, match="never changed or removed"):
        async with writing(database) as connection:
            await connection.execute(text(statement))
    async with reading(database) as connection:
        assert await event_log.page(connection, after=0, limit=9) == [archived(1)]


async def test_an_event_id_is_archived_once(database):
    await add(database, archived(1))
    copy = ArchivedEvent(**{**vars(archived(2)), "event_id": "event-1"})
    with pytest.raises(asyncpg.UniqueViolationError, match="event_id"):
        await add(database, copy)


async def test_the_story_of_a_prompt_is_its_own_events_in_order(database):
    await add(database, archived(2), archived(1), archived(3, "p2"), archived(4, "p1", "other"))
    async with reading(database) as connection:
        everybody = await event_log.story(connection, "p1")
        ours = await event_log.story(connection, "p1", tenant="acme")
    assert [event.seq for event in everybody] == [1, 2, 4]
    assert [event.seq for event in ours] == [1, 2]


async def test_the_archive_is_read_in_pages_to_its_end(database):
    await add(database, *(archived(seq) for seq in range(1, 8)))
    async with reading(database) as connection:
        pages = [
            [event.seq for event in page]
            async for page in event_log.pages(connection, after=1, size=3)
        ]
    assert pages == [[2, 3, 4], [5, 6, 7]]
