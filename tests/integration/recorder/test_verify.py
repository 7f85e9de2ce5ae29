"""Whoever changes the archive is found out, and the first bad row is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import make_engine, writing
from libs.store.readmodels.event_log import ArchivedEvent
from services.recorder.archive import Archive
from services.recorder.domain.chain import GENESIS, Tip, extend
from services.recorder.domain.walk import Fault, Wrong
from services.recorder.verifying import Verified, verify
from tests.contract.store import lives
from tests.contract.store.lives import NOON, prompt_id, recorded
from tests.integration.recorder.house import archive_of, tamper
from tests.integration.recorder.sound import Sound, copy_url, sound, stream

__all__ = ["copy_url", "sound", "stream"]

FLIP = "UPDATE event_log SET payload = set_byte(payload, 40, get_byte(payload, 40) # 1)"
CONTENT = "subject, payload, event_id, type, correlation_id, occurred"


@pytest.fixture
async def copy(copy_url: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine on a copy of the sound archive."""
    engine = make_engine(copy_url)
    yield engine
    await engine.dispose()


def faults_of(verified: Verified) -> dict[str, Fault]:
    return {check.name: check.fault for check in verified.checks if check.fault is not None}


def exchange(one: int, other: int) -> tuple[str, ...]:
    """Let two rows change places, with their hashes."""
    return (
        f"UPDATE event_log SET seq = -1 WHERE seq = {one}",
        f"UPDATE event_log SET seq = {one} WHERE seq = {other}",
        f"UPDATE event_log SET seq = {other} WHERE seq = -1",
    )


def exchange_content(one: int, other: int) -> tuple[str, ...]:
    """Let what two rows say change places, while hashes stay where they were."""
    return (
        "ALTER TABLE event_log DROP CONSTRAINT event_log_event_id_key",
        f"""UPDATE event_log AS target SET ({CONTENT}) = (
            SELECT {CONTENT} FROM event_log AS source
            WHERE source.seq IN ({one}, {other}) AND source.seq <> target.seq)
        WHERE seq IN ({one}, {other})""",
    )


# Another byte for certain, whatever it was.
FLIP_HASH = "UPDATE event_log SET hash = set_byte(hash, 3, get_byte(hash, 3) # 1) WHERE seq = 57"


async def test_a_sound_archive_is_sound_in_every_check(copy, stream, sound: Sound):
    verified = await verify(copy, stream)
    assert verified.sound
    assert verified.rows == verified.tip.seq == sound.events > 400
    names = [(check.name, check.first_seq, check.last_seq) for check in verified.checks]
    assert names == [
        ("hash chain", 1, sound.events),
        ("columns", 1, sound.events),
        ("stream", 1, sound.events),
    ]
    assert len(set(verified.digests.values())) == len(verified.digests) == 7


