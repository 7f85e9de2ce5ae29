"""The recorder as a service: it follows the stream over crashes, outages and rivals."""

from __future__ import annotations

import asyncio
import random
import statistics
import time

import pytest
from sqlalchemy import text

from libs.bus.memory import MemoryBus
from libs.events.prompt import HistoryRemoved
from libs.events.signals import RECORDED_SUBJECT, Committed
from libs.store.engine import make_engine, reading, writing
from libs.store.readmodels import event_log, prompts
from services.recorder.archive import Archive
from services.recorder.public import Publisher
from services.recorder.settings import RecorderSettings
from tests.contract.store import lives
from tests.contract.store.lives import NOON, TENANT, prompt_id
from tests.integration.recorder.house import (
    SETTINGS,
    WAIT_SECONDS,
    archive_of,
    archived_to,
    covered,
    eventually,
    recorder,
    recording,
    tamper,
    verify_chain,
)
from tests.unit.house import append

P1, P2 = prompt_id(1), prompt_id(2)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus("tests")


async def write(bus: MemoryBus, events) -> int:
    for event in events:
        await append(bus, event)
    return len(bus.recorded())


async def assert_archive_is_the_stream(bus: MemoryBus, database) -> None:
    rows = await archive_of(database)
    stream = bus.recorded()
    assert [(row.seq, row.payload) for row in rows] == [(one.seq, one.payload) for one in stream]
    assert (await verify_chain(database)).seq == len(stream)


async def test_whoever_hears_that_a_sequence_is_committed_finds_its_rows(bus, database):
    ear = bus.another("ear")
    async with recording(bus.another("recorder"), database):
        signals = ear.signals(RECORDED_SUBJECT)
        first = await anext(signals)
        assert Committed.model_validate_json(first.data).seq == 0
        last = 0
        for number in range(20):
            last = await write(bus, lives.success(prompt_id(number), number=number + 1))
        heard = 0
        while heard < last:
            committed = Committed.model_validate_json((await anext(signals)).data)
            assert committed.stream == "EVENTS"
            heard = committed.seq
            async with reading(database) as connection:
                found = await event_log.page(connection, after=heard - 1, limit=1)
            assert heard == 0 or found[0].seq == heard
    await assert_archive_is_the_stream(bus, database)


async def test_the_place_is_told_again_while_the_stream_is_silent(bus, database):
    async with recording(bus.another("recorder"), database):
        end = await write(bus, lives.success(P1))
        await archived_to(database, end)
        late_ear = bus.another("ear").signals(RECORDED_SUBJECT)
        async with asyncio.timeout(WAIT_SECONDS):
            assert Committed.model_validate_json((await anext(late_ear)).data).seq == end


async def test_a_recorder_that_dies_again_and_again_loses_and_doubles_nothing(bus, database):
    chance = random.Random(7)
    settings = SETTINGS.model_copy(update={"batch_max": 5})
    number = 0
    for _ in range(12):
        async with recording(bus.another("recorder"), database, settings):
            for _ in range(3):
                number += 1
                await write(bus, lives.success(prompt_id(number), number=number))
            await asyncio.sleep(chance.uniform(0, 0.05))
    async with recording(bus.another("recorder"), database):
        await archived_to(database, len(bus.recorded()))
    await assert_archive_is_the_stream(bus, database)


async def test_two_recorders_at_once_archive_everything_once(bus, database, fresh_database):
    rival = make_engine(fresh_database)
    async with (
        recording(bus.another("recorder-1"), database),
        recording(bus.another("recorder-2"), rival),
    ):
        for number in range(15):
            end = await write(bus, lives.success(prompt_id(number), number=number + 1))
        await archived_to(database, end)
    await rival.dispose()
    await assert_archive_is_the_stream(bus, database)
    ids = [published.event_id for published in bus.published()]
    assert len(ids) == len(set(ids))


async def test_while_postgresql_is_down_it_waits_and_then_catches_up(
    bus, database, database_url, fresh_database
):
    async with recording(bus.another("recorder"), database) as service:
        await archived_to(database, await write(bus, lives.success(P1)))
        await close_database(database_url, fresh_database, closed=True)

        async def not_ready() -> bool:
            assert service.ready is not None
            return "PostgreSQL" in await service.ready()

        end = await write(bus, lives.success(P2, number=2))
        await eventually(not_ready, "it says that PostgreSQL is down")
        end = await write(bus, [HistoryRemoved(prompt_id=P1, by="ada")])
        await close_database(database_url, fresh_database, closed=False)
        await archived_to(database, end)
        assert service.ready is not None
        assert await service.ready() == ""
    await assert_archive_is_the_stream(bus, database)


async def close_database(database_url: str, url: str, *, closed: bool) -> None:
    """Let nobody into a database and throw out who is in it, or open it again."""
    name = url.rpartition("/")[2]
    engine = make_engine(database_url)
    async with writing(engine) as connection:
        await connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not closed}'))
    if closed:
        async with writing(engine) as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                ),
                {"name": name},
            )
    await engine.dispose()


async def refusal_of(bus: MemoryBus, database) -> str:
    """Return why a recorder that is started now does not archive, having archived nothing."""
    before = await covered(database)
    async with recording(bus, database) as service:

        async def refuses() -> bool:
            assert service.ready is not None
            return (await service.ready()) not in ("", "has not looked at the stream yet")

        await eventually(refuses, "it refuses")
        assert service.ready is not None
        reason = await service.ready()
    assert await covered(database) == before
    return reason


async def archived(bus: MemoryBus, database, *events) -> None:
    end = await write(bus, events)
    async with recording(bus.another("recorder"), database):
        await archived_to(database, end)


