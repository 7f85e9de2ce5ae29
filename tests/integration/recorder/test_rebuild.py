"""The read models are nothing but what follows from the archive."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from libs.store.engine import make_engine, migrate, reading, writing
from services.recorder.archive import Archive
from services.recorder.audit import digests, rebuild, verify_chain
from tests.contract.store import lives
from tests.contract.store.histories import histories
from tests.contract.store.lives import NOON, prompt_id, recorded

LEDGER_SUMS = text("SELECT event_id FROM ledger_entries GROUP BY event_id HAVING sum(amount) <> 0")


@pytest.mark.covers("P15")
@pytest.mark.timeout(300)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories(), cuts=st.randoms(use_true_random=False))
async def test_any_history_in_any_batches_is_rebuilt_alike(fresh_database, history, cuts):
    live, again = (f"s_{uuid.uuid4().hex[:12]}" for _ in range(2))
    await migrate(fresh_database, schema=live)
    engine = make_engine(fresh_database, schema=live)
    fresh = make_engine(fresh_database, schema=again)
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
        assert await rebuild(engine, fresh_database, again) == len(batch)
        assert await digests(fresh) == await digests(engine)
        async with reading(engine) as connection:
            assert (await connection.execute(LEDGER_SUMS)).all() == []
    finally:
        await engine.dispose()
        await fresh.dispose()


@pytest.mark.covers("P15")
async def test_a_digest_tells_a_single_changed_value(database):
    archive = Archive(database, lambda: NOON)
    await archive.write(recorded(lives.success(prompt_id(1))), "now")
    before = await digests(database)
    async with writing(database) as connection:
        await connection.execute(text("UPDATE prompts SET compute_ms = compute_ms + 1"))
    after = await digests(database)
    assert {name for name in after if after[name] != before[name]} == {"prompts"}