@pytest.mark.covers("R348")
@pytest.mark.parametrize(
    ("seq", "statements", "chain", "on_stream"),
    [
        (57, (f"{FLIP} WHERE seq = 57",), Wrong.BYTES, Wrong.STREAM),
        (1, (f"{FLIP} WHERE seq = 1",), Wrong.BYTES, Wrong.STREAM),
        (57, ("UPDATE event_log SET subject = subject || 'x' WHERE seq = 57",), Wrong.BYTES,
         Wrong.STREAM),
        (57, ("DELETE FROM event_log WHERE seq = 57",), Wrong.MISSING, Wrong.MISSING),
        (1, ("DELETE FROM event_log WHERE seq = 1",), Wrong.MISSING, Wrong.MISSING),
        (200, ("DELETE FROM event_log WHERE seq BETWEEN 200 AND 260",), Wrong.MISSING,
         Wrong.MISSING),
        (57, exchange(57, 58), Wrong.SWAPPED, Wrong.STREAM),
        (57, exchange(57, 300), Wrong.SWAPPED, Wrong.STREAM),
        (57, exchange_content(57, 58), Wrong.SWAPPED, Wrong.STREAM),
        (57, exchange_content(57, 300), Wrong.SWAPPED, Wrong.STREAM),
        (57, (FLIP_HASH,), Wrong.HASH, None),
    ],
    ids=[
        "a flipped byte",
        "a flipped byte in the first row",
        "a changed subject",
        "a removed row",
        "the first row removed",
        "many rows removed",
        "neighbours swapped",
        "rows far apart swapped",
        "what neighbours say swapped",
        "what rows far apart say swapped",
        "a changed hash",
    ],
)  # fmt: skip
async def test_whoever_changes_the_archive_is_found_out(
    copy, stream, seq, statements, chain, on_stream
):
    before = {row.seq: row.type for row in await archive_of(copy)}
    await tamper(copy, *statements)
    after = {row.seq: row.type for row in await archive_of(copy)}
    found = faults_of(await verify(copy, stream))
    named = found["hash chain"]
    assert (named.seq, named.type, named.wrong) == (seq, after.get(seq, before[seq]), chain)
    differs = found.get("stream")
    told = (differs.seq, differs.type, differs.wrong) if differs else None
    assert told == ((seq, before[seq], on_stream) if on_stream else None)


async def test_the_last_row_removed_is_missed_by_the_checkpoint(copy, stream, sound: Sound):
    await tamper(copy, f"DELETE FROM event_log WHERE seq = {sound.events}")
    found = faults_of(await verify(copy, stream))
    assert {fault.seq for fault in found.values()} == {sound.events}
    assert {fault.wrong for fault in found.values()} == {Wrong.MISSING}
    assert all(fault.type for fault in found.values())


async def test_where_a_swapped_row_has_gone_is_told(copy):
    await tamper(copy, *exchange(57, 300))
    found = faults_of(await verify(copy, None))
    assert found["hash chain"].detail == "the event that belongs here lies at 300"


async def test_a_row_that_was_added_by_hand_is_found(copy, sound: Sound):
    rows = await archive_of(copy)
    forged = replace(rows[-1], seq=sound.events + 1)
    (link_hash,) = extend(rows[-1].hash, [forged])
    await tamper(
        copy,
        f"INSERT INTO event_log SELECT stream, seq + 1, NULL, tenant, subject, type,"
        f" correlation_id, occurred, recorded, payload, '\\x{link_hash.hex()}'::bytea"
        f" FROM event_log WHERE seq = {sound.events}",
    )
    found = faults_of(await verify(copy, None))
    assert set(found) == {"hash chain"}
    assert (found["hash chain"].seq, found["hash chain"].wrong) == (sound.events + 1, Wrong.ADDED)


async def test_a_row_of_a_stream_that_there_is_not_is_found(copy):
    await tamper(copy, "UPDATE event_log SET stream = 'OTHER' WHERE seq = 57")
    found = faults_of(await verify(copy, None))
    assert (found["hash chain"].seq, found["hash chain"].wrong) == (57, Wrong.MISSING)
    assert (found["columns"].seq, found["columns"].wrong) == (57, Wrong.ADDED)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_id", "NULL"),
        ("event_id", "event_id || 'x'"),
        ("tenant", "'another'"),
        ("type", "'RunDreamt'"),
        ("correlation_id", "'another'"),
        ("occurred", "occurred + interval '1 ms'"),
    ],
)
async def test_a_column_that_does_not_follow_from_the_bytes_is_found(copy, stream, column, value):
    await tamper(copy, f"UPDATE event_log SET {column} = {value} WHERE seq IN (57, 90)")
    found = faults_of(await verify(copy, stream))
    assert set(found) == {"columns"}
    assert (found["columns"].seq, found["columns"].wrong) == (57, Wrong.COLUMN)
    assert found["columns"].detail.startswith(column)


