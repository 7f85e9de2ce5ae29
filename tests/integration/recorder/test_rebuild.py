"""The read models are nothing but what follows from the archive."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from libs.core.errors import Unavailable
from libs.events.prompt import HistoryRemoved
from libs.store.digest import REBUILDABLE
from libs.store.engine import make_engine, migrate, reading, writing
from services.recorder.archive import Archive, Written
from services.recorder.rebuilding import REBUILD, Compared, Rebuilt, rebuild
from tests.contract.store import lives
from tests.contract.store.histories import histories, wild_log
from tests.contract.store.lives import (
    NOON,
    a_worker,
    granted,
    prompt_id,
    recorded,
    worker_stopped,
)
from tests.integration.recorder.house import digests_of, tamper, verify_chain

LEDGER_SUMS = text("SELECT event_id FROM ledger_entries GROUP BY event_id HAVING sum(amount) <> 0")


@pytest.mark.covers("P15")
@pytest.mark.timeout(300)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories(), cuts=st.randoms(use_true_random=False))
async def test_any_history_in_any_batches_is_rebuilt_alike(fresh_database, history, cuts):
    live = f"s_{uuid.uuid4().hex[:12]}"
    await migrate(fresh_database, schema=live)
    engine = make_engine(fresh_database, schema=live)
    archive = Archive(engine, lambda: NOON)
    batch = recorded(history)
    try:
        start = 0
        while start < len(batch):
            # Each batch begins a little before the end of the last, as after a crash.
            end = start + cuts.randint(1, 20)
            await archive.write(batch[max(0, start - cuts.randint(0, 5)) : end], "now")
            start = end
        assert (await verify_chain(engine)).seq == len(batch)
        rebuilt = await rebuild(engine)
        assert (rebuilt.seq, rebuilt.events) == (len(batch), len(batch))
        assert unequal(rebuilt) == []
        async with reading(engine) as connection:
            assert (await connection.execute(LEDGER_SUMS)).all() == []
    finally:
        await engine.dispose()


@pytest.mark.covers("P15")
async def test_a_wild_log_of_hundreds_of_prompts_is_rebuilt_alike(database):
    archive = Archive(database, lambda: NOON)
    batch = recorded(wild_log(prompts=400, seed=11))
    for start in range(0, len(batch), 333):
        await archive.write(batch[start : start + 333], "now")
    rebuilt = await rebuild(database)
    assert rebuilt.events == len(batch) > 3000
    assert unequal(rebuilt) == []
    assert {table.table for table in rebuilt.tables} == {table.name for table in REBUILDABLE}
    assert await schemas(database) == []


TAMPERED = {
    "prompts": (
        "UPDATE prompts SET compute_ms = compute_ms + 1 WHERE prompt_id = :one",
        "compute_ms",
    ),
    "outputs": ("UPDATE outputs SET state = 'blocked' WHERE prompt_id = :one", "state"),
    "balances": ("UPDATE balances SET balance = balance + 1000", "balance"),
    "holds": ("UPDATE holds SET state = 'released' WHERE prompt_id = :one", "state"),
    "grants": ("DELETE FROM grants", "the row is in one of the two only"),
    "workers": ("UPDATE workers SET state = 'up'", "state"),
    "ledger_entries": (
        "UPDATE ledger_entries SET amount = amount * 2 WHERE prompt_id = :one",
        "amount",
    ),
}


@pytest.mark.covers("P15")
@pytest.mark.parametrize("table", TAMPERED)
async def test_a_changed_row_of_a_read_model_is_found_and_named(database, table):
    life = [granted(), *a_worker(), *lives.success(prompt_id(1)), worker_stopped()]
    await Archive(database, lambda: NOON).write(recorded(life), "now")
    statement, column = TAMPERED[table]
    async with writing(database) as connection:
        await connection.execute(text("ALTER TABLE ledger_entries DISABLE TRIGGER USER"))
        done = await connection.execute(text(statement), {"one": prompt_id(1)})
        assert done.rowcount > 0
        await connection.execute(text("ALTER TABLE ledger_entries ENABLE TRIGGER USER"))
    (found,) = unequal(await rebuild(database))
    assert found.table == table
    assert found.difference.endswith(column)
    assert found.living != found.rebuilt


async def test_a_rebuild_that_fails_half_way_leaves_no_schema(database):
    await Archive(database, lambda: NOON).write(recorded(lives.success(prompt_id(1))), "now")

    def full(*_: object) -> None:
        raise OSError("no more room")

    with pytest.raises(Unavailable):
        await rebuild(database, tell=full)
    assert await schemas(database) == []


async def test_a_rebuild_is_kept_when_it_is_asked_for(database, fresh_database):
    await Archive(database, lambda: NOON).write(recorded(lives.success(prompt_id(1))), "now")
    rebuilt = await rebuild(database, keep=True)
    assert await schemas(database) == [rebuilt.schema]
    engine = make_engine(fresh_database, schema=rebuilt.schema)
    assert await digests_of(engine) == await digests_of(database)
    await engine.dispose()


async def test_a_rebuild_disturbs_no_recorder_that_goes_on(database):
    archive = Archive(database, lambda: NOON)
    batch = recorded(wild_log(prompts=60, seed=3))
    half = len(batch) // 2
    await archive.write(batch[:half], "now")
    written: list[asyncio.Future[Written]] = []

    def tell(what: str, *_: int) -> None:
        if what == REBUILD and not written:
            written.append(asyncio.ensure_future(archive.write(batch[half:], "now")))

    rebuilt = await rebuild(database, tell=tell)
    assert (await written[0]).seq == len(batch)
    assert rebuilt.seq == half
    assert unequal(rebuilt) == []
    assert unequal(await rebuild(database)) == []


async def test_an_archive_that_lost_its_end_is_not_sound(database):
    life = recorded([*lives.success(prompt_id(1)), HistoryRemoved(prompt_id=prompt_id(2), by="a")])
    await Archive(database, lambda: NOON).write(life, "now")
    await tamper(database, f"DELETE FROM event_log WHERE seq = {len(life)}")
    rebuilt = await rebuild(database)
    assert (unequal(rebuilt), rebuilt.sound) == ([], False)


async def test_an_empty_archive_is_rebuilt_too(database):
    rebuilt = await rebuild(database)
    assert (rebuilt.seq, rebuilt.events, rebuilt.sound) == (0, 0, True)


def unequal(rebuilt: Rebuilt) -> list[Compared]:
    return [table for table in rebuilt.tables if not table.equal]


async def schemas(database) -> list[str]:
    async with reading(database) as connection:
        found = await connection.scalars(
            text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuilt_%'")
        )
        return list(found)
