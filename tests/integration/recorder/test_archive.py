"""One transaction: the event log, the read models and the checkpoint, or none of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from libs.core.errors import Unavailable
from libs.events.base import Unreadable
from libs.events.envelope import read
from libs.store.engine import reading
from libs.store.readmodels import checkpoint, prompts
from services.recorder.archive import Archive, Gap
from services.recorder.rebuilding import rebuild
from tests.contract.store import lives
from tests.contract.store.lives import NOON, TENANT, prompt_id, recorded
from tests.integration.recorder.house import archive_of, covered, digests_of, verify_chain

P1, P2 = prompt_id(1), prompt_id(2)
CREATED = "2026-11-23"


@pytest.fixture
def archive(database) -> Archive:
    return Archive(database, lambda: NOON)


async def prompt_states(database) -> dict[str, str]:
    async with reading(database) as connection:
        rows = [await prompts.one(connection, TENANT, prompt) for prompt in (P1, P2)]
    return {row.prompt_id: row.state for row in rows if row}


@pytest.mark.covers("R348")
async def test_events_are_archived_as_received_with_their_hash_chain(archive, database):
    batch = recorded(lives.success(P1))
    written = await archive.write(batch, CREATED)
    assert (written.seq, written.archived, written.skipped) == (len(batch), len(batch), ())
    rows = await archive_of(database)
    assert [row.payload for row in rows] == [one.payload for one in batch]
    assert [row.type for row in rows][:2] == ["PromptSubmitted", "PromptValidated"]
    assert {row.correlation_id for row in rows} == {P1}
    tip = await verify_chain(database)
    async with reading(database) as connection:
        place = await checkpoint.load(connection)
    assert place is not None
    assert (place.seq, place.hash, place.stream_created) == (tip.seq, tip.hash, CREATED)
    assert await prompt_states(database) == {P1: "ended"}


async def test_batches_that_come_twice_or_overlap_are_archived_once(archive, database):
    batch = recorded(lives.success(P1))
    await archive.write(batch[:6], CREATED)
    assert (await archive.write(batch[:6], CREATED)).archived == 0
    assert (await archive.write(batch[3:], CREATED)).archived == len(batch) - 6
    assert [row.seq for row in await archive_of(database)] == [one.seq for one in batch]
    await verify_chain(database)


async def test_a_batch_behind_a_gap_is_not_archived(archive, database):
    batch = recorded(lives.success(P1))
    await archive.write(batch[:3], CREATED)
    with pytest.raises(Gap):
        await archive.write(batch[4:], CREATED)
    assert await covered(database) == 3


async def test_two_archivers_at_once_archive_everything_once(archive, database):
    batch = recorded(event for number in range(12) for event in lives.success(prompt_id(number)))

    async def archive_all(size: int) -> int:
        return sum(
            [
                (await archive.write(batch[start : start + size], CREATED)).archived
                for start in range(0, len(batch), size)
            ]
        )

    counts = await asyncio.gather(archive_all(7), archive_all(11), archive_all(5))
    assert sum(counts) == len(batch)
    assert (await verify_chain(database)).seq == len(batch)


@pytest.mark.parametrize("broken", ["save", "load"])
async def test_a_transaction_that_fails_leaves_nothing_behind(
    archive, database, monkeypatch, broken
):
    batch = recorded(lives.success(P1))
    await archive.write(batch[:4], CREATED)
    before = await digests_of(database)

    async def fail(*_: object) -> None:
        raise OSError("the cable is out")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, broken, fail)
        with pytest.raises(Unavailable):
            await archive.write(batch[4:], CREATED)
    assert await covered(database) == len(await archive_of(database)) == 4
    assert await digests_of(database) == before
    await archive.write(batch[4:], CREATED)
    assert (await verify_chain(database)).seq == len(batch)


async def test_an_unknown_event_is_archived_and_in_no_read_model(archive, database):
    first, *rest = recorded(lives.success(P1))
    name = b"ai.hanzo.studio.PromptSubmitted"
    unknown = read(
        first.payload.replace(name, b"ai.hanzo.studio.PromptDreamt"), seq=1, subject=first.subject
    )
    assert isinstance(unknown.event, Unreadable)
    again = recorded(lives.success(P2), start=len(rest) + 2)
    written = await archive.write([unknown, *rest, *again], CREATED)
    assert [skip.recorded.seq for skip in written.skipped] == [1]
    assert (await archive_of(database))[0].type == "PromptDreamt"
    assert await prompt_states(database) == {P2: "ended"}
    await assert_rebuilds(database)


async def test_bytes_that_are_no_json_are_archived_too(archive, database):
    junk = read(b"\x00\xff junk", seq=1, subject="evt.v1.acme.run.p")
    assert (await archive.write([junk], CREATED)).archived == 1
    assert (await archive_of(database))[0].payload == b"\x00\xff junk"
    await verify_chain(database)


async def test_an_event_that_no_column_takes_stops_no_other(archive, database):
    events = lives.success(P1)
    made = lives.made(P1)
    output = made.outputs[0].model_copy(update={"width": 2**40})
    events[events.index(made)] = made.model_copy(update={"outputs": (output,)})
    batch = recorded([*events, *lives.success(P2)])
    written = await archive.write(batch, CREATED)
    assert [skip.recorded.seq for skip in written.skipped] == [8]
    assert written.archived == len(batch)
    assert await prompt_states(database) == {P1: "ended", P2: "ended"}
    await assert_rebuilds(database)


async def test_a_copy_of_an_event_on_the_stream_changes_nothing(archive, database):
    batch = recorded([lives.granted(), *lives.success(P1)])
    copy = replace(batch[0], seq=len(batch) + 1)
    other = replace(batch[0], seq=len(batch) + 2)
    await archive.write(batch, CREATED)
    before = await digests_of(database)
    await archive.write([copy, other], CREATED)
    rows = await archive_of(database)
    assert [row.event_id for row in rows][-2:] == [None, None]
    assert await digests_of(database) == before
    await assert_rebuilds(database)


async def assert_rebuilds(database) -> None:
    """Show that the read models follow from the archive alone."""
    rebuilt = await rebuild(database)
    assert [table.table for table in rebuilt.tables if not table.equal] == []