async def test_a_stream_that_was_made_anew_is_refused(bus, database):
    await archived(bus, database, *lives.success(P1))
    await asyncio.sleep(0.002)
    anew = MemoryBus("anew")
    await write(anew, lives.success(P2) * 2)
    assert "made anew" in await refusal_of(anew, database)


async def test_a_stream_that_is_shorter_than_its_archive_is_refused(bus, database):
    await archived(bus, database, *lives.success(P1))
    bus._world.log.messages.pop()
    assert "shorter than its archive" in await refusal_of(bus, database)


async def test_events_that_expired_before_they_were_archived_are_refused(bus, database):
    class Expired(MemoryBus):
        async def state(self):
            state = await super().state()
            return type(state)(3, state.last_seq, state.created)

    await write(bus, lives.success(P1))
    assert "expired" in await refusal_of(Expired("expired", world=bus._world), database)


async def test_a_stream_that_holds_other_events_than_its_archive_is_refused(bus, database):
    await archived(bus, database, *lives.success(P1))
    await tamper(database, "UPDATE event_log SET payload = payload || ' ' WHERE seq = 4")
    reason = await refusal_of(bus, database)
    assert "another event" in reason
    assert "seq=4" in reason


async def test_a_refused_recorder_goes_on_when_the_reason_is_gone(bus, database):
    await archived(bus, database, *lives.success(P1))
    await tamper(database, "UPDATE event_log SET payload = payload || ' ' WHERE seq = 4")
    end = await write(bus, lives.success(P2, number=2))
    async with recording(bus.another("recorder"), database):
        await asyncio.sleep(0.1)
        assert await covered(database) < end
        await tamper(
            database,
            "UPDATE event_log SET payload = substr(payload, 1, length(payload) - 1) WHERE seq = 4",
        )
        await archived_to(database, end)
    await assert_archive_is_the_stream(bus, database)


async def test_stream_and_archive_are_compared_again_on_the_way(bus, database):
    settings = RecorderSettings.model_construct(
        **{**SETTINGS.model_dump(), "check_seconds": 0.05, "refused_seconds": 0.05}
    )
    async with recording(bus.another("recorder"), database, settings) as service:
        await archived_to(database, await write(bus, lives.success(P1)))
        await tamper(database, "UPDATE event_log SET payload = payload || ' ' WHERE seq = 4")

        async def noticed() -> bool:
            assert service.ready is not None
            return "another event" in await service.ready()

        await eventually(noticed, "the difference is noticed")


async def test_before_it_has_looked_at_the_stream_it_is_not_ready(bus, database):
    service = recorder(bus, database)
    assert service.ready is not None
    assert await service.ready() != ""


async def published_kinds(bus: MemoryBus) -> dict[str, str]:
    return {
        f"{published.kind} {published.body['data']['prompt_id'][-1]}": published.event_id  # type: ignore[index,call-overload]
        for published in bus.published()
    }


async def test_the_public_hears_of_every_generation_and_of_no_words(bus, database):
    story = [lives.success, lives.failure, lives.text_blocked, lives.rejected, lives.blocked]
    for number, life in enumerate(story, 1):
        await write(bus, life(prompt_id(number), number=number))
    async with recording(bus.another("recorder"), database):

        async def all_told() -> bool:
            return len(bus.published()) == 2 * len(story)

        await eventually(all_told, "everything is published")
    kinds = await published_kinds(bus)
    assert {kind for kind in kinds if not kind.startswith("requested")} == {
        "completed 1",
        "failed 2",
        "blocked 3",
        "failed 4",
        "blocked 5",
    }
    (done,) = [one for one in bus.published() if one.kind == "completed"]
    assert done.tenant == TENANT
    body = done.body
    assert (body["schema"], body["type"], body["id"], body["org_id"]) == (
        "hanzo.stream.v1",
        "studio.generation.completed",
        f"evt_{done.event_id}",
        TENANT,
    )
    data = body["data"]
    assert isinstance(data, dict)
    assert data["model"] == "demo.safetensors"
    assert (data["steps"], data["width"], data["height"], data["num_images"]) == (20, 64, 48, 1)
    assert (data["compute_ms"], data["cost_credits"], data["backend"]) == (1200, 0.24, "cpu")
    assert (data["distinct_id"], data["$insert_id"]) == ("ada", done.event_id)
    everything = repr([one.body for one in bus.published()])
    assert lives.WORKFLOW.inline is not None
    assert lives.WORKFLOW.inline not in everything
    assert "client_id" not in everything


async def test_a_crash_between_commit_and_publishing_loses_no_public_event(bus, database):
    await write(bus, lives.success(P1))
    stream = bus.recorded()
    await Archive(database, lambda: NOON).write(stream, (await bus.state()).created)
    assert bus.published() == []
    for _ in range(2):
        await Publisher(bus, database).catch_up()
        assert [published.kind for published in bus.published()] == ["requested", "completed"]


async def test_an_event_is_in_the_history_moments_after_it_was_written(bus, database):
    ear = bus.another("ear")
    waits = []
    async with recording(bus.another("recorder"), database):
        await archived_to(database, await write(bus, lives.success(P1)))
        signals = ear.signals(RECORDED_SUBJECT)
        for event in lives.success(P2, number=2):
            begun = time.perf_counter()
            seq = await write(bus, [event])
            while Committed.model_validate_json((await anext(signals)).data).seq < seq:
                pass
            waits.append(time.perf_counter() - begun)
            async with reading(database) as connection:
                assert await prompts.one(connection, TENANT, P2) is not None
    print(f"from written to told, median: {statistics.median(waits) * 1000:.1f} ms")
    assert statistics.median(waits) < 0.5
