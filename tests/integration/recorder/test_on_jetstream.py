"""The recorder between a real NATS server and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from libs.bus.base import Bus
from libs.bus.jetstream import connect
from libs.chassis.embedded.nats import start_nats
from libs.decider import Journal
from libs.events.base import Event, subject_of
from libs.events.envelope import Cause
from libs.settings import Settings
from tests.contract.store import lives
from tests.contract.store.lives import TENANT, prompt_id
from tests.integration.recorder.house import archive_of, archived_to, recording, verify_chain
from tests.servers import Keeper

PROMPTS = 60


@pytest.fixture(scope="module")
def nats_settings(keeper: Keeper, tmp_path_factory: pytest.TempPathFactory):
    """Give a server of this module's own: the archive begins where its stream begins."""
    home: Path = tmp_path_factory.mktemp("recorder")
    nats = keeper.run(start_nats(home, port=0, monitoring_port=0))
    yield Settings(nats_url=nats.url, events_max_mib=64)
    keeper.run(nats.server.stop())


@pytest.fixture
async def bus(nats_settings: Settings) -> AsyncIterator[Bus]:
    bus = await connect(nats_settings, "tests")
    await bus.provision()
    yield bus
    await bus.close()


async def tell(journal: Journal, events: Sequence[Event]) -> None:
    """Append the events of one life, each behind the last on its subject."""
    seqs: dict[str, int] = {}
    for event in events:
        subject = subject_of(TENANT, event)
        if subject not in seqs:
            seqs[subject] = (await journal.load(subject)).last_seq
        (written,) = await journal.append(TENANT, [event], seqs[subject], Cause())
        seqs[subject] = written.seq


async def test_everything_on_the_stream_is_archived_in_order_over_restarts(bus, database):
    users = [f"user-{number}" for number in range(PROMPTS)]
    writers = [
        asyncio.create_task(
            tell(bus.journal, lives.success(prompt_id(number), users[number], number=number + 1))
        )
        for number in range(PROMPTS)
    ]
    while not all(writer.done() for writer in writers):
        async with recording(bus, database):
            await asyncio.wait(writers, timeout=0.7)
    await asyncio.gather(*writers)
    end = (await bus.state()).last_seq
    began = time.perf_counter()
    async with recording(bus, database):
        await archived_to(database, end)
    print(f"caught up in {time.perf_counter() - began:.2f} s")
    rows = await archive_of(database)
    assert [row.seq for row in rows] == list(range(1, end + 1))
    assert len({row.event_id for row in rows}) == end
    assert (await verify_chain(database)).seq == end