async def write_anew(database: AsyncEngine, changed: ArchivedEvent) -> None:
    """Change a row and make the chain anew from there on, checkpoint and all."""
    rows: Sequence[ArchivedEvent] = await archive_of(database)
    rows = [changed if row.seq == changed.seq else row for row in rows]
    hashes = extend(GENESIS, rows)
    async with writing(database) as connection:
        await connection.execute(text("ALTER TABLE event_log DISABLE TRIGGER USER"))
        await connection.execute(
            text("UPDATE event_log SET payload = :payload, hash = :hash WHERE seq = :seq"),
            [
                {"seq": row.seq, "payload": row.payload, "hash": link_hash}
                for row, link_hash in zip(rows, hashes, strict=True)
            ],
        )
        await connection.execute(
            text("UPDATE checkpoint SET hash = :hash WHERE name = 'archive'"), {"hash": hashes[-1]}
        )


@pytest.fixture
async def written_anew(copy: AsyncEngine) -> ArchivedEvent:
    """Forge the one amount that was captured first, and every hash after it."""
    row = next(row for row in await archive_of(copy) if row.type == "CreditsCaptured")
    await write_anew(copy, replace(row, payload=row.payload.replace(b"240", b"241")))
    return row


async def test_a_chain_that_was_made_anew_is_found_by_the_stream(copy, stream, written_anew):
    verified = await verify(copy, stream)
    found = faults_of(verified)
    assert set(found) == {"stream"}
    named = found["stream"]
    assert (named.seq, named.type, named.wrong) == (
        written_anew.seq,
        "CreditsCaptured",
        Wrong.STREAM,
    )
    byte = written_anew.payload.index(b"240") + 2
    assert named.detail == f"the payloads differ from byte {byte} on"
    assert (await verify(copy, None)).sound


async def test_a_chain_that_was_made_anew_is_found_by_a_tip_kept_elsewhere(
    copy, sound: Sound, written_anew
):
    engine = make_engine(sound.database_url)
    rows = await archive_of(engine)
    await engine.dispose()
    for row in (rows[written_anew.seq - 2], rows[-1]):
        known = Tip(row.seq, row.hash)
        found = faults_of(await verify(copy, None, known=known))
        if row.seq < written_anew.seq:
            assert found == {}
        else:
            assert (found["hash chain"].seq, found["hash chain"].wrong) == (row.seq, Wrong.HASH)


async def test_an_archive_that_ends_before_a_tip_kept_elsewhere_is_found(copy, sound: Sound):
    known = Tip(sound.events + 5, bytes(32))
    found = faults_of(await verify(copy, None, known=known))
    assert found["hash chain"].wrong == Wrong.MISSING


async def test_another_stream_than_the_one_that_was_archived_is_found(copy, stream):
    await tamper(copy, "UPDATE checkpoint SET stream_created = 'long ago'")
    found = faults_of(await verify(copy, stream))
    assert set(found) == {"stream"}
    assert "made anew" in found["stream"].detail


async def test_what_the_recorder_archives_meanwhile_disturbs_nothing(database):
    archive = Archive(database, lambda: NOON)
    batch = recorded([event for number in range(9) for event in lives.success(prompt_id(number))])
    await archive.write(batch[:60], "now")
    reached: list[int] = []

    async def verified_while_more_comes() -> Verified:
        verified = await verify(database, None, tell=lambda _what, done, _all: reached.append(done))
        await archive.write(batch[60:], "now")
        return verified

    assert (await verified_while_more_comes()).tip.seq == reached[-1] == 60
    assert (await verify(database, None)).tip.seq == len(batch)


async def test_copies_and_bytes_that_are_no_event_are_sound(database):
    archive = Archive(database, lambda: NOON)
    batch = recorded(lives.success(prompt_id(1)))
    copy = replace(batch[0], seq=len(batch) + 1)
    await archive.write([*batch, copy], "now")
    assert (await archive_of(database))[-1].event_id is None
    assert (await verify(database, None)).sound


async def test_an_empty_archive_is_sound(database):
    verified = await verify(database, None)
    assert (verified.sound, verified.rows, verified.tip) == (True, 0, Tip())
