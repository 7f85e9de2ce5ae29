"""The fleet, slot by slot."""

from __future__ import annotations

from libs.events.base import SYSTEM_TENANT
from libs.events.worker import WeightsFile, WeightsListed
from libs.store.engine import reading
from libs.store.readmodels import workers
from tests.contract.store import lives
from tests.contract.store.lives import apply


async def weights(database) -> dict[str, list[str]]:
    async with reading(database) as connection:
        found = await workers.weights_of_fleet(connection)
    return {folder: [file.name for file in files] for folder, files in found.items()}


async def fleet(database) -> list[tuple[str, str, str]]:
    async with reading(database) as connection:
        rows = await workers.fleet(connection)
    return [(row.slot, row.worker_id, row.state) for row in rows]


def lists(slot: str, worker_id: str, **folders: tuple[str, ...]) -> WeightsListed:
    files = {
        folder: tuple(WeightsFile(name=name, size_bytes=1, modified_ms=2) for name in names)
        for folder, names in folders.items()
    }
    return WeightsListed(worker_id=worker_id, slot=slot, weights=files)


async def test_a_newer_worker_takes_its_slot_and_an_older_one_is_not_heard_any_more(database):
    start = await apply(database, lives.a_worker(), tenant=SYSTEM_TENANT)
    start = await apply(
        database, lives.a_worker(worker_id="worker-2"), start=start, tenant=SYSTEM_TENANT
    )
    await apply(
        database,
        [lists("gpu-0", "worker-1", checkpoints=()), lives.worker_stopped()],
        start=start,
        tenant=SYSTEM_TENANT,
    )
    assert await fleet(database) == [("gpu-0", "worker-2", "up")]
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}


async def test_the_fleet_has_what_any_of_its_workers_has_each_name_once(database):
    start = await apply(database, lives.a_worker())
    start = await apply(database, lives.a_worker("gpu-1", "worker-2"), start=start)
    await apply(
        database,
        [lists("gpu-1", "worker-2", checkpoints=("a", "demo.safetensors"), loras=("l",))],
        start=start,
    )
    assert await weights(database) == {"checkpoints": ["a", "demo.safetensors"], "loras": ["l"]}


async def test_a_worker_that_left_takes_its_files_along_while_others_are_up(database):
    start = await apply(database, [*lives.a_worker(), *lives.a_worker("gpu-1", "worker-2")])
    await apply(
        database,
        [lists("gpu-1", "worker-2", loras=("l",)), lives.worker_stopped("gpu-1", "worker-2")],
        start=start,
    )
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}


async def test_while_nobody_is_up_the_last_files_are_still_offered(database):
    start = await apply(database, [*lives.a_worker(), lives.worker_stopped()])
    assert await fleet(database) == [("gpu-0", "worker-1", "stopped")]
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}
    await apply(database, lives.a_worker(worker_id="worker-2")[:1], start=start)
    assert await fleet(database) == [("gpu-0", "worker-2", "up")]
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}
